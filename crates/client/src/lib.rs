//! Talking to an API server: typed and untyped calls, watches, kubeconfig, and the transport over TLS.
//!
//! A `Client` is a thin, cheap clone over one `Transport`. The server implements a transport in its own process (no sockets, no TLS);
//! `Remote` is the one over the network. Nothing above can tell which it has.
//!
//! Not here: caches and controllers (`reconcile`), anything that decides.
//!
//! Invariant: every wait has a deadline; only an open watch may be silent for longer.
//! Start with `transport`, then `client`, `api`, `watch`.

pub mod api;
pub mod client;
pub mod kubeconfig;
pub mod options;
pub mod remote;
pub mod transport;
pub mod watch;

pub use api::Api;
pub use client::Client;
pub use transport::{Body, Error, Transport};

#[cfg(test)]
mod fuzz;
