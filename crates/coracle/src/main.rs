//! `coracle`: one binary, many parts. Here flags become options and commands are chosen; nothing is decided.
//!
//! Start with `cli` (what can be typed), `options` (what it means), `server` (how the parts are put together).

mod addresses;
mod admin;
mod agent;
mod cli;
mod commands;
mod daemon;
mod failure;
#[cfg(test)]
mod fuzz;
mod host_check;
mod join;
mod kubeconfig;
mod listen;
mod node;
mod options;
mod own_objects;
mod registries;
mod run_in_container;
mod server;
mod signals;

use std::process::ExitCode;

/// A line of data on standard output. A reader that left, as `head` does, is nobody's failure.
macro_rules! say {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($what)*);
    }};
}
pub(crate) use say;

use clap::Parser;
use futures_util::FutureExt;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::options::ServerOptions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The same program is the shim of each pod; that must be known before threads, signals and everything else.
    oci_runtime::shim::become_shim_if_asked();
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Up(flags) => commands::up::run(flags),
        Command::Server(flags) => {
            log_to_stderr(&flags.log);
            ServerOptions::resolve(flags).and_then(|options| block_on(server::run(options))?)
        }
        Command::Agent(flags) => {
            log_to_stderr(&flags.log);
            block_on(agent::run(flags)).and_then(|result| result)
        }
        Command::Token(flags) => commands::token::run(flags),
        Command::Status(flags) => commands::status::run(flags),
        Command::Down(flags) => commands::down::down(flags),
        Command::Reset(flags) => commands::down::reset(flags),
        Command::Demo(flags) => commands::demo::run(flags),
        Command::Build(flags) => commands::build::run(flags),
        Command::Image(flags) => commands::image::run(flags),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Runs a future to its end on a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    // Boxed, for tokio would have three copies of each.
    Ok(runtime.map_err(|e| Failure::caused("cannot start threads", &e))?.block_on(future.boxed_local()))
}

fn log_to_stderr(level: &str) {
    let level = level.parse().unwrap_or(tracing::Level::INFO);
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false).init();
}
