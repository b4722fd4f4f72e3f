//! What workloads want: a plan for each of ReplicaSet, Deployment, Job and their like.
//!
//! Every plan is a plain function of a view: the object, what it owns or might adopt, and the time. Nothing is expected or
//! remembered; a lost event and a restart are the usual case.
//! Not here: where views come from and how plans are carried out (`control-plane`, `reconcile`).
//!
//! Invariants: a new pod's name follows from the view it was planned on, so an old view cannot make a second one;
//! a plan holds one change an object.
//!
//! Start with `replica_set`, then `deployment`.

pub mod autoscaler;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod stateful_set;

pub mod cron_job;
pub mod job;

pub mod pods;

mod claims;
mod ranking;
mod revisions;
mod rounding;
mod template;

#[cfg(test)]
mod model;
