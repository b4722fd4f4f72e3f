//! What the network of a node must look like, as data: service rows, routes to other nodes, DNS answers, a pod's `resolv.conf`.
//!
//! Pure: no socket, no clock. `net-link` speaks with the kernel, `netd` watches the cluster and carries these plans out.
//! Start with `rows` (the words), then `service` (from a Service to its rows) and `table` (from rows to the least change).
//!
//! Invariant: the same objects give the same rows in any order of arrival, and the rows of a service depend on that service,
//! its endpoints and the node alone; so one change costs one service, however many there are.

pub mod backends;
pub mod health;
pub mod host_ports;
pub mod names;
pub mod node_routes;
pub mod resolv;
pub mod rows;
pub mod service;
pub mod table;
