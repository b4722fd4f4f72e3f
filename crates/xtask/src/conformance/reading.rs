//! What a run said, what is claimed, and the files that keep both.
//!
//! `specs.tsv` is a fact about the suite; `reading.tsv` holds the last outcome of each spec, `passing.txt` the claim; `document`
//! shows the three.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

pub(crate) struct Spec {
    pub(crate) upstream_seconds: Option<f64>,
    pub(crate) images: Vec<String>,
    pub(crate) name: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) spec: String,
    pub(crate) passed: bool,
    pub(crate) seconds: f64,
    pub(crate) message: String,
}

/// The last outcome of each spec, and what is to be said of them all.
#[derive(Default)]
pub(crate) struct Reading {
    /// `2026-11-22: …`, one a part that was run.
    pub(crate) notes: Vec<String>,
    pub(crate) outcomes: BTreeMap<String, Outcome>,
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
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

/// What the runner's report says of a run.
pub(crate) struct Report {
    pub(crate) outcomes: Vec<Outcome>,
    /// `2026-11-22`.
    date: String,
    seconds: f64,
    n_processes: u64,
    labels: String,
}

impl Report {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let report: Value = serde_json::from_str(&read(path)?).map_err(|e| format!("{}: {e}", path.display()))?;
        let suite = &report[0];
        let all = suite["SpecReports"].as_array().into_iter().flatten();
        Ok(Report {
            outcomes: all.filter_map(outcome).collect(),
            date: suite["StartTime"].as_str().and_then(|t| t.get(..10)).unwrap_or("undated").to_owned(),
            seconds: suite["RunTime"].as_f64().unwrap_or(0.0) / 1e9,
            n_processes: suite["SuiteConfig"]["ParallelTotal"].as_u64().unwrap_or(1),
            labels: suite["SuiteConfig"]["LabelFilter"].as_str().unwrap_or("").to_owned(),
        })
    }

    /// One line for people.
    pub(crate) fn note(&self) -> String {
        let n_passed = self.outcomes.iter().filter(|o| o.passed).count();
        let processes = if self.n_processes == 1 { "one process".to_owned() } else { format!("{} processes", self.n_processes) };
        let (date, labels, n, seconds) = (&self.date, &self.labels, self.outcomes.len(), self.seconds);
        format!("{date}: `{labels}`, {n} specs with {processes} in {seconds:.0} s: {n_passed} passed")
    }
}

/// `None` for what is no spec or did not run.
fn outcome(report: &Value) -> Option<Outcome> {
    let state = report["State"].as_str()?;
    if report["LeafNodeType"] != "It" || matches!(state, "skipped" | "pending") {
        return None;
    }
    let message = report["Failure"]["Message"].as_str().unwrap_or("");
    if matches!(state, "interrupted" | "timedout" | "aborted") && !super::causes::is_given_up(state, message) {
        return None;
    }
    let above = report["ContainerHierarchyTexts"].as_array().into_iter().flatten();
    let words: Vec<&str> = above.chain([&report["LeafNodeText"]]).filter_map(Value::as_str).collect();
    let message = super::causes::told(state, message);
    let seconds = report["RunTime"].as_f64().unwrap_or(0.0) / 1e9;
    let spec = words.join(" ");
    let passed = state == "passed" && !super::causes::is_hollow(&spec);
    Some(Outcome { spec, passed, seconds, message })
}

/// Whom a run contradicts: listed specs that failed in it.
pub(crate) fn broken(outcomes: &[Outcome], claimed: &BTreeSet<String>) -> Vec<String> {
    outcomes.iter().filter(|o| !o.passed && claimed.contains(&o.spec)).map(|o| o.spec.clone()).collect()
}

/// Notes a run: outcomes replace those of before, new passes are claimed, nothing is taken from the claim. Returns what stands now.
pub(crate) fn record(folder: &Path, outcomes: &[Outcome], notes: &[String]) -> Result<Reading, String> {
    let path = folder.join("reading.tsv");
    let mut reading = parse(&read(&path).unwrap_or_default());
    reading.outcomes.extend(outcomes.iter().map(|o| (o.spec.clone(), o.clone())));
    if !notes.is_empty() {
        reading.notes = notes.to_vec();
    }
    write(&path, &text(&reading))?;
    let mut claimed = passing(folder).unwrap_or_default();
    claimed.extend(outcomes.iter().filter(|o| o.passed).map(|o| o.spec.clone()));
    write(&folder.join("passing.txt"), &claimed.iter().map(|spec| format!("{spec}\n")).collect::<String>())?;
    Ok(reading)
}

