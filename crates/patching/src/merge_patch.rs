//! RFC 7396 as upstream's library does it: nulls inside lists stay, nulls inside new maps go.

use serde_json::{Map, Value};

use crate::Error;
use crate::error::cannot_unmarshal;

/// What requests that look at unknown fields ask first: whether the patch is an object at all.
pub fn check_merge_patch(patch: &Value) -> Result<(), Error> {
    match patch {
        Value::Null | Value::Object(_) => Ok(()),
        other => Err(Error::Malformed(format!("error decoding patch: {}", cannot_unmarshal(other, "map[string]interface {}")))),
    }
}

/// Upstream: a list takes the document's place.
pub fn merge_patch(doc: &mut Value, patch: &Value) -> Result<(), Error> {
    match (doc, patch) {
        (Value::Object(doc), Value::Object(patch)) => {
            merge_maps(doc, patch);
            Ok(())
        }
        (doc, Value::Object(_)) => {
            *doc = without_nulls(patch);
            Ok(())
        }
        (doc, Value::Array(_)) => {
            *doc = patch.clone();
            Ok(())
        }
        _ => Err(Error::Malformed("Invalid JSON Patch".to_owned())),
    }
}

fn merge_maps(doc: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, change) in patch {
        match (doc.get_mut(key), change) {
            (_, Value::Null) => {
                doc.remove(key);
            }
            (Some(Value::Object(current)), Value::Object(change)) => merge_maps(current, change),
            // Nulls inside lists stay, as in the RFC.
            (_, change) => {
                doc.insert(key.clone(), without_nulls(change));
            }
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect()),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}
