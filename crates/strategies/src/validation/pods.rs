//! Pods, and pod templates in whatever holds one.

mod annotations;
mod containers;
mod env;
mod mounts;
mod placement;
mod probes;
mod projected;
mod resources;
mod security;
mod spec;
mod status;
mod updates;
mod volumes;
mod windows;

use std::collections::HashMap;

use serde_json::Value;

use crate::check::{At, Faults};

pub(crate) use annotations::APP_ARMOR;
pub(crate) use placement::{EFFECTS, refuse_comparison, validate_node_selector, validate_tolerations};
pub(crate) use resources::{
    is_extended, is_huge_pages, is_quota_name, quantity, validate_amount, validate_container_name, validate_name, validate_overhead,
};
pub(crate) use security::APP_ARMOR_PROFILE_MAX;
pub(crate) use spec::{validate, validate_spec};
pub(crate) use updates::validate_update;
pub(crate) use volumes::validate_host_path;

/// A template in whatever holds one. Upstream's paths of labels and annotations leave `metadata` out.
pub(crate) fn validate_template(template: &At<'_>, faults: &mut Faults) {
    validate_template_metadata(template, faults);
    validate_template_spec(template, faults);
}

pub(crate) fn validate_template_metadata(template: &At<'_>, faults: &mut Faults) {
    let (metadata, spec) = (template.get("metadata"), template.get("spec"));
    let aside = |name: &'static str| template.named(name).with(&metadata.value[name]);
    faults.labels(&aside("labels"));
    faults.annotations(&aside("annotations"));
    annotations::validate(&aside("annotations"), &spec, faults);
}

pub(crate) fn validate_template_spec(template: &At<'_>, faults: &mut Faults) {
    let spec = template.get("spec");
    validate_spec(&spec, None, faults);
    annotations::validate_seccomp_match(template, faults);
    annotations::validate_app_armor_match(template, faults);
    if !spec.get("ephemeralContainers").is_empty() {
        faults.forbidden(&spec.get("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// Whose resource requirements are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PodPlace {
    Container,
    Pod,
}

/// All containers, in upstream's order of visits.
fn each_container<'a>(spec: &At<'a>, mut visit: impl FnMut(At<'a>)) {
    for name in ["initContainers", "containers", "ephemeralContainers"] {
        spec.get(name).items().for_each(&mut visit);
    }
}

/// Files of variables lie in empty directories of the pod.
fn env_volumes(spec: &At<'_>, faults: &mut Faults) {
    let volumes: HashMap<&str, &Value> =
        spec.get("volumes").list().iter().map(|volume| (volume["name"].as_str().unwrap_or(""), volume)).collect();
    each_container(spec, |container| {
        for variable in container.get("env").items() {
            let reference = variable.get("valueFrom").get("fileKeyRef");
            if !reference.is_set() {
                continue;
            }
            let name = reference.get("volumeName");
            match volumes.get(name.text()) {
                None => faults.not_found(&name),
                Some(volume) if volume["emptyDir"].is_null() => faults.invalid_text(&name, "referenced volume must be of type emptyDir"),
                Some(_) => {}
            }
        }
    });
}
