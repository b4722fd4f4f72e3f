//! The network of a node: services, routes to other nodes, names.
//!
//! Start with `agent`, the loop. `kernel` keeps coracle's nftables table, `host` its links and routes, `dns` answers questions.
//! What should stand is decided in `net_plan`; how the kernel is told, in `net_link`.
//!
//! Invariant: connections outlive this process. Whatever stands in the kernel is compared and taken over, never torn down first.
//! Invariant: only links, routes, rules and settings of this cluster are touched, and `agent::reset` removes them all.

pub mod act;
pub mod agent;
pub mod dns;
mod health;
pub mod host;
pub mod kernel;
mod meddling;
pub mod probe;
