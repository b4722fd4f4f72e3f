//! batch.

use object::{Map, meta};
use serde_json::{Value, json};

use crate::Context;
use crate::row::Row;
use crate::validation::batch as rules;

pub(super) const ROWS: &[Row] = &[
    Row::new("batch", "cronjobs").with_generation().checked(rules::validate_cron_job, rules::validate_cron_job_update),
    Row {
        create: Some(create_job),
        update: Some(|_, _, job, _| label_as_template(job)),
        ..Row::new("batch", "jobs").with_generation().checked(rules::validate_job, rules::validate_job_update)
    },
];

fn create_job(job: &mut Value, _: &Context<'_>) {
    if job["spec"]["manualSelector"] != true {
        select_own_pods(job);
    }
    label_as_template(job);
}

/// Upstream does so when it reads a job, before it selects pods; but its two maps are one, so that the labels of the selection show.
fn label_as_template(job: &mut Value) {
    if meta::labels(job).is_none_or(Map::is_empty) {
        let labels = job["spec"]["template"]["metadata"]["labels"].clone();
        if !labels.is_null() {
            meta::set(job, "labels", labels);
        }
    }
}

/// Unless the user brings a selector, a job selects its pods by its own uid.
fn select_own_pods(job: &mut Value) {
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
}
