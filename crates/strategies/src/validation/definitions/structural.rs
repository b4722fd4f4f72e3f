//! Structural schemas: the type of every field stands outside of `allOf`, `anyOf`, `oneOf` and `not`.

use serde_json::{Value, json};

use crate::check::{At, Faults};

const JUNCTORS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Upstream sorts what it finds by its text.
pub(super) fn validate(root: &At<'_>, faults: &mut Faults) {
    let mut found = Faults::default();
    validate_invariants(root, Level::Root, &mut found);
    validate_completeness(root, root, &mut found);
    found.0.sort_by_key(ToString::to_string);
    faults.0.append(&mut found.0);
}

/// Why a schema has no structural form at all.
pub(super) fn unsupported(schema: &Value) -> Option<&'static str> {
    if !schema.is_object() {
        return None;
    }
    let is_set = |field: &str| match &schema[field] {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    for (field, text) in [
        ("id", "OpenAPIV3Schema 'id' is not supported"),
        ("$schema", "OpenAPIV3Schema 'schema' is not supported"),
        ("$ref", "OpenAPIV3Schema '$ref' is not supported"),
        ("patternProperties", "OpenAPIV3Schema 'patternProperties' is not supported"),
        ("dependencies", "OpenAPIV3Schema 'dependencies' is not supported"),
        ("additionalItems", "OpenAPIV3Schema 'additionalItems' is not supported"),
        ("definitions", "OpenAPIV3Schema 'definitions' is not supported"),
    ] {
        if is_set(field) {
            return Some(text);
        }
    }
    let nested = JUNCTORS.into_iter().flat_map(|junctor| schema[junctor].as_array().into_iter().flatten());
    if let Some(text) = unsupported(&schema["not"]).or_else(|| nested.into_iter().find_map(unsupported)) {
        return Some(text);
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        return Some("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined");
    }
    if schema["items"].is_array() {
        return Some("OpenAPIV3Schema 'items' must be a schema, but is an array");
    }
    let properties = schema["properties"].as_object().into_iter().flat_map(|properties| properties.values());
    unsupported(&schema["items"])
        .or_else(|| properties.into_iter().find_map(unsupported))
        .or_else(|| unsupported(&schema["additionalProperties"]))
}

fn validate_invariants(schema: &At<'_>, level: Level, faults: &mut Faults) {
    let (kind, items, properties, additional) =
        (schema.get("type"), schema.get("items"), schema.get("properties"), schema.get("additionalProperties"));
    let (embedded, preserves, mixed) = (
        schema.get("x-kubernetes-embedded-resource"),
        schema.get("x-kubernetes-preserve-unknown-fields"),
        schema.get("x-kubernetes-int-or-string"),
    );
    if kind == "array" && !items.is_set() {
        faults.required(&items, "must be specified");
    }
    if items.is_set() {
        validate_invariants(&items, Level::Item, faults);
    }
    for (_, property) in properties.entries() {
        validate_invariants(&property, Level::Field, faults);
    }
    if additional.is_set() && level == Level::Root {
        faults.forbidden(&additional, "must not be used at the root");
    }
    if additional.value.is_object() {
        validate_invariants(&additional, Level::Field, faults);
    }
    for flag in [&preserves, &embedded] {
        if mixed.is_true() && flag.is_true() {
            faults.invalid(flag, "must be false if x-kubernetes-int-or-string is true");
        }
    }
    let pattern = json!([{"type": "integer"}, {"type": "string"}]);
    let skip = Skip { any_of: schema.value["anyOf"] == pattern, first_any_of: schema.value["allOf"][0]["anyOf"] == pattern };
    validate_values(schema, skip, faults);
    validate_type(schema, level, faults);
    let is_resource = level == Level::Root || embedded.is_true();
    for name in ["kind", "apiVersion"] {
        let property = properties.key(name);
        if is_resource && property.is_set() && property.get("type") != "string" {
            faults.invalid_text(&property.get("type"), "must be string");
        }
    }
    let metadata = properties.key("metadata");
    if metadata.is_set() {
        validate_metadata(&metadata, is_resource, level, faults);
    }
    if embedded.is_true() && !preserves.is_true() && properties.is_empty() {
        faults.required(
            &properties,
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        );
    }
}

