//! Every file in `tests/scripts`: `$ command` lines, each followed by its input (indented by four) and by what it prints.
//!
//! `UPDATE_EXPECT=1` writes what is printed into the files.

use std::fs;
use std::path::{Path, PathBuf};

use simulation::Simulation;

use crate::command;

pub(crate) fn scripts() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut files: Vec<_> = fs::read_dir(&dir).expect("the scripts").map(|entry| entry.expect("a script").path()).collect();
    files.sort();
    files
}

#[test]
fn scripts_print_what_they_say() {
    let mut faults = Vec::new();
    for file in scripts() {
        let wanted = fs::read_to_string(&file).expect("a script is text");
        let found = Simulation::run(async || play(&wanted, Simulation::start).await);
        if found == wanted {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&file, found).expect("writes a script");
        } else {
            faults.push(format!("{} prints now:\n{found}", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The script with what its commands print now, in a cluster that begins with so many nodes.
pub(crate) async fn play(script: &str, begin: impl AsyncFn(u8) -> Simulation) -> String {
    let mut simulation: Option<Simulation> = None;
    let mut lines = script.lines().peekable();
    let mut found = String::new();
    while let Some(line) = lines.next() {
        found += &format!("{line}\n");
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let mut input = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
            found += &format!("{line}\n");
            input += &format!("{}\n", &line[4..]);
        }
        // What it printed before.
        while lines.next_if(|line| !line.is_empty() && !line.starts_with("$ ") && !line.starts_with('#')).is_some() {}
        if let Some(n_nodes) = command.strip_prefix("nodes ") {
            let n_nodes = n_nodes.parse().expect("how many nodes");
            simulation = Some(begin(n_nodes).await);
            continue;
        }
        let simulation = simulation.as_mut().expect("a script begins with `$ nodes N`");
        found += &command::run(simulation, command, &input).await;
    }
    found
}
