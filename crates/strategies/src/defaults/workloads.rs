//! Every group but core.

use jiff::Timestamp;
use object::time;
use serde_json::{Value, json};

use super::{Rule, Tree, map, map_or_new, set_absent, text};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("apps.v1.DeploymentStrategy", deployment_strategy),
    ("apps.v1.DaemonSet", daemon_set),
    ("apps.v1.StatefulSetSpec", stateful_set),
    ("apps.v1.DaemonSetUpdateStrategy", daemon_set_strategy),
    ("apps.v1.StatefulSetUpdateStrategy", stateful_set_strategy),
    ("batch.v1.Job", job),
    ("networking.v1.NetworkPolicySpec", network_policy),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", autoscaler),
    ("core.v1.PersistentVolume", persistent_volume),
    ("rbac.v1.Subject", subject),
    ("resource.v1.ExactDeviceRequest", device_request),
    ("resource.v1.DeviceSubRequest", device_request),
    ("resource.v1.DeviceTaint", device_taint),
    ("apiextensions.v1.CustomResourceDefinition", custom_resource_definition),
];

/// Upstream: a field that the version no longer has is always shown as this annotation.
fn daemon_set(set: &mut Tree, _: Timestamp) {
    let Some(metadata) = map_or_new(set, "metadata") else { return };
    if let Some(annotations) = map_or_new(metadata, "annotations") {
        set_absent(annotations, "deprecated.daemonset.template.generation", "0");
    }
}

/// Upstream: claims in a set are whole objects and say what they are.
fn stateful_set(spec: &mut Tree, _: Timestamp) {
    for claim in spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(claim) = claim.as_object_mut() {
            claim.insert("apiVersion".to_owned(), Value::from("v1"));
            claim.insert("kind".to_owned(), Value::from("PersistentVolumeClaim"));
        }
    }
}

fn is_rolling(strategy: &Tree) -> bool {
    matches!(text(strategy, "type"), "" | "RollingUpdate")
}

fn deployment_strategy(strategy: &mut Tree, _: Timestamp) {
    if !is_rolling(strategy) {
        return;
    }
    if let Some(rolling) = map_or_new(strategy, "rollingUpdate") {
        set_absent(rolling, "maxUnavailable", "25%");
        set_absent(rolling, "maxSurge", "25%");
    }
}

fn daemon_set_strategy(strategy: &mut Tree, _: Timestamp) {
    if !is_rolling(strategy) {
        return;
    }
    if let Some(rolling) = map_or_new(strategy, "rollingUpdate") {
        set_absent(rolling, "maxUnavailable", 1);
        set_absent(rolling, "maxSurge", 0);
    }
}

/// Upstream: `rollingUpdate` comes only when the type was left out too.
fn stateful_set_strategy(strategy: &mut Tree, _: Timestamp) {
    if text(strategy, "type").is_empty() {
        strategy.insert("type".to_owned(), Value::from("RollingUpdate"));
        set_absent(strategy, "rollingUpdate", json!({}));
    }
    if text(strategy, "type") != "RollingUpdate" {
        return;
    }
    if let Some(rolling) = map(strategy, "rollingUpdate") {
        set_absent(rolling, "partition", 0);
        set_absent(rolling, "maxUnavailable", 1);
    }
}

/// Of a Job, not of the template in a CronJob.
fn job(job: &mut Tree, _: Timestamp) {
    let Some(spec) = map_or_new(job, "spec") else { return };
    if !spec.contains_key("parallelism") {
        set_absent(spec, "completions", 1);
        if spec.get("completions").is_some_and(|c| c.is_null()) {
            spec.remove("completions");
        }
        spec.insert("parallelism".to_owned(), Value::from(1));
    }
    let backoff_limit = if spec.contains_key("backoffLimitPerIndex") { i32::MAX } else { 6 };
    set_absent(spec, "backoffLimit", backoff_limit);
    set_absent(spec, "completionMode", "NonIndexed");
    set_absent(spec, "suspend", false);
    let replacement = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set_absent(spec, "podReplacementPolicy", replacement);
    set_absent(spec, "manualSelector", false);
}

fn network_policy(spec: &mut Tree, _: Timestamp) {
    if spec.get("policyTypes").and_then(Value::as_array).is_some_and(|types| !types.is_empty()) {
        return;
    }
    let has_egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    let types = if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    spec.insert("policyTypes".to_owned(), types);
}

fn autoscaler(spec: &mut Tree, _: Timestamp) {
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let cpu = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
        spec.insert("metrics".to_owned(), cpu);
    }
    let Some(behavior) = map(spec, "behavior") else { return };
    let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]});
    let down = json!({"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]});
    for (direction, defaults) in [("scaleUp", up), ("scaleDown", down)] {
        let Some(rules) = map_or_new(behavior, direction) else { continue };
        for (field, value) in defaults.as_object().into_iter().flatten() {
            if rules.get(field).is_none_or(Value::is_null) {
                rules.insert(field.clone(), value.clone());
            }
        }
    }
}

fn subject(subject: &mut Tree, _: Timestamp) {
    if text(subject, "apiGroup").is_empty() && matches!(text(subject, "kind"), "User" | "Group") {
        subject.insert("apiGroup".to_owned(), Value::from("rbac.authorization.k8s.io"));
    }
}

fn device_request(request: &mut Tree, _: Timestamp) {
    if text(request, "allocationMode").is_empty() {
        request.insert("allocationMode".to_owned(), Value::from("ExactCount"));
    }
    if text(request, "allocationMode") == "ExactCount" && request.get("count").is_none_or(|c| c.as_i64() == Some(0)) {
        request.insert("count".to_owned(), Value::from(1));
    }
}

fn device_taint(taint: &mut Tree, now: Timestamp) {
    if taint.get("timeAdded").is_none_or(Value::is_null) {
        taint.insert("timeAdded".to_owned(), Value::from(time::seconds(now)));
    }
}

/// Upstream: an attachment's inline volume of the same type gets none of it.
fn persistent_volume(volume: &mut Tree, _: Timestamp) {
    let Some(spec) = map_or_new(volume, "spec") else { return };
    if text(spec, "persistentVolumeReclaimPolicy").is_empty() {
        spec.insert("persistentVolumeReclaimPolicy".to_owned(), Value::from("Retain"));
    }
    let mode = spec.entry("volumeMode").or_insert(Value::Null);
    if mode.is_null() {
        *mode = Value::from("Filesystem");
    }
}

fn custom_resource_definition(definition: &mut Tree, _: Timestamp) {
    let Some(spec) = map_or_new(definition, "spec") else { return };
    let storage = spec.get("versions").and_then(Value::as_array).into_iter().flatten().find(|v| v["storage"] == true);
    let storage = storage.map(|version| version["name"].clone());
    if let Some(names) = map_or_new(spec, "names") {
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() && text(names, "singular").is_empty() {
            names.insert("singular".to_owned(), Value::from(kind.to_lowercase()));
        }
        if !kind.is_empty() && text(names, "listKind").is_empty() {
            names.insert("listKind".to_owned(), Value::from(format!("{kind}List")));
        }
    }
    let Some(status) = map_or_new(definition, "status") else { return };
    if status.get("storedVersions").and_then(Value::as_array).is_none_or(Vec::is_empty)
        && let Some(version) = storage
    {
        status.insert("storedVersions".to_owned(), json!([version]));
    }
}
