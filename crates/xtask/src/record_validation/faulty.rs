//! Objects that are probably wrong, made from one that is right: every field in turn missing, empty, too long, negative, of a wrong
//! word, twice there; and every field that is not there put there. The types say which fields there are.

use kinds::{Catalog, Field, Resource, Shape, Type};
use serde_json::{Value, json};

/// Longer than any name or text with a limit that is not one of size.
const LONG: usize = 260;
/// Items of a list that are looked into; the rest are like them.
const ITEMS_MAX: usize = 3;
const DEPTH_MAX: usize = 14;

/// What is asked: a create, an update of the whole, or a write of what stands under one field.
pub(super) enum Part<'a> {
    Create,
    Update,
    Under(&'a str),
}

/// A value for a place; none empties it.
pub(super) struct Put {
    pub(super) at: Vec<Value>,
    pub(super) value: Option<Value>,
}

impl Put {
    pub(super) fn apply(&self, object: &mut Value) {
        let Some((last, way)) = self.at.split_last() else { return };
        let mut place = object;
        for step in way {
            place = match step {
                Value::String(field) => &mut place[field.as_str()],
                index => &mut place[usize::try_from(index.as_u64().unwrap_or(0)).unwrap_or(0)],
            };
        }
        match (place, last, &self.value) {
            (Value::Object(map), Value::String(field), Some(value)) => drop(map.insert(field.clone(), value.clone())),
            (Value::Object(map), Value::String(field), None) => drop(map.remove(field)),
            (Value::Array(items), index, value) => {
                let index = usize::try_from(index.as_u64().unwrap_or(0)).unwrap_or(0);
                match value {
                    Some(value) => items[index] = value.clone(),
                    None => drop(items.remove(index)),
                }
            }
            (place @ Value::Null, Value::String(field), Some(value)) => *place = json!({field.as_str(): value}),
            _ => {}
        }
    }

    /// Whether the items of lists on the way are there.
    pub(super) fn has_way(&self, object: &Value) -> bool {
        let mut place = object;
        self.at.iter().all(|step| match step {
            Value::String(field) => {
                place = &place[field.as_str()];
                true
            }
            index => {
                let item = index.as_u64().and_then(|index| place.get(usize::try_from(index).ok()?));
                place = item.unwrap_or(&Value::Null);
                item.is_some()
            }
        })
    }

    pub(super) fn to_value(&self) -> Value {
        match &self.value {
            Some(value) => json!({"at": self.at, "put": value}),
            None => json!({"at": self.at}),
        }
    }
}

/// A long text of one letter is written by its length; the golden test writes it out again.
pub(super) fn shortened(line: &str) -> String {
    line.replace(&"a".repeat(LONG), "<long>")
}

pub(super) fn puts(resource: &Resource, object: &Value, part: &Part<'_>) -> Vec<Put> {
    let catalog = kinds::builtin();
    let mut walk = Walk { catalog, at: Vec::new(), puts: Vec::new() };
    let ty = catalog.get(resource.type_id);
    match part {
        Part::Create => walk.metadata(),
        Part::Update => walk.carried_metadata(),
        Part::Under(_) => {}
    }
    // What only writers use, the engine has put elsewhere before validation.
    let is_asked = |field: &&Field| match part {
        Part::Under(name) => field.name == *name,
        _ => !matches!(field.name.as_str(), "apiVersion" | "kind" | "metadata" | "status" | "stringData"),
    };
    for field in ty.fields.iter().filter(is_asked) {
        walk.field(field, object);
    }
    walk.puts
}

struct Walk<'a> {
    catalog: &'a Catalog,
    at: Vec<Value>,
    puts: Vec<Put>,
}

