//! apps.

use object::meta;
use serde_json::Value;

use crate::Context;
use crate::equality::is_semantically_equal;
use crate::row::{NameRule, Row, StatusMetadata};
use crate::validation::apps as rules;

pub(super) const ROWS: &[Row] = &[
    Row::new("apps", "controllerrevisions").checked(rules::validate_revision, rules::validate_revision_update),
    Row {
        create: Some(create_daemon_set),
        update: Some(update_daemon_set),
        ..Row::new("apps", "daemonsets").with_generation().checked(rules::validate_daemon_set, rules::validate_daemon_set_update)
    },
    Row {
        status_metadata: StatusMetadata::SentButLabels,
        ..Row::new("apps", "deployments")
            .bumped_by(&["/spec", "/metadata/annotations"])
            .checked(rules::validate_deployment, rules::validate_deployment_update)
    },
    Row::new("apps", "replicasets").with_generation().checked(rules::validate_replica_set, rules::validate_replica_set_update),
    Row {
        name: NameRule::Label,
        ..Row::new("apps", "statefulsets").with_generation().checked(rules::validate_stateful_set, rules::validate_stateful_set_update)
    },
];

/// Upstream: `apps/v1` shows the old field of that name as an annotation.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(set: &Value) -> i64 {
    meta::annotation(set, TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn set_template_generation(set: &mut Value, generation: i64) {
    meta::metadata_mut(set).entry("annotations").or_insert(Value::Null)[TEMPLATE_GENERATION] = Value::from(generation.to_string());
}

fn create_daemon_set(set: &mut Value, _: &Context<'_>) {
    let generation = template_generation(set).max(1);
    set_template_generation(set, generation);
}

fn update_daemon_set(subresource: &str, old: &Value, set: &mut Value, _: &Context<'_>) {
    let is_same = subresource == "status" || is_semantically_equal(&old["spec"]["template"], &set["spec"]["template"]);
    set_template_generation(set, template_generation(old) + i64::from(!is_same));
}
