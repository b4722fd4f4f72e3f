//! `cargo xtask bench`: the release build measured against upstream's figures.

use std::path::Path;
use std::process::Command;

/// `measures` are names the bench program knows; none means all.
pub(crate) fn run(measures: &[&str]) -> Result<(), String> {
    crate::clients::fetch_kubectl()?;
    crate::run::cargo(&["build", "--release", "--package", "coracle", "--package", "bench"])?;
    // Beside this program's own folder: both are built for the target that the configuration names.
    let own = std::env::current_exe().map_err(|e| format!("where this program lies: {e}"))?;
    let release = own.ancestors().nth(2).unwrap_or(Path::new(".")).join("release");
    let mut command = Command::new(release.join("bench"));
    command.arg(release.join("coracle")).args(measures);
    crate::run::done(&mut command)
}
