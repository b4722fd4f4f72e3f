//! Building coracle for those chores that run it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Times beside upstream's mean something only of a release; the others take what tests have built already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    /// What an emulator needs to be done in minutes.
    Optimised,
    Release,
}

impl Profile {
    /// The profile's name, and the folder that its results are in.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Profile::Debug => ("dev", "debug"),
            Profile::Optimised => ("optimised", "optimised"),
            Profile::Release => ("release", "release"),
        }
    }
}

/// Builds it and answers where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf, String> {
    println!("building coracle …");
    let (name, folder) = profile.names();
    match Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "coracle", "--profile", name]).status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("`cargo build` ended with {status}")),
        Err(error) => return Err(format!("cargo cannot be run: {error}")),
    }
    // Builds name their target, so the folder between is the host's triple.
    let path = Path::new("target").join(format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).join(folder).join("coracle");
    path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))
}
