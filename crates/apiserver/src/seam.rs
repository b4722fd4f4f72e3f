//! Stand-ins until `show` lands.
use kinds::Resource;
use object::Value;
use serde_json::json;

pub(crate) fn table(_resource: &Resource, version: &str, items: &[Value], metadata: &Value) -> Value {
    let rows: Vec<Value> = items
        .iter()
        .map(
            |o| json!({"cells": [o["metadata"]["name"], o["metadata"]["creationTimestamp"]], "object": crate::answer::partial(o, version)}),
        )
        .collect();
    json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": if metadata.is_null() { json!({}) } else { metadata.clone() }, "columnDefinitions": [
        {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}, {"name": "Created At", "type": "date", "format": "", "description": "", "priority": 0}], "rows": rows})
}
pub(crate) fn table_event(resource: &Resource, version: &str, object: Value, _is_first: bool) -> Value {
    table(resource, version, &[object], &Value::Null)
}
pub(crate) fn table_bookmark(version: &str, metadata: &Value) -> Value {
    json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": {"resourceVersion": metadata["resourceVersion"]}, "columnDefinitions": null, "rows": [{"cells": null, "object": {"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata}}]})
}
