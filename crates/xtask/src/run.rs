//! Other programs, and how they ended.

use std::process::{Command, Output};

pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    done(Command::new(env!("CARGO")).args(arguments))
}

pub(crate) fn done(command: &mut Command) -> Result<(), String> {
    let shown = format!("`{} …`", command.get_program().to_string_lossy());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown} ended with {status}")),
        Err(error) => Err(format!("{shown} cannot be run: {error}")),
    }
}

/// As `done`, and what it said.
pub(crate) fn output(command: &mut Command) -> Result<Output, String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{shown}: {e}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{shown} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}