impl Walk<'_> {
    fn put(&mut self, value: Value) {
        self.puts.push(Put { at: self.at.clone(), value: Some(value) });
    }

    fn metadata(&mut self) {
        for name in ["", "Bad Name!", &"a".repeat(LONG), "a.b", "a_b", "a/b", "1a", "-a"] {
            self.puts.push(Put { at: vec![json!("metadata"), json!("name")], value: Some(json!(name)) });
        }
        for prefix in ["Bad!", "fine-"] {
            self.puts.push(Put { at: vec![json!("metadata"), json!("generateName")], value: Some(json!(prefix)) });
        }
        self.carried_metadata();
    }

    fn carried_metadata(&mut self) {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""});
        for (field, value) in
            [("labels", json!({"Bad Key!": "Bad Value!"})), ("finalizers", json!(["plain"])), ("ownerReferences", json!([owner]))]
        {
            self.puts.push(Put { at: vec![json!("metadata"), json!(field)], value: Some(value) });
        }
    }

    fn structure(&mut self, ty: &Type, value: &Value) {
        for field in &ty.fields {
            self.field(field, value);
        }
    }

    fn field(&mut self, field: &Field, parent: &Value) {
        if self.at.len() > DEPTH_MAX {
            return;
        }
        self.at.push(json!(field.name));
        if field.name.to_lowercase().ends_with("expression") {
            // Whether an expression compiles is not validation's to know here.
            self.put(json!(""));
            self.put(json!(" "));
            self.at.pop();
            return;
        }
        match parent.get(&field.name) {
            Some(value) => {
                self.puts.push(Put { at: self.at.clone(), value: None });
                self.value(field, &field.shape, value);
            }
            None => self.absent(field),
        }
        self.at.pop();
    }

    /// Something that a field could hold which holds nothing.
    fn absent(&mut self, field: &Field) {
        match &field.shape {
            Shape::Struct(id) => {
                self.put(json!({}));
                // One level down, so that what a new part needs is said too.
                for inner in self.catalog.get(*id).fields.iter().filter(|inner| !matches!(inner.shape, Shape::Any | Shape::FieldsV1)) {
                    let value = plausible(inner, &inner.shape);
                    self.put(json!({inner.name.as_str(): value}));
                }
            }
            shape => {
                self.put(plausible(field, shape));
                for value in wrong(field, shape) {
                    self.put(value);
                }
            }
        }
    }

    fn value(&mut self, field: &Field, shape: &Shape, value: &Value) {
        match (shape, value) {
            (Shape::Struct(id), Value::Object(_)) => {
                self.put(json!({}));
                self.structure(self.catalog.get(*id), value);
            }
            (Shape::List(item), Value::Array(items)) => {
                self.put(json!([]));
                if let Some(first) = items.first() {
                    let mut twice = items.clone();
                    twice.push(first.clone());
                    self.put(Value::Array(twice));
                }
                for (i, inner) in items.iter().enumerate().take(ITEMS_MAX) {
                    self.at.push(json!(i));
                    self.value(field, item, inner);
                    self.at.pop();
                }
            }
            (Shape::Map(item), Value::Object(map)) => {
                self.put(json!({}));
                if let Some((_, first)) = map.iter().next() {
                    self.put(json!({"Bad Key!": first}));
                    self.put(json!({"example.com/fine": first}));
                }
                for (key, inner) in map.iter().take(ITEMS_MAX) {
                    self.at.push(json!(key));
                    self.value(field, item, inner);
                    self.at.pop();
                }
            }
            (shape, value) => {
                for wrong in wrong(field, shape).into_iter().filter(|wrong| wrong != value) {
                    self.put(wrong);
                }
                if let (Shape::Bool, Some(old)) = (shape, value.as_bool()) {
                    self.put(json!(!old));
                }
            }
        }
    }
}

fn plausible(field: &Field, shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!(true),
        Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => json!(1),
        Shape::String => json!(field.allowed.first().map_or("x", String::as_str)),
        Shape::Bytes => json!("YQ=="),
        Shape::Quantity => json!("1"),
        Shape::Time => json!("2026-01-01T00:00:00Z"),
        Shape::MicroTime => json!("2026-01-01T00:00:00.000000Z"),
        Shape::Duration => json!("1s"),
        Shape::List(item) => json!([plausible(field, item)]),
        Shape::Map(item) => json!({"x": plausible(field, item)}),
        Shape::Any | Shape::FieldsV1 | Shape::Struct(_) | Shape::SchemaOr(..) => json!({}),
    }
}

fn wrong(field: &Field, shape: &Shape) -> Vec<Value> {
    match shape {
        Shape::String if !field.allowed.is_empty() => {
            let mut values = vec![json!(""), json!("Unheard")];
            values.extend(field.allowed.iter().map(|word| json!(word)));
            values
        }
        Shape::String => vec![json!(""), json!("Bad Value!"), json!("a".repeat(LONG)), json!("x.y/z"), json!("other")],
        Shape::Int32 => vec![json!(-1), json!(0), json!(1), json!(101), json!(70000), json!(i32::MAX)],
        Shape::Int64 => vec![json!(-1), json!(0), json!(1), json!(70000), json!(1_i64 << 40)],
        Shape::Double => vec![json!(-1), json!(2)],
        Shape::IntOrString => vec![json!(-1), json!(0), json!(70000), json!("50%"), json!("150%"), json!("http"), json!("Bad!")],
        Shape::Quantity => vec![json!("-1"), json!("0"), json!("1500m")],
        Shape::Time => vec![json!(null), json!("1999-01-01T00:00:00Z")],
        Shape::Duration => vec![json!("-1s"), json!("0s")],
        Shape::Bytes => vec![json!("")],
        Shape::List(item) => match &**item {
            Shape::Struct(_) => vec![json!([{}]), json!([{}, {}])],
            item => wrong(field, item).into_iter().map(|value| json!([value])).collect(),
        },
        Shape::Map(item) => vec![json!({"Bad Key!": plausible(field, item)})],
        _ => Vec::new(),
    }
}
