//! Upstream's semantic equality of objects in normal form: a field that is missing, null, or an empty list is one and the same.
//!
//! An empty map left by normalizing is a struct behind a pointer, which is something.

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
    a.iter().all(|(key, value)| is_semantically_equal(value, b.get(key).unwrap_or(&Value::Null)))
        && b.iter().all(|(key, value)| a.contains_key(key) || is_empty(value))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
