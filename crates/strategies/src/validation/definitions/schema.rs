//! What upstream takes of OpenAPI v3 in a definition's schema, and its own extensions.

use std::collections::HashSet;

use serde_json::Value;

use super::{field_path, structural};
use crate::check::{At, Faults};

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];
/// What may stand at the root when `status` is a subresource, as upstream calls it and as it is written.
const ROOT_FIELDS: &[(&str, &str)] = &[
    ("Description", "description"),
    ("Type", "type"),
    ("Format", "format"),
    ("Title", "title"),
    ("Maximum", "maximum"),
    ("ExclusiveMaximum", "exclusiveMaximum"),
    ("Minimum", "minimum"),
    ("ExclusiveMinimum", "exclusiveMinimum"),
    ("MaxLength", "maxLength"),
    ("MinLength", "minLength"),
    ("Pattern", "pattern"),
    ("MaxItems", "maxItems"),
    ("MinItems", "minItems"),
    ("UniqueItems", "uniqueItems"),
    ("MultipleOf", "multipleOf"),
    ("Required", "required"),
    ("Items", "items"),
    ("Properties", "properties"),
    ("ExternalDocs", "externalDocs"),
    ("Example", "example"),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields"),
    ("XValidations", "x-kubernetes-validations"),
];

/// Where in a schema something stands.
#[derive(Clone, Copy)]
struct Place {
    is_root: bool,
    /// Within `metadata`, `kind` or `apiVersion` of a resource.
    is_inside_meta: bool,
    /// Why there may be no default.
    no_default: Option<&'static str>,
}

pub(super) fn validate(validation: &At<'_>, has_status: bool, faults: &mut Faults) {
    let root = validation.get("openAPIV3Schema");
    if !root.is_set() {
        return;
    }
    let n_before = faults.0.len();
    if has_status {
        validate_root(&root, faults);
    }
    if root.get("nullable").is_true() {
        faults.forbidden(&root.get("nullable"), "nullable cannot be true at the root");
    }
    let unsupported = structural::unsupported(root.value);
    if unsupported.is_none() {
        structural::validate(&root, faults);
    }
    validate_schema(&root, Place { is_root: true, is_inside_meta: false, no_default: None }, faults);
    if let Some(text) = unsupported.filter(|_| faults.0.len() == n_before) {
        faults.invalid_as(&root, "", text);
    }
}

/// Whether any version's schema, or that of all, has a default somewhere.
pub(super) fn have_defaults(spec: &At<'_>) -> bool {
    let versions = spec.get("versions");
    let schemas = versions.list().iter().map(|version| &version["schema"]).chain([&spec.value["validation"]]);
    schemas.into_iter().any(|validation| has_default(&validation["openAPIV3Schema"]))
}

fn has_default(schema: &Value) -> bool {
    const ONE: [&str; 4] = ["items", "not", "additionalProperties", "additionalItems"];
    const LISTS: [&str; 4] = ["items", "allOf", "anyOf", "oneOf"];
    const MAPS: [&str; 4] = ["properties", "patternProperties", "definitions", "dependencies"];
    schema.is_object()
        && (!schema["default"].is_null()
            || ONE.iter().any(|field| has_default(&schema[field]))
            || LISTS.iter().any(|field| schema[field].as_array().is_some_and(|list| list.iter().any(has_default)))
            || MAPS.iter().any(|field| schema[field].as_object().is_some_and(|map| map.values().any(has_default))))
}

fn validate_root(root: &At<'_>, faults: &mut Faults) {
    let kind = root.get("type");
    let is_allowed = |field: &str| ROOT_FIELDS.iter().any(|(_, name)| *name == field);
    let is_stray = |field: &str| root.value.as_object().is_some_and(|fields| fields.keys().any(|name| name == field));
    let comes_first = ["id", "$schema", "$ref"].into_iter().any(is_stray);
    if kind.has_text() && kind != "object" && !comes_first {
        faults.invalid_text(&kind, "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled");
    } else if root.value.as_object().is_some_and(|fields| fields.keys().any(|field| !is_allowed(field))) {
        let names: Vec<&str> = ROOT_FIELDS.iter().map(|(name, _)| *name).collect();
        let text = format!("only [{}] fields are allowed at the root of the schema if the status subresource is enabled", names.join(" "));
        faults.invalid(root, text);
    }
}

