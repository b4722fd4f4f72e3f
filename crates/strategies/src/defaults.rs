//! Defaults and normal form: what decoding into upstream's Go types, defaulting and encoding again makes of an object.
//!
//! One walk over the type arena. For each value of a known type: zero values of plain optional fields go, missing plain structs and
//! always-written scalars come, quantities and times take their canonical text, then constant rows, then the type's rule.
//! Go types only (`io.k8s.…`): a custom resource keeps what it has, but for the defaults of its own schema.
//!
//! Invariant: applying it twice changes nothing.

pub(crate) mod closed;
mod pods;
mod services;
mod workloads;

use std::collections::HashMap;
use std::sync::OnceLock;

use jiff::Timestamp;
use kinds::{Catalog, Field, Shape, Type, TypeId};
use object::quantity::Quantity;
use object::time;
use serde_json::{Map, Value};

type Tree = Map<String, Value>;
/// A default that depends on other fields of the same value.
type Rule = fn(&mut Tree, Timestamp);

/// By the short name of a type. A rule sees the value before its parts are walked.
const RULES: &[(&str, &[(&str, Rule)])] = &[("core.v1", pods::RULES), ("core.v1", services::RULES), ("", workloads::RULES)];

/// In place of a value: the field is behind a closed gate (`closed`), and what has no other field goes with it.
const CLOSED: &str = "-";
const CLOSED_ALONE: &str = "--";
const ROWS: &str = include_str!("defaults/rows.txt");

/// What is known of a type beyond its fields.
#[derive(Default)]
struct Facts {
    constants: Vec<(&'static str, Value)>,
    /// Fields behind a gate that is closed; with whether what has no other field goes too.
    closed: Vec<(&'static str, bool)>,
    rules: Vec<Rule>,
}

pub fn default(catalog: &Catalog, type_id: TypeId, object: &mut Value, now: Timestamp) {
    let walk = Walk { catalog, now };
    if let Value::Object(tree) = object {
        walk.structure(catalog.get(type_id), tree);
    }
}

/// How much is known of the defaults of a type.
#[cfg(test)]
pub(crate) fn n_rows(type_name: &str) -> usize {
    short_name(type_name).and_then(|name| facts().get(name)).map_or(0, |facts| facts.constants.len() + facts.rules.len())
}

/// The status alone, for it may have been reset since.
pub(crate) fn default_status(catalog: &Catalog, type_id: TypeId, object: &mut Value, now: Timestamp) {
    let walk = Walk { catalog, now };
    let ty = catalog.get(type_id);
    if let (Value::Object(tree), Some(field)) = (object, ty.field("status")) {
        walk.field(field, tree, short_name(&ty.name).is_some());
    }
}

fn facts() -> &'static HashMap<String, Facts> {
    static FACTS: OnceLock<HashMap<String, Facts>> = OnceLock::new();
    FACTS.get_or_init(|| {
        let mut facts: HashMap<String, Facts> = HashMap::new();
        for line in ROWS.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.splitn(3, ' ');
            let (Some(name), Some(field), Some(value)) = (words.next(), words.next(), words.next()) else { panic!("short row: {line}") };
            let facts = facts.entry(name.to_owned()).or_default();
            if matches!(value, CLOSED | CLOSED_ALONE) {
                facts.closed.push((field, value == CLOSED_ALONE));
                continue;
            }
            let value = serde_json::from_str(value).expect("a default is JSON");
            facts.constants.push((field, value));
        }
        for (group, rules) in RULES {
            for (name, rule) in *rules {
                let name = if group.is_empty() { (*name).to_owned() } else { format!("{group}.{name}") };
                facts.entry(name).or_default().rules.push(*rule);
            }
        }
        facts
    })
}

/// `apps.v1.Deployment` of `io.k8s.api.apps.v1.Deployment`; `None` for a type that is not upstream's.
fn short_name(name: &str) -> Option<&str> {
    const PACKAGES: [&str; 5] = [
        "io.k8s.api.",
        "io.k8s.apimachinery.pkg.apis.",
        "io.k8s.apiextensions-apiserver.pkg.apis.",
        "io.k8s.kube-aggregator.pkg.apis.",
        "io.k8s.metrics.pkg.apis.",
    ];
    PACKAGES.iter().find_map(|package| name.strip_prefix(package))
}

struct Walk<'a> {
    catalog: &'a Catalog,
    now: Timestamp,
}