fn text(reading: &Reading) -> String {
    let notes = reading.notes.iter().map(|note| format!("# {note}\n"));
    let line = |o: &Outcome| format!("{}\t{:.1}\t{}\t{}\n", if o.passed { "passed" } else { "failed" }, o.seconds, o.spec, o.message);
    notes.chain(reading.outcomes.values().map(line)).collect()
}

fn parse(text: &str) -> Reading {
    let notes = text.lines().filter_map(|line| line.strip_prefix("# ").map(str::to_owned)).collect();
    let outcome = |line: &str| {
        let mut columns = line.splitn(4, '\t');
        let (state, seconds, spec, message) = (columns.next()?, columns.next()?, columns.next()?, columns.next()?);
        let (spec, message) = (spec.to_owned(), message.to_owned());
        Some((spec.clone(), Outcome { spec, passed: state == "passed", seconds: seconds.parse().ok()?, message }))
    };
    Reading { notes, outcomes: text.lines().filter(|line| !line.starts_with('#')).filter_map(outcome).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(report: &str, expected: Option<(&str, bool)>) {
        let report: Value = serde_json::from_str(report).expect("JSON");
        let found = outcome(&report);
        assert_eq!(found.as_ref().map(|o| (o.spec.as_str(), o.passed)), expected);
    }

    fn of(spec: &str, passed: bool) -> Outcome {
        Outcome { spec: spec.to_owned(), passed, seconds: 1.5, message: String::new() }
    }

    #[test]
    fn only_specs_that_ended_count() {
        let spec = |state: &str| {
            format!(
                r#"{{"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-a] A"], "LeafNodeText": "b", "State": "{state}", "RunTime": 1e9}}"#
            )
        };
        check(&spec("passed"), Some(("[sig-a] A b", true)));
        check(&spec("failed"), Some(("[sig-a] A b", false)));
        check(&spec("skipped"), None);
        check(&spec("interrupted"), None);
        let ended = |why: &str| spec("timedout").replace("1e9", &format!("1e9, \"Failure\": {{\"Message\": \"{why}\"}}"));
        check(&ended("A node timeout occurred"), Some(("[sig-a] A b", false)));
        check(&ended("A suite timeout occurred"), None);
        check(r#"{"LeafNodeType": "SynchronizedBeforeSuite", "State": "passed"}"#, None);
    }

    #[test]
    fn a_run_is_told_in_a_line() {
        let report = Report {
            outcomes: vec![of("a", true), of("b", false)],
            date: "2026-11-22".to_owned(),
            seconds: 12.3,
            n_processes: 8,
            labels: "Conformance && !Serial".to_owned(),
        };
        assert_eq!(report.note(), "2026-11-22: `Conformance && !Serial`, 2 specs with 8 processes in 12 s: 1 passed");
    }

    #[test]
    fn only_listed_specs_can_break_the_claim() {
        let claimed = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(broken(&[of("a", true), of("b", false), of("c", false)], &claimed), ["b"]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let outcomes = [of("[sig-a] x", true), Outcome { message: "no: way".to_owned(), ..of("y", false) }];
        let outcomes = outcomes.into_iter().map(|o| (o.spec.clone(), o)).collect();
        let reading = Reading { notes: vec!["today".to_owned()], outcomes };
        let again = parse(&text(&reading));
        assert_eq!((again.notes, again.outcomes), (reading.notes, reading.outcomes));
    }

    #[test]
    fn the_committed_files_agree() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance");
        let known: BTreeSet<String> = specs(&folder).expect("specs.tsv").into_iter().map(|spec| spec.name).collect();
        let text = read(&folder.join("passing.txt")).expect("passing.txt");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.is_sorted() && lines.iter().all(|line| known.contains(*line)), "passing.txt is sorted and names conformance specs");
    }
}
