//! What writes of pods reset and fill in.

use object::quantity::Quantity;
use object::{Map, meta};
use serde_json::{Value, json};

use super::quality;
use crate::Context;
use crate::reset::{take, unset};
use crate::validation::pods::{APP_ARMOR, APP_ARMOR_PROFILE_MAX};

pub(super) fn create(pod: &mut Value, _: &Context<'_>) {
    pod["status"] = json!({"phase": "Pending"});
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates"}]);
    }
    merge_label_keys(pod);
    copy_app_armor(pod);
    default_pod_resources(pod);
    pod["status"]["qosClass"] = Value::from(quality::class_of(pod));
}

pub(super) fn update(subresource: &str, old: &Value, pod: &mut Value, _: &Context<'_>) {
    match subresource {
        "" => keep_pod_resources(old, pod),
        "status" => keep_status_parts(old, pod),
        "ephemeralcontainers" => keep_all_but(old, pod, &["ephemeralContainers"]),
        "resize" => {
            keep_all_but_resources(old, pod);
            keep_pod_resources(old, pod);
            default_pod_resources(pod);
        }
        _ => {}
    }
}

fn keep_pod_resources(old: &Value, pod: &mut Value) {
    if pod["spec"].get("resources").is_none() && old["spec"].get("resources").is_some() {
        take(&mut pod["spec"], "resources", &old["spec"]);
    }
}

/// Kubelets of older versions send no such fields; they must not be lost by that.
fn keep_status_parts(old: &Value, pod: &mut Value) {
    meta::unset(pod, "deletionTimestamp");
    take(&mut pod["metadata"], "ownerReferences", &old["metadata"]);
    if let Some(at) = meta::deletion_timestamp(old) {
        // The engine keeps a deletion that is under way; upstream clears and refills it the same way.
        meta::set(pod, "deletionTimestamp", at);
    }
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    for field in
        ["qosClass", "resourceClaimStatuses", "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses", "observedGeneration"]
    {
        let is_unset = match &pod["status"][field] {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Number(n) => n.as_i64() == Some(0),
            _ => false,
        };
        if is_unset {
            take(&mut pod["status"], field, &old["status"]);
        }
    }
    keep_condition_generations(&old["status"]["conditions"], &mut pod["status"]);
}

fn keep_condition_generations(old: &Value, status: &mut Value) {
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let before = old.as_array().into_iter().flatten().find(|o| o["type"] == condition["type"]);
        let is_unset = condition["observedGeneration"].as_i64().unwrap_or(0) == 0;
        match before.and_then(|b| b.get("observedGeneration")) {
            Some(generation) if is_unset => condition["observedGeneration"] = generation.clone(),
            _ if is_unset => unset(condition, "observedGeneration"),
            _ => {}
        }
    }
}

/// Metadata, status and spec as they were, but for some fields of the spec.
fn keep_all_but(old: &Value, pod: &mut Value, fields: &[&str]) {
    let sent = pod["spec"].take();
    pod["spec"] = old["spec"].clone();
    for field in fields {
        take(&mut pod["spec"], field, &sent);
    }
    take(pod, "status", old);
    for field in ["deletionTimestamp", "generation", "labels", "annotations", "finalizers", "ownerReferences"] {
        take(&mut pod["metadata"], field, &old["metadata"]);
    }
}

/// A resize whose containers do not line up is left as sent, for validation to refuse.
fn keep_all_but_resources(old: &Value, pod: &mut Value) {
    let names =
        |pod: &Value, list: &str| -> Vec<Value> { pod["spec"][list].as_array().into_iter().flatten().map(|c| c["name"].clone()).collect() };
    if ["containers", "initContainers"].iter().any(|list| names(old, list).len() != names(pod, list).len()) {
        return;
    }
    let sent = pod["spec"].clone();
    keep_all_but(old, pod, &["resources"]);
    for list in ["containers", "initContainers"] {
        if names(old, list) != names(&json!({"spec": sent}), list) {
            take(&mut pod["spec"], list, &sent);
            continue;
        }
        let sent = sent[list].as_array().into_iter().flatten();
        for (container, sent) in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().zip(sent) {
            take(container, "resources", sent);
            take(container, "resizePolicy", sent);
        }
    }
}

/// `matchLabelKeys` become requirements of the term's selector, from the pod's own labels.
fn merge_label_keys(pod: &mut Value) {
    let labels = meta::labels(pod).cloned().unwrap_or_default();
    let spec = &mut pod["spec"];
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.get_mut("affinity").and_then(|a| a.get_mut(kind)) else { continue };
        for term in list_mut(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = term.get_mut("podAffinityTerm") {
                merge_keys_of(term, &labels);
            }
        }
        list_mut(affinity, "requiredDuringSchedulingIgnoredDuringExecution").for_each(|term| merge_keys_of(term, &labels));
    }
    list_mut(spec, "topologySpreadConstraints").for_each(|constraint| merge_keys_of(constraint, &labels));
}

