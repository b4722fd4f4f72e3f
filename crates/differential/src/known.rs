//! The differences that are known, with their reasons: `facts/known.txt`, a line each (case, tab, reason), which may only
//! shrink.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Reasons by case (`story:request`).
pub type Known = BTreeMap<String, String>;

pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("facts/known.txt")
}

pub fn read() -> Known {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t')).map(|(case, reason)| (case.to_owned(), reason.to_owned())).collect()
}

pub fn write(known: &Known) -> std::io::Result<()> {
    let lines: String = known.iter().map(|(case, reason)| format!("{case}\t{reason}\n")).collect();
    std::fs::write(
        file(),
        format!("# Answers that are not upstream's yet: the case, and why. No line may be added for what worked before.\n{lines}"),
    )
}
