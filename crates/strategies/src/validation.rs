//! What is wrong with objects and their changes, in upstream's texts, paths and order. One module an API group.
//!
//! A rule takes a place in the tree and adds what it finds (`check`). Metadata comes before, for every kind (`metadata`).

pub(crate) mod admission;
pub(crate) mod apps;
pub(crate) mod authorization;
pub(crate) mod autoscaling;
pub(crate) mod batch;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod core;
pub(crate) mod definitions;
pub(crate) mod devices;
pub(crate) mod discovery;
mod expressions;
pub(crate) mod flow;
pub(crate) mod networking;
pub(crate) mod pods;
pub(crate) mod policies;
pub(crate) mod rbac;
pub(crate) mod storage;
pub(crate) mod webhooks;
