//! Struct types as OpenAPI schemas.

use std::collections::BTreeMap;

use kinds::{Catalog, Field, Merge, Shape, Type, TypeId};
use serde_json::{Map, Value, json};

use super::Descriptions;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const APIEXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// The schemas that a document refers to, filled in as references are made.
pub(super) struct Schemas<'a> {
    catalog: &'a Catalog,
    descriptions: &'a dyn Descriptions,
    made: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(catalog: &'a Catalog, descriptions: &'a dyn Descriptions) -> Self {
        Schemas { catalog, descriptions, made: BTreeMap::new() }
    }

    /// `document` tells which group and version a type of every group is shown for.
    pub(super) fn into_value(self, document: &str) -> Value {
        let own = own_version(document);
        let mut schemas: Map<String, Value> = self.made.into_iter().collect();
        for schema in schemas.values_mut() {
            expand_every_group(schema, own);
        }
        Value::Object(schemas)
    }

    pub(super) fn reference(&mut self, name: &str) -> Value {
        if !self.made.contains_key(name) {
            // Stands in while the schema is made: types may hold themselves.
            self.made.insert(name.to_owned(), Value::Null);
            let mut schema = match special(name) {
                Some(schema) => schema,
                None => self.catalog.type_named(name).map_or_else(|| json!({"type": "object"}), |id| self.of_struct(id)),
            };
            if let Some(text) = self.descriptions.of_type(name) {
                schema["description"] = Value::from(text);
            } else if let Some(kind) = name.strip_suffix("List").and_then(|n| n.rsplit('.').next()) {
                schema["description"] = Value::from(format!("A list of objects of kind {kind}, as the server answers it."));
            }
            self.made.insert(name.to_owned(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    pub(super) fn of_id(&mut self, id: TypeId) -> Value {
        let name = &self.catalog.get(id).name;
        self.reference(name)
    }

    fn of_struct(&mut self, id: TypeId) -> Value {
        let ty = self.catalog.get(id);
        let mut properties = Map::new();
        for field in &ty.fields {
            properties.insert(field.name.clone(), self.of_field(ty, field));
        }
        let required: Vec<&str> = ty.fields.iter().filter(|f| f.required).map(|f| f.name.as_str()).collect();
        let mut schema = json!({"type": "object"});
        if !properties.is_empty() {
            schema["properties"] = Value::Object(properties);
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        // A body that is taken in an older version too is told of in its own only.
        let own_version = ty.name.rsplit('.').nth(1).unwrap_or("");
        let kinds = ty.group_version_kinds.iter().filter(|k| k.version == "*" || k.version == own_version);
        let kinds: Vec<Value> = kinds.map(|k| json!({"group": k.group, "version": k.version, "kind": k.kind})).collect();
        if !kinds.is_empty() {
            schema["x-kubernetes-group-version-kind"] = kinds.into();
        }
        if let Some(unions) = &ty.unions {
            schema["x-kubernetes-unions"] = unions.clone();
        }
        mark_merge(&mut schema, &ty.merge, false);
        schema
    }

    fn of_field(&mut self, ty: &Type, field: &Field) -> Value {
        let mut schema = self.of_shape(ty, &field.shape);
        let mut extras = json!({});
        if let Some(default) = shown_default(field) {
            extras["default"] = default;
        }
        if !field.allowed.is_empty() {
            let of_items = ["items", "additionalProperties"].into_iter().find(|name| schema.get(name).is_some());
            let holder = of_items.map_or(&mut extras, |name| &mut schema[name]);
            holder["enum"] = json!(field.allowed);
        }
        mark_merge(&mut extras, &field.merge, matches!(field.shape, Shape::List(_) | Shape::Bytes));
        if let Some(patch) = &field.patch {
            let names = [(patch.merge, "merge"), (patch.replace_keys, "replace"), (patch.retain_keys, "retainKeys")];
            let names: Vec<&str> = names.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
            if !names.is_empty() {
                extras["x-kubernetes-patch-strategy"] = Value::from(names.join(","));
            }
            if let Some(key) = &patch.merge_key {
                extras["x-kubernetes-patch-merge-key"] = Value::from(key.as_str());
            }
        }
        if let Some(text) = self.descriptions.of_field(&ty.name, &field.name) {
            extras["description"] = Value::from(with_allowed(text, &field.allowed));
        }
        // OpenAPI 3.0 ignores what stands beside a `$ref`.
        let stands_alone = extras.as_object().is_some_and(Map::is_empty);
        if schema.get("$ref").is_some() && !stands_alone {
            schema = json!({"allOf": [schema]});
        }
        if let (Value::Object(schema), Value::Object(extras)) = (&mut schema, extras) {
            schema.extend(extras);
        }
        schema
    }

    fn of_shape(&mut self, owner: &Type, shape: &Shape) -> Value {
        match shape {
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Double => json!({"type": "number", "format": "double"}),
            Shape::String => json!({"type": "string"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Quantity => self.reference("io.k8s.apimachinery.pkg.api.resource.Quantity"),
            Shape::IntOrString => self.reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
            Shape::Time => self.reference(&format!("{META}.Time")),
            Shape::MicroTime => self.reference(&format!("{META}.MicroTime")),
            Shape::Duration => self.reference(&format!("{META}.Duration")),
            Shape::FieldsV1 => self.reference(&format!("{META}.FieldsV1")),
            Shape::Any if owner.name.starts_with(APIEXTENSIONS) => self.reference(&format!("{APIEXTENSIONS}.JSON")),
            Shape::Any => self.reference("io.k8s.apimachinery.pkg.runtime.RawExtension"),
            Shape::SchemaOr(_, other) => self.reference(&format!("{APIEXTENSIONS}.{}", alternative(*other))),
            Shape::Struct(id) => self.of_id(*id),
            Shape::List(item) => json!({"type": "array", "items": self.of_shape(owner, item)}),
            Shape::Map(item) => json!({"type": "object", "additionalProperties": self.of_shape(owner, item)}),
        }
    }
}

/// Upstream names the values again in the sentence, for clients that show nothing else.
fn with_allowed(text: &str, allowed: &[String]) -> String {
    if allowed.is_empty() {
        return text.to_owned();
    }
    let values: String = allowed.iter().map(|value| format!("\n - `\"{value}\"`")).collect();
    format!("{text}\n\nPossible enum values:{values}")
}

fn alternative(other: kinds::SchemaAlternative) -> &'static str {
    match other {
        kinds::SchemaAlternative::Schemas => "JSONSchemaPropsOrArray",
        kinds::SchemaAlternative::Bool => "JSONSchemaPropsOrBool",
        kinds::SchemaAlternative::Strings => "JSONSchemaPropsOrStringArray",
    }
}

/// Types with their own JSON form.
fn special(name: &str) -> Option<Value> {
    Some(match name.rsplit('.').next().unwrap_or("") {
        "Quantity" => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        "IntOrString" => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        "Time" | "MicroTime" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string"}),
        "FieldsV1" | "RawExtension" | "Patch" => json!({"type": "object"}),
        "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => json!({}),
        _ => return None,
    })
}

/// A constant default, or the zero of a plain Go value that is always written.
fn shown_default(field: &Field) -> Option<Value> {
    if field.default.is_some() {
        return field.default.clone();
    }
    if field.pointer {
        return None;
    }
    match field.shape {
        Shape::Struct(_) => Some(json!({})),
        _ if field.omit_empty => None,
        Shape::String => Some(json!("")),
        Shape::Bool => Some(json!(false)),
        Shape::Int32 | Shape::Int64 | Shape::Double => Some(json!(0)),
        _ => None,
    }
}

fn mark_merge(schema: &mut Value, merge: &Merge, is_list: bool) {
    match merge {
        Merge::Unmarked => {}
        Merge::Granular => schema["x-kubernetes-map-type"] = Value::from("granular"),
        Merge::Atomic if !is_list => schema["x-kubernetes-map-type"] = Value::from("atomic"),
        Merge::Atomic => schema["x-kubernetes-list-type"] = Value::from("atomic"),
        Merge::Set => schema["x-kubernetes-list-type"] = Value::from("set"),
        Merge::Map(keys) => {
            schema["x-kubernetes-list-type"] = Value::from("map");
            schema["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
}

/// `("apps", "v1")` of `apis/apps/v1`.
fn own_version(document: &str) -> Option<(&str, &str)> {
    match document.split('/').collect::<Vec<_>>()[..] {
        ["api", version] => Some(("", version)),
        ["apis", group, version] => Some((group, version)),
        _ => None,
    }
}

/// A kind of every group (`*`) is shown for the core group and for the document's own.
fn expand_every_group(schema: &mut Value, own: Option<(&str, &str)>) {
    let Some(Value::Array(kinds)) = schema.get_mut("x-kubernetes-group-version-kind") else { return };
    let [only] = kinds.as_slice() else { return };
    if only["group"] != "*" {
        return;
    }
    let kind = only["kind"].clone();
    let mut versions = vec![("", "v1")];
    versions.extend(own.filter(|own| *own != ("", "v1")));
    *kinds = versions.iter().map(|(group, version)| json!({"group": group, "version": version, "kind": kind})).collect();
}