fn list_mut<'a>(parent: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    parent.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

fn merge_keys_of(term: &mut Value, labels: &Map<String, Value>) {
    if !term["labelSelector"].is_object() {
        return;
    }
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys: Vec<String> = list_mut(term, list).filter_map(|k| k.as_str().map(str::to_owned)).collect();
        for key in keys {
            let Some(value) = labels.get(&key) else { continue };
            let requirement = json!({"key": key, "operator": operator, "values": [value]});
            match &mut term["labelSelector"]["matchExpressions"] {
                Value::Array(expressions) => expressions.push(requirement),
                none => *none = json!([requirement]),
            }
        }
    }
}

/// Resources of the pod as a whole, when it states some: hugepage limits and requests from its containers, then requests from limits.
fn default_pod_resources(pod: &mut Value) {
    let spec = &mut pod["spec"];
    let whole = &spec["resources"];
    let is_set = |list: &Value| list.as_object().is_some_and(|l| !l.is_empty());
    if !is_set(&whole["requests"]) && !is_set(&whole["limits"]) {
        return;
    }
    let (mut requests, mut limits) = (map_of(&whole["requests"]), map_of(&whole["limits"]));
    for (name, amount) in aggregate(spec, "limits") {
        if name.starts_with("hugepages-") && !requests.contains_key(&name) {
            limits.entry(name).or_insert(amount);
        }
    }
    for (name, amount) in aggregate(spec, "requests") {
        if matches!(name.as_str(), "cpu" | "memory") {
            requests.entry(name).or_insert(amount);
        }
    }
    for (name, amount) in &limits {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            requests.entry(name.clone()).or_insert(amount.clone());
        }
    }
    for (list, map) in [("requests", requests), ("limits", limits)] {
        if !map.is_empty() {
            spec["resources"][list] = Value::Object(map);
        }
    }
}

/// The old annotation becomes the field, unless it says nothing that can be read or only what the pod says as a whole.
fn copy_app_armor(pod: &mut Value) {
    if pod["spec"]["os"]["name"] == "windows" {
        return;
    }
    let annotations = pod["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    let of_pod = pod["spec"]["securityContext"]["appArmorProfile"].clone();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list_mut(&mut pod["spec"], list) {
            let name = container["name"].as_str().unwrap_or("");
            let Some(profile) = annotations.get(&format!("{APP_ARMOR}{name}")).and_then(Value::as_str).and_then(app_armor_profile) else {
                continue;
            };
            let own = container.get("securityContext").and_then(|context| context.get("appArmorProfile"));
            if own.is_none_or(Value::is_null) && profile != of_pod {
                container["securityContext"]["appArmorProfile"] = profile;
            }
        }
    }
}

/// The field that says what an annotation says; none where it would not be a valid one.
pub(crate) fn app_armor_profile(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        _ => {
            let file = annotation.strip_prefix("localhost/")?;
            let is_valid = !file.is_empty() && file.trim() == file && file.len() <= APP_ARMOR_PROFILE_MAX;
            is_valid.then(|| json!({"type": "Localhost", "localhostProfile": file}))
        }
    }
}

fn map_of(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// What the containers need together: all ordinary ones and sidecars at once, each init container beside the sidecars before it.
fn aggregate(spec: &Value, list: &str) -> Map<String, Value> {
    let amounts = |container: &Value| -> Vec<(String, Quantity)> {
        let parsed = |(name, text): (&String, &Value)| Some((name.clone(), Quantity::parse(text.as_str()?).ok()?));
        container["resources"][list].as_object().into_iter().flatten().filter_map(parsed).collect()
    };
    let mut total: std::collections::BTreeMap<String, Quantity> = std::collections::BTreeMap::new();
    let mut sidecars = total.clone();
    let mut peak = total.clone();
    for container in spec["containers"].as_array().into_iter().flatten() {
        for (name, amount) in amounts(container) {
            let sum = total.entry(name).or_insert(Quantity::ZERO);
            *sum = sum.plus(amount);
        }
    }
    for container in spec["initContainers"].as_array().into_iter().flatten() {
        let is_sidecar = container["restartPolicy"] == "Always";
        for (name, amount) in amounts(container) {
            let beside = sidecars.get(&name).copied().unwrap_or(Quantity::ZERO).plus(amount);
            if is_sidecar {
                sidecars.insert(name.clone(), beside);
            }
            let high = peak.entry(name).or_insert(Quantity::ZERO);
            *high = (*high).max(beside);
        }
    }
    for (name, amount) in sidecars {
        let sum = total.entry(name).or_insert(Quantity::ZERO);
        *sum = sum.plus(amount);
    }
    for (name, amount) in peak {
        let sum = total.entry(name).or_insert(Quantity::ZERO);
        *sum = (*sum).max(amount);
    }
    total.into_iter().map(|(name, amount)| (name, Value::from(amount.to_string()))).collect()
}
