//! Choosing a node for each pod: upstream's filter and score pipeline over an in-memory picture of the cluster.
//!
//! `Cluster` is the picture: nodes with what their pods use, kept up to date by whoever watches. `Cluster::schedule` decides for
//! one pod and, when it finds a node, counts the pod there at once, so that a batch needs no waiting for the API. Filters
//! (`filters`) and scores (`scores`) are rows in a table; `topology` holds the two that look at other pods.
//!
//! Not here: queues, back-off and writes (`control-plane`). Invariant: nothing here reads a clock or does I/O.

pub mod cluster;
mod decision;
mod filters;
pub mod node_terms;
mod pod;
mod preemption;
mod resources;
mod scores;
mod topology;

pub use cluster::{Cluster, Options, Packing};
pub use decision::Decision;
pub use pod::{DEFAULT_SCHEDULER, PodInfo};
pub use preemption::Preemption;
pub use resources::Resources;

#[cfg(test)]
mod tests;
