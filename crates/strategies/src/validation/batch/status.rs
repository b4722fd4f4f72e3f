//! What may be written into the status of a Job: only what fits what it was and what it asks for.

use serde_json::Value;

use super::{count_indexes, interval, is_indexed};
use crate::check::{At, Faults, IMMUTABLE};
use crate::equality::is_semantically_equal;

/// The two sides of a change.
struct Change<'a> {
    old: At<'a>,
    new: At<'a>,
    status: At<'a>,
}

fn holds(status: &Value, condition: &str) -> bool {
    status["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == condition && c["status"] == "True")
}

fn is_finished(status: &Value) -> bool {
    holds(status, "Complete") || holds(status, "Failed")
}

impl Change<'_> {
    fn has(&self, condition: &str) -> bool {
        holds(self.status.value, condition)
    }
    fn had(&self, condition: &str) -> bool {
        holds(self.old.value, condition)
    }
    fn turned(&self, condition: &str) -> bool {
        self.has(condition) != self.had(condition)
    }
    fn changed(&self, field: &str) -> bool {
        !is_semantically_equal(&self.old.value[field], &self.status.value[field])
    }
    fn is_finished(&self) -> bool {
        is_finished(self.status.value)
    }
    fn ended(&self) -> bool {
        self.is_finished() != is_finished(self.old.value)
    }
}

pub(super) fn validate(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let change = Change { old: old.get("status"), new: new.get("spec"), status: new.get("status") };
    validate_counts(&change.status, faults);
    validate_end(&change, faults);
    validate_finished(&change, faults);
    validate_indexes(&change, faults);
    validate_pods_of_finished(&change, faults);
    validate_success(&change, faults);
    validate_transitions(&change, new.get("spec").get("suspend").is_true(), faults);
}

fn validate_counts(status: &At<'_>, faults: &mut Faults) {
    for count in ["active", "succeeded", "failed", "ready", "terminating"] {
        faults.not_negative(&status.get(count));
    }
    let uncounted = status.get("uncountedTerminatedPods");
    let mut seen = Vec::new();
    for pod in uncounted.get("succeeded").items().chain(uncounted.get("failed").items()) {
        if !pod.has_text() {
            faults.invalid_text(&pod, "must not be empty");
        } else if seen.contains(&pod.text()) {
            faults.duplicate(&pod);
        } else {
            seen.push(pod.text());
        }
    }
}

fn validate_end(change: &Change<'_>, faults: &mut Faults) {
    let (conditions, end) = (change.status.get("conditions"), change.status.get("completionTime"));
    let is_complete = change.has("Complete");
    if (change.turned("Complete") || change.turned("Failed")) && is_complete && change.has("Failed") {
        faults.invalid_omitted(&conditions, "cannot set Complete=True and Failed=true conditions");
    }
    if (change.turned("Complete") || change.turned("FailureTarget")) && is_complete && change.has("FailureTarget") {
        faults.invalid_omitted(&conditions, "cannot set Complete=True and FailureTarget=true conditions");
    }
    if change.turned("Complete") || change.changed("completionTime") {
        if end.is_set() && !is_complete {
            faults.invalid(&end, "cannot set completionTime when there is no Complete=True condition");
        }
        if !end.is_set() && is_complete {
            faults.required(&end, "completionTime is required for Complete jobs");
        }
    }
    let start = change.status.get("startTime");
    // Both are seconds in one form, so that text order is time order.
    if (change.changed("startTime") || change.changed("completionTime")) && start.is_set() && end.is_set() && end.text() < start.text() {
        faults.invalid(&end, "must be equal to or after `startTime`");
    }
}

