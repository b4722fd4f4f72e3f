//! The network of a node: services, routes to other nodes, names.

pub mod dns;
pub mod host;
pub mod kernel;
