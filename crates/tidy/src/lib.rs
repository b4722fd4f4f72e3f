//! House rules that a program can check, as tests over the source tree and the dependency graph.
//!
//! `LAYERS` is the one place that says which crate lies where; a new crate must be entered there.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// From the bottom up: a crate may use crates of its own layer and of those below it, and nothing above.
const LAYERS: &[(&str, &[&str])] = &[
    ("words", &["object", "kinds", "codec", "descriptions", "patching", "expressions", "x509"]),
    (
        "thought",
        &["admission", "authz", "strategies", "scheduling", "control-workloads", "control-cluster", "pod-plan", "net-plan", "show"],
    ),
    ("hands", &["pki", "store", "registry", "client", "reconcile", "oci-image", "oci-runtime", "net-link"]),
    ("surfaces", &["apiserver", "kubelet", "netd", "control-plane", "image-registry", "image-build", "simulation"]),
    ("binary", &["coracle"]),
    ("automation", &["differential", "fuzz", "xtask", "tidy", "bench"]),
];

/// Pure crates: no I/O, no async, so none of these may be reached from words or thought.
const IMPURE: &[&str] = &["tokio", "hyper", "rustix", "libc", "futures-util"];

/// `unsafe` is allowed only here.
const UNSAFE: &[&str] = &["oci-runtime", "net-link"];

/// Longer files, which may only shrink.
const LONG_FILES: &[(&str, usize)] = &[];
const LINES_MAX: usize = 800;

const CATCH_ALL: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "base", "manager"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/tidy lies two below the root").to_owned()
}

fn layer_of(name: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, crates)| crates.contains(&name))
}

/// Direct dependencies, without those for tests.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs: it started this test");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|p| (text(&p["name"]), list(&p["dependencies"]).iter().filter(|d| d["kind"] != "dev").map(|d| text(&d["name"])).collect()))
        .collect()
}

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("crates"), &mut found);
    found
        .into_iter()
        .map(|p| {
            let text = fs::read_to_string(&p).expect("a source file is text");
            (p.strip_prefix(root()).expect("under the root").to_owned(), text)
        })
        .collect()
}

#[test]
fn imports_point_down_only() {
    let mut faults = Vec::new();
    for (name, dependencies) in dependencies() {
        let Some(layer) = layer_of(&name) else {
            faults.push(format!("{name}: in no layer; enter it in LAYERS"));
            continue;
        };
        for dependency in dependencies {
            if layer_of(&dependency).is_some_and(|below| below > layer) {
                faults.push(format!("{name} ({}) uses {dependency}, which lies above it", LAYERS[layer].0));
            }
            if layer < 2 && IMPURE.contains(&dependency.as_str()) {
                faults.push(format!("{name} ({}) uses {dependency}: pure crates do no I/O", LAYERS[layer].0));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_are_one_idea_and_say_which() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let shown = path.display().to_string();
        let lines = text.lines().count();
        let allowed = LONG_FILES.iter().find(|(file, _)| *file == shown).map_or(LINES_MAX, |(_, max)| *max);
        if lines > allowed {
            faults.push(format!("{shown}: {lines} lines, at most {allowed}"));
        }
        let is_test = path.components().any(|c| c.as_os_str() == "tests") || path.file_name().is_some_and(|n| n == "tests.rs");
        if !is_test && !text.starts_with("//!") {
            faults.push(format!("{shown}: does not open with `//!`"));
        }
        if path.file_stem().and_then(|s| s.to_str()).is_some_and(|stem| CATCH_ALL.contains(&stem)) {
            faults.push(format!("{shown}: a catch-all name"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn forbidden_words_stay_out() {
    // Split, so that this file does not find itself.
    let words = [
        concat!("to", "do!("),
        concat!("un", "implemented!("),
        concat!("db", "g!("),
        concat!("#[ig", "nore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ];
    let mut faults = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|w| line.contains(**w)) {
                faults.push(format!("{}:{}: `{word}`", path.display(), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn unsafe_code_stays_in_its_two_crates() {
    let allow = concat!("allow(unsafe", "_code)");
    for (path, text) in sources() {
        let owner = path.components().nth(1).map(|c| c.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
        assert!(UNSAFE.contains(&owner.as_str()) || !text.contains(allow), "{}: unsafe outside {UNSAFE:?}", path.display());
    }
}

#[test]
fn only_the_clock_reads_the_time() {
    let readers = [concat!("SystemTime", "::now"), concat!("Timestamp", "::now")];
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let is_test = path.components().any(|c| c.as_os_str() == "tests") || path.file_name().is_some_and(|n| n == "tests.rs");
        // The shim stamps log lines and has no clock handed to it: it outlives whoever could.
        if is_test || path.ends_with("object/src/time.rs") || path.ends_with("oci-runtime/src/sys.rs") {
            continue;
        }
        // What follows a test module's marker is test code too.
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for reader in readers.iter().filter(|r| code.contains(**r)) {
            faults.push(format!("{}: `{reader}`", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