fn validate_finished(change: &Change<'_>, faults: &mut Faults) {
    let status = &change.status;
    let conditions = status.get("conditions");
    if (change.turned("Failed") || change.changed("failedIndexes")) && change.has("Failed") && !change.has("FailureTarget") {
        faults.invalid_omitted(&conditions, "cannot set Failed=True condition without the FailureTarget=true condition");
    }
    if (change.turned("Complete") || change.turned("SuccessCriteriaMet")) && change.has("Complete") && !change.has("SuccessCriteriaMet") {
        faults.invalid_omitted(&conditions, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    }
    let active = status.get("active");
    if (change.ended() || change.changed("active")) && active.int() > 0 && change.is_finished() {
        faults.invalid_int(&active, "active>0 is invalid for finished job");
    }
    let is_empty_and_suspended = change.new.get("suspend").is_true() && change.new.get("completions").value == &Value::from(0);
    let start = status.get("startTime");
    if (change.ended() || change.changed("startTime")) && !is_empty_and_suspended && !start.is_set() && change.is_finished() {
        faults.required(&start, "startTime is required for finished job");
    }
    let uncounted = status.get("uncountedTerminatedPods");
    let is_counted = uncounted.get("failed").is_empty() && uncounted.get("succeeded").is_empty();
    if (change.ended() || change.changed("uncountedTerminatedPods")) && change.is_finished() && !is_counted {
        faults.invalid_go(&uncounted, "batch.UncountedTerminatedPods", uncounted.value, "must be empty for finished job");
    }
}

fn validate_indexes(change: &Change<'_>, faults: &mut Faults) {
    let (spec, status) = (&change.new, &change.status);
    let (completed, failed, completions) = (status.get("completedIndexes"), status.get("failedIndexes"), spec.get("completions"));
    let (completed_changed, failed_changed) = (change.changed("completedIndexes"), change.changed("failedIndexes"));
    let has_limit = spec.get("backoffLimitPerIndex").is_set();
    let mut check = |at: &At<'_>, name: &str| {
        if let Err(fault) = count_indexes(at.text(), completions.int()) {
            faults.invalid_text(at, format!("error parsing {name}: {fault}"));
        }
    };
    if completed_changed && completions.is_set() {
        check(&completed, "completedIndexes");
    }
    if failed_changed && completions.is_set() && has_limit && failed.is_set() {
        check(&failed, "failedIndexes");
    }
    if completed_changed && completed.has_text() && !is_indexed(spec) {
        faults.invalid_text(&completed, "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && !has_limit && failed.is_set() {
        faults.invalid_text(&failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (completed_changed || failed_changed)
        && completions.is_set()
        && let Some(index) = overlap(completed.text(), failed.text(), completions.int())
    {
        faults.invalid_text(&failed, format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

/// The first index in both lists.
fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| text.split(',').filter_map(|part| interval(part, completions).ok()).collect::<Vec<_>>();
    let failed = intervals(failed);
    intervals(completed).iter().flat_map(|(a, b)| failed.iter().filter(move |(c, d)| a <= d && c <= b).map(move |(c, _)| *a.max(c))).min()
}

fn validate_pods_of_finished(change: &Change<'_>, faults: &mut Faults) {
    let (terminating, ready) = (change.status.get("terminating"), change.status.get("ready"));
    if (change.ended() || change.changed("terminating")) && terminating.int() > 0 && change.is_finished() {
        faults.invalid_int(&terminating, "terminating>0 is invalid for finished job");
    }
    if (change.changed("ready") || change.changed("active")) && ready.is_set() && ready.int() > change.status.get("active").int() {
        faults.invalid_int(&ready, "cannot set more ready pods than active");
    }
}

fn validate_success(change: &Change<'_>, faults: &mut Faults) {
    let conditions = change.status.get("conditions");
    let is_met = change.has("SuccessCriteriaMet");
    if is_met && change.has("Failed") {
        faults.invalid_omitted(&conditions, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if is_met && change.has("FailureTarget") {
        faults.invalid_omitted(&conditions, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    if change.new.get("successPolicy").is_set() && !is_met && change.has("Complete") {
        faults.invalid_omitted(&conditions, "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
    }
}

fn validate_transitions(change: &Change<'_>, is_suspended: bool, faults: &mut Faults) {
    let (old, status, spec) = (&change.old, &change.status, &change.new);
    let conditions = status.get("conditions");
    for condition in ["Failed", "Complete", "FailureTarget"].iter().filter(|c| change.had(c) && !change.has(c)) {
        faults.invalid_omitted(&conditions, format!("cannot disable the terminal {condition}=True condition"));
    }
    let (failed, succeeded) = (status.get("failed"), status.get("succeeded"));
    if failed.int() < old.get("failed").int() {
        faults.invalid_int(&failed, "cannot decrease the failed counter");
    }
    let may_shrink = is_indexed(spec) && spec.value["completions"] == spec.value["parallelism"];
    if succeeded.int() < old.get("succeeded").int() && !may_shrink {
        faults.invalid_int(&succeeded, "cannot decrease the succeeded counter");
    }
    let (end, start) = (status.get("completionTime"), status.get("startTime"));
    if end.is_set() && old.get("completionTime").is_set() && change.changed("completionTime") {
        faults.invalid(&end, IMMUTABLE);
    }
    let resumes = change.had("Suspended") && conditions.list().iter().any(|c| c["type"] == "Suspended" && c["status"] == "False");
    if old.get("startTime").is_set() && change.changed("startTime") && !resumes && !is_suspended {
        faults.invalid(&start, "field is immutable for unsuspended job once set");
    }
    if change.had("SuccessCriteriaMet") && !change.has("SuccessCriteriaMet") {
        faults.invalid_omitted(&conditions, "cannot disable the SuccessCriteriaMet=True condition");
    }
    if change.had("Complete") && !change.had("SuccessCriteriaMet") && change.has("SuccessCriteriaMet") {
        faults.invalid_omitted(&conditions, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
    }
}
