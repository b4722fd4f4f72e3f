//! From stored bytes to trees and back. The bytes are everything behind an object's resourceVersion; `codec` owns the form.

use bytes::Bytes;
use codec::stored;
use kinds::Resource;
use object::Value;
use store::{Record, Revision};

/// An object as it is kept: shared bytes, and the revision they were written at.
#[derive(Clone, Debug)]
pub struct Stored {
    pub revision: Revision,
    pub bytes: Bytes,
}

impl From<&Record> for Stored {
    fn from(record: &Record) -> Self {
        Stored { revision: record.modified, bytes: record.value.clone() }
    }
}

/// The stored bytes as one JSON text, for readers that look for a few members.
pub fn whole(bytes: &[u8]) -> Vec<u8> {
    stored::with_prefix(stored::ITEM_PREFIX, 0, bytes)
}

/// The tree in the form of `resource`'s version.
pub fn decode(resource: &Resource, bytes: &[u8], revision: Revision) -> Result<Value, serde_json::Error> {
    stored::decode(&resource.gvk(), revision.0, bytes)
}

/// What is kept of a tree.
pub fn encode(object: &Value) -> Bytes {
    stored::encode(object)
}

/// The part of stored bytes that ends with `metadata`: shared, like the whole.
pub fn metadata(bytes: &Bytes) -> Bytes {
    bytes.slice(..metadata_len(bytes))
}

/// Stored bytes begin inside `metadata`, at the end of a text; this is where its brace closes.
fn metadata_len(bytes: &[u8]) -> usize {
    let (mut depth, mut in_string, mut is_escaped) = (1_usize, true, false);
    // The first quote closes resourceVersion.
    for (i, byte) in bytes.iter().enumerate() {
        if in_string {
            (in_string, is_escaped) = (is_escaped || *byte != b'"', !is_escaped && *byte == b'\\');
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_ends_where_its_brace_closes() {
        let object = json!({"metadata": {"name": "a", "labels": {"x": "}\"{"}, "list": [{}]}, "spec": {"y": 1}});
        let bytes = encode(&object);
        let text = format!("{}7{}}}", stored::ITEM_PREFIX, String::from_utf8_lossy(&metadata(&bytes)));
        let read: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["metadata"]["labels"]["x"], "}\"{");
        assert_eq!(read.as_object().map(serde_json::Map::len), Some(1));
        assert_eq!(metadata(&encode(&json!({}))).as_ref(), b"\"}");
    }
}
