//! Nodes, events, quotas and the API's own objects.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::{condition, has_condition, is_true, joined, list, name, named, number, number_cell, or_else, text, text_cell};
use crate::age::{age, since};

pub(super) fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let info = &node["status"]["nodeInfo"];
    let mut status = match condition(node, "Ready") {
        None => "Unknown",
        Some(c) if c["status"] == "True" => "Ready",
        Some(_) => "NotReady",
    }
    .to_owned();
    if is_true(&node["spec"]["unschedulable"]) {
        status.push_str(",SchedulingDisabled");
    }
    let mut kernel = info["kernelVersion"].as_str().filter(|t| !t.is_empty()).unwrap_or("<unknown>").to_owned();
    let architecture = text(&info["architecture"]);
    if !architecture.is_empty() {
        kernel.push_str(&format!(" ({architecture})"));
    }
    vec![
        name(node),
        Value::from(status),
        Value::from(roles(node)),
        Value::from(age(node, now)),
        text_cell(&info["kubeletVersion"]),
        address(node, "InternalIP"),
        address(node, "ExternalIP"),
        or_else(&info["osImage"], "<unknown>"),
        Value::from(kernel),
        or_else(&info["containerRuntimeVersion"], "<unknown>"),
    ]
}

fn address(node: &Value, ty: &str) -> Value {
    let found = list(&node["status"]["addresses"]).iter().find(|a| a["type"] == ty);
    found.map_or_else(|| Value::from("<none>"), |a| text_cell(&a["address"]))
}

fn roles(node: &Value) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in object::meta::labels(node).into_iter().flatten() {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => drop(roles.insert(role)),
            None if key == "kubernetes.io/role" && !text(value).is_empty() => drop(roles.insert(text(value))),
            _ => {}
        }
    }
    if roles.is_empty() { "<none>".to_owned() } else { joined(roles.into_iter(), ",") }
}

/// Both forms of an event: core's, and `events.k8s.io` with its fields renamed.
pub(super) fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let either = |core: &str, new: &str| if event[core].is_null() { &event[new] } else { &event[core] };
    let (first, last) = (either("firstTimestamp", "deprecatedFirstTimestamp"), either("lastTimestamp", "deprecatedLastTimestamp"));
    let (series, source) = (&event["series"], either("source", "deprecatedSource"));
    let first_seen = since(if first.is_null() { &event["eventTime"] } else { first }, now);
    let (last_seen, count) = if series.is_null() {
        let last_seen = if last.is_null() { first_seen.clone() } else { since(last, now) };
        (last_seen, number(either("count", "deprecatedCount")).max(1))
    } else {
        (since(&series["lastObservedTime"], now), number(&series["count"]))
    };
    let about = either("involvedObject", "regarding");
    let mut target = text(&about["kind"]).to_lowercase();
    if !text(&about["name"]).is_empty() {
        target = format!("{target}/{}", text(&about["name"]));
    }
    vec![
        Value::from(last_seen),
        text_cell(&event["type"]),
        text_cell(&event["reason"]),
        Value::from(target),
        text_cell(&about["fieldPath"]),
        Value::from(event_source(source, either("reportingComponent", "reportingController"), &event["reportingInstance"])),
        Value::from(text(either("message", "note")).trim()),
        Value::from(first_seen),
        Value::from(count),
        name(event),
    ]
}

fn event_source(source: &Value, controller: &Value, instance: &Value) -> String {
    let first = |a: &Value, b: &Value| if text(a).is_empty() { text(b).to_owned() } else { text(a).to_owned() };
    let (component, host) = (first(&source["component"], controller), first(&source["host"], instance));
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

pub(super) fn resource_quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in object["status"]["hard"].as_object().into_iter().flatten() {
        let used = object["status"]["used"][resource].as_str().unwrap_or("0");
        let line = format!("{resource}: {used}/{}", text(hard));
        if resource.starts_with("limits.") { limits.push(line) } else { requests.push(line) }
    }
    named(object, now, [requests, limits].map(|lines| Value::from(lines.join(", "))))
}

