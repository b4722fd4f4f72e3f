//! How a value of a type merges: the view of the type arena that the walks share.

use kinds::{Catalog, Field, Merge, Shape, Type, TypeId};
use serde_json::{Map, Value};

use super::set::{FieldSet, Node, is_member, map_children, marked};

#[derive(Clone, Copy)]
pub(super) struct Schema<'a> {
    catalog: &'a Catalog,
    root: &'a Type,
}

/// What a walk must do at a value.
#[derive(Clone, Copy)]
pub(super) enum Atom<'a> {
    /// Merged and owned as a whole.
    Leaf(Leaf<'a>),
    Struct(&'a Type),
    /// Keys are free, values alike.
    Map(&'a Shape),
    Set(&'a Shape),
    /// List of structs told apart by the values of these fields.
    Keyed(&'a Shape, &'a [String]),
    /// No schema: maps merge by key, all else is a whole.
    Free,
}

/// What a whole value may be; the walks do not care, the check of a configuration does.
#[derive(Clone, Copy)]
pub(super) enum Leaf<'a> {
    Text,
    Number,
    Bool,
    /// A quantity, a port: text or number.
    Untyped,
    List(&'a Shape),
    Struct(&'a Type),
    Map(&'a Shape),
}

impl<'a> Schema<'a> {
    pub(super) fn new(catalog: &'a Catalog, type_id: TypeId) -> Self {
        Schema { catalog, root: catalog.get(type_id) }
    }

    /// The same catalog's view of another type.
    pub(super) fn of(&self, type_id: TypeId) -> Self {
        Schema::new(self.catalog, type_id)
    }

    pub(super) fn root(&self) -> Atom<'a> {
        Atom::Struct(self.root)
    }

    /// `merge` is the marker of the field the value stands in; items of lists and maps have none.
    pub(super) fn atom(&self, shape: &'a Shape, merge: &'a Merge) -> Atom<'a> {
        match shape {
            Shape::Struct(id) => {
                let ty = self.catalog.get(*id);
                let is_whole = *merge == Merge::Atomic || (ty.merge == Merge::Atomic && *merge != Merge::Granular);
                if is_whole { Atom::Leaf(Leaf::Struct(ty)) } else { Atom::Struct(ty) }
            }
            Shape::Map(value) => {
                if *merge == Merge::Atomic {
                    Atom::Leaf(Leaf::Map(value))
                } else {
                    Atom::Map(value)
                }
            }
            Shape::List(item) => match merge {
                Merge::Set => Atom::Set(item),
                Merge::Map(keys) => Atom::Keyed(item, keys),
                _ => Atom::Leaf(Leaf::List(item)),
            },
            Shape::Any if *merge == Merge::Granular => Atom::Free,
            Shape::Bool => Atom::Leaf(Leaf::Bool),
            Shape::Int32 | Shape::Int64 | Shape::Double => Atom::Leaf(Leaf::Number),
            Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration => Atom::Leaf(Leaf::Text),
            Shape::Quantity | Shape::IntOrString | Shape::Any | Shape::FieldsV1 | Shape::SchemaOr(..) => Atom::Leaf(Leaf::Untyped),
        }
    }

    pub(super) fn field(&self, field: &'a Field) -> Atom<'a> {
        self.atom(&field.shape, &field.merge)
    }

    pub(super) fn item(&self, shape: &'a Shape) -> Atom<'a> {
        self.atom(shape, &Merge::Unmarked)
    }

    /// The atom of a map's or struct's member; `None` for a field the struct does not have.
    pub(super) fn member(&self, atom: Atom<'a>, name: &str) -> Option<Atom<'a>> {
        match atom {
            Atom::Struct(ty) => ty.field(name).map(|field| self.field(field)),
            Atom::Map(value) => Some(self.item(value)),
            _ => Some(Atom::Free),
        }
    }

    /// The atom of a list's items.
    pub(super) fn items(&self, atom: Atom<'a>) -> Atom<'a> {
        match atom {
            Atom::Set(item) | Atom::Keyed(item, _) => self.item(item),
            _ => Atom::Free,
        }
    }

    /// The path element of a list item, or what is wrong with it.
    pub(super) fn item_key(&self, atom: Atom<'a>, item: &Value) -> Result<String, String> {
        match atom {
            Atom::Keyed(shape, keys) => self.keyed_item(shape, keys, item),
            _ => match item {
                Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
                scalar => Ok(format!("v:{scalar}")),
            },
        }
    }

    fn keyed_item(&self, shape: &'a Shape, keys: &[String], item: &Value) -> Result<String, String> {
        let item = match item {
            Value::Object(item) => item,
            Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        };
        let Shape::Struct(id) = shape else { return Err("associative list may not have non-map types".to_owned()) };
        let ty = self.catalog.get(*id);
        // The usual key is one text; it is written without a map in between.
        if let [name] = keys
            && let Some(Value::String(text)) = item.get(name)
        {
            return Ok(format!("k:{{{}:{}}}", Value::from(name.as_str()), Value::from(text.as_str())));
        }
        let value_of = |name: &String| Some((name.clone(), item.get(name).cloned().or_else(|| ty.field(name).and_then(default_key))?));
        let found: Map<String, Value> = keys.iter().filter_map(value_of).collect();
        if found.is_empty() && !keys.is_empty() {
            let names: Vec<String> = keys.iter().map(|k| format!("{k:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                names.join(" ")
            ));
        }
        Ok(format!("k:{}", Value::Object(found)))
    }

    /// Every item of the object's lists has its key; upstream reads no other object.
    pub(super) fn has_keys(&self, object: &Value) -> bool {
        self.are_keyed(self.root(), object)
    }

    fn are_keyed(&self, atom: Atom<'a>, value: &Value) -> bool {
        let has_parts = |value: &Value| value.is_object() || value.is_array();
        match value {
            Value::Object(map) => {
                let mut parts = map.iter().filter(|(_, value)| has_parts(value));
                parts.all(|(name, value)| self.member(atom, name).is_none_or(|member| self.are_keyed(member, value)))
            }
            Value::Array(items) if matches!(atom, Atom::Set(_) | Atom::Keyed(..)) => items.iter().all(|item| {
                let is_keyed =
                    matches!((atom, item), (Atom::Keyed(_, keys), Value::Object(map)) if keys.iter().any(|key| map.contains_key(key)));
                (is_keyed || self.item_key(atom, item).is_ok()) && (!has_parts(item) || self.are_keyed(self.items(atom), item))
            }),
            _ => true,
        }
    }

    /// The set with every declared field that has children in it as a member of its own.
    pub(super) fn with_named_fields(&self, set: FieldSet) -> FieldSet {
        set.map_nodes(|key, node| self.named(key, node, self.root()))
    }

    fn named(&self, key: &str, node: Node, atom: Atom<'a>) -> Node {
        let (is_declared, below) = match key.strip_prefix("f:") {
            Some(name) => (matches!(atom, Atom::Struct(ty) if ty.field(name).is_some()), self.member(atom, name)),
            None => (false, Some(self.items(atom))),
        };
        let is_named = is_declared || is_member(&node);
        let node = map_children(node, |key, node| self.named(key, node, below.unwrap_or(Atom::Free)));
        if is_named { marked(Some(node)) } else { node }
    }

    /// An object of the type as Go makes it: plain structs and always-written scalars are there, all else is not.
    pub(super) fn zero(&self) -> Value {
        Value::Object(self.zero_of(self.root))
    }

    fn zero_of(&self, ty: &Type) -> Map<String, Value> {
        let is_written = |field: &&Field| !field.pointer && !field.omit_zero && field.tag != 0;
        ty.fields
            .iter()
            .filter(is_written)
            .filter_map(|field| {
                let value = match &field.shape {
                    Shape::Struct(id) => Value::Object(self.zero_of(self.catalog.get(*id))),
                    Shape::Time | Shape::MicroTime => Value::Null,
                    _ if field.omit_empty => return None,
                    shape => zero_scalar(shape),
                };
                Some((field.name.clone(), value))
            })
            .collect()
    }
}

/// Upstream: the OpenAPI default of a key field, which is Go's zero for a plain field that is always written.
fn default_key(field: &Field) -> Option<Value> {
    if let Some(value) = &field.default {
        return Some(value.clone());
    }
    (!field.pointer && !field.omit_empty).then(|| zero_scalar(&field.shape)).filter(|value| !value.is_null())
}

fn zero_scalar(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => Value::from(0),
        Shape::String => Value::from(""),
        Shape::Quantity => Value::from("0"),
        _ => Value::Null,
    }
}
