//! Events, in the old form of the core group and in the form of their own.

use crate::check::{At, Faults};

const TEXT_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// What holds for both forms. The names of two fields differ.
fn validate_both(event: &At<'_>, is_core: bool, faults: &mut Faults) {
    let regarding = event.get(if is_core { "involvedObject" } else { "regarding" }).renamed("involvedObject");
    let (about, own) = (regarding.get("namespace"), event.value["metadata"]["namespace"].as_str().unwrap_or(""));
    let time = event.get("eventTime");
    if !time.is_set() {
        let is_same = if about.has_text() { about.text() == own } else { matches!(own, "" | "default") };
        if !is_same {
            faults.invalid_text(&about, "does not match event.namespace");
        }
        return;
    }
    if !about.has_text() && !matches!(own, "default" | "kube-system") {
        faults.invalid_text(&about, "does not match event.namespace");
    }
    let controller = event.get(if is_core { "reportingComponent" } else { "reportingController" });
    faults.need_text(&controller);
    faults.qualified_name(&controller);
    let note = event.get(if is_core { "message" } else { "note" }).renamed("message");
    for (at, is_needed, max) in [
        (event.get("reportingInstance"), true, TEXT_MAX),
        (event.get("action"), true, TEXT_MAX),
        (event.get("reason"), true, TEXT_MAX),
        (note, false, NOTE_MAX),
    ] {
        if is_needed {
            faults.need_text(&at);
        }
        if at.text().len() > max {
            faults.invalid_as(&at, "", format!("can have at most {max} characters"));
        }
    }
}

pub(crate) fn validate_core(event: &At<'_>, faults: &mut Faults) {
    validate_both(event, true, faults);
}

pub(crate) fn validate_core_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_both(new, true, faults);
}

pub(crate) fn validate(event: &At<'_>, faults: &mut Faults) {
    validate_both(event, false, faults);
    validate_series(event, faults);
    faults.need_time(&event.get("eventTime"));
    let kind = event.get("type");
    if !matches!(kind.text(), "Normal" | "Warning") {
        faults.invalid_as(&kind, "", format!("has invalid value: {}", kind.text()));
    }
    for (field, shown) in
        [("deprecatedFirstTimestamp", "firstTimestamp"), ("deprecatedLastTimestamp", "lastTimestamp"), ("deprecatedCount", "count")]
    {
        let at = event.get(field);
        if at.is_set() && at.value != &serde_json::Value::from(0) {
            faults.invalid_as(&at.renamed(shown), "", "needs to be unset");
        }
    }
    let source = event.get("deprecatedSource");
    if source.get("component").has_text() || source.get("host").has_text() {
        faults.invalid_as(&source.renamed("source"), "", "needs to be unset");
    }
}

fn validate_series(event: &At<'_>, faults: &mut Faults) {
    let series = event.get("series");
    if !series.is_set() {
        return;
    }
    if series.get("count").int() < 2 {
        faults.invalid_as(&series.get("count"), "", "should be at least 2");
    }
    faults.need_time(&series.get("lastObservedTime"));
}

/// Fields of the own form and the names upstream knows them by.
const FIXED: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("reason", "reason"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reason", "reason"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingController", "reportingController"),
    ("reportingInstance", "reportingInstance"),
];

pub(crate) fn validate_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_both(new, false, faults);
    if old.value["series"] != new.value["series"] {
        validate_series(new, faults);
    }
    for (field, shown) in FIXED {
        let (before, after) = (old.get(field), new.get(field).renamed(shown));
        match *field {
            "regarding" | "related" => faults.immutable_go(&before, &after, "ObjectReference"),
            "deprecatedSource" => faults.immutable_go(&before, &after, "EventSource"),
            "eventTime" | "deprecatedFirstTimestamp" | "deprecatedLastTimestamp" | "deprecatedCount" => faults.immutable(&before, &after),
            _ => faults.immutable_text(&before, &after),
        }
    }
}
