//! Telling the API server how a pod stands, and deleting its object at last.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use object::key::ObjectKey;
use object::plan::{DeleteOptions, PatchKind};
use pod_plan::pod::BoundPod;
use serde_json::{Map, Value, json};

use client::{Api, Client, Error};

/// The patch that leads from what the API shows to what is so; `None` when they agree.
///
/// Conditions merge by type, so that those of others stay. All other lists are replaced whole.
pub(crate) fn patch(shown: &PodStatus, status: &PodStatus, uid: &str) -> Option<Value> {
    let (old, new) = (tree(shown), tree(status));
    let mut changes = Map::new();
    for (field, value) in &new {
        if old.get(field) == Some(value) {
            continue;
        }
        let change = match (field.as_str(), value) {
            ("conditions", Value::Array(conditions)) => changed_conditions(old.get("conditions"), conditions),
            ("podIPs", Value::Array(ips)) => {
                let mut list = vec![json!({"$patch": "replace"})];
                list.extend(ips.iter().cloned());
                Value::Array(list)
            }
            _ => value.clone(),
        };
        changes.insert(field.clone(), change);
    }
    for field in old.keys().filter(|field| !new.contains_key(*field) && is_ours(field)) {
        changes.insert(field.clone(), Value::Null);
    }
    (!changes.is_empty()).then(|| json!({"metadata": {"uid": uid}, "status": changes}))
}

/// Without what says nothing: nulls, empty maps and lists. Servers and typed views differ in whether they write those.
fn tree(status: &PodStatus) -> Map<String, Value> {
    match serde_json::to_value(status).map(trimmed) {
        Ok(Some(Value::Object(map))) => map,
        _ => Map::new(),
    }
}

fn trimmed(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(map) => {
            let map: Map<String, Value> = map.into_iter().filter_map(|(key, value)| Some((key, trimmed(value)?))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        Value::Array(list) => {
            let list: Vec<Value> = list.into_iter().filter_map(trimmed).collect();
            (!list.is_empty()).then_some(Value::Array(list))
        }
        other => Some(other),
    }
}

/// Fields that the node writes; others keep what they have.
fn is_ours(field: &str) -> bool {
    const OURS: [&str; 10] = [
        "reason",
        "message",
        "podIP",
        "podIPs",
        "startTime",
        "initContainerStatuses",
        "containerStatuses",
        "ephemeralContainerStatuses",
        "resources",
        "allocatedResources",
    ];
    OURS.contains(&field)
}

/// A condition merges with the one of its type: what it no longer says has to be taken away.
fn changed_conditions(old: Option<&Value>, new: &[Value]) -> Value {
    let old = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let changed = new.iter().filter(|c| !old.contains(c)).map(|condition| {
        let mut condition = condition.clone();
        for field in ["reason", "message"] {
            if condition[field].is_null() {
                condition[field] = Value::Null;
            }
        }
        condition
    });
    let is_there = |gone: &Value| new.iter().any(|c| c["type"] == gone["type"]);
    let gone = old.iter().filter(|c| is_transient(c) && !is_there(c));
    let gone = gone.map(|c| json!({"$patch": "delete", "type": c["type"]}));
    Value::Array(changed.chain(gone).collect())
}

/// Of the node's own conditions only these go away again.
fn is_transient(condition: &Value) -> bool {
    matches!(condition["type"].as_str(), Some("PodResizePending" | "PodResizeInProgress"))
}

pub(crate) async fn send(client: &Client, pod: &BoundPod, patch: &Value) -> Result<Pod, Error> {
    let key = ObjectKey::new(&pod.namespace, &pod.name);
    Api::<Pod>::new(client).patch(&key, "status", PatchKind::Strategic, patch).await
}

/// Nothing of it is left here. An object of the same name but another uid is left alone.
pub(crate) async fn delete(client: &Client, pod: &BoundPod) -> Result<(), Error> {
    let key = ObjectKey::new(&pod.namespace, &pod.name);
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::only(pod.uid.clone()) };
    match Api::<Pod>::new(client).delete(&key, &options).await {
        Err(e) if e.is_not_found() || e.is_conflict() => Ok(()),
        answer => answer.map(drop),
    }
}
