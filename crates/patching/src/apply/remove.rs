//! An object without the fields and items of a set. What is emptied by it becomes null, which decoding takes for absent.

use serde_json::Value;

use super::schema::{Atom, Schema};
use super::set::{FieldSet, field_key};

pub(super) fn items(schema: &Schema<'_>, object: &mut Value, set: &FieldSet) {
    if !set.is_empty() {
        remove(schema, schema.root(), object, set);
    }
}

fn remove(schema: &Schema<'_>, atom: Atom<'_>, value: &mut Value, set: &FieldSet) {
    let is_emptied = match (atom, &mut *value) {
        (Atom::Struct(_) | Atom::Map(_) | Atom::Free, Value::Object(map)) => {
            map.retain(|name, value| {
                let Some(node) = set.get(&field_key(name)) else { return true };
                if !node.is_member && !node.below.is_empty() {
                    remove(schema, schema.member(atom, name).unwrap_or(Atom::Free), value, &node.below);
                }
                !node.is_member
            });
            map.is_empty()
        }
        (Atom::Set(_) | Atom::Keyed(..), Value::Array(list)) => {
            list.retain_mut(|item| {
                let Some(node) = schema.item_key(atom, item).ok().and_then(|key| set.get(&key)) else { return true };
                if !node.is_member && !node.below.is_empty() {
                    remove(schema, schema.items(atom), item, &node.below);
                }
                !node.is_member
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
