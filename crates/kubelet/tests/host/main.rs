//! The node agent on a real kernel: the API server over a memory store, real processes, volumes, probes and streams.
//!
//! Needs root and a static busybox (Debian: busybox-static); says so and passes where they are missing. Arguments: parts of
//! test names to run; `bench` measures starts, `serve` keeps a cluster to be looked at.

mod bench;
mod client;
mod cluster;
mod life;
mod serve;
mod streams;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    oci_runtime::shim::become_shim_if_asked();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = cluster::reason_to_skip() {
        println!("skipped: the node agent's tests on a real kernel need {reason}");
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "bench") {
        bench::run();
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "serve") {
        serve::run();
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |test: &&Test| wanted.is_empty() || wanted.iter().any(|part| test.0.contains(part.as_str()));
    let tests = [life::TESTS, streams::TESTS].concat();
    let mut n_failed = 0;
    for (name, test) in tests.iter().filter(is_wanted) {
        let outcome = catch_unwind(AssertUnwindSafe(test));
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        n_failed += u32::from(outcome.is_err());
    }
    if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
