//! A whole cluster in one process and one thread: the real API server over a memory store, the real control plane, and played nodes.
//!
//! A played node is the real node agent over a host that is only acted (`kubelet::fake`). Time is tokio's paused clock, and every
//! clock in the cluster follows it: hours pass in as long as it takes to do what happens in them.
//!
//! Not here: anything that decides. What a simulated cluster does wrong, a real one does wrong.
//!
//! Invariant: nodes and control plane meet only through the API server, each over a `wire` of its own, so that a node can be cut off.
//! Start with `simulation`.

mod crowd;
mod node;
mod simulation;
mod wire;

pub use simulation::Simulation;
