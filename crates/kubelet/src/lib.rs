//! The node agent: keeps the pods of one node running as the API server says, and tells it how they stand.
//!
//! What to do is decided in `pod-plan`; here it is observed, carried out and reported. One task owns each pod (`pod_task`);
//! `pods` starts and feeds them. The runtime, images, the pod network and the disk stand behind traits (`seams`, and the
//! runtime's own), so that a simulation can play the host (`fake`).
//!
//! Invariants:
//! - containers outlive this process: dropping everything stops nothing, and the next process adopts what runs;
//! - no polling: a pod is looked at when its object, the runtime, a probe, a timer or an action gives a reason.
//!
//! Start with `pods`, `pod_task`, then `act` and `start`.

pub mod agent;
pub mod config;
pub mod identity;
pub mod machine;
pub mod node;
pub mod pods;
pub mod registration;
mod run;
pub mod seams;
pub mod upkeep;

pub mod node_object;

mod grants;
mod pod_task;

mod act;
mod observe;
mod report;
mod start;

pub mod disk;
mod error_text;
mod hooks;
pub mod host;
mod host_usage;
mod images;
mod lock;
pub mod logs;
pub mod objects;
pub mod prober;
mod recipe;
mod resolver;
mod signals;

pub mod server;

pub mod fake;
