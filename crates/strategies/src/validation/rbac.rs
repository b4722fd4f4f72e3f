//! rbac.authorization.k8s.io.

use crate::check::{At, Faults};
use crate::row::NameRule;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn validate_role(role: &At<'_>, faults: &mut Faults) {
    validate_rules(role, true, faults);
}

pub(crate) fn validate_role_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_first(new, true, NameRule::PathSegment);
    validate_rules(new, true, faults);
}

pub(crate) fn validate_cluster_role(role: &At<'_>, faults: &mut Faults) {
    validate_rules(role, false, faults);
    let aggregation = role.get("aggregationRule");
    if !aggregation.is_set() {
        return;
    }
    let selectors = aggregation.get("clusterRoleSelectors");
    if selectors.is_empty() {
        faults.required(&selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for selector in selectors.items() {
        let before = faults.0.len();
        faults.selector_tolerably(&selector);
        if faults.0.len() > before {
            faults.invalid_as(&selector, serde_json::Value::Null, "invalid label selector.");
        }
    }
}

pub(crate) fn validate_cluster_role_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_first(new, false, NameRule::PathSegment);
    validate_cluster_role(new, faults);
}

fn validate_rules(role: &At<'_>, is_namespaced: bool, faults: &mut Faults) {
    for rule in role.get("rules").items() {
        let (verbs, urls) = (rule.get("verbs"), rule.get("nonResourceURLs"));
        if verbs.is_empty() {
            faults.covered(|faults| faults.required(&verbs, "verbs must contain at least one value"));
            faults.later(|faults| faults.required(&verbs, ""));
        }
        let parts = ["apiGroups", "resources", "resourceNames"].map(|field| rule.get(field));
        if !urls.is_empty() {
            if is_namespaced {
                faults.invalid(&urls, "namespaced rules cannot apply to non-resource URLs");
            }
            if parts.iter().any(|part| !part.is_empty()) {
                faults.invalid(&urls, "rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        if parts[0].is_empty() {
            faults.required(&parts[0], "resource rules must supply at least one api group");
        }
        if parts[1].is_empty() {
            faults.required(&parts[1], "resource rules must supply at least one resource");
        }
    }
}

pub(crate) fn validate_binding(binding: &At<'_>, faults: &mut Faults) {
    validate_parts(binding, &["Role", "ClusterRole"], faults);
}

pub(crate) fn validate_cluster_binding(binding: &At<'_>, faults: &mut Faults) {
    validate_parts(binding, &["ClusterRole"], faults);
}

pub(crate) fn validate_binding_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_first(new, true, NameRule::PathSegment);
    validate_change(old, new, validate_binding, faults);
}

pub(crate) fn validate_cluster_binding_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_first(new, false, NameRule::PathSegment);
    validate_change(old, new, validate_cluster_binding, faults);
}

/// Another role would be another binding.
fn validate_change(old: &At<'_>, new: &At<'_>, validate: fn(&At<'_>, &mut Faults), faults: &mut Faults) {
    let (before, after) = (old.get("roleRef"), new.get("roleRef"));
    if before.value == after.value {
        return validate(new, faults);
    }
    faults.only_written(|faults| validate(new, faults));
    faults.immutable_go(&before, &after, "RoleRef");
}

fn validate_parts(binding: &At<'_>, kinds: &[&str], faults: &mut Faults) {
    let role = binding.get("roleRef");
    if role.get("apiGroup") != GROUP {
        faults.not_supported(&role.get("apiGroup"), &[GROUP]);
    }
    if !kinds.contains(&role.get("kind").text()) {
        faults.not_supported(&role.get("kind"), kinds);
    }
    faults.need_segment_later(&role.get("name"));
    for subject in binding.get("subjects").items() {
        validate_subject(&subject, kinds.len() == 1, faults);
    }
}

fn validate_subject(subject: &At<'_>, needs_namespace: bool, faults: &mut Faults) {
    let (name, group, namespace) = (subject.get("name"), subject.get("apiGroup"), subject.get("namespace"));
    faults.need_text_later(&name);
    match subject.get("kind").text() {
        "ServiceAccount" => {
            if name.has_text() {
                faults.subdomain(&name);
            }
            if group.has_text() {
                faults.not_supported(&group, &[""]);
            }
            if needs_namespace {
                faults.need_text(&namespace);
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                faults.not_supported(&group, &[GROUP]);
            }
        }
        _ => faults.not_supported(&subject.get("kind"), &["ServiceAccount", "User", "Group"]),
    }
}
