//! `coracle build`: a Dockerfile and a folder in, an image in the store out.
//!
//! `dockerfile` turns the text into steps and refuses what is not supported, by name and line, before anything runs. `build`
//! carries the steps out: each that changes files makes one layer. Files come from `context` (which knows `.dockerignore`) or from
//! another stage; `layer` writes them as a tar. RUN is handed to whoever calls (`Runner`), so no runtime is known here.
//!
//! Supported: FROM scratch or an image, COPY, ADD of local files, RUN, ENV, ARG, WORKDIR, USER, EXPOSE, LABEL, CMD, ENTRYPOINT,
//! VOLUME, STOPSIGNAL, SHELL, several stages. Specification: the Dockerfile reference.

mod build;
mod context;
mod dockerfile;
mod expand;
mod glob;
mod layer;
mod view;

pub use build::{Build, Built, RunRequest, Runner, build};

use std::path::PathBuf;

#[derive(Debug)]
pub enum Error {
    /// The Dockerfile's line, and what is wrong with it.
    Dockerfile {
        line: usize,
        why: String,
    },
    File(&'static str, PathBuf, std::io::Error),
    Image(oci_image::Error),
    /// A RUN that did not end well: its line, its words, its exit code.
    Run {
        line: usize,
        command: String,
        code: i32,
    },
    /// The runtime could not start a RUN.
    Runtime {
        line: usize,
        why: String,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Dockerfile { line: 0, why } => write!(f, "Dockerfile: {why}"),
            Error::Dockerfile { line, why } => write!(f, "Dockerfile:{line}: {why}"),
            Error::File(what, path, cause) => write!(f, "cannot {what} `{}`: {cause}", path.display()),
            Error::Image(cause) => cause.fmt(f),
            Error::Run { line, command, code } => write!(f, "Dockerfile:{line}: `{command}` ended with exit code {code}"),
            Error::Runtime { line, why } => write!(f, "Dockerfile:{line}: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<oci_image::Error> for Error {
    fn from(error: oci_image::Error) -> Self {
        Error::Image(error)
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
