//! certificates.k8s.io.

use object::time;
use serde_json::{Value, json};

use crate::Context;
use crate::reset::{take, unset};
use crate::row::{NameRule, Row, StatusMetadata};
use crate::validation::certificates as rules;

const GROUP: &str = "certificates.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row {
        name: NameRule::PathSegment,
        create: Some(create_request),
        update: Some(update_request),
        ..Row::new(GROUP, "certificatesigningrequests").checked(rules::validate_request, rules::validate_request_update)
    },
    Row {
        name: NameRule::TrustBundle,
        ..Row::new(GROUP, "clustertrustbundles").checked(rules::validate_bundle, rules::validate_bundle_update)
    },
    Row {
        status_metadata: StatusMetadata::Kept,
        ..Row::new(GROUP, "podcertificaterequests").checked(rules::validate_pod_request, rules::validate_pod_request_update)
    },
];

/// Who asks is what authentication found, never what was sent.
fn create_request(request: &mut Value, context: &Context<'_>) {
    let spec = &mut request["spec"];
    let user = context.user;
    for field in ["username", "uid", "groups", "extra"] {
        unset(spec, field);
    }
    for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            spec[field] = Value::from(text.as_str());
        }
    }
    if !user.groups.is_empty() {
        spec["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        spec["extra"] = json!(user.extra);
    }
}

fn update_request(subresource: &str, old: &Value, request: &mut Value, context: &Context<'_>) {
    match subresource {
        "" => take(request, "spec", old),
        "status" => {
            for kind in ["Approved", "Denied"] {
                keep_conditions(kind, old, request);
            }
            stamp_conditions(old, request, context);
        }
        "approval" => {
            stamp_conditions(old, request, context);
            let conditions = request["status"]["conditions"].take();
            take(request, "spec", old);
            take(request, "status", old);
            if !conditions.is_null() {
                request["status"]["conditions"] = conditions;
            }
        }
        _ => {}
    }
}

/// Approval is decided through its own subresource: as many conditions of that kind stay as they were.
fn keep_conditions(kind: &str, old: &Value, request: &mut Value) {
    let before: Vec<Value> = old["status"]["conditions"].as_array().into_iter().flatten().filter(|c| c["type"] == kind).cloned().collect();
    let conditions = request["status"].get_mut("conditions").and_then(Value::as_array_mut);
    let after: Vec<&mut Value> = conditions.into_iter().flatten().filter(|c| c["type"] == kind).collect();
    if before.len() == after.len() {
        after.into_iter().zip(before).for_each(|(new, old)| *new = old);
    }
}

fn stamp_conditions(old: &Value, request: &mut Value, context: &Context<'_>) {
    let now = time::seconds(context.now);
    for condition in request["status"].get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = Value::from(now.as_str());
        }
        if condition["lastTransitionTime"].is_null() {
            let same = old["status"]["conditions"].as_array().into_iter().flatten().find(|before| {
                before["type"] == condition["type"] && before["status"] == condition["status"] && !before["lastTransitionTime"].is_null()
            });
            condition["lastTransitionTime"] = same.map_or(Value::from(now.as_str()), |before| before["lastTransitionTime"].clone());
        }
    }
}
