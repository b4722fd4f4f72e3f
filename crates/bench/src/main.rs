//! `bench CORACLE [MEASURE...]`: measures a coracle binary against upstream's figures and prints the table.
//!
//! It runs whole clusters in network and mount namespaces of its own, looks at them from outside (real kubectl, HTTP, /proc), and
//! takes them down again. Upstream's figures are constants from one earlier run on the same kind of machine, so only ratios that
//! are far from one mean much; `CPU per request` moves least when the machine is busy.
//!
//! Not here: a run that fails because a bar was missed, for a busy machine misses some. Start with `MEASURES`, then `lab`.

mod collections;
mod controllers;
mod lab;
mod life;
mod load;
mod node;
mod scheduler;
mod services;
mod table;
mod watchers;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lab::Lab;
use table::Row;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Measure = fn(&Lab) -> Result<Vec<Row>>;

/// Each gets a cluster of its own, or none yet.
const MEASURES: &[(&str, Measure)] = &[
    ("binary", life::binary),
    ("up", life::up),
    ("idle", life::idle),
    ("apply", node::apply_to_answer),
    ("pods", node::pod_starts),
    ("restart", node::container_restart),
    ("replace", node::pod_replacement),
    ("exec", node::exec),
    ("requests", load::requests),
    ("collections", collections::all),
    ("watchers", watchers::all),
    ("scheduler", scheduler::alone),
    ("bind", scheduler::bind),
    ("replicas", controllers::replicas),
    ("namespace", controllers::namespace),
    ("endpoint", services::endpoint_change),
];

/// Set in the process that is inside the namespaces already.
const INSIDE: &str = "CORACLE_BENCH_INSIDE";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((coracle, names)) = arguments.split_first().filter(|(first, _)| Path::new(first).is_file()) else {
        let all: Vec<&str> = MEASURES.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: bench CORACLE [MEASURE...]\n  CORACLE   path of the binary to measure\n  MEASURE   any of: {}", all.join(" "));
        return ExitCode::from(2);
    };
    if let Some(unknown) = names.iter().find(|name| MEASURES.iter().all(|(known, _)| known != name)) {
        eprintln!("error: there is no measure `{unknown}`");
        return ExitCode::from(2);
    }
    let outcome = if std::env::var_os(INSIDE).is_some() { measure(coracle.into(), names) } else { enter(&arguments) };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again in namespaces of its own.
fn enter(arguments: &[String]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err("clusters need root".into());
    }
    let status = Command::new("unshare")
        .args(["-n", "-m", "--propagation", "private"])
        .arg(std::env::current_exe()?)
        .args(arguments)
        .env(INSIDE, "1")
        .status()?;
    if status.success() { Ok(()) } else { Err("the measurement did not end well".into()) }
}

fn measure(coracle: PathBuf, names: &[String]) -> Result<()> {
    let lab = Lab::new(coracle)?;
    let mut rows = Vec::new();
    for (name, measure) in MEASURES.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|n| n == name)) {
        eprintln!("{name} ...");
        // One measure that fails must not take the others' figures with it.
        let measured = measure(&lab).unwrap_or_else(|error| vec![Row::failed(name, &error.to_string())]);
        eprint!("{}", table::render(&measured));
        rows.extend(measured);
        lab.clear()?;
    }
    println!("{}", table::render(&rows));
    let n_missed = rows.iter().filter(|row| row.is_missed()).count();
    println!("{n_missed} of {} rows miss their bar.", rows.len());
    Ok(())
}
