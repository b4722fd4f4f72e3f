//! Pods, their containers and volumes.

use jiff::Timestamp;
use object::quantity::Quantity;
use serde_json::{Value, json};

use super::{Rule, Tree, map, map_or_new, maps, set_absent, text};

pub(super) const RULES: &[(&str, Rule)] = &[
    ("Pod", pod),
    ("PodSpec", spec),
    ("PodStatus", status),
    ("Container", container),
    ("EphemeralContainer", container),
    ("Volume", volume),
    ("ResourceRequirements", requirements),
    ("LimitRangeItem", limit_range_item),
    ("NodeSpec", node_spec),
    ("NodeStatus", node_status),
    ("Namespace", namespace),
    ("ReplicationController", replication_controller),
];

/// What upstream does for a pod but not for a template.
fn pod(pod: &mut Tree, _: Timestamp) {
    let Some(spec) = map_or_new(pod, "spec") else { return };
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|s| s < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), Value::from(1));
    }
    let is_on_host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        for container in maps(spec, list) {
            requests_from_limits(container);
            if is_on_host_network {
                host_ports(container);
            }
        }
    }
    set_absent(spec, "enableServiceLinks", true);
}

fn requests_from_limits(container: &mut Tree) {
    let Some(resources) = map(container, "resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let Some(requests) = map_or_new(resources, "requests") else { return };
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
}

fn host_ports(container: &mut Tree) {
    for port in maps(container, "ports") {
        if port.get("hostPort").is_none_or(|p| p.as_i64() == Some(0))
            && let Some(number) = port.get("containerPort").cloned()
        {
            port.insert("hostPort".to_owned(), number);
        }
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are kept alike.
fn spec(spec: &mut Tree, _: Timestamp) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount"),
        name => name,
    };
    if !name.is_empty() {
        let name = Value::from(name);
        spec.insert("serviceAccountName".to_owned(), name.clone());
        spec.insert("serviceAccount".to_owned(), name);
    }
}

/// `podIP` is the first of `podIPs`; older kubelets send only the former, so it wins.
fn status(status: &mut Tree, _: Timestamp) {
    let one = text(status, "podIP").to_owned();
    let first = status.get("podIPs").and_then(|ips| ips[0]["ip"].as_str()).unwrap_or("").to_owned();
    let has_list = status.get("podIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if one.is_empty() && has_list {
        status.insert("podIP".to_owned(), Value::from(first));
    } else if !one.is_empty() && first != one {
        status.insert("podIPs".to_owned(), json!([{"ip": one}]));
    }
}

fn container(container: &mut Tree, _: Timestamp) {
    if text(container, "imagePullPolicy").is_empty() {
        let policy = pull_policy(text(container, "image"));
        container.insert("imagePullPolicy".to_owned(), Value::from(policy));
    }
}

/// `Always` for the tag `latest`, also when it is only meant; a digest is no tag.
pub(crate) fn pull_policy(image: &str) -> &'static str {
    // What is no reference has no tag that could move.
    if !image.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-/:@+".contains(&c)) {
        return "IfNotPresent";
    }
    let (name, has_digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or("");
    match last.split_once(':') {
        Some((_, tag)) => {
            if tag == "latest" {
                "Always"
            } else {
                "IfNotPresent"
            }
        }
        None if has_digest || image.is_empty() => "IfNotPresent",
        None => "Always",
    }
}

/// A volume without a source is an `emptyDir`.
fn volume(volume: &mut Tree, _: Timestamp) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(image) = map(volume, "image")
        && text(image, "pullPolicy").is_empty()
    {
        let policy = pull_policy(text(image, "reference"));
        image.insert("pullPolicy".to_owned(), Value::from(policy));
    }
}

/// Upstream: nothing finer than a thousandth is kept of a resource.
fn requirements(resources: &mut Tree, _: Timestamp) {
    for list in ["limits", "requests"] {
        for quantity in map(resources, list).into_iter().flat_map(|m| m.values_mut()) {
            round_to_millis(quantity);
        }
    }
}

fn round_to_millis(value: &mut Value) {
    let Some(text) = value.as_str().filter(|t| t.contains(['n', 'u', '.', 'e', 'E'])) else { return };
    let Ok(quantity) = Quantity::parse(text) else { return };
    let rounded = Quantity::from_millis(quantity.milli_value());
    if rounded != quantity && quantity.milli_value() != i64::MAX {
        *value = Value::from(rounded.to_string());
    }
}

/// Of a container's limits: default from max, default request from default, then from min.
fn limit_range_item(item: &mut Tree, _: Timestamp) {
    if text(item, "type") != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let Some(source) = item.get(from).and_then(Value::as_object).cloned() else { continue };
        let Some(target) = map_or_new(item, to) else { continue };
        for (name, quantity) in source {
            target.entry(name).or_insert(quantity);
        }
    }
}

/// `podCIDR` is the first of `podCIDRs`.
fn node_spec(spec: &mut Tree, _: Timestamp) {
    let first = spec.get("podCIDRs").and_then(|list| list[0].as_str()).unwrap_or("").to_owned();
    let one = text(spec, "podCIDR").to_owned();
    if one.is_empty() && !first.is_empty() {
        spec.insert("podCIDR".to_owned(), Value::from(first));
    } else if !one.is_empty() && one != first {
        spec.insert("podCIDRs".to_owned(), json!([one]));
    }
}

fn node_status(status: &mut Tree, _: Timestamp) {
    if let Some(capacity) = status.get("capacity").cloned() {
        set_absent(status, "allocatable", capacity);
    }
}

fn namespace(namespace: &mut Tree, _: Timestamp) {
    let Some(metadata) = map_or_new(namespace, "metadata") else { return };
    let name = text(metadata, "name").to_owned();
    if name.is_empty() {
        return;
    }
    if let Some(labels) = map_or_new(metadata, "labels") {
        labels.insert("kubernetes.io/metadata.name".to_owned(), Value::from(name));
    }
}

fn replication_controller(controller: &mut Tree, _: Timestamp) {
    let labels = controller.get("spec").map(|spec| spec["template"]["metadata"]["labels"].clone()).unwrap_or_default();
    if labels.as_object().is_none_or(|l| l.is_empty()) {
        return;
    }
    if let Some(spec) = map_or_new(controller, "spec")
        && spec.get("selector").and_then(Value::as_object).is_none_or(Tree::is_empty)
    {
        spec.insert("selector".to_owned(), labels.clone());
    }
    if let Some(metadata) = map_or_new(controller, "metadata")
        && metadata.get("labels").and_then(Value::as_object).is_none_or(Tree::is_empty)
    {
        metadata.insert("labels".to_owned(), labels);
    }
}
