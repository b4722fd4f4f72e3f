//! Stories of several managers as a kube-apiserver 1.37.1 told them (`golden/apply.jsonl`): each step starts from upstream's last answer.

use jiff::Timestamp;
use kinds::TypeId;
use serde_json::{Value, json};

use super::{OneVersion, Writer, apply, track};

fn type_of(path: &str) -> (TypeId, String) {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version) = if parts[0] == "api" { ("", parts[1]) } else { (parts[1], parts[2]) };
    let resource = kinds::builtin().resource(group, version, parts[parts.len() - 1]).expect("a built-in resource");
    (resource.type_id, resource.gvk().api_version())
}

/// Entries without the moment of their writing, in one order.
fn entries(object: &Value) -> Vec<Value> {
    let mut entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    for entry in &mut entries {
        entry["time"] = json!(!entry["time"].is_null());
    }
    entries.sort_by_key(Value::to_string);
    entries
}

/// Every leaf of `part` is in `whole`; nulls and empty maps are nothing.
fn is_within(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Null, _) => true,
        (Value::Object(part), _) => part.iter().all(|(key, value)| is_within(value, &whole[key])),
        (Value::Array(part), Value::Array(whole)) => part.len() == whole.len() && part.iter().zip(whole).all(|(p, w)| is_within(p, w)),
        (Value::Array(part), Value::Null) => part.is_empty(),
        (part, whole) => part == whole,
    }
}

#[test]
fn managers_come_to_own_what_upstream_says() {
    let mut now: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a time");
    let mut last = Value::Null;
    for line in include_str!("../../golden/apply.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("a golden line is JSON");
        now += jiff::SignedDuration::from_secs(1);
        let (type_id, api_version) = type_of(case["path"].as_str().expect("a path"));
        let reset: Vec<&str> = case["reset"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let manager = case["manager"].as_str().unwrap_or("");
        let subresource = case["subresource"].as_str().unwrap_or("");
        let writer = Writer { manager, subresource, api_version: &api_version, versions: &OneVersion, now, reset: &reset };
        let before = (case["new"] == false).then_some(&last);
        let shown = format!("{} {} {}", case["scenario"], case["op"], case["manager"]);
        let result = if case["op"] == "apply" {
            apply(kinds::builtin(), type_id, before, &case["object"], &writer, case["force"] == true)
        } else {
            let mut after = case["want"].clone();
            after["metadata"]["managedFields"] = match before {
                _ if case["resets"] == true => json!([]),
                Some(before) => before["metadata"]["managedFields"].clone(),
                None => Value::Null,
            };
            track(kinds::builtin(), type_id, before, &mut after, &writer);
            Ok(after)
        };
        match result {
            Err(error) => {
                let status = error.to_status();
                assert_eq!(
                    (json!(status.code), json!(status.message)),
                    (case["status"]["code"].clone(), case["status"]["message"].clone()),
                    "{shown}"
                );
                assert_eq!(status.details["causes"], case["status"]["details"]["causes"], "{shown}");
            }
            Ok(got) => {
                assert_eq!(entries(&got), entries(&case["want"]), "{shown}");
                let mut plain = got.clone();
                plain["metadata"]["managedFields"].take();
                plain["metadata"]["generation"].take();
                assert!(case["op"] != "apply" || is_within(&plain, &case["want"]), "{shown}\n{got}\n{}", case["want"]);
            }
        }
        if !case["want"].is_null() {
            last = case["want"].clone();
            // The recording's clock and this one must not cross.
            for entry in last["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
                if !entry["time"].is_null() {
                    entry["time"] = json!(entry["time"].as_str().expect("a time").replace("2026-", "2025-"));
                }
            }
        }
    }
}
