//! What a run said, what is claimed, and the files that keep both.
//!
//! `specs.tsv` is a fact about the suite; `reading.tsv` holds the last outcome of each spec, `passing.txt` the claim;
//! `docs/CONFORMANCE.md` is generated from the three.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

pub(crate) struct Spec {
    pub(crate) upstream_seconds: Option<f64>,
    pub(crate) images: Vec<String>,
    pub(crate) name: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) spec: String,
    pub(crate) passed: bool,
    pub(crate) seconds: f64,
    pub(crate) message: String,
}

/// Why specs do not pass, by words in their names: parts that are not built.
const CAUSES: &[(&str, &str)] = &[
    ("CustomResource", "custom resources are not built"),
    ("CRD", "custom resources are not built"),
    ("AdmissionWebhook", "admission webhooks are not built"),
    ("AdmissionPolicy", "admission policies are not built"),
    ("ResourceQuota", "quota is not counted"),
    ("Aggregator", "API aggregation is not built"),
    ("two untainted nodes", "the judged cluster has one node"),
];

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

pub(crate) fn specs(folder: &Path) -> Result<Vec<Spec>, String> {
    let text = read(&folder.join("specs.tsv"))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| spec(line).ok_or_else(|| format!("specs.tsv: `{line}`"))).collect()
}

fn spec(line: &str) -> Option<Spec> {
    let mut columns = line.split('\t');
    let (seconds, images, name) = (columns.next()?, columns.next()?, columns.next()?);
    let images = images.split(',').map(str::trim).filter(|i| *i != "-").map(str::to_owned).collect();
    Some(Spec { upstream_seconds: seconds.parse().ok(), images, name: name.to_owned() })
}

pub(crate) fn passing(folder: &Path) -> Result<BTreeSet<String>, String> {
    Ok(read(&folder.join("passing.txt"))?.lines().map(str::to_owned).collect())
}

/// The specs that ran, from ginkgo's report.
pub(crate) fn outcomes(report: &Path) -> Result<Vec<Outcome>, String> {
    let report: Value = serde_json::from_str(&read(report)?).map_err(|e| format!("{}: {e}", report.display()))?;
    let all = report.as_array().into_iter().flatten().flat_map(|suite| suite["SpecReports"].as_array().into_iter().flatten());
    Ok(all.filter_map(outcome).collect())
}

/// `None` for what is no spec or did not run; a spec that was cut off at the end of the run says nothing either.
fn outcome(report: &Value) -> Option<Outcome> {
    let state = report["State"].as_str()?;
    if report["LeafNodeType"] != "It" || matches!(state, "skipped" | "pending" | "interrupted" | "timedout" | "aborted") {
        return None;
    }
    let above = report["ContainerHierarchyTexts"].as_array().into_iter().flatten();
    let words: Vec<&str> = above.chain([&report["LeafNodeText"]]).filter_map(Value::as_str).collect();
    let message = plain(report["Failure"]["Message"].as_str().unwrap_or(""));
    let seconds = report["RunTime"].as_f64().unwrap_or(0.0) / 1e9;
    Some(Outcome { spec: words.join(" "), passed: state == "passed", seconds, message })
}

