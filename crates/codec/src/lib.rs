//! The formats of the API: JSON, YAML, protobuf, the stored form, and the OpenAPI documents that describe them.
//!
//! Everything walks the field facts of `kinds`; no kind has code of its own here.
//! Not here: defaults and validation (`strategies`), patches (`patching`), HTTP.
//! Invariant: no input makes a decoder panic; each has a depth and a size limit.
//!
//! A typed body goes `json::parse` (or `yaml::parse`, `protobuf::decode`), `strict::check`, `normalise`; from there on it is what
//! Go would have read, so the writers of two formats never fight over `hostNetwork: false`. `shed` makes of it what Go would write.

pub mod json;
pub mod json_fault;
pub mod strict;

mod json_text;
mod normalise;
mod reflected;
mod scalar;
mod shed;

pub mod openapi;

pub mod protobuf;
pub mod stored;
pub mod yaml;

pub use normalise::{normalise, normalise_json, zero};
pub use reflected::convert;
pub use shed::{Written, has_empties, shed};

#[cfg(test)]
mod tests;
