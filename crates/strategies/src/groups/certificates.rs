//! certificates.k8s.io.

use object::field::{Error, Path};
use object::{meta, names, time};
use serde_json::{Value, json};

use crate::Context;
use crate::reset::{take, unset};
use crate::row::{NameRule, Row, StatusMetadata};

const GROUP: &str = "certificates.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row { create: Some(create_request), update: Some(update_request), ..Row::new(GROUP, "certificatesigningrequests") },
    Row { name: NameRule::TrustBundle, validate: Some(validate_bundle), ..Row::new(GROUP, "clustertrustbundles") },
    Row { status_metadata: StatusMetadata::Kept, ..Row::new(GROUP, "podcertificaterequests") },
];

/// The name of a signer's bundle begins with the signer; a bundle of no signer has no colon in its name.
fn validate_bundle(bundle: &Value) -> Vec<Error> {
    let (name, signer) = (meta::name(bundle), bundle["spec"]["signerName"].as_str().unwrap_or(""));
    let path = Path::new("metadata").child("name");
    let invalid = |detail: String| vec![Error::invalid(&path, name, detail)];
    if signer.is_empty() {
        if name.contains(':') {
            return invalid("ClusterTrustBundle without signer name must not have \":\" in its name".to_owned());
        }
        return names::subdomain_faults(name).into_iter().map(|fault| Error::invalid(&path, name, fault)).collect();
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => names::subdomain_faults(rest).into_iter().map(|fault| Error::invalid(&path, name, fault)).collect(),
        None => invalid(format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")),
    }
}

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
    let after: Vec<&mut Value> =
        request["status"]["conditions"].as_array_mut().into_iter().flatten().filter(|c| c["type"] == kind).collect();
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
