//! The words every other crate speaks: object trees and their metadata, keys, `Status`, field paths, selectors, quantities, time.
//!
//! Not here: anything that knows a kind's fields (`kinds`), formats (`codec`), or I/O.
//! An object is a `serde_json::Value`; typed views (`k8s_openapi`) are made only where code thinks about one kind.
//! Start with `key` and `meta`, then `status`.

pub mod cidr;
pub mod duration;
pub mod field;
pub mod fresh;
pub mod key;
pub mod meta;
pub mod names;
pub mod plan;
pub mod quantity;
pub mod schedule;
pub mod selector;
pub mod status;
pub mod sysctl;
pub mod time;
pub mod zone;

pub use serde_json::{Map, Value};

/// A typed view of a tree, by way of its text: reading trees directly would be a second copy of each kind's code in the binary.
pub fn view<T: serde::de::DeserializeOwned>(tree: &Value) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&serde_json::to_vec(tree)?)
}

#[cfg(test)]
mod fuzz;