pub(super) fn component_status(object: &Value) -> Vec<Value> {
    let healthy = list(&object["conditions"]).iter().find(|c| c["type"] == "Healthy");
    let state = match healthy {
        None => "Unknown",
        Some(c) if c["status"] == "True" => "Healthy",
        Some(_) => "Unhealthy",
    };
    let detail = |field: &str| healthy.map_or_else(|| Value::from(""), |c| text_cell(&c[field]));
    vec![name(object), Value::from(state), detail("message"), detail("error")]
}

pub(super) fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = named(object, now, [number_cell(&object["value"]), Value::from(is_true(&object["globalDefault"]))]);
    cells.push(text_cell(&object["preemptionPolicy"]));
    cells
}

pub(super) fn flow_schema(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let mut cells = named(
        object,
        now,
        [
            text_cell(&spec["priorityLevelConfiguration"]["name"]),
            number_cell(&spec["matchingPrecedence"]),
            Value::from(spec["distinguisherMethod"]["type"].as_str().unwrap_or("<none>")),
        ],
    );
    cells.push(condition(object, "Dangling").map_or_else(|| Value::from("?"), |c| text_cell(&c["status"])));
    cells
}

pub(super) fn priority_level(object: &Value, now: Timestamp) -> Vec<Value> {
    let limited = &object["spec"]["limited"];
    let queuing = &limited["limitResponse"]["queuing"];
    let or_none = |value: &Value| if value.is_null() { Value::from("<none>") } else { value.clone() };
    named(
        object,
        now,
        [
            text_cell(&object["spec"]["type"]),
            or_none(&limited["nominalConcurrencyShares"]),
            or_none(&queuing["queues"]),
            or_none(&queuing["handSize"]),
            or_none(&queuing["queueLengthLimit"]),
        ],
    )
}

pub(super) fn storage_version_migration(object: &Value) -> Vec<Value> {
    let resource = &object["spec"]["resource"];
    let shown = object::key::GroupResource::new(text(&resource["group"]), text(&resource["resource"])).to_string();
    let is_state = |c: &&Value| c["status"] == "True" && matches!(text(&c["type"]), "Running" | "Failed" | "Succeeded");
    let state = list(&object["status"]["conditions"]).iter().rfind(is_state).map_or("Unknown", |c| text(&c["type"]));
    vec![name(object), Value::from(shown), Value::from(state)]
}

pub(super) fn api_service(object: &Value, now: Timestamp) -> Vec<Value> {
    let service = &object["spec"]["service"];
    let service =
        if service.is_null() { "Local".to_owned() } else { format!("{}/{}", text(&service["namespace"]), text(&service["name"])) };
    let available = condition(object, "Available").map_or_else(
        || "Unknown".to_owned(),
        |c| match (text(&c["status"]), text(&c["reason"])) {
            ("True", _) => "True".to_owned(),
            (status, "") => status.to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    );
    named(object, now, [Value::from(service), Value::from(available)])
}

pub(super) fn custom_resource_definition(object: &Value) -> Vec<Value> {
    let spec = &object["spec"];
    let served = list(&spec["versions"]).iter().filter(|v| is_true(&v["served"]));
    let mut versions: Vec<String> =
        served.map(|v| format!("{}{}", text(&v["name"]), if is_true(&v["storage"]) { "(storage)" } else { "" })).collect();
    versions.sort();
    vec![
        name(object),
        text_cell(&spec["scope"]),
        Value::from(versions.join(",")),
        text_cell(&object["metadata"]["creationTimestamp"]),
        text_cell(&spec["group"]),
        text_cell(&spec["names"]["kind"]),
        Value::from(joined(list(&spec["names"]["shortNames"]).iter().map(text), ",")),
        Value::from(has_condition(object, "Established")),
    ]
}
