//! YAML in and out, as kubectl reads and writes it (YAML 1.1: `yes` is true, `0777` is octal, `<<` merges).
//!
//! Upstream turns YAML into JSON first (`sigs.k8s.io/yaml`), so numbers, keys and duplicates follow that road here too.

mod fault;
mod plain;
mod read;
mod write;

pub use read::{Error, documents, duplicates, parse};
pub use write::write;

#[cfg(test)]
mod tests;
