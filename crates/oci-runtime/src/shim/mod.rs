//! The shim: one small process a pod. It holds the pod's namespaces (there is no pause image), starts its containers, copies
//! their output to log files, reaps, remembers exit codes, and outlives the process that started it.
//!
//! Not here: any choice about what should run. It does what it is asked and tells what happened.
//!
//! Invariants: one thread, one wait (epoll); nothing blocks on another process; what it knows of a container is in the
//! container's journal too, so that nothing is lost but a running state when the shim itself is killed.
//!
//! `shim_main` → [`setup`] (double fork, namespaces) → [`events`] (the loop) → [`container`], [`session`] (what it does).

mod attach;
mod connection;
mod container;
mod events;
mod lines;
mod output;
mod session;
mod setup;

use std::path::Path;

/// The name (`argv[0]`) under which the binary is a shim.
pub const SHIM_NAME: &str = "coracle-shim";

/// To be called first thing in `main`, before any thread is started: does not return in a process that is to be a shim.
pub fn become_shim_if_asked() {
    let mut args = std::env::args_os();
    if args.next().is_some_and(|name| name == SHIM_NAME) {
        shim_main(args.map(|arg| arg.to_string_lossy().into_owned()).collect())
    }
}

/// Runs a shim. `args` is the directory of the sandbox; the listening socket is standard input.
pub fn shim_main(args: Vec<String>) -> ! {
    let outcome = match &args[..] {
        [directory] => setup::run(Path::new(directory)),
        _ => Err("usage: coracle-shim DIRECTORY (started by coracle, not by hand)".to_string()),
    };
    if let Err(message) = &outcome {
        complain(message);
    }
    crate::sys::exit_now(i32::from(outcome.is_err()))
}

/// To the sandbox's `shim.log`. The shim has no tracing: it may run for months, and says something only when it is in trouble.
fn complain(message: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{} {message}", lines::timestamp(crate::sys::now_ns()));
}
