//! The kernel's network through netlink: links, addresses, routes, neighbours, nftables, and a pod's place among them.
//!
//! Start with `pod` (what the kubelet calls), then `route` (rtnetlink) and `nft` (nftables batches); both speak through `netlink`.
//! Not here: which rules a Service needs (`net-plan`) and when they change (`netd`).
//!
//! All calls are synchronous and short (well under a millisecond, but for making or removing a link): run them on a blocking thread.
//! Invariant: no thread of the caller ever changes its network namespace; sockets into others are made on a thread of their own.
//! Invariant: only links, routes and sysctls that this crate made or set are changed or removed.
#![allow(unsafe_code)]

pub mod conntrack;
pub mod events;
pub mod forwarding;
pub mod namespace;
pub mod netlink;
pub mod nft;
pub mod pod;
pub mod route;
pub mod scratch;
