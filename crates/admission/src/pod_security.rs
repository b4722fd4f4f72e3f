//! PodSecurity: the Pod Security Standards, as a namespace's labels ask for them.
//!
//! `policy` reads the labels, `checks` holds the standards' rules by level and version; this file is the plugin.

mod checks;
mod policy;

use object::status::Status;
use object::{field, meta};
use serde_json::Value;

use crate::{Operation, Request, Scene};
pub use policy::{Level, Policy, Standard, Version};

/// Upstream: how many pods a change of a namespace's level looks at.
const PODS_CHECKED_MAX: usize = 3000;

pub(crate) fn validate(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(object) = new.filter(|_| matches!(request.operation, Operation::Create | Operation::Update)) else { return Ok(()) };
    match (request.resource.group.as_str(), request.resource.plural.as_str(), request.subresource) {
        ("", "namespaces", "") => validate_namespace(scene, request, old, object, warnings),
        ("", "pods", "" | "ephemeralcontainers" | "resize") => {
            if old.is_some_and(|old| !is_significant(old, object)) {
                return Ok(());
            }
            evaluate(scene, request, object, Enforce::Yes, warnings)
        }
        (_, _, "") => match template(request, object) {
            Some(template) => evaluate(scene, request, template, Enforce::No, warnings),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The pod template of a workload.
fn template<'a>(request: &Request<'_>, object: &'a Value) -> Option<&'a Value> {
    let pointer = match (request.resource.group.as_str(), request.resource.plural.as_str()) {
        ("", "podtemplates") => "/template",
        ("", "replicationcontrollers") | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets") | ("batch", "jobs") => {
            "/spec/template"
        }
        ("batch", "cronjobs") => "/spec/jobTemplate/spec/template",
        _ => return None,
    };
    object.pointer(pointer)
}

/// Templates only earn warnings: what makes pods of them is refused later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Enforce {
    Yes,
    No,
}

fn evaluate(scene: &Scene<'_>, request: &Request<'_>, pod: &Value, enforce: Enforce, warnings: &mut Vec<String>) -> Result<(), Status> {
    let Some(namespace) = scene.get("", "namespaces", "", request.namespace) else { return Ok(()) };
    let (policy, _) = Policy::of_labels(meta::labels(&namespace));
    if enforce == Enforce::Yes {
        let faults = checks::faults(policy.enforce, pod);
        if !faults.is_empty() {
            let cause = format!("violates PodSecurity \"{}\": {}", policy.enforce, checks::detailed(&faults));
            return Err(request.forbidden(Some(pod), cause));
        }
    }
    let faults = checks::faults(policy.warn, pod);
    if !faults.is_empty() {
        warnings.push(format!("would violate PodSecurity \"{}\": {}", policy.warn, checks::detailed(&faults)));
    }
    Ok(())
}

/// Only other images or containers can change what a running pod may do.
fn is_significant(old: &Value, new: &Value) -> bool {
    let list = |pod: &Value, name: &str| -> Vec<(Value, Value)> {
        pod["spec"][name].as_array().into_iter().flatten().map(|c| (c["name"].clone(), c["image"].clone())).collect()
    };
    let images = |pod: &Value, name: &str| -> Vec<Value> { list(pod, name).into_iter().map(|(_, image)| image).collect() };
    let before = list(old, "ephemeralContainers");
    ["containers", "initContainers"].iter().any(|name| images(old, name) != images(new, name))
        || list(new, "ephemeralContainers").iter().any(|container| !before.contains(container))
}

fn validate_namespace(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    namespace: &Value,
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let (policy, faults) = Policy::of_labels(meta::labels(namespace));
    let (before, old_faults) = match old {
        Some(old) => Policy::of_labels(meta::labels(old)),
        None => (Policy::default(), Vec::<field::Error>::new()),
    };
    if !faults.is_empty() && (old_faults.is_empty() || faults != old_faults) {
        return Err(Status::invalid(&request.resource.gvk(), meta::name(namespace), &faults));
    }
    let is_looser = policy.enforce.version == before.enforce.version && policy.enforce.level <= before.enforce.level;
    if request.operation == Operation::Update && policy.enforce.level != Level::Privileged && !is_looser {
        warnings.extend(existing_pods(scene, meta::name(namespace), policy.enforce));
    }
    Ok(())
}

/// What the pods that are already there would break.
fn existing_pods(scene: &Scene<'_>, namespace: &str, standard: Standard) -> Vec<String> {
    let pods = scene.list("", "pods", namespace);
    let n_pods = pods.len();
    let mut warnings = Vec::new();
    if n_pods > PODS_CHECKED_MAX {
        let text = format!("new PodSecurity enforce level only checked against the first {PODS_CHECKED_MAX} of {n_pods} existing pods");
        warnings.push(text);
    }
    // Per kind of fault: the first pod by name, and how many there are.
    let mut found: std::collections::BTreeMap<String, (String, usize)> = std::collections::BTreeMap::new();
    for pod in pods.iter().take(PODS_CHECKED_MAX) {
        let faults = checks::faults(standard, pod);
        if faults.is_empty() {
            continue;
        }
        let name = meta::name(pod).to_owned();
        let entry = found.entry(checks::reasons(&faults)).or_insert_with(|| (name.clone(), 0));
        entry.1 += 1;
        if name < entry.0 {
            entry.0 = name;
        }
    }
    if !found.is_empty() {
        warnings.push(format!("existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{standard}\""));
    }
    let mut lines: Vec<String> = found
        .into_iter()
        .map(|(reason, (name, n))| match n {
            1 => format!("{name}: {reason}"),
            2 => format!("{name} (and 1 other pod): {reason}"),
            n => format!("{name} (and {} other pods): {reason}", n - 1),
        })
        .collect();
    lines.sort();
    warnings.extend(lines);
    warnings
}
