//! Reading YAML. The parser is serde-saphyr's; here are its limits and the odds and ends of Go's reading.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, Options, Spanned};

use super::fault;
use crate::json::quoted;

/// Far above any manifest, far below what an alias bomb makes: ten levels of ten aliases are a billion nodes.
const NODES_MAX: usize = 500_000;
const ALIAS_EVENTS_MAX: usize = 500_000;
/// The deepest CRDs have some fifty levels; the parser takes 20 KB of stack for each in a debug build.
const DEPTH_MAX: usize = 80;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The parser's first line: the rest shows the place in the text.
    fn of(error: serde_saphyr::Error) -> Self {
        Error(error.to_string().lines().next().unwrap_or("").to_owned())
    }
}

/// One document; empty text is null. Of duplicate keys the last one counts.
pub fn parse(text: &str) -> Result<Value, Error> {
    if fault::leading_tab(text).is_some() {
        return Err(Error(fault::find(text).unwrap_or_default()));
    }
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::with_deserializer_from_str_with_options(text, options(DuplicateKeyPolicy::LastWins), |deserializer| {
        Tree::Value.deserialize(deserializer)
    })
    .map_err(|error| fault::find(text).map_or_else(|| Error::of(error), Error))
}

/// What Go's strict reader says about keys that stand twice: one text of several lines, or none. For text that `parse` takes.
pub fn duplicates(text: &str) -> Option<String> {
    let found = RefCell::new(Vec::new());
    let seed = Keys { found: &found };
    let walked = serde_saphyr::with_deserializer_from_str_with_options(text, options(DuplicateKeyPolicy::PassThrough), |deserializer| {
        seed.deserialize(deserializer)
    });
    // What cannot be read was reported when it was parsed.
    drop(walked);
    let lines: Vec<String> =
        found.into_inner().iter().map(|(line, key)| format!("\n  line {line}: key {} already set in map", quoted(key))).collect();
    (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:{}", lines.concat()))
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_depth: DEPTH_MAX,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIAS_EVENTS_MAX,
        },
        duplicate_keys: duplicate_keys,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// The documents of a stream, split where kubectl splits it: at lines that start with `---`. Empty ones are left out.
pub fn documents(text: &str) -> impl Iterator<Item = Result<Value, Error>> {
    split(text).into_iter().map(parse).filter(|document| !matches!(document, Ok(Value::Null)))
}

fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let is_separator = line.strip_prefix("---").is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n']) || rest.is_empty());
        if is_separator {
            parts.push(&text[start..at]);
            // What stands on the separator's line after it belongs to the document (`--- # comment`).
            let rest = &line[3..];
            start = at + line.len() - rest.trim_start_matches([' ', '\t']).len();
        }
        at += line.len();
    }
    parts.push(&text[start..]);
    parts
}

/// A tree from any scalars; the detour over JSON makes every key text.
#[derive(Clone, Copy)]
enum Tree {
    /// Refused where it begins if it is not a scalar: keys within keys cost the parser many times its depth in stack.
    Key,
    Value,
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML node")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::from(value as f64), Value::from))
    }
    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::from(value as f64))
    }
    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::from(value as f64))
    }
    /// `1e3` is 1000 in the JSON that Go makes of it.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
            return Ok(Value::from(value as i64));
        }
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("json: unsupported value"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        if let Tree::Key = self {
            return Err(unsupported_key("slice"));
        }
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        if let Tree::Key = self {
            return Err(unsupported_key("map"));
        }
        let mut map = Map::new();
        while let Some((key, value)) = access.next_entry_seed(Tree::Key, self)? {
            let key = match key {
                Value::String(text) => text,
                Value::Null => return Err(unsupported_key("nil")),
                scalar => scalar.to_string(),
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Walks a document only for its keys.
#[derive(Clone, Copy)]
struct Keys<'a> {
    /// Line and text of each key that stood before.
    found: &'a RefCell<Vec<(u64, String)>>,
}

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML node")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i128<E>(self, _: i128) -> Result<(), E> {
        Ok(())
    }
    fn visit_u128<E>(self, _: u128) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(self)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            // Go finds what is wrong inside a value before it puts it under its key.
            access.next_value_seed(self)?;
            if !seen.insert(key.value.clone()) {
                self.found.borrow_mut().push((line, key.value));
            }
        }
        Ok(())
    }
}

fn unsupported_key<E: serde::de::Error>(kind: &str) -> E {
    E::custom(format!("Unsupported map key of type: {kind}"))
}
