//! Compiles the example chat, so that `coracle demo` can build its image on a host with nothing else installed.

use std::path::Path;
use std::process::Command;

fn main() {
    // No position-independent executable: it would relocate itself at every start, and those pages become private memory of each
    // pod's shim, which is this same program.
    println!("cargo::rustc-link-arg-bins=-no-pie");
    println!("cargo::rustc-link-arg-bins=-static");
    compile_chat();
}

fn compile_chat() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/chat/chat.rs");
    println!("cargo::rerun-if-changed={}", source.display());
    let variable = |name: &str| std::env::var(name).expect("cargo sets it for build scripts");
    let output = Path::new(&variable("OUT_DIR")).join("chat");
    let status = Command::new(variable("RUSTC"))
        .args(["--edition=2024", "--crate-name=chat", "-Copt-level=z", "-Cpanic=abort", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"])
        .arg(format!("--target={}", variable("TARGET")))
        .arg("-o")
        .arg(&output)
        .arg(&source)
        .status()
        .expect("rustc is there: it compiled this");
    assert!(status.success(), "examples/chat/chat.rs does not compile");
}