fn validate_schema(schema: &At<'_>, place: Place, faults: &mut Faults) {
    if !schema.value.is_object() {
        return;
    }
    validate_standard(schema, place, faults);
    let (unique, properties, additional) = (schema.get("uniqueItems"), schema.get("properties"), schema.get("additionalProperties"));
    if unique.is_true() {
        faults.forbidden(&unique, "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    }
    if additional.is_set() && !additional.is_true() && !properties.is_empty() {
        faults.forbidden(&additional, "additionalProperties and properties are mutual exclusive");
    }
    let below = Place { is_root: false, ..place };
    let in_meta = Some(" inside additionalProperties applying to object metadata").filter(|_| place.is_inside_meta);
    validate_schema(&additional, Place { no_default: in_meta.or(place.no_default), ..below }, faults);
    let is_resource = place.is_root || schema.get("x-kubernetes-embedded-resource").is_true();
    for (name, property) in properties.entries() {
        let at_top = match name {
            "metadata" => Some(" in top-level metadata"),
            "kind" => Some(" in top-level kind"),
            "apiVersion" => Some(" in top-level apiVersion"),
            _ => None,
        };
        let is_inside_meta = place.is_inside_meta || is_resource && at_top.is_some();
        let no_default = at_top.filter(|_| place.is_root).or(place.no_default);
        validate_schema(&property, Place { is_inside_meta, no_default, is_root: false }, faults);
    }
    validate_schema(&schema.get("not"), below, faults);
    for junctor in ["allOf", "oneOf", "anyOf"] {
        schema.get(junctor).items().for_each(|nested| validate_schema(&nested, below, faults));
    }
    schema.get("definitions").entries().for_each(|(_, nested)| validate_schema(&nested, below, faults));
    let items = schema.get("items");
    validate_schema(&items, below, faults);
    items.items().for_each(|nested| validate_schema(&nested, below, faults));
    schema.get("dependencies").entries().for_each(|(_, nested)| validate_schema(&nested, below, faults));
    validate_extensions(schema, faults);
    validate_rules(schema, faults);
}

fn validate_standard(schema: &At<'_>, place: Place, faults: &mut Faults) {
    let (kind, default) = (schema.get("type"), schema.get("default"));
    if kind.has_text() && !TYPES.contains(&kind.text()) {
        faults.not_supported(&kind, TYPES);
    }
    if let Some(why) = place.no_default.filter(|_| default.is_set()) {
        faults.forbidden(&default, format!("must not be set{why}"));
    }
    if schema.get("id").has_text() {
        faults.forbidden(&schema.get("id"), "id is not supported");
    }
    for field in ["additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        let at = schema.get(field);
        let may_be_empty = matches!(field, "patternProperties" | "definitions");
        if at.is_set() && !(may_be_empty && at.is_empty()) {
            faults.forbidden(&at, format!("{field} is not supported"));
        }
    }
    if kind == "null" {
        faults.forbidden(&kind, "type cannot be set to null, use nullable as an alternative");
    }
    if !schema.get("items").list().is_empty() {
        faults.forbidden(&schema.get("items"), "items must be a schema object and not an array");
    }
    let embedded = schema.get("x-kubernetes-embedded-resource");
    if place.is_inside_meta && embedded.is_true() {
        faults.forbidden(&embedded, "must not be used inside of resource meta");
    }
}

/// A type that an extension asks for.
fn need_type(schema: &At<'_>, wanted: &str, extension: &str, faults: &mut Faults) {
    let (kind, text) = (schema.get("type"), format!("must be {wanted} if {extension} is specified"));
    if !kind.has_text() {
        faults.required(&kind, text);
    } else if kind != wanted {
        faults.invalid_text(&kind, text);
    }
}

fn validate_extensions(schema: &At<'_>, faults: &mut Faults) {
    const ATOMIC: &str = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let preserves = schema.get("x-kubernetes-preserve-unknown-fields");
    let (map_type, list_type) = (schema.get("x-kubernetes-map-type"), schema.get("x-kubernetes-list-type"));
    let (items, keys) = (schema.get("items"), schema.get("x-kubernetes-list-map-keys"));
    if preserves.is_false() {
        faults.invalid(&preserves, "must be true or undefined");
    }
    if map_type.is_set() {
        need_type(schema, "object", "x-kubernetes-map-type", faults);
        faults.one_of(&map_type, &["atomic", "granular"]);
    }
    if list_type.is_set() && schema.get("type") != "array" {
        need_type(schema, "array", "x-kubernetes-list-type", faults);
    } else if list_type == "set" {
        let (of_list, of_map) = (items.get("x-kubernetes-list-type"), items.get("x-kubernetes-map-type"));
        match items.get("type").text() {
            "array" if of_list.is_set() && of_list != "atomic" => faults.invalid_text(&of_list, ATOMIC),
            "object" if of_map != "atomic" => faults.invalid(&of_map.with(of_list.value), ATOMIC),
            _ => {}
        }
    }
    faults.one_of(&list_type, &["atomic", "set", "map"]);
    if !keys.is_empty() && list_type != "map" {
        let text = "must be map if x-kubernetes-list-map-keys is non-empty";
        if list_type.is_set() {
            faults.invalid_text(&list_type, text);
        } else {
            faults.required(&list_type, text);
        }
    }
    if list_type == "map" {
        validate_keys(&keys, &items, faults);
    }
    if matches!(list_type.text(), "map" | "set") && items.value.is_object() {
        validate_identity(&items, list_type.text(), &keys, faults);
    }
}

fn validate_keys(keys: &At<'_>, items: &At<'_>, faults: &mut Faults) {
    if keys.is_empty() {
        faults.required(keys, "must not be empty if x-kubernetes-list-type is map");
    }
    if !items.is_set() {
        return faults.required(items, "must have a schema if x-kubernetes-list-type is map");
    }
    if items.value.is_array() {
        return faults.invalid(items, "must only have a single schema if x-kubernetes-list-type is map");
    }
    if items.get("type") != "object" {
        return faults.invalid_text(&items.get("type"), "must be object if parent array's x-kubernetes-list-type is map");
    }
    let mut seen = HashSet::new();
    for key in keys.items().map(|key| key.text()) {
        let property = items.get("properties").key(key);
        if !property.is_set() {
            faults.invalid(keys, "entries must all be names of item properties");
        } else if matches!(property.get("type").text(), "array" | "object") {
            faults.invalid_as(&property.get("type"), "object", "must be a scalar type if parent array's x-kubernetes-list-type is map");
        }
        if !seen.insert(key) {
            faults.invalid(keys, "must not contain duplicate entries");
        }
    }
}

/// What tells items of a set or map apart must be there.
fn validate_identity(items: &At<'_>, list_type: &str, keys: &At<'_>, faults: &mut Faults) {
    if items.get("nullable").is_true() {
        faults.forbidden(&items.get("nullable"), format!("cannot be nullable when x-kubernetes-list-type is {list_type}"));
    }
    for key in keys.items().filter(|_| list_type == "map") {
        let property = items.get("properties").key(key.text());
        if !property.is_set() {
            continue;
        }
        if !items.get("required").list().contains(key.value) && !property.get("default").is_set() {
            let text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            faults.required(&property.get("default"), text);
        }
        if property.get("nullable").is_true() {
            faults.forbidden(&property.get("nullable"), "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
        }
    }
}

/// Validation rules, but for their expressions.
fn validate_rules(schema: &At<'_>, faults: &mut Faults) {
    const REASONS: &[&str] = &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    const NOT_EMPTY: &str = "must be non-empty if specified";
    let has_lines = |text: &str| text.contains(['\n', '\r']);
    for rule in schema.get("x-kubernetes-validations").items() {
        let (expression, message) = (rule.get("rule"), rule.get("message"));
        let (from, path) = (rule.get("messageExpression"), rule.get("fieldPath"));
        let is_blank = |at: &At<'_>| at.text().trim().is_empty();
        if is_blank(&expression) {
            faults.required(&expression, "rule is not specified");
        } else if message.has_text() && is_blank(&message) {
            faults.invalid_text(&message, NOT_EMPTY);
        } else if has_lines(message.text().trim()) {
            faults.invalid_text(&message, "must not contain line breaks");
        } else if has_lines(expression.text().trim()) && is_blank(&message) {
            faults.required(&message, "message must be specified if rule contains line breaks");
        }
        if from.has_text() && is_blank(&from) {
            faults.required(&from, "messageExpression must be non-empty if specified");
        }
        faults.one_of(&rule.get("reason"), REASONS);
        if path.has_text() && is_blank(&path) {
            faults.invalid_text(&path, NOT_EMPTY);
        }
        if has_lines(path.text()) {
            faults.invalid_text(&path, "must not contain line breaks");
        }
        let is_wrong = || field_path::find(schema.value, path.text(), field_path::Brackets::Allowed).is_err();
        if path.has_text() && structural::unsupported(schema.value).is_none() && is_wrong() {
            faults.invalid_text(&path, "must be a valid path");
        }
    }
}
