//! An object without the fields and items of a set. What is emptied by it becomes null, which decoding takes for absent.

use serde_json::Value;

use super::schema::{Atom, Schema};
use super::set::{FieldSet, Node, field_key, is_member};

pub(super) fn items(schema: &Schema<'_>, object: &mut Value, set: &FieldSet) {
    if !set.is_empty() {
        remove(schema, schema.root(), object, set.nodes());
    }
}

fn remove(schema: &Schema<'_>, atom: Atom<'_>, value: &mut Value, nodes: &Node) {
    let is_emptied = match (atom, &mut *value) {
        (Atom::Struct(_) | Atom::Map(_) | Atom::Free, Value::Object(map)) => {
            map.retain(|name, value| {
                let Some(node) = nodes.get(&field_key(name)).and_then(Value::as_object) else { return true };
                if !is_member(node) {
                    remove(schema, schema.member(atom, name).unwrap_or(Atom::Free), value, node);
                }
                !is_member(node)
            });
            map.is_empty()
        }
        (Atom::Set(_) | Atom::Keyed(..), Value::Array(list)) => {
            list.retain_mut(|item| {
                let Some(node) = schema.item_key(atom, item).ok().and_then(|key| nodes.get(&key)?.as_object()) else { return true };
                if !is_member(node) {
                    remove(schema, schema.items(atom), item, node);
                }
                !is_member(node)
            });
            list.is_empty()
        }
        (Atom::Leaf(_), Value::Object(_) | Value::Array(_)) => true,
        _ => false,
    };
    if is_emptied {
        *value = Value::Null;
    }
}
