//! What writing an object makes of its empty lists, maps and bytes: to Go they are not the same as none, but few outlast being written.
//!
//! `normalise` keeps them, and only what is written sheds them: most objects have none, which `has_empties` finds out cheaply.

use kinds::{Catalog, Field, Shape, TypeId};
use serde_json::{Map, Value};

/// What a normal object is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Go's JSON: only what has `omitempty` goes. An empty list of field managers stays, for it is an order to reset them.
    Json,
    /// What is read back from protobuf, in which upstream stores: it cannot tell an empty list or map from none, so one that has no
    /// `omitempty` is null.
    Stored,
}

pub fn shed(catalog: &Catalog, ty: TypeId, value: &mut Value, written: Written) {
    shed_value(catalog, &Shape::Struct(ty), value, written);
}

/// Whether there is anything that `shed` would take.
pub fn has_empties(catalog: &Catalog, ty: TypeId, value: &Value) -> bool {
    has_any(catalog, &Shape::Struct(ty), value)
}

fn shed_value(catalog: &Catalog, shape: &Shape, value: &mut Value, written: Written) {
    match (shape, value) {
        (Shape::Struct(id) | Shape::SchemaOr(id, _), Value::Object(map)) => map.retain(|name, value| {
            let Some(field) = inner(value).and_then(|_| catalog.get(*id).field(name)) else { return true };
            shed_value(catalog, &field.shape, value, written);
            let is_order = written == Written::Json && field.name == "managedFields";
            if inner(value) != Some(Inner::Empty) || field.pointer || !is_collection(field) || is_order {
                return true;
            }
            if !field.omit_empty && written == Written::Stored && is_lost(field) {
                *value = Value::Null;
            }
            !field.omit_empty
        }),
        (Shape::SchemaOr(id, _), Value::Array(items)) => {
            items.iter_mut().for_each(|value| shed_value(catalog, &Shape::Struct(*id), value, written));
        }
        (Shape::List(item), Value::Array(items)) => items.iter_mut().for_each(|value| shed_value(catalog, item, value, written)),
        (Shape::Map(item), Value::Object(map)) => map.values_mut().for_each(|value| shed_value(catalog, item, value, written)),
        _ => {}
    }
}

fn has_any(catalog: &Catalog, shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Struct(id) | Shape::SchemaOr(id, _), Value::Object(map)) => has_any_field(catalog, *id, map),
        (Shape::SchemaOr(id, _), Value::Array(items)) => items.iter().any(|value| has_any(catalog, &Shape::Struct(*id), value)),
        (Shape::List(item), Value::Array(items)) if is_deep(item) => items.iter().any(|value| has_any(catalog, item, value)),
        (Shape::Map(item), Value::Object(map)) if is_deep(item) => map.values().any(|value| has_any(catalog, item, value)),
        _ => false,
    }
}

fn has_any_field(catalog: &Catalog, ty: TypeId, map: &Map<String, Value>) -> bool {
    let ty = catalog.get(ty);
    map.iter().any(|(name, value)| {
        let Some((inner, field)) = inner(value).and_then(|inner| Some((inner, ty.field(name)?))) else { return false };
        match inner {
            Inner::Empty => !field.pointer && is_collection(field) && (field.omit_empty || is_lost(field)),
            Inner::Some => has_any(catalog, &field.shape, value),
        }
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Inner {
    Empty,
    Some,
}

/// Whether there is something in the value; `None` for a plain one.
fn inner(value: &Value) -> Option<Inner> {
    let is_empty = match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) if text.is_empty() => true,
        _ => return None,
    };
    Some(if is_empty { Inner::Empty } else { Inner::Some })
}

/// Whether values of the shape can hold fields.
fn is_deep(shape: &Shape) -> bool {
    matches!(shape, Shape::Struct(_) | Shape::List(_) | Shape::Map(_) | Shape::SchemaOr(..))
}

fn is_collection(field: &Field) -> bool {
    matches!(field.shape, Shape::List(_) | Shape::Map(_) | Shape::Bytes)
}

/// Bytes that are there are so on the wire; a list or map is what it has.
fn is_lost(field: &Field) -> bool {
    field.shape != Shape::Bytes && field.tag != 0 && !field.is_message_list()
}
