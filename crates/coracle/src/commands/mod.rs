//! One file a command, or a few that belong together. Each takes resolved options and answers with a `Failure` or nothing.

pub(crate) mod build;
pub(crate) mod demo;
pub(crate) mod down;
pub(crate) mod image;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod up;