/// On one line, without paths and addresses of the machine that judged.
fn plain(message: &str) -> String {
    let is_local = |word: &str| word.starts_with('/') || word.contains("=/") || word.contains("://");
    let words = message.split_whitespace().map(|word| if is_local(word) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Notes a run: outcomes replace those of before, new passes are claimed, nothing is taken from the claim.
pub(crate) fn record(folder: &Path, document: &Path, specs: &[Spec], outcomes: &[Outcome]) -> Result<(), String> {
    let path = folder.join("reading.tsv");
    let mut all: BTreeMap<String, Outcome> = read(&path).unwrap_or_default().lines().filter_map(recorded).collect();
    all.extend(outcomes.iter().map(|o| (o.spec.clone(), o.clone())));
    let line = |o: &Outcome| {
        let message: String = o.message.chars().take(160).collect();
        format!("{}\t{:.1}\t{}\t{message}\n", if o.passed { "passed" } else { "failed" }, o.seconds, o.spec)
    };
    write(&path, &all.values().map(line).collect::<String>())?;
    let mut claimed = passing(folder).unwrap_or_default();
    claimed.extend(outcomes.iter().filter(|o| o.passed).map(|o| o.spec.clone()));
    write(&folder.join("passing.txt"), &claimed.iter().map(|spec| format!("{spec}\n")).collect::<String>())?;
    write(document, &shown(specs, &all))
}

fn recorded(line: &str) -> Option<(String, Outcome)> {
    let mut columns = line.splitn(4, '\t');
    let (state, seconds, spec, message) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
    let outcome = Outcome { spec: spec.to_owned(), passed: state == "passed", seconds: seconds.parse().ok()?, message: message.to_owned() };
    Some((spec.to_owned(), outcome))
}

/// `sig-node` of `[sig-node] …`.
fn sig(name: &str) -> &str {
    name.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("other", |(sig, _)| sig)
}

fn shown(specs: &[Spec], outcomes: &BTreeMap<String, Outcome>) -> String {
    let mut text = String::from(
        "# Conformance\n\nGenerated by `cargo xtask conformance --record`: the last outcome of each conformance spec of Kubernetes v1.37.1.\n\
         A spec that never ran to its end here counts as not read. `tests/conformance/passing.txt` is what CI and reviewers hold us to.\n\
         Upstream's seconds were measured with the same suite on a machine with two cores.\n\n",
    );
    text.push_str("| | passed | failed | not read | all | median time beside upstream |\n|---|---|---|---|---|---|\n");
    let sigs: BTreeSet<&str> = specs.iter().map(|spec| sig(&spec.name)).collect();
    for name in sigs {
        text.push_str(&row(name, specs.iter().filter(|spec| sig(&spec.name) == name), outcomes));
    }
    text.push_str(&row("**all**", specs.iter(), outcomes));
    text.push_str("\n## Why specs do not pass\n\n| specs | cause |\n|---|---|\n");
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for spec in specs.iter().filter(|spec| !outcomes.get(&spec.name).is_some_and(|o| o.passed)) {
        *causes.entry(cause(spec, outcomes.get(&spec.name))).or_default() += 1;
    }
    let mut causes: Vec<(String, usize)> = causes.into_iter().collect();
    causes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    for (cause, n) in causes {
        let _ = writeln!(text, "| {n} | {cause} |");
    }
    text.push_str("\n## Every spec\n\n| spec | outcome | s | upstream's s | what is missing |\n|---|---|---|---|---|\n");
    for spec in specs {
        let outcome = outcomes.get(&spec.name);
        let state = outcome.map_or("not read", |o| if o.passed { "pass" } else { "fail" });
        let seconds = outcome.map_or(String::new(), |o| format!("{:.1}", o.seconds));
        let upstream = spec.upstream_seconds.map_or(String::new(), |s| format!("{s:.1}"));
        let missing = if state == "pass" { String::new() } else { cause(spec, outcome) };
        let _ = writeln!(text, "| {} | {state} | {seconds} | {upstream} | {missing} |", cell(spec.name.trim_end_matches(" [Conformance]")));
    }
    text
}

fn row<'a>(title: &str, specs: impl Iterator<Item = &'a Spec>, outcomes: &BTreeMap<String, Outcome>) -> String {
    let (mut n_passed, mut n_failed, mut n_all, mut ratios) = (0, 0, 0, Vec::new());
    for spec in specs {
        n_all += 1;
        match outcomes.get(&spec.name) {
            Some(outcome) if outcome.passed => {
                n_passed += 1;
                // Below a tenth of a second the clock says more about the machine than about the cluster.
                ratios.extend(spec.upstream_seconds.filter(|s| *s >= 0.1).map(|s| outcome.seconds / s));
            }
            Some(_) => n_failed += 1,
            None => {}
        }
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).map_or(String::new(), |ratio| format!("{ratio:.2}"));
    format!("| {title} | {n_passed} | {n_failed} | {} | {n_all} | {median} |\n", n_all - n_passed - n_failed)
}

fn cause(spec: &Spec, outcome: Option<&Outcome>) -> String {
    if let Some((_, cause)) = CAUSES.iter().find(|(words, _)| spec.name.contains(words)) {
        return (*cause).to_owned();
    }
    match outcome {
        None => "not read yet".to_owned(),
        Some(outcome) => cell(&outcome.message.chars().take(100).collect::<String>()),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(report: &str, expected: Option<(&str, bool)>) {
        let report: Value = serde_json::from_str(report).expect("JSON");
        let found = outcome(&report);
        assert_eq!(found.as_ref().map(|o| (o.spec.as_str(), o.passed)), expected);
    }

    #[test]
    fn only_specs_that_ended_count() {
        let spec = |state: &str| {
            format!(
                r#"{{"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-a] A"], "LeafNodeText": "b", "State": "{state}", "RunTime": 1}}"#
            )
        };
        check(&spec("passed"), Some(("[sig-a] A b", true)));
        check(&spec("failed"), Some(("[sig-a] A b", false)));
        check(&spec("skipped"), None);
        check(&spec("interrupted"), None);
        check(r#"{"LeafNodeType": "SynchronizedBeforeSuite", "State": "passed"}"#, None);
    }

    #[test]
    fn messages_name_no_place_of_the_judge() {
        assert_eq!(plain("error running /a/kubectl --kubeconfig=/b\n exec https://c:1/ x"), "error running … … exec … x");
    }

    #[test]
    fn the_committed_files_agree() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
        let known: BTreeSet<String> = specs(&folder).expect("specs.tsv").into_iter().map(|spec| spec.name).collect();
        let text = read(&folder.join("passing.txt")).expect("passing.txt");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.is_sorted() && lines.iter().all(|line| known.contains(*line)), "passing.txt is sorted and names conformance specs");
    }

    #[test]
    fn names_mean_themselves() {
        assert_eq!(super::super::escape("[a] b.c"), r"\[a\] b\.c");
    }
}
