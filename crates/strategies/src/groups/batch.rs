//! batch.

use object::{Map, meta};
use serde_json::{Value, json};

use crate::Context;
use crate::row::Row;
use crate::validation::batch as rules;

pub(super) const ROWS: &[Row] = &[
    Row::new("batch", "cronjobs").with_generation().checked(rules::validate_cron_job, rules::validate_cron_job_update),
    Row {
        create: Some(select_own_pods),
        ..Row::new("batch", "jobs").with_generation().checked(rules::validate_job, rules::validate_job_update)
    },
];

/// Unless the user brings a selector, a job selects its pods by its own uid.
fn select_own_pods(job: &mut Value, _: &Context<'_>) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) = (meta::name(job).to_owned(), meta::uid(job).to_owned());
    let spec = &mut job["spec"];
    if !spec["template"]["metadata"]["labels"].is_object() {
        spec["template"]["metadata"]["labels"] = json!({});
    }
    if let Some(labels) = spec["template"]["metadata"]["labels"].as_object_mut() {
        for (label, value) in [
            ("job-name", &name),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("batch.kubernetes.io/controller-uid", &uid),
        ] {
            labels.entry(label).or_insert(Value::from(value.as_str()));
        }
    }
    let wanted = &mut spec["selector"]["matchLabels"];
    if !wanted.is_object() {
        *wanted = json!({});
    }
    if let Some(wanted) = wanted.as_object_mut() {
        wanted.entry("batch.kubernetes.io/controller-uid").or_insert(Value::from(uid));
    }
    // Upstream defaults a job's labels from its template each time it is read, so the new ones show.
    if meta::labels(job).is_none_or(Map::is_empty) {
        let labels = job["spec"]["template"]["metadata"]["labels"].clone();
        meta::set(job, "labels", labels);
    }
}
