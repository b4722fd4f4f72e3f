//! Gathers what upstream says of its types and fields out of the sources of the `k8s-openapi` crate, and packs it.
//!
//! The crate carries the sentences in its JSON schemas, as string literals, also when that feature is off. Nothing of them
//! stands in this repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde_json::Value;

/// What the sources are of; the workspace's dependency names the same.
const CRATE: &str = "k8s-openapi-0.29.";
const VERSION: &str = "v1_37";

/// Type, then field (empty: the type itself), then the sentence.
type Texts = BTreeMap<String, BTreeMap<String, String>>;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_HOME");
    let mut texts = Texts::new();
    match sources() {
        Some(sources) => gather(&sources, &mut texts).expect("the sources of k8s-openapi are readable"),
        None => println!("cargo::warning=no sources of {CRATE}* in cargo's home: `kubectl explain` will show no descriptions"),
    }
    let plain = serde_json::to_vec(&texts).expect("texts are JSON");
    let packed = miniz_oxide::deflate::compress_to_vec(&plain, 9);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("texts.deflate"), packed).expect("cargo's folder for outputs is writable");
}

/// Cargo unpacks every registry's crates under its home.
fn sources() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?;
    let registries = fs::read_dir(home.join("registry/src")).ok()?.flatten();
    let crates = registries.flat_map(|registry| fs::read_dir(registry.path()).into_iter().flatten().flatten());
    let mut found: Vec<PathBuf> = crates.filter(|c| c.file_name().to_string_lossy().starts_with(CRATE)).map(|c| c.path()).collect();
    found.sort();
    found.pop().map(|path| path.join("src").join(VERSION))
}

fn gather(folder: &Path, texts: &mut Texts) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, texts)?;
        } else {
            read(&fs::read_to_string(&path)?, texts);
        }
    }
    Ok(())
}

/// A source file names its type in `schema_name`, and then, line by line, the properties of its schema and what they are for.
fn read(source: &str, texts: &mut Texts) {
    let mut lines = source.lines().map(str::trim);
    let Some(ty) = lines.find_map(|line| line.strip_prefix("\"io.k8s.")?.strip_suffix("\".into()")) else { return };
    let of_type = texts.entry(format!("io.k8s.{ty}")).or_default();
    let mut field = String::new();
    for line in lines {
        let text = line
            .strip_prefix("\"description\": ")
            .and_then(|rest| rest.strip_suffix(','))
            .or_else(|| line.strip_prefix("schema_obj.ensure_object().insert(\"description\".into(), ")?.strip_suffix(".into());"));
        if let Some(text) = text.and_then(literal) {
            of_type.entry(field.clone()).or_insert(text);
        } else if let Some(name) = line.strip_suffix("\": {").or_else(|| line.strip_suffix("\": ({")) {
            field = name.trim_start_matches('"').to_owned();
        }
    }
}

/// A Rust string literal, whose escapes are JSON's but for two.
fn literal(source: &str) -> Option<String> {
    match serde_json::from_str(&source.replace("\\'", "'")).ok()? {
        Value::String(text) => Some(text),
        _ => None,
    }
}
