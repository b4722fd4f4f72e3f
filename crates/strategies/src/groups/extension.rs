//! What extends the API itself: admissionregistration.k8s.io, apiextensions.k8s.io, apiregistration.k8s.io.

use object::time;
use serde_json::{Value, json};

use crate::Context;
use crate::row::{NameRule, Row, StatusMetadata};
use crate::validation::{admission, cluster, definitions, webhooks};

const ADMISSION: &str = "admissionregistration.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row::new(ADMISSION, "mutatingadmissionpolicies")
        .with_generation()
        .checked(admission::validate_mutating, admission::validate_mutating_update),
    Row::new(ADMISSION, "mutatingadmissionpolicybindings")
        .with_generation()
        .checked(admission::validate_mutating_binding, admission::validate_mutating_binding_update),
    Row::new(ADMISSION, "mutatingwebhookconfigurations").bumped_by(&["/webhooks"]).checked(webhooks::validate, webhooks::validate_update),
    Row {
        status_metadata: StatusMetadata::Kept,
        ..Row::new(ADMISSION, "validatingadmissionpolicies")
            .with_generation()
            .checked(admission::validate_policy, admission::validate_policy_update)
    },
    Row::new(ADMISSION, "validatingadmissionpolicybindings")
        .with_generation()
        .checked(admission::validate_binding, admission::validate_binding_update),
    Row::new(ADMISSION, "validatingwebhookconfigurations").bumped_by(&["/webhooks"]).checked(webhooks::validate, webhooks::validate_update),
    Row {
        create: Some(|definition, _| store_version(definition)),
        update: Some(update_definition),
        ..Row::new("apiextensions.k8s.io", "customresourcedefinitions")
            .with_generation()
            .checked(definitions::validate, definitions::validate_update)
    },
    Row {
        name: NameRule::PathSegment,
        status_metadata: StatusMetadata::Kept,
        create: Some(create_service),
        ..Row::new("apiregistration.k8s.io", "apiservices").checked(cluster::validate_service, cluster::validate_service_update)
    },
];

/// What this server serves itself is there.
fn create_service(service: &mut Value, context: &Context<'_>) {
    if service["spec"]["service"].is_null() {
        service["status"] = json!({"conditions": [{
            "type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available",
            "lastTransitionTime": time::seconds(context.now),
        }]});
    }
}

fn update_definition(subresource: &str, _: &Value, definition: &mut Value, _: &Context<'_>) {
    if subresource.is_empty() {
        store_version(definition);
    }
}

/// Every version that was ever stored is listed until somebody who has migrated takes it away.
fn store_version(definition: &mut Value) {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let Some(name) = versions.into_iter().find(|v| v["storage"] == true).map(|v| v["name"].clone()) else { return };
    match &mut definition["status"]["storedVersions"] {
        Value::Array(stored) if stored.contains(&name) => {}
        Value::Array(stored) => stored.push(name),
        none => *none = json!([name]),
    }
}
