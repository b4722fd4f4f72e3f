//! Annotations that once were fields, or still decide something.

use serde_json::Value;

use super::{each_container, placement};
use crate::check::{At, Faults};
use crate::shapes;

pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(crate) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

pub(super) fn validate(annotations: &At<'_>, spec: &At<'_>, faults: &mut Faults) {
    let mirror = annotations.key(MIRROR);
    if mirror.is_set() && !spec.get("nodeName").has_text() {
        faults.invalid(&mirror, "must set spec.nodeName if mirror pod annotation is set");
    }
    validate_tolerations(annotations, faults);
    let cost = annotations.key(DELETION_COST);
    if cost.is_set() && !is_cost(cost.text()) {
        faults.invalid(&cost, "must be a 32bit integer");
    }
    for (key, at) in annotations.entries() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            validate_seccomp(&annotations.named(key).with(at.value), faults);
        }
    }
    for (key, at) in annotations.entries() {
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            validate_app_armor(&at, container, spec, faults);
        }
    }
}

fn validate_tolerations(annotations: &At<'_>, faults: &mut Faults) {
    let text = annotations.value[TOLERATIONS].as_str().unwrap_or("");
    if text.is_empty() {
        return;
    }
    match serde_json::from_str::<Value>(text) {
        Err(e) => faults.invalid_as(annotations, TOLERATIONS, e.to_string()),
        Ok(list) => {
            let mut found = Faults::default();
            placement::validate_tolerations(&At::root(&list), placement::refuse_comparison, &mut found);
            let root = annotations.named(TOLERATIONS).path();
            faults
                .0
                .extend(found.into_list().into_iter().map(|fault| object::field::Error { path: format!("{root}{}", fault.path), ..fault }));
        }
    }
}

/// A plus or leading zeros are refused, as upstream does to leave no two ways to write one number.
fn is_cost(text: &str) -> bool {
    let is_plain = text == "0" || text == "-0" || !text.trim_start_matches('-').starts_with(['0', '+']);
    is_plain && !text.starts_with('+') && text.parse::<i32>().is_ok()
}

fn validate_seccomp(at: &At<'_>, faults: &mut Faults) {
    if matches!(at.text(), "runtime/default" | "docker/default" | "unconfined") {
        return;
    }
    match at.text().strip_prefix("localhost/") {
        Some(path) => {
            let value = Value::from(path);
            let mut found = Faults::default();
            shapes::relative_path(&At::root(&value), &mut found);
            faults.0.extend(found.into_list().into_iter().map(|fault| object::field::Error { path: at.path().to_string(), ..fault }));
        }
        None => faults.invalid_text(at, "must be a valid seccomp profile"),
    }
}

fn validate_app_armor(at: &At<'_>, container: &str, spec: &At<'_>, faults: &mut Faults) {
    let mut is_known = false;
    each_container(spec, |other| is_known |= other.get("name") == container);
    if !is_known {
        faults.invalid_as(at, container, "container not found");
    }
    let profile = at.text();
    if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
        faults.invalid_text(at, format!("invalid AppArmor profile name: {profile:?}"));
    }
}

/// The profile of a pod or container and its annotation must say the same.
pub(super) fn validate_seccomp_match(pod: &At<'_>, faults: &mut Faults) {
    let (annotations, spec) = (&pod.value["metadata"]["annotations"], pod.get("spec"));
    let of_pod = spec.get("securityContext").get("seccompProfile");
    match_profile(&of_pod, annotations[SECCOMP_POD].as_str(), &["runtime/default", "docker/default"], "seccomp", faults);
    each_container(&spec, |container| {
        let annotation = annotations[format!("{SECCOMP_CONTAINER}{}", container.get("name").text())].as_str();
        let profile = container.get("securityContext").get("seccompProfile");
        match_profile(&profile, annotation, &["runtime/default", "docker/default"], "seccomp", faults);
    });
}

fn match_profile(profile: &At<'_>, annotation: Option<&str>, defaults: &[&str], kind: &str, faults: &mut Faults) {
    let Some(annotation) = annotation.filter(|_| profile.is_set()) else { return };
    let is_same = match profile.get("type").text() {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => defaults.contains(&annotation),
        "Localhost" => annotation.starts_with("localhost/"),
        _ => true,
    };
    let file = profile.get("localhostProfile");
    if !is_same {
        faults.forbidden(&profile.get("type"), format!("{kind} type in annotation and field must match"));
    } else if profile.get("type") == "Localhost" && annotation.strip_prefix("localhost/") != file.value.as_str() {
        faults.forbidden(&file, format!("{kind} profile in annotation and field must match"));
    }
}

pub(super) fn validate_app_armor_match(pod: &At<'_>, faults: &mut Faults) {
    let spec = pod.get("spec");
    if spec.value["os"]["name"] == "windows" {
        return;
    }
    let annotations = &pod.value["metadata"]["annotations"];
    let of_pod = &spec.value["securityContext"]["appArmorProfile"];
    each_container(&spec, |container| {
        let annotation = annotations[format!("{APP_ARMOR}{}", container.get("name").text())].as_str();
        let own = container.get("securityContext").get("appArmorProfile");
        let profile = if own.is_set() { own } else { own.with(of_pod) };
        match_profile(&profile, annotation, &["runtime/default"], "apparmor", faults);
    });
}

/// What an update may not do to the annotations that count.
pub(super) fn validate_update(old: &At<'_>, new: &At<'_>, spec: &At<'_>, faults: &mut Faults) {
    for (key, before) in old.entries().filter(|(key, before)| new.value.get(*key) != Some(before.value)) {
        let at = new.key(key).with(before.value);
        if key.starts_with(APP_ARMOR) {
            faults.forbidden(&at, "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            faults.forbidden(&at, "may not remove or update mirror pod annotation");
        }
    }
    for (key, at) in new.entries().filter(|(key, _)| old.value.get(*key).is_none()) {
        if key.starts_with(APP_ARMOR) {
            faults.forbidden(&at, "may not add AppArmor annotations");
        }
        if key == MIRROR {
            faults.forbidden(&at, "may not add mirror pod annotation");
        }
    }
    validate(new, spec, faults);
}
