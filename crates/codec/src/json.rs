//! Reading JSON into a tree, noting fields that stand twice.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::json_text;

/// Upstream refuses larger bodies before decoding (`MaxRequestBodyBytes`, 3 MiB); this guards the other callers, such as a list
/// that a client reads.
const LEN_MAX: usize = 256 << 20;

#[derive(Debug)]
pub struct Parsed {
    pub value: Value,
    /// `duplicate field "spec.replicas"`, in document order. The last one of a pair is the one kept.
    pub duplicates: Vec<String>,
    /// The text was read as Go reads it, which is not how it stands there: no reader but Go's JSON decoder would take it.
    pub is_repaired: bool,
    /// The first number that no float64 holds, as it is written; the tree has another in its stead.
    pub too_large: Option<String>,
}

/// Why text is no JSON; its display is for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub(crate) String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Nesting is limited to 128 levels by serde_json.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    let parsed = parse_typed(bytes)?;
    match &parsed.too_large {
        None => Ok(parsed),
        Some(number) => Err(too_large(number)),
    }
}

/// For what goes on to `normalise_json`: a number that is too large is a fault of its own only where a number may stand.
pub fn parse_typed(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > LEN_MAX {
        return Err(Error(format!("the document is larger than {LEN_MAX} bytes")));
    }
    read(bytes).or_else(|fault| {
        let (text, too_large) = json_text::repaired(bytes);
        read(&text).map(|parsed| Parsed { is_repaired: true, too_large, ..parsed }).map_err(|_| fault)
    })
}

pub(crate) fn too_large(number: &str) -> Error {
    Error(format!("json: cannot unmarshal number {number} into Go value of type float64"))
}

fn read(bytes: &[u8]) -> Result<Parsed, Error> {
    let mut repeated = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Tree { repeated: &mut repeated }.deserialize(&mut deserializer).map_err(|e| Error(e.to_string()))?;
    deserializer.end().map_err(|e| Error(e.to_string()))?;
    let duplicates = repeated.iter().map(|path| format!("duplicate field {}", quoted(path))).collect();
    Ok(Parsed { value, duplicates, is_repaired: false, too_large: None })
}

/// What Go's decoder says when the kind of a document is looked for before anything else of it. `None`: it can be read.
pub fn type_meta_fault(document: &Value) -> Option<String> {
    const INTO: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let Value::Object(members) = document else {
        return (!document.is_null()).then(|| format!("json: cannot unmarshal {} into Go value of type {INTO}", kind_of(document)));
    };
    ["apiVersion", "kind"].into_iter().find_map(|member| {
        let odd = members.get(member).filter(|value| !value.is_null() && !value.is_string())?;
        Some(format!("json: cannot unmarshal {} into Go struct field .{member} of type string", kind_of(odd)))
    })
}

/// What Go calls a JSON value.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Quoted as Go's `strconv.Quote` does for the common cases.
pub(crate) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// `prefix` before a path found below it.
pub(crate) fn joined(prefix: &str, path: &str) -> String {
    if path.starts_with('[') { format!("{prefix}{path}") } else { format!("{prefix}.{path}") }
}

/// Paths are made only when a duplicate is found: on the way back up each level prepends its own step.
pub(crate) fn prepend_from(paths: &mut [String], from: usize, step: &dyn Fn() -> String) {
    if from < paths.len() {
        let step = step();
        for path in &mut paths[from..] {
            *path = joined(&step, path);
        }
    }
}

struct Tree<'a> {
    repeated: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    /// Go keeps integers only as int64.
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::from(value as f64), Value::from))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let from = self.repeated.len();
            let Some(item) = sequence.next_element_seed(Tree { repeated: self.repeated })? else { break };
            prepend_from(self.repeated, from, &|| format!("[{}]", items.len()));
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                self.repeated.push(key.clone());
            }
            let from = self.repeated.len();
            let value = access.next_value_seed(Tree { repeated: self.repeated })?;
            prepend_from(self.repeated, from, &|| key.clone());
            map.insert(key, value);
        }
        if self.repeated.len() > REPEATED_MAX {
            return Err(A::Error::custom("too many duplicate fields"));
        }
        Ok(Value::Object(map))
    }
}

/// Upstream reports no more than a hundred; far above that a document is an attack on our memory.
const REPEATED_MAX: usize = 10_000;
