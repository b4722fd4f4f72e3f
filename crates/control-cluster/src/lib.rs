//! What the cluster itself wants: a plan for each controller that keeps services, namespaces, owners, accounts and nodes in order.
//!
//! Every plan is a plain function of a view, like those of `control-workloads`.
//! Not here: where views come from and how plans are carried out (`control-plane`, `reconcile`).

pub mod endpoints;
pub mod service_address;

pub mod garbage;
pub mod namespace;

pub mod account;
pub mod account_token;
pub mod cluster_role;
pub mod disruption;
pub mod expiry;
pub mod protection;
pub mod quota;
pub mod signing;

pub mod node;
pub mod node_cidr;
pub mod node_ttl;
pub mod pod_eviction;
pub mod pod_garbage;