impl Walk<'_> {
    fn structure(&self, ty: &Type, tree: &mut Tree) {
        let short = short_name(&ty.name);
        if short.is_some() {
            drop_zeros(ty, tree);
        }
        let facts = short.and_then(|name| facts().get(name));
        if let Some(facts) = facts {
            for rule in &facts.rules {
                rule(tree, self.now);
            }
            for (field, value) in &facts.constants {
                // Behind a pointer Go tells zero from nothing: `replicas: 0` is meant.
                if !(tree.contains_key(*field) && ty.field(field).is_some_and(|f| f.pointer)) {
                    set_if_missing(tree, field, value);
                }
            }
        }
        for field in &ty.fields {
            self.field(field, tree, short.is_some());
        }
    }

    fn field(&self, field: &Field, tree: &mut Tree, is_go: bool) {
        if let Some(value) = tree.get_mut(&field.name) {
            self.value(&field.shape, value);
            // A struct that was sent empty and has nothing to say is not written.
            if is_go && field.omit_zero && !field.pointer && value.as_object().is_some_and(Tree::is_empty) {
                tree.remove(&field.name);
            }
            return;
        }
        // A default that is the zero of a plain field is how Go has it, and is not written.
        let default = field.default.as_ref().filter(|value| is_written(field, value));
        if let Some(value) = default {
            let mut value = value.clone();
            self.value(&field.shape, &mut value);
            tree.insert(field.name.clone(), value);
            return;
        }
        if !is_go || field.pointer {
            return;
        }
        if let Shape::Struct(id) = &field.shape {
            let mut inner = Tree::new();
            self.structure(self.catalog.get(*id), &mut inner);
            if !inner.is_empty() || !field.omit_zero {
                tree.insert(field.name.clone(), Value::Object(inner));
            }
        } else if is_always_written(field) {
            tree.insert(field.name.clone(), zero(&field.shape));
        }
    }

    fn value(&self, shape: &Shape, value: &mut Value) {
        match (shape, value) {
            (Shape::Struct(id), Value::Object(tree)) => self.structure(self.catalog.get(*id), tree),
            (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|v| self.value(item, v)),
            (Shape::Map(item), Value::Object(map)) => map.values_mut().for_each(|v| self.value(item, v)),
            (Shape::Quantity, value) => canonical_quantity(value),
            (Shape::Time, Value::String(text)) => canonical_time(text, time::seconds),
            (Shape::MicroTime, Value::String(text)) => canonical_time(text, time::micros),
            _ => {}
        }
    }
}

/// What to Go is not there: nulls, and zero values of plain optional fields.
fn drop_zeros(ty: &Type, tree: &mut Tree) {
    tree.retain(|name, value| match value {
        Value::Null => false,
        Value::Object(map) if !map.is_empty() => true,
        Value::Array(items) if !items.is_empty() => true,
        _ => ty.field(name).is_none_or(|field| is_written(field, value)),
    });
}

fn is_written(field: &Field, value: &Value) -> bool {
    // To Go an empty list, map or text of bytes is not the same as none; only the encoder (`codec::shed`) takes it for that.
    let is_collection = matches!(field.shape, Shape::List(_) | Shape::Map(_) | Shape::Bytes);
    let is_struct = matches!(field.shape, Shape::Struct(_) | Shape::Any | Shape::FieldsV1 | Shape::SchemaOr(..));
    field.pointer || is_collection || is_struct || !(field.omit_empty || field.omit_zero) || !is_zero(value)
}

/// Upstream: `omitempty` does nothing for a time, which is a struct in Go.
fn is_always_written(field: &Field) -> bool {
    let is_time = matches!(field.shape, Shape::Time | Shape::MicroTime);
    !field.pointer && !field.omit_zero && (is_time || !field.omit_empty) && field.tag != 0
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => Value::from(0),
        Shape::String => Value::from(""),
        Shape::Quantity => Value::from("0"),
        Shape::Duration => Value::from("0s"),
        _ => Value::Null,
    }
}

/// A plain field that upstream always writes counts as missing while it is Go's zero, and so does an empty list.
fn set_if_missing(tree: &mut Tree, field: &str, value: &Value) {
    match tree.get(field) {
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::Array(items)) if items.is_empty() => {}
        Some(Value::Number(n)) if n.as_i64() == Some(0) && value.as_i64().is_none_or(|v| v != 0) && value.is_number() => {}
        Some(_) => return,
        None => {}
    }
    tree.insert(field.to_owned(), value.clone());
}

fn canonical_quantity(value: &mut Value) {
    let text = match value {
        Value::String(text) => std::borrow::Cow::Borrowed(text.as_str()),
        Value::Number(n) => std::borrow::Cow::Owned(n.to_string()),
        _ => return,
    };
    if let Ok(quantity) = Quantity::parse(&text) {
        let canonical = quantity.to_string();
        if canonical != text || value.is_number() {
            *value = Value::from(canonical);
        }
    }
}

fn canonical_time(text: &mut String, write: fn(Timestamp) -> String) {
    if let Some(at) = time::parse(text) {
        let canonical = write(at);
        if canonical != *text {
            *text = canonical;
        }
    }
}

/// The map at a field, if it is one.
fn map<'a>(tree: &'a mut Tree, field: &str) -> Option<&'a mut Tree> {
    tree.get_mut(field)?.as_object_mut()
}

/// The map at a field, made when it is missing; `None` when something else stands there.
fn map_or_new<'a>(tree: &'a mut Tree, field: &str) -> Option<&'a mut Tree> {
    let value = tree.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Tree::new());
    }
    value.as_object_mut()
}

/// The maps in a list.
fn maps<'a>(tree: &'a mut Tree, field: &str) -> impl Iterator<Item = &'a mut Tree> {
    tree.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn text<'a>(tree: &'a Tree, field: &str) -> &'a str {
    tree.get(field).and_then(Value::as_str).unwrap_or("")
}

fn set_absent(tree: &mut Tree, field: &str, value: impl Into<Value>) {
    if !tree.contains_key(field) {
        tree.insert(field.to_owned(), value.into());
    }
}
