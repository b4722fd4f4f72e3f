//! The built-in admission plugins: what a cluster fills into objects, and what it refuses whatever the caller may.
//!
//! Pure: a plugin sees the request, the objects and a read-only `View` of others. Not here: webhooks, CEL policies, quota, which come
//! after these in the chain, and authorization, which came before. Every plugin is a row of `chain::PLUGINS`, in upstream's order.
//! Start with `mutate` and `validate`.

mod chain;
mod plugins;
pub mod pod_security;
mod request;

pub use chain::{mutate, plugin_names, validate};
pub use request::{Operation, Request, Scene, View};

#[cfg(test)]
mod tests;
