//! `cargo xtask fuzz`: the fuzz targets of all crates, for longer than their run as tests.

use std::process::Command;

use crate::run::done;

pub(crate) fn run(seconds: &str, target: &[&str]) -> Result<(), String> {
    seconds.parse::<u64>().map_err(|e| format!("`{seconds}` seconds: {e}"))?;
    let names = format!("fuzz::{}", target.first().unwrap_or(&""));
    // Unoptimised: an overflow is a fault too.
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast", "--", "--nocapture", &names]);
    done(command.env("FUZZ_SECONDS", seconds))
}
