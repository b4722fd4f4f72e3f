//! Coracle's answers against the recorded ones of upstream.

mod fuzz;

use std::collections::HashSet;

use differential::golden::Golden;
use differential::story::Story;
use differential::{cases, document, known};

#[test]
fn a_case_is_named_once() {
    let mut names = HashSet::new();
    for story in cases::all() {
        for request in &story.requests {
            let name = format!("{}:{}", story.name, request.name);
            assert!(names.insert(name.clone()), "two cases are named {name}");
        }
    }
}

/// `UPDATE_EXPECT=1` drops from the list what no longer differs; only `cargo xtask differential --accept` can enter something.
#[test]
fn answers_are_upstreams() {
    let all = cases::all();
    let stories: Vec<&Story> = all.iter().collect();
    let found = differential::compare(&Golden::read().expect("recorded answers"), &stories).expect("coracle answers");
    let mut known = known::read();
    let mut faults = Vec::new();
    for outcome in &found.outcomes {
        match (outcome.lines.is_empty(), known.contains_key(&outcome.case)) {
            (false, false) => faults.push(format!("new: {}\n   {}\n{}", outcome.case, outcome.request, outcome.lines.join("\n"))),
            (true, true) => faults.push(format!("no longer differs, take it out of the list (UPDATE_EXPECT=1): {}", outcome.case)),
            _ => {}
        }
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        found.settle(&mut known, None);
        known::write(&known).expect("the list is written");
    }
    // What was taken out just now is no fault any more.
    faults.retain(|fault| fault.starts_with("new: ") || std::env::var_os("UPDATE_EXPECT").is_none());
    let n_faults = faults.len();
    faults.truncate(20);
    assert!(n_faults == 0, "{n_faults} faults, the first:\n{}", faults.join("\n"));
    let cases: HashSet<&str> = found.outcomes.iter().map(|o| o.case.as_str()).collect();
    let stale: Vec<&String> = known.keys().filter(|case| !cases.contains(case.as_str())).collect();
    assert!(stale.is_empty(), "the list names cases that are gone: {stale:?}");
}

#[test]
fn the_document_is_current() {
    let n_cases = cases::all().iter().map(|story| story.requests.len()).sum();
    let validation = concat!(env!("CARGO_MANIFEST_DIR"), "/../strategies/golden/validation/differences.txt");
    let wanted = document::shown(&known::read(), n_cases, &std::fs::read_to_string(validation).expect("the list of strategies"));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(document::file(), &wanted).expect("the document is written");
    }
    let written = std::fs::read_to_string(document::file()).unwrap_or_default();
    assert!(written == wanted, "docs/DIFFERENCES.md is old: UPDATE_EXPECT=1 cargo test -p differential");
}
