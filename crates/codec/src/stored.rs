//! The one form in which an object is stored, kept in memory and sent: its JSON without `apiVersion`, `kind` and
//! `metadata.resourceVersion`, cut so that the whole object is `prefix` + revision + stored bytes. Reads, lists and watches
//! send those three pieces and encode nothing.
//!
//! ```text
//! prefix   {"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"
//! revision 41
//! stored   ","creationTimestamp":"2026-11-22T10:00:00Z","name":"a"},"spec":{},"status":{}}
//! ```
//!
//! Invariant: `stored` starts with `"`, and its metadata has no `resourceVersion`.

use std::fmt;

use bytes::Bytes;
use object::key::GroupVersionKind;
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// What opens an item of a list whose items do not repeat the kind (every built-in one).
pub const ITEM_PREFIX: &str = "{\"metadata\":{\"resourceVersion\":\"";

/// What opens an object that says its kind.
pub fn prefix(kind: &GroupVersionKind) -> String {
    let (kind_text, api_version) = (Value::from(kind.kind.as_str()), Value::from(kind.api_version()));
    format!("{{\"kind\":{kind_text},\"apiVersion\":{api_version},\"metadata\":{{\"resourceVersion\":\"")
}

pub fn encode(object: &Value) -> Bytes {
    let empty = Map::new();
    let fields = object.as_object().unwrap_or(&empty);
    let metadata = object["metadata"].as_object().unwrap_or(&empty);
    let mut out = Vec::with_capacity(512);
    out.push(b'"');
    write_fields(&mut out, metadata.iter().filter(|(name, _)| *name != "resourceVersion"));
    out.push(b'}');
    write_fields(&mut out, fields.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata")));
    out.push(b'}');
    // Kept for as long as the object: a copy of just this length costs less than the room that `out` grew to.
    Bytes::copy_from_slice(&out)
}

/// Each field with a comma before it: the revision always stands before the first.
fn write_fields<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (name, value) in fields {
        out.push(b',');
        write_json(out, name);
        out.push(b':');
        write_json(out, value);
    }
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("a tree with text keys is always JSON, and memory takes all bytes");
}

/// The whole object as JSON text.
pub fn wire(kind: &GroupVersionKind, revision: u64, stored: &[u8]) -> Vec<u8> {
    with_prefix(&prefix(kind), revision, stored)
}

pub fn with_prefix(prefix: &str, revision: u64, stored: &[u8]) -> Vec<u8> {
    let revision = revision.to_string();
    let mut out = Vec::with_capacity(prefix.len() + revision.len() + stored.len());
    for piece in [prefix.as_bytes(), revision.as_bytes(), stored] {
        out.extend_from_slice(piece);
    }
    out
}

/// The whole object as a tree. Fails only on bytes that `encode` did not make.
pub fn decode(kind: &GroupVersionKind, revision: u64, stored: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(&wire(kind, revision, stored))
}

/// The same without `metadata.managedFields`, which is passed over and never made.
pub fn decode_lean(kind: &GroupVersionKind, revision: u64, stored: &[u8]) -> Result<Value, serde_json::Error> {
    let text = wire(kind, revision, stored);
    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    Lean(&["metadata", "managedFields"]).deserialize(&mut deserializer)
}

/// An object without what lies at a path.
struct Lean(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Lean {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Lean {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match self.0 {
                [last] if name == *last => drop(members.next_value::<IgnoredAny>()?),
                [first, rest @ ..] if name == *first => drop(map.insert(name, members.next_value_seed(Lean(rest))?)),
                _ => drop(map.insert(name, members.next_value()?)),
            }
        }
        Ok(Value::Object(map))
    }
}
