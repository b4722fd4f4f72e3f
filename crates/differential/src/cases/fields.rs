//! Every field of every type once: a plausible value, a wrong type, left out where it is required; every type once with an unknown
//! and a doubled field. Nothing is stored: all are dry runs.

use std::collections::HashSet;

use kinds::{Catalog, Field, Shape, TypeId};
use serde_json::{Value, json};

use crate::ask;
use crate::seeds::{self, Subject};
use crate::story::{Request, Story};

/// Types that hold themselves (JSON schemas) are walked once; nothing else is this deep.
const DEPTH_MAX: usize = 14;

pub(super) fn stories() -> Vec<Story> {
    let mut seen = HashSet::new();
    // The metadata of all kinds is one type: it is walked through a kind whose own fields are few.
    let mut subjects = seeds::subjects();
    subjects.sort_by_key(|s| s.resource.kind != "ConfigMap");
    subjects.iter().map(|subject| of_kind(subject, &mut seen)).collect()
}

fn of_kind(subject: &Subject, seen: &mut HashSet<(TypeId, String)>) -> Story {
    let mut story = Story::for_pods(format!("fields/{}", subject.label()));
    let catalog = kinds::builtin();
    let object = subject.minimal("x");
    let path = |validation: &str| format!("{}?dryRun=All&fieldValidation={validation}", subject.collection());
    for (i, seed) in subject.all("x").into_iter().enumerate() {
        story.add(Request::new(format!("seed-{i}"), "POST", path("Strict"), seed.to_string()));
        for pointer in leaves(&seed, "") {
            let mut without = seed.clone();
            ask::remove(&mut without, &pointer);
            story.add(Request::new(format!("seed-{i}-without{pointer}"), "POST", path("Strict"), without.to_string()));
        }
    }
    let mut full = filled(catalog, subject.resource.type_id, 0);
    for key in ["apiVersion", "kind", "metadata"] {
        full[key] = object[key].clone();
    }
    story.add(Request::new("full", "POST", path("Strict"), full.to_string()));
    let mut walk = Walk { catalog, seen, story: &mut story, object, path: &path, n_types: 0 };
    walk.walk(subject.resource.type_id, "", 0);
    story
}

struct Walk<'a> {
    catalog: &'a Catalog,
    seen: &'a mut HashSet<(TypeId, String)>,
    story: &'a mut Story,
    object: Value,
    path: &'a dyn Fn(&str) -> String,
    n_types: usize,
}

impl Walk<'_> {
    fn walk(&mut self, ty: TypeId, at: &str, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let catalog = self.catalog;
        if self.seen.insert((ty, String::new())) {
            self.odd_fields(at);
        }
        for field in &catalog.get(ty).fields {
            if !self.seen.insert((ty, field.name.clone())) {
                continue;
            }
            let pointer = format!("{at}/{}", field.name);
            self.field(field, &pointer);
            let (mut shape, mut inner) = (&field.shape, pointer);
            loop {
                match shape {
                    Shape::List(item) => (shape, inner) = (item, format!("{inner}/0")),
                    Shape::Map(item) => (shape, inner) = (item, format!("{inner}/k")),
                    Shape::Struct(ty) => {
                        self.walk(*ty, &inner, depth + 1);
                        break;
                    }
                    _ => break,
                }
            }
        }
    }

    fn send(&mut self, name: String, validation: &str, body: String) {
        self.story.add(Request::new(name, "POST", (self.path)(validation), body));
    }

    fn field(&mut self, field: &Field, pointer: &str) {
        let mut object = self.object.clone();
        ask::set(&mut object, pointer, value_of(self.catalog, field));
        self.send(format!("value{pointer}"), "Strict", object.to_string());
        for (i, wrong) in wrong_values(&field.shape).into_iter().enumerate() {
            ask::set(&mut object, pointer, wrong);
            self.send(format!("wrong-{i}{pointer}"), "Strict", object.to_string());
        }
        ask::set(&mut object, pointer, Value::Null);
        self.send(format!("null{pointer}"), "Strict", object.to_string());
    }

    /// What no type has: a field of an unknown name, and one name twice, under each way of checking.
    fn odd_fields(&mut self, at: &str) {
        self.n_types += 1;
        let mut object = self.object.clone();
        ask::set(&mut object, &format!("{at}/zzUnknown"), json!(1));
        let unknown = object.to_string();
        let doubled = unknown.replace("\"zzUnknown\":1", "\"zzTwice\":1,\"zzTwice\":2");
        // The other two ways differ in where the text goes, not in the text.
        let ways: &[&str] = if self.n_types == 1 { &["Strict", "Warn", "Ignore", "Wrong"] } else { &["Strict"] };
        for way in ways {
            self.send(format!("unknown-{way}{at}"), way, unknown.clone());
            self.send(format!("doubled-{way}{at}"), way, doubled.clone());
        }
    }
}

