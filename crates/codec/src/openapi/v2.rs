//! The one OpenAPI v2 document (Swagger), for older clients: all v3 documents together, said in the older words.

use kinds::Catalog;
use serde_json::{Map, Value, json};

use super::{Descriptions, bearer_token, document, document_paths, info};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

pub fn document_v2(catalog: &Catalog, descriptions: &dyn Descriptions) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for path in document_paths(catalog) {
        let Some(Value::Object(mut document)) = document(catalog, &path, descriptions) else { continue };
        if let Some(Value::Object(items)) = document.remove("paths") {
            paths.extend(items.into_iter().map(|(path, item)| (path, path_item(item))));
        }
        if let Some(Value::Object(schemas)) = document.get_mut("components").and_then(|c| c.get_mut("schemas")).map(Value::take) {
            for (name, schema) in schemas {
                merge_definition(&mut definitions, name, schema);
            }
        }
    }
    paths.sort_keys();
    definitions.sort_keys();
    json!({
        "swagger": "2.0", "info": info(), "paths": paths, "definitions": definitions,
        "securityDefinitions": {"BearerToken": bearer_token()}, "security": [{"BearerToken": []}],
    })
}

/// A type that every group knows stands in each document for that document's group: here for all of them.
fn merge_definition(definitions: &mut Map<String, Value>, name: String, schema: Value) {
    const KINDS: &str = "x-kubernetes-group-version-kind";
    let schema = definition(schema);
    let Some(known) = definitions.get_mut(&name) else {
        definitions.insert(name, schema);
        return;
    };
    let (Some(Value::Array(known)), Some(Value::Array(more))) = (known.get_mut(KINDS), schema.get(KINDS)) else { return };
    for kind in more {
        if !known.contains(kind) {
            known.push(kind.clone());
        }
    }
}

fn path_item(item: Value) -> Value {
    let Value::Object(mut item) = item else { return item };
    for (key, value) in &mut item {
        *value = match key.as_str() {
            "parameters" => parameters(value.take()),
            _ => operation(value.take()),
        };
    }
    debug_assert!(item.keys().all(|key| key == "parameters" || METHODS.contains(&key.as_str())));
    Value::Object(item)
}

fn operation(operation: Value) -> Value {
    let Value::Object(mut operation) = operation else { return operation };
    let mut own: Vec<Value> = Vec::new();
    let mut consumes = json!(["*/*"]);
    if let Some(body) = operation.remove("requestBody") {
        let content = body["content"].as_object();
        consumes = content.map(|content| content.keys().cloned().collect()).unwrap_or(consumes);
        let schema = content.and_then(|content| content.values().next()).map_or(Value::Null, |media| definition(media["schema"].clone()));
        let mut parameter = json!({"name": "body", "in": "body", "schema": schema});
        if body["required"] == true {
            parameter["required"] = Value::Bool(true);
        }
        own.push(parameter);
    }
    if let Some(Value::Array(more)) = operation.remove("parameters").map(parameters) {
        own.extend(more);
    }
    if !own.is_empty() {
        operation.insert("parameters".to_owned(), Value::Array(own));
    }
    let mut produces: Vec<String> = Vec::new();
    for answer in operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        let Some(Value::Object(content)) = answer.as_object_mut().and_then(|answer| answer.remove("content")) else { continue };
        produces.extend(content.keys().filter(|media| !produces.contains(media)).cloned().collect::<Vec<_>>());
        if let Some(media) = content.into_iter().next() {
            answer["schema"] = definition(media.1["schema"].clone());
        }
    }
    // Documents about documents say that they read what they answer.
    if !operation.contains_key("x-kubernetes-action") {
        consumes = json!(produces);
    }
    operation.extend([
        ("consumes".to_owned(), consumes),
        ("produces".to_owned(), json!(produces)),
        ("schemes".to_owned(), json!(["https"])),
    ]);
    Value::Object(operation)
}

/// What v3 says of a parameter's type within `schema` stands beside its name.
fn parameters(list: Value) -> Value {
    let Value::Array(mut list) = list else { return list };
    for parameter in list.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(Value::Object(schema)) = parameter.remove("schema") {
            parameter.extend(schema);
        }
    }
    Value::Array(list)
}

/// v2 lets a sentence stand beside a reference, and knows no `oneOf`; upstream leaves defaults out.
fn definition(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else { return schema };
    schema.remove("default");
    if let Some(Value::Array(one)) = schema.remove("allOf")
        && let Some(Value::Object(reference)) = one.into_iter().next()
    {
        schema.extend(reference);
    }
    if schema.remove("oneOf").is_some() {
        schema.insert("type".to_owned(), json!("string"));
    }
    if let Some(Value::String(reference)) = schema.get_mut("$ref") {
        *reference = reference.replacen("#/components/schemas/", "#/definitions/", 1);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            *inner = definition(inner.take());
        }
    }
    for property in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        *property = definition(property.take());
    }
    Value::Object(schema)
}
