//! authorization.k8s.io: what reviews of access may ask. They are answered and never stored.

use crate::check::{At, Faults};
use crate::metadata;

const LOCAL: &str = "localsubjectaccessreviews";

pub(crate) fn validate(plural: &str, review: &At<'_>, faults: &mut Faults) {
    let spec = review.get("spec");
    let (resource, other, user) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"), spec.get("user"));
    if resource.is_set() == other.is_set() {
        invalid_attributes(&spec, &other, "exactly one of nonResourceAttributes or resourceAttributes must be specified", faults);
    }
    if plural != "selfsubjectaccessreviews" && !user.has_text() && spec.get("groups").is_empty() {
        faults.invalid_text(&user, "at least one of user or group must be specified");
    }
    // Upstream: the operator of a newer client is let pass.
    for requirement in validate_selector(&resource.get("fieldSelector"), faults).items() {
        if !requirement.get("key").has_text() {
            faults.required(&requirement.get("key"), "must be specified");
        }
        faults.0.extend(metadata::validate_n_values(requirement.value, &requirement.path()));
    }
    for requirement in validate_selector(&resource.get("labelSelector"), faults).items() {
        faults.0.extend(metadata::validate_n_values(requirement.value, &requirement.path()));
        faults.0.extend(metadata::validate_requirement_labels(requirement.value, &requirement.path()));
    }
    let at = review.get("metadata");
    let mut rest = at.value.as_object().cloned().unwrap_or_default();
    rest.remove("managedFields");
    if plural == LOCAL {
        rest.remove("namespace");
    }
    if !rest.is_empty() {
        let text = if plural == LOCAL { "must be empty except for namespace" } else { "must be empty" };
        faults.invalid_go(&at, "ObjectMeta", at.value, text);
    }
    if plural != LOCAL {
        return;
    }
    let namespace = resource.get("namespace");
    if resource.is_set() && namespace.text() != at.get("namespace").text() {
        faults.invalid_text(&namespace, "must match metadata.namespace");
    }
    if other.is_set() {
        invalid_attributes(&other, &other, "disallowed on this kind of request", faults);
    }
}

fn invalid_attributes(at: &At<'_>, attributes: &At<'_>, text: &str, faults: &mut Faults) {
    if attributes.is_set() {
        faults.invalid_go(at, "NonResourceAttributes", attributes.value, text);
    } else {
        faults.invalid_as(at, serde_json::Value::Null, text);
    }
}

/// Its requirements.
fn validate_selector<'a>(selector: &At<'a>, faults: &mut Faults) -> At<'a> {
    let (raw, requirements) = (selector.get("rawSelector"), selector.get("requirements"));
    if raw.has_text() && !requirements.is_empty() {
        faults.invalid_text(&raw, "may not specified at the same time as requirements");
    }
    if selector.is_set() && !raw.has_text() && requirements.is_empty() {
        let text = format!("when {} is specified, requirements or rawSelector is required", selector.path());
        faults.required(&requirements, text);
    }
    requirements
}