fn validate_type(schema: &At<'_>, level: Level, faults: &mut Faults) {
    const EMBEDDED: &str = "must be object if x-kubernetes-embedded-resource is true";
    let (kind, embedded) = (schema.get("type"), schema.get("x-kubernetes-embedded-resource"));
    let is_free = ["x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"].iter().any(|flag| schema.get(flag).is_true());
    if embedded.is_true() && kind != "object" {
        if kind.has_text() {
            faults.invalid_text(&kind, EMBEDDED);
        } else {
            faults.required(&kind, EMBEDDED);
        }
    } else if !kind.has_text() && !is_free {
        let place = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        faults.required(&kind, format!("must not be empty {place}"));
    }
    if embedded.is_true() && schema.get("additionalProperties").is_set() {
        faults.forbidden(&schema.get("additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set");
    }
    if level == Level::Root && kind.has_text() && kind != "object" {
        faults.invalid_text(&kind, "must be object at the root");
    }
}

fn validate_metadata(metadata: &At<'_>, is_resource: bool, level: Level, faults: &mut Faults) {
    if is_resource && metadata.get("type") != "object" {
        faults.invalid_text(&metadata.get("type"), "must be object");
    }
    let is_plain = |field: &str, value: &Value| match field {
        "type" | "default" => true,
        "properties" => value.as_object().is_some_and(|p| p.keys().all(|name| matches!(name.as_str(), "name" | "generateName"))),
        _ => false,
    };
    if level == Level::Root && metadata.value.as_object().is_some_and(|fields| !fields.iter().all(|(field, value)| is_plain(field, value)))
    {
        faults.forbidden(metadata, "must not specify anything other than name and generateName, but metadata is implicitly specified");
    }
}

/// Where the types of an int-or-string may stand.
#[derive(Clone, Copy, Default)]
struct Skip {
    any_of: bool,
    first_any_of: bool,
}

fn validate_values(schema: &At<'_>, skip: Skip, faults: &mut Faults) {
    for junctor in JUNCTORS {
        for (i, nested) in schema.get(junctor).items().enumerate() {
            match junctor {
                "anyOf" if skip.any_of => {}
                "allOf" => validate_nested(&nested, Skip { any_of: skip.first_any_of && i == 0, first_any_of: false }, faults),
                _ => validate_nested(&nested, Skip::default(), faults),
            }
        }
    }
    validate_nested(&schema.get("not"), Skip::default(), faults);
}

fn validate_nested(schema: &At<'_>, skip: Skip, faults: &mut Faults) {
    if !schema.is_set() {
        return;
    }
    validate_values(schema, skip, faults);
    validate_nested(&schema.get("items"), Skip::default(), faults);
    for (_, property) in schema.get("properties").entries() {
        validate_nested(&property, Skip::default(), faults);
    }
    for (field, what) in [
        ("type", "empty"),
        ("additionalProperties", "undefined"),
        ("default", "undefined"),
        ("title", "empty"),
        ("description", "empty"),
        ("nullable", "false"),
        ("x-kubernetes-preserve-unknown-fields", "false"),
        ("x-kubernetes-embedded-resource", "false"),
        ("x-kubernetes-int-or-string", "false"),
        ("x-kubernetes-list-map-keys", "empty"),
        ("x-kubernetes-list-type", "undefined"),
        ("x-kubernetes-map-type", "undefined"),
        ("x-kubernetes-validations", "empty"),
    ] {
        let at = schema.get(field);
        let is_empty =
            matches!(at.value, Value::Null | Value::Bool(false)) || *at.value == "" || at.list().is_empty() && at.value.is_array();
        if !is_empty {
            faults.forbidden(&at, format!("must be {what} to be structural"));
        }
    }
    let metadata = schema.get("properties").key("metadata");
    if metadata.is_set() {
        faults.forbidden(&metadata, "must not be specified in a nested context");
    }
}

/// What `values` restricts must be there in `schema`.
fn validate_completeness(values: &At<'_>, schema: &At<'_>, faults: &mut Faults) {
    validate_counterpart(&values.get("not"), schema, faults);
    for junctor in JUNCTORS {
        for nested in values.get(junctor).items() {
            validate_counterpart(&nested, schema, faults);
        }
    }
}

fn validate_counterpart(values: &At<'_>, schema: &At<'_>, faults: &mut Faults) {
    if !values.is_set() {
        return;
    }
    if !schema.is_set() {
        return faults.required(schema, format!("because it is defined in {}", values.path()));
    }
    validate_completeness(values, schema, faults);
    validate_counterpart(&values.get("items"), &schema.get("items"), faults);
    for (name, property) in values.get("properties").entries() {
        validate_counterpart(&property, &schema.get("properties").key(name), faults);
    }
}
