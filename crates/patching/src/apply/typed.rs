//! A configuration against its schema, and the fields it sets.

use serde_json::Value;

use super::schema::{Atom, Leaf, Schema};
use super::set::{FieldSet, Node, field_key, shown};
use crate::go_text;

/// The fields an object sets: leaves, items of lists, and what is set to nothing.
pub(super) fn field_set(schema: &Schema<'_>, object: &Value) -> FieldSet {
    node_of(schema, schema.root(), object).below
}

fn node_of(schema: &Schema<'_>, atom: Atom<'_>, value: &Value) -> Node {
    let mut node = Node::default();
    match (atom, value) {
        (Atom::Struct(_) | Atom::Map(_) | Atom::Free, Value::Object(map)) => {
            for (name, value) in map {
                let member = schema.member(atom, name);
                let mut child = node_of(schema, member.unwrap_or(Atom::Free), value);
                let is_nothing = value.is_null() || value.as_object().is_some_and(|m| m.is_empty());
                child.is_member |= is_nothing || !matches!((atom, member), (Atom::Struct(_), Some(_)));
                node.below.insert(field_key(name), child);
            }
        }
        (Atom::Set(_) | Atom::Keyed(..), Value::Array(items)) => {
            for item in items {
                let Ok(key) = schema.item_key(atom, item) else { continue };
                let mut child = node_of(schema, schema.items(atom), item);
                child.is_member = true;
                node.below.insert(key, child);
            }
        }
        (Atom::Struct(_) | Atom::Map(_) | Atom::Set(_) | Atom::Keyed(..), _) => {}
        (Atom::Leaf(_) | Atom::Free, _) => node.is_member = true,
    }
    node
}

/// What does not fit, in upstream's words, each with its path before it.
pub(super) fn faults(schema: &Schema<'_>, config: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, schema.root(), config, &mut String::new(), &mut faults);
    faults
}

fn check(schema: &Schema<'_>, atom: Atom<'_>, value: &Value, path: &mut String, faults: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    match atom {
        Atom::Struct(_) | Atom::Map(_) | Atom::Leaf(Leaf::Struct(_) | Leaf::Map(_)) => check_members(schema, atom, value, path, faults),
        Atom::Set(_) | Atom::Keyed(..) | Atom::Leaf(Leaf::List(_)) => check_items(schema, atom, value, path, faults),
        Atom::Leaf(Leaf::Text) if !value.is_string() => faults.push(format!("{path}: expected string, got {}", go_syntax(value))),
        Atom::Leaf(Leaf::Bool) if !value.is_boolean() => faults.push(format!("{path}: expected boolean, got &{{{}}}", go_text::of(value))),
        Atom::Leaf(Leaf::Number) if !value.is_number() => {
            faults.push(format!("{path}: expected numeric (int or float), got {}", go_text::type_name(value)));
        }
        Atom::Leaf(_) | Atom::Free => {}
    }
}

fn check_members(schema: &Schema<'_>, atom: Atom<'_>, value: &Value, path: &mut String, faults: &mut Vec<String>) {
    let Value::Object(map) = value else {
        faults.push(format!("{path}: expected map, got &{{{}}}", go_text::of(value)));
        return;
    };
    let atom = match atom {
        Atom::Leaf(Leaf::Struct(ty)) => Atom::Struct(ty),
        Atom::Leaf(Leaf::Map(shape)) => Atom::Map(shape),
        other => other,
    };
    let len = path.len();
    for (name, value) in map {
        path.push('.');
        path.push_str(name);
        match schema.member(atom, name) {
            Some(member) => check(schema, member, value, path, faults),
            None => {
                faults.push(format!("{path}: field not declared in schema"));
                path.truncate(len);
                // Upstream stops at the first unknown field of a struct.
                return;
            }
        }
        path.truncate(len);
    }
}

fn check_items(schema: &Schema<'_>, atom: Atom<'_>, value: &Value, path: &mut String, faults: &mut Vec<String>) {
    let Value::Array(items) = value else {
        faults.push(format!("{path}: expected list, got &{{{}}}", go_text::of(value)));
        return;
    };
    let len = path.len();
    let mut seen = std::collections::HashSet::new();
    for (i, item) in items.iter().enumerate() {
        let below = match atom {
            Atom::Leaf(Leaf::List(shape)) => {
                path.push_str(&format!("[{i}]"));
                schema.item(shape)
            }
            _ => match schema.item_key(atom, item) {
                Err(fault) => {
                    faults.push(format!("{path}: element {i}: {fault}"));
                    return;
                }
                Ok(key) => {
                    let text = shown(&key);
                    if !seen.insert(key) {
                        faults.push(format!("{path}: duplicate entries for key {text}"));
                    }
                    path.push_str(&text);
                    schema.items(atom)
                }
            },
        };
        check(schema, below, item, path, faults);
        path.truncate(len);
    }
}

/// How Go's `%#v` shows the value that is no string.
fn go_syntax(value: &Value) -> String {
    fn inner(value: &Value) -> String {
        match value {
            Value::String(text) => format!("{text:?}"),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(inner).collect();
                format!("[]interface {{}}{{{}}}", items.join(", "))
            }
            Value::Object(map) => {
                let items: Vec<String> = map.iter().map(|(k, v)| format!("{k:?}:{}", inner(v))).collect();
                format!("map[string]interface {{}}{{{}}}", items.join(", "))
            }
            other => go_text::of(other),
        }
    }
    format!("&value.valueUnstructured{{Value:{}}}", inner(value))
}
