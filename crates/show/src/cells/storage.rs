//! Volumes, classes, drivers and devices.

use jiff::Timestamp;
use serde_json::Value;

use super::{is_true, joined, list, name, named, text, text_cell};
use crate::age::{age, since};

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn phase(object: &Value) -> Value {
    let is_going = !object["metadata"]["deletionTimestamp"].is_null();
    if is_going { Value::from("Terminating") } else { text_cell(&object["status"]["phase"]) }
}

fn unset(value: &Value) -> Value {
    Value::from(value.as_str().unwrap_or("<unset>"))
}

fn class(object: &Value) -> Value {
    let old = &object["metadata"]["annotations"][BETA_CLASS];
    text_cell(if old.is_string() { old } else { &object["spec"]["storageClassName"] })
}

fn access_modes(modes: &Value) -> Value {
    let has = |mode: &str| list(modes).iter().any(|m| m == mode);
    let short = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    Value::from(joined(short.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short), ","))
}

pub(super) fn persistent_volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let claim = &spec["claimRef"];
    let claim = if claim.is_null() { String::new() } else { format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])) };
    vec![
        name(object),
        Value::from(spec["capacity"]["storage"].as_str().unwrap_or("0")),
        access_modes(&spec["accessModes"]),
        text_cell(&spec["persistentVolumeReclaimPolicy"]),
        phase(object),
        Value::from(claim),
        class(object),
        unset(&spec["volumeAttributesClassName"]),
        text_cell(&object["status"]["reason"]),
        Value::from(age(object, now)),
        unset(&spec["volumeMode"]),
    ]
}

pub(super) fn persistent_volume_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let is_bound = !text(&spec["volumeName"]).is_empty();
    let bound = |cell: Value| if is_bound { cell } else { Value::from("") };
    vec![
        name(object),
        phase(object),
        text_cell(&spec["volumeName"]),
        bound(Value::from(status["capacity"]["storage"].as_str().unwrap_or("0"))),
        bound(access_modes(&status["accessModes"])),
        class(object),
        unset(&spec["volumeAttributesClassName"]),
        Value::from(age(object, now)),
        unset(&spec["volumeMode"]),
    ]
}

pub(super) fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    named(
        object,
        now,
        [
            text_cell(&object["provisioner"]),
            Value::from(object["reclaimPolicy"].as_str().unwrap_or("Delete")),
            Value::from(object["volumeBindingMode"].as_str().unwrap_or("Immediate")),
            Value::from(is_true(&object["allowVolumeExpansion"])),
        ],
    )
}

pub(super) fn volume_attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    named(
        object,
        now,
        [
            text_cell(&spec["attacher"]),
            text_cell(&spec["source"]["persistentVolumeName"]),
            text_cell(&spec["nodeName"]),
            Value::from(is_true(&object["status"]["attached"])),
        ],
    )
}

pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let modes = joined(list(&spec["volumeLifecycleModes"]).iter().map(text), ",");
    let token_requests = match &spec["tokenRequests"] {
        Value::Null => "<unset>".to_owned(),
        requests => joined(list(requests).iter().map(|r| text(&r["audience"])), ","),
    };
    named(
        object,
        now,
        [
            Value::from(spec["attachRequired"].as_bool().unwrap_or(true)),
            Value::from(is_true(&spec["podInfoOnMount"])),
            Value::from(is_true(&spec["storageCapacity"])),
            Value::from(token_requests),
            Value::from(is_true(&spec["requiresRepublish"])),
            Value::from(if modes.is_empty() { "<none>".to_owned() } else { modes }),
        ],
    )
}

pub(super) fn resource_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let is_going = !object["metadata"]["deletionTimestamp"].is_null();
    let is_allocated = !object["status"]["allocation"].is_null();
    let states = [
        (is_going, "deleted"),
        (!is_allocated && !is_going, "pending"),
        (is_allocated, "allocated"),
        (is_allocated && !list(&object["status"]["reservedFor"]).is_empty(), "reserved"),
    ];
    named(object, now, [Value::from(joined(states.iter().filter(|(holds, _)| *holds).map(|(_, state)| *state), ","))])
}

pub(super) fn resource_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    named(object, now, [&spec["nodeName"], &spec["driver"], &spec["pool"]["name"]].map(text_cell))
}

pub(super) fn device_taint_rule(object: &Value, now: Timestamp) -> Vec<Value> {
    let taint = &object["spec"]["taint"];
    let added = &taint["timeAdded"];
    let added = if added.is_null() { String::new() } else { since(added, now) };
    let [key, value, effect] = [&taint["key"], &taint["value"], &taint["effect"]].map(text_cell);
    named(object, now, [key, value, effect, Value::from(added)])
}
