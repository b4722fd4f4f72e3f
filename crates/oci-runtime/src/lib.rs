//! The embedded container runtime: pods as real processes in real namespaces, one small shim per pod.
//!
//! What it is: [`runtime::Runtime`], the words of the CRI as a trait, and its implementation over shims.
//! What it is not: it pulls no images, makes no network links, resolves no volumes and decides nothing; the kubelet does.
//!
//! Start reading at [`spec`] (what a caller asks for), then [`runtime`] (what it can ask).
#![allow(unsafe_code)]

mod capability;
mod cgroup;
mod launch;
mod protocol;
mod seccomp;
pub mod shim;
mod sys;
pub mod users;

pub mod embedded;
pub mod probe;
pub mod runtime;
pub mod spec;
pub mod status;
