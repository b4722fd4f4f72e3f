//! Strict field checking: which fields of a body its type does not know, in upstream's words (`sigs.k8s.io/json`).
//!
//! `check` works on a tree and is what every request runs; `faults` walks the text again in document order, mixing in duplicates,
//! and is run only when there is something to report.

use std::collections::HashSet;
use std::fmt;

use kinds::{Catalog, Shape, TypeId};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::json::{Parsed, prepend_from, quoted};

/// Upstream gathers no more than this many.
const FAULTS_MAX: usize = 100;

/// `unknown field "spec.foo"` for each, fields of a struct in the order of their names.
pub fn check(catalog: &Catalog, ty: TypeId, value: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(catalog, &Shape::Struct(ty), value, &mut unknown);
    unknown.truncate(FAULTS_MAX);
    unknown.iter().map(|path| format!("unknown field {}", quoted(path))).collect()
}

/// Unknown and duplicate fields of a JSON body in document order; empty for a good body, at the price of `check` alone.
pub fn check_json(catalog: &Catalog, ty: TypeId, parsed: &Parsed, body: &[u8]) -> Vec<String> {
    if parsed.duplicates.is_empty() && check(catalog, ty, &parsed.value).is_empty() { Vec::new() } else { faults(catalog, ty, body) }
}

fn walk(catalog: &Catalog, shape: &Shape, value: &Value, unknown: &mut Vec<String>) {
    match (shape, value) {
        (Shape::Struct(id), Value::Object(map)) => {
            let ty = catalog.get(*id);
            for (name, value) in map {
                let Some(field) = ty.field(name) else {
                    unknown.push(name.clone());
                    continue;
                };
                let from = unknown.len();
                walk(catalog, &field.shape, value, unknown);
                prepend_from(unknown, from, &|| name.clone());
            }
        }
        (Shape::Map(item), Value::Object(map)) if can_hold_structs(item) => {
            for (name, value) in map {
                let from = unknown.len();
                walk(catalog, item, value, unknown);
                prepend_from(unknown, from, &|| name.clone());
            }
        }
        (Shape::List(item), Value::Array(items)) if can_hold_structs(item) => {
            for (i, value) in items.iter().enumerate() {
                let from = unknown.len();
                walk(catalog, item, value, unknown);
                prepend_from(unknown, from, &|| format!("[{i}]"));
            }
        }
        // Upstream: types with their own decoder (`RawExtension`, schema alternatives) are not checked inside.
        _ => {}
    }
}

fn can_hold_structs(shape: &Shape) -> bool {
    matches!(shape, Shape::Struct(_) | Shape::List(_) | Shape::Map(_))
}

fn faults(catalog: &Catalog, ty: TypeId, body: &[u8]) -> Vec<String> {
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let shape = Shape::Struct(ty);
    // A syntax error was reported when the body was parsed; what came before it is enough here.
    drop(Typed { catalog, shape: Some(&shape), found: &mut found }.deserialize(&mut deserializer));
    let mut texts: Vec<String> = Vec::new();
    for (path, fault) in found.paths.iter().zip(&found.faults) {
        let text = format!("{fault} {}", quoted(path));
        if !texts.contains(&text) && texts.len() < FAULTS_MAX {
            texts.push(text);
        }
    }
    texts
}

/// Two lists of equal length: the paths grow on the way up, what is wrong with them does not.
#[derive(Default)]
struct Found {
    paths: Vec<String>,
    faults: Vec<&'static str>,
}

impl Found {
    fn add(&mut self, fault: &'static str, path: &str) {
        // Ten times the limit leaves room for repeated texts, and bounds the memory of a hostile body.
        if self.paths.len() < 10 * FAULTS_MAX {
            self.paths.push(path.to_owned());
            self.faults.push(fault);
        }
    }
}

struct Typed<'a> {
    catalog: &'a Catalog,
    /// None below a value that is not looked into.
    shape: Option<&'a Shape>,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Typed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.shape {
            Some(Shape::Struct(_) | Shape::List(_) | Shape::Map(_)) => deserializer.deserialize_any(self),
            _ => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
        }
    }
}

impl<'de> Visitor<'de> for Typed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
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
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let item = match self.shape {
            Some(Shape::List(item)) => Some(&**item),
            _ => None,
        };
        let mut i = 0;
        loop {
            let from = self.found.paths.len();
            let seed = Typed { catalog: self.catalog, shape: item, found: self.found };
            if sequence.next_element_seed(seed)?.is_none() {
                return Ok(());
            }
            prepend_from(&mut self.found.paths, from, &|| format!("[{i}]"));
            i += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = access.next_key::<String>()? {
            let (known, shape) = match self.shape {
                Some(Shape::Struct(id)) => {
                    let field = self.catalog.get(*id).field(&key);
                    (field.is_some(), field.map(|f| &f.shape))
                }
                Some(Shape::Map(item)) => (true, Some(&**item)),
                _ => (true, None),
            };
            if !known {
                self.found.add("unknown field", &key);
            } else if seen.contains(&key) {
                self.found.add("duplicate field", &key);
            }
            let from = self.found.paths.len();
            access.next_value_seed(Typed { catalog: self.catalog, shape, found: self.found })?;
            prepend_from(&mut self.found.paths, from, &|| key.clone());
            if known {
                seen.insert(key);
            }
        }
        Ok(())
    }
}
