//! What a node does with one pod: given the pod and how things stand on the host, which steps come next, and what its status says.
//!
//! Pure: no I/O, no clock, no runtime. The kubelet's pod task observes into a `View`, calls `plan`, notes in `Memory` what it has
//! begun, carries the effects out, notes how they went, and plans again; `status` turns the same view into a `PodStatus`.
//!
//! ```text
//!            mount volumes ┐
//!  observed ──────────────►├─► init containers in order ─► containers (probes, restarts with back-off)
//!            make sandbox  ┘                                   │ deleted, finished, evicted, past its deadline
//!                                                              ▼
//!            preStop ─► stop containers, sidecars last ─► stop sandbox ─► unmount ─► remove ─► delete from the API
//! ```
//!
//! Invariant: level-triggered. Nothing here is told what happened, only how things stand; after a restart of the node agent
//! the same code adopts what it finds, since all that `Memory` holds beyond the runtime's own records is back-off and probe history.
//! Start with `plan`, then `status`.

pub mod plan;
pub mod status;

pub mod effect;
pub mod memory;
pub mod pod;
pub mod view;

mod end;
mod init;
mod progress;
pub mod resize;
mod wind_down;

mod backoff;
pub mod probe;
mod probing;
pub mod restart;

pub mod admission;
pub mod allocation;
pub mod environment;
pub mod eviction;
pub mod expand;
pub mod field_value;
pub mod host_name;
pub mod image_name;
pub mod references;
pub mod resources;
pub mod security;
pub mod sysctl;
pub mod trust;
pub mod volume_files;

mod condition;
pub mod container_status;
mod phase;

#[cfg(test)]
mod tests;
