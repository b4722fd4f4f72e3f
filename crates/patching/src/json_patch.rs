//! RFC 6902, with the leniencies of the library upstream uses (`evanphx/json-patch` v4): negative indices count from the end,
//! `replace` of a missing map key sets it, `test` of a missing key equals null.

use serde_json::{Map, Value};

use crate::Error;
use crate::error::{cannot_unmarshal, cannot_unmarshal_field};

/// Upstream: `maxJSONPatchOperations`.
const OPERATIONS_MAX: usize = 10_000;

/// What requests that look at unknown fields ask first: whether operations are of their Go type, and which fields that does not have.
pub fn check_json_patch(patch: &Value) -> Result<Vec<String>, Error> {
    let malformed = |text: String| Error::Malformed(format!("error decoding patch: {text}"));
    let operations = match patch {
        Value::Null => return Ok(Vec::new()),
        Value::Array(operations) => operations,
        other => return Err(malformed(cannot_unmarshal(other, "[]handlers.jsonPatchOp"))),
    };
    let mut unknown = Vec::new();
    for (i, operation) in operations.iter().enumerate() {
        let fields = match operation {
            Value::Null => continue,
            Value::Object(fields) => fields,
            other => return Err(malformed(cannot_unmarshal(other, "handlers.jsonPatchOp"))),
        };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("op" | "path" | "from", Value::Null | Value::String(_)) | ("value", _) => {}
                ("op" | "path" | "from", other) => return Err(malformed(cannot_unmarshal_field(other, "jsonPatchOp", name, "string"))),
                _ => unknown.push(format!("json patch unknown field {:?}", format!("[{i}].{name}"))),
            }
        }
    }
    Ok(unknown)
}

/// `doc` with all operations carried out, or nothing done at all.
pub fn json_patch(doc: &Value, patch: &Value) -> Result<Value, Error> {
    let operations = match patch {
        Value::Null => return Ok(doc.clone()),
        Value::Array(operations) => operations,
        other => return Err(Error::Malformed(cannot_unmarshal(other, "jsonpatch.Patch"))),
    };
    if let Some(odd) = operations.iter().find(|o| !o.is_object() && !o.is_null()) {
        return Err(Error::Malformed(cannot_unmarshal(odd, "jsonpatch.Operation")));
    }
    if operations.len() > OPERATIONS_MAX {
        return Err(Error::TooManyOperations { limit: OPERATIONS_MAX, got: operations.len() });
    }
    let mut result = doc.clone();
    let nothing = Map::new();
    for operation in operations {
        carry_out(&mut result, operation.as_object().unwrap_or(&nothing)).map_err(Error::DoesNotApply)?;
    }
    Ok(result)
}

fn carry_out(doc: &mut Value, operation: &Map<String, Value>) -> Result<(), String> {
    let kind = operation.get("op").and_then(Value::as_str).unwrap_or("unknown");
    let text = |field: &str| {
        operation.get(field).and_then(Value::as_str).ok_or_else(|| format!("{kind} operation failed to decode {field}: missing value"))
    };
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match kind {
        "add" => add(doc, text("path")?, value(), kind),
        "remove" => remove(doc, text("path")?, kind).map(drop),
        "replace" => replace(doc, text("path")?, value()),
        "move" => {
            let moved = remove(doc, text("from")?, kind)?;
            add(doc, text("path")?, moved, kind)
        }
        "copy" => {
            let copied = get(doc, text("from")?, kind)?.cloned().unwrap_or(Value::Null);
            add(doc, text("path")?, copied, kind)
        }
        "test" => test(doc, text("path")?, operation.get("value").unwrap_or(&Value::Null)),
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn missing_path(kind: &str, path: &str) -> String {
    format!("{kind} operation does not apply: doc is missing path: {path:?}: missing value")
}

/// RFC 6901: `~1` is a slash and `~0` a tilde.
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The container that holds the last part of `path`, and that part.
fn find<'a>(doc: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parents, last) = path.rsplit_once('/')?;
    let mut at = doc;
    // What stands before the first slash is ignored, as upstream does.
    for part in parents.split('/').skip(1) {
        let key = unescaped(part);
        at = match at {
            Value::Object(map) => map.get_mut(&key)?,
            Value::Array(items) => {
                let index = existing_index(&key, items.len()).ok()?;
                &mut items[index]
            }
            _ => return None,
        };
    }
    (at.is_object() || at.is_array()).then(|| (at, unescaped(last)))
}

fn parsed_index(key: &str) -> Result<i64, String> {
    key.parse().map_err(|_| format!("strconv.Atoi: parsing {key:?}: invalid syntax"))
}

/// An index into `size` places; negative ones count from the end.
fn checked_index(index: i64, size: usize) -> Result<usize, String> {
    let counted = if index < 0 { index.saturating_add(size as i64) } else { index };
    usize::try_from(counted)
        .ok()
        .filter(|i| *i < size)
        .ok_or_else(|| format!("Unable to access invalid index: {index}: invalid index referenced"))
}

fn existing_index(key: &str, len: usize) -> Result<usize, String> {
    checked_index(parsed_index(key)?, len)
}

fn add(doc: &mut Value, path: &str, value: Value, kind: &str) -> Result<(), String> {
    let (container, key) = find(doc, path).ok_or_else(|| missing_path(kind, path))?;
    match container {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index = parsed_index(&key)
                .map_err(|e| format!("value was not a proper array index: '{key}': {e}"))
                .and_then(|i| checked_index(i, items.len() + 1))
                .map_err(|e| format!("error in {kind} for path: '{path}': {e}"))?;
            items.insert(index, value);
        }
        _ => unreachable!("`find` gives containers only"),
    }
    Ok(())
}

fn remove(doc: &mut Value, path: &str, kind: &str) -> Result<Value, String> {
    let (container, key) = find(doc, path).ok_or_else(|| missing_path(kind, path))?;
    let removed = match container {
        Value::Object(map) => map.remove(&key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value")),
        Value::Array(items) => existing_index(&key, items.len()).map(|i| items.remove(i)),
        _ => unreachable!("`find` gives containers only"),
    };
    removed.map_err(|e| format!("error in {kind} for path: '{path}': {e}"))
}

fn replace(doc: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err("replace operation value must be object or array".to_owned());
        }
        *doc = value;
        return Ok(());
    }
    let (container, key) = find(doc, path).ok_or_else(|| missing_path("replace", path))?;
    match container {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) => {
            let index = existing_index(&key, items.len())
                .map_err(|_| format!("replace operation does not apply: doc is missing key: {path}: missing value"))?;
            items[index] = value;
        }
        _ => unreachable!("`find` gives containers only"),
    }
    Ok(())
}

/// A missing map key is no fault here: upstream's library reads it as null.
fn get<'a>(doc: &'a mut Value, path: &str, kind: &str) -> Result<Option<&'a Value>, String> {
    let (container, key) = find(doc, path).ok_or_else(|| missing_path(kind, path))?;
    match container {
        Value::Object(map) => Ok(map.get(&key)),
        Value::Array(items) => {
            let index = existing_index(&key, items.len()).map_err(|e| format!("error in {kind} for path: '{path}': {e}"))?;
            Ok(Some(&items[index]))
        }
        _ => unreachable!("`find` gives containers only"),
    }
}

fn test(doc: &mut Value, path: &str, wanted: &Value) -> Result<(), String> {
    let is_equal = if path.is_empty() { doc == wanted } else { get(doc, path, "test")?.unwrap_or(&Value::Null) == wanted };
    if is_equal { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
}
