//! `docs/DIFFERENCES.md`: how many answers differ from upstream's, and why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::known::Known;

const HEAD: &str = "# What differs from upstream

Written by `UPDATE_EXPECT=1 cargo test -p differential` and held current by it. The same requests were sent to a kube-apiserver v1.37.1
and to coracle; answers are compared whole, after identifiers, times and revisions are made alike. What is not there at all stands
at the end of `ARCHITECTURE.md`.
";

pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/DIFFERENCES.md")
}

/// Both lists name what differs; `validation` is that of the crate `strategies`.
pub fn shown(known: &Known, n_cases: usize, validation: &str) -> String {
    let mut whole: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in known.values() {
        *whole.entry(reason).or_default() += 1;
    }
    let mut faults: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reason = "";
    for line in validation.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(text) => reason = text,
            None => *faults.entry(reason).or_default() += 1,
        }
    }
    format!(
        "{HEAD}\n## Requests\n\n{} of {n_cases} answers differ (`crates/differential/facts/known.txt` names each).\n\n{}\n\
         ## Faulty objects\n\n{} answers of validation differ (`crates/strategies/golden/validation/differences.txt` names each;\n\
         `docs/KINDS.md` has how many were asked of each kind).\n\n{}",
        known.len(),
        table(&whole),
        faults.values().sum::<usize>(),
        table(&faults),
    )
}

fn table(reasons: &BTreeMap<&str, usize>) -> String {
    let mut rows: Vec<_> = reasons.iter().collect();
    rows.sort_by_key(|(reason, n)| (std::cmp::Reverse(**n), **reason));
    let rows: String = rows.iter().map(|(reason, n)| format!("| {n} | {reason} |\n")).collect();
    format!("| answers | why |\n|---|---|\n{rows}")
}
