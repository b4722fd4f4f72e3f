//! `as=Table`: objects as the rows that kubectl prints.

use kinds::Resource;
use object::Value;
use object::status::Status;
use registry::Registry;
use serde_json::json;

use crate::answer;

/// What stands beside a row's cells (`includeObject`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    Nothing,
    #[default]
    Metadata,
    Object,
}

impl Include {
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        match text {
            "" | "Metadata" => Ok(Include::Metadata),
            "None" => Ok(Include::Nothing),
            "Object" => Ok(Include::Object),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// The version of `meta.k8s.io` that the table is in, and what its rows hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) version: &'static str,
    pub(crate) include: Include,
}

/// What the columns of a kind are.
pub(crate) fn definitions(resource: &Resource) -> Value {
    show::column_definitions(show::columns(&resource.group, &resource.version, &resource.plural))
}

/// One object. In a watch only the first table says what its columns are.
pub(crate) fn of_one(registry: &Registry, resource: &Resource, style: Style, object: Value, is_first: bool) -> Value {
    let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
    let definitions = if is_first { definitions(resource) } else { Value::Null };
    table(style, definitions, rows(registry, resource, style, &[object], false), metadata)
}

/// A bookmark carries its revision in a row without cells.
pub(crate) fn of_bookmark(style: Style, metadata: &Value) -> Value {
    let object = answer::partial(&json!({"metadata": metadata}), style.version);
    let rows = json!([{"cells": null, "object": object}]);
    table(style, Value::Null, rows, json!({"resourceVersion": metadata["resourceVersion"]}))
}

fn table(style: Style, definitions: Value, rows: Value, metadata: Value) -> Value {
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{}", style.version), "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// The rows of a list, or of one object.
pub(crate) fn rows(registry: &Registry, resource: &Resource, style: Style, objects: &[Value], is_list: bool) -> Value {
    let now = registry.clock().now();
    let objects: Vec<&Value> = objects.iter().collect();
    let shown = show::rows(&resource.group, &resource.plural, &objects, is_list, now);
    let rows = shown.into_iter().map(|row| {
        let mut value = json!({"cells": row.cells});
        if !row.conditions.is_null() {
            value["conditions"] = row.conditions;
        }
        match style.include {
            Include::Nothing => value["object"] = Value::Null,
            Include::Metadata => value["object"] = answer::partial(objects[row.object_idx], style.version),
            Include::Object => value["object"] = objects[row.object_idx].clone(),
        }
        value
    });
    rows.collect()
}
