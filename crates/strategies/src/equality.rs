//! Upstream's semantic equality of objects in normal form: a field that is missing, null, or an empty list, map or text of bytes is one
//! and the same.
//!
//! An empty struct behind a pointer is something, though it looks like an empty map, as an empty text does like no bytes. Which of them
//! it is, its name tells, and where names are shared the names beside it.

use std::collections::HashMap;
use std::sync::OnceLock;

use kinds::{Shape, Type};
use serde_json::{Map, Value};

pub fn is_semantically_equal(a: &Value, b: &Value) -> bool {
    // Most are the same to the letter, which is soon seen.
    match (a, b) {
        (a, b) if a == b => true,
        (Value::Object(a), Value::Object(b)) => maps_equal(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_semantically_equal(a, b)),
        (a, b) => is_empty(a) && is_empty(b),
    }
}

fn maps_equal(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    let is_none = |name: &str, value: &Value| is_empty(value) || is_no_struct(name, value, [a, b]);
    a.iter().all(|(key, value)| match b.get(key) {
        Some(other) if is_semantically_equal(value, other) => true,
        other => is_none(key, value) && other.is_none_or(|other| is_none(key, other)),
    }) && b.iter().all(|(key, value)| a.contains_key(key) || is_none(key, value))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether the value is an empty map in all structs that have the names beside it, and not a struct in one; or bytes, and not a text.
fn is_no_struct(name: &str, value: &Value, beside: [&Map<String, Value>; 2]) -> bool {
    let can_be = |shape: &Shape| match value {
        Value::Object(map) => map.is_empty() && matches!(shape, Shape::Map(_) | Shape::Struct(_) | Shape::Any),
        Value::String(text) => text.is_empty() && matches!(shape, Shape::Bytes | Shape::String),
        _ => false,
    };
    let holders = holders().get(name).map_or(&[][..], Vec::as_slice);
    let fits = |ty: &Type, shape: &Shape| can_be(shape) && beside.iter().all(|map| map.keys().all(|key| ty.field(key).is_some()));
    let mut fitting = holders.iter().filter(|(ty, shape)| fits(ty, shape)).peekable();
    fitting.peek().is_some() && fitting.all(|(_, shape)| matches!(shape, Shape::Map(_) | Shape::Bytes))
}

/// The types that have a field of a name which is a map or bytes somewhere, and what it is there.
fn holders() -> &'static HashMap<&'static str, Vec<(&'static Type, &'static Shape)>> {
    static HOLDERS: OnceLock<HashMap<&str, Vec<(&Type, &Shape)>>> = OnceLock::new();
    HOLDERS.get_or_init(|| {
        let mut holders: HashMap<&str, Vec<(&Type, &Shape)>> = HashMap::new();
        for ty in &kinds::builtin().types {
            for field in &ty.fields {
                holders.entry(&field.name).or_default().push((ty, &field.shape));
            }
        }
        holders.retain(|_, types| types.iter().any(|(_, shape)| matches!(shape, Shape::Map(_) | Shape::Bytes)));
        holders
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn none_and_empty_are_told_apart_where_go_does() {
        for (a, b, is_equal) in [
            (json!({"containers": [], "nodeSelector": {}}), json!({"nodeSelector": null}), true),
            (json!({"containers": [{"resources": {"limits": {}}}]}), json!({"containers": [{"resources": {}}]}), true),
            (json!({"containers": [], "securityContext": {}}), json!({"containers": []}), false),
            (json!({"name": "v", "emptyDir": {}}), json!({"name": "v"}), false),
            // A service's selector is a map, a claim's a struct behind a pointer.
            (json!({"ports": [], "type": "ClusterIP", "selector": {}}), json!({"type": "ClusterIP"}), true),
            (json!({"accessModes": ["x"], "selector": {}}), json!({"accessModes": ["x"]}), false),
            (json!({"url": "x", "caBundle": ""}), json!({"url": "x"}), true),
            (json!({"accessModes": ["x"], "storageClassName": ""}), json!({"accessModes": ["x"]}), false),
        ] {
            assert_eq!(is_semantically_equal(&a, &b), is_equal, "{a} {b}");
            assert_eq!(is_semantically_equal(&b, &a), is_equal, "{b} {a}");
        }
    }
}
