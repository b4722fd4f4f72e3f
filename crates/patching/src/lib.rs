//! The four ways to change an object: JSON patch, merge patch, strategic merge patch and server-side apply.
//!
//! Trees in, trees out: decoding bodies, defaults and validation happen elsewhere. All answers, texts and codes are upstream's.
//! Not here: retries on a moved revision (`registry`), which fields a subresource may touch (`strategies`).
//! Start with `json_patch`, `merge_patch` and `strategic_merge`; `apply` is the server-side one.

pub mod apply;
mod error;
pub mod go_text;
mod json_patch;
mod merge_patch;
mod strategic;

pub use apply::{ApplyError, Converted, OneVersion, Versions, Writer, apply, parent_managers, scale_managers, track};
pub use error::Error;
pub use json_patch::{check_json_patch, json_patch};
pub use merge_patch::{check_merge_patch, merge_patch};
pub use strategic::strategic_merge;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