/// Pointers to all members of objects and items of lists.
fn leaves(value: &Value, at: &str) -> Vec<String> {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, member)| (format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), member)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(i, item)| (format!("{at}/{i}"), item)).collect(),
        _ => Vec::new(),
    };
    members
        .into_iter()
        .flat_map(|(pointer, member)| {
            let below = leaves(member, &pointer);
            std::iter::once(pointer).chain(below)
        })
        .collect()
}

/// A struct with all its fields, to a depth.
fn filled(catalog: &Catalog, ty: TypeId, depth: usize) -> Value {
    let fields = catalog.get(ty).fields.iter();
    Value::Object(fields.map(|field| (field.name.clone(), filled_shape(catalog, field, &field.shape, depth))).collect())
}

fn filled_shape(catalog: &Catalog, field: &Field, shape: &Shape, depth: usize) -> Value {
    match shape {
        Shape::Struct(ty) if depth < 5 => filled(catalog, *ty, depth + 1),
        Shape::List(item) => json!([filled_shape(catalog, field, item, depth)]),
        Shape::Map(item) => json!({"k": filled_shape(catalog, field, item, depth)}),
        other => scalar(field, other),
    }
}

fn value_of(catalog: &Catalog, field: &Field) -> Value {
    filled_shape(catalog, field, &field.shape, usize::MAX)
}

fn scalar(field: &Field, shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!(true),
        Shape::Int32 | Shape::Int64 | Shape::IntOrString => json!(1),
        Shape::Double => json!(1.5),
        Shape::String => field.allowed.first().map_or_else(|| json!("x"), |first| json!(first)),
        Shape::Bytes => json!("eA=="),
        Shape::Quantity => json!("1"),
        Shape::Time => json!("2001-02-03T04:05:06Z"),
        Shape::MicroTime => json!("2001-02-03T04:05:06.000007Z"),
        Shape::Duration => json!("1m0s"),
        Shape::Any | Shape::FieldsV1 => json!({"a": "b"}),
        Shape::Struct(_) => json!({}),
        Shape::List(_) | Shape::Map(_) | Shape::SchemaOr(..) => json!({}),
    }
}

/// Values that Go's decoder refuses, or takes in a way of its own.
fn wrong_values(shape: &Shape) -> Vec<Value> {
    match shape {
        Shape::Bool => vec![json!("true")],
        Shape::Int32 => vec![json!("1"), json!(3_000_000_000_u32), json!(1.5)],
        Shape::Int64 | Shape::Double => vec![json!("1")],
        Shape::String => vec![json!(7)],
        Shape::Bytes => vec![json!("no base64!")],
        Shape::Quantity => vec![json!("1x"), json!(1.5)],
        Shape::IntOrString => vec![json!({"a": 1})],
        Shape::Time | Shape::MicroTime | Shape::Duration => vec![json!("yesterday"), json!(5)],
        Shape::Any | Shape::FieldsV1 => vec![json!("x")],
        Shape::Struct(_) => vec![json!("x"), json!([])],
        Shape::List(_) => vec![json!("x"), json!({}), json!([7]), json!([])],
        Shape::Map(_) => vec![json!("x"), json!({"k": [7]}), json!({})],
        Shape::SchemaOr(..) => vec![json!("x")],
    }
}
