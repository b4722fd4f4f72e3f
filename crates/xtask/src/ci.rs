//! What continuous integration runs, and everybody else: fetch what tests need, check the form, run all tests.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::binary::Profile;
use crate::run::{cargo, done};

/// A program that tests need, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[("busybox", "busybox-static"), ("ip", "iproute2"), ("unshare", "util-linux"), ("python3", "python3")];

pub(crate) fn run() -> Result<(), String> {
    step("programs that tests use", install)?;
    step("real clients", crate::clients::fetch)?;
    step("formatting", || cargo(&["fmt", "--all", "--check"]))?;
    step("tests", test)?;
    step("large simulations", || {
        cargo(&["test", "--profile", "optimised", "-p", "simulation", "--test", "it", "crowd", "--", "--nocapture"])
    })?;
    step("the guest", || crate::guest::run(Profile::Optimised))?;
    step("conformance, the fast lane", || crate::conformance::run(&["--fast"]))
}

fn step(name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    println!("== {name}");
    let began = Instant::now();
    work().map_err(|why| format!("{name}: {why}"))?;
    println!("== {name}: {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Only as root on Debian; elsewhere the tests that miss a program say that they were skipped.
fn install() -> Result<(), String> {
    let is_missing = |program: &str| {
        !["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"].iter().any(|dir| Path::new(dir).join(program).exists())
    };
    let packages: Vec<&str> = PROGRAMS.iter().filter(|(program, _)| is_missing(program)).map(|(_, package)| *package).collect();
    if packages.is_empty() || !Path::new("/usr/bin/apt-get").exists() {
        return Ok(());
    }
    done(Command::new("apt-get").args(["update", "-q"]))?;
    done(Command::new("apt-get").args(["install", "-q", "-y", "--no-install-recommends"]).args(packages))
}

/// With upstream's vectors where Go has fetched them as part of its client.
fn test() -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--workspace", "--all-targets"]);
    if let Some(vectors) = crate::clients::api_vectors() {
        command.env("CORACLE_API_TESTDATA", vectors);
    }
    done(&mut command)
}
