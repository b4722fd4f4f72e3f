//! What changed between two objects, as two sets: what is new or other than it was, and what is gone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::schema::{Atom, Schema};
use super::set::{FieldSet, Node, field_key, marked};

#[derive(Clone, Debug, Default)]
pub(super) struct Comparison {
    pub(super) changed: FieldSet,
    pub(super) removed: FieldSet,
}

pub(super) fn objects(schema: &Schema<'_>, before: &Value, after: &Value) -> Comparison {
    let diff = values(schema, schema.root(), Some(before), Some(after));
    Comparison { changed: FieldSet::of(diff.changed), removed: FieldSet::of(diff.removed) }
}

/// The two sets of one subtree.
#[derive(Default)]
struct Diff {
    changed: Option<Node>,
    removed: Option<Node>,
}

impl Diff {
    fn insert(&mut self, key: String, below: Diff) {
        if let Some(node) = below.removed {
            self.removed.get_or_insert_default().insert(key.clone(), Value::Object(node));
        }
        if let Some(node) = below.changed {
            self.changed.get_or_insert_default().insert(key, Value::Object(node));
        }
    }

    fn is_empty(&self) -> bool {
        self.changed.is_none() && self.removed.is_none()
    }

    /// Marks the value itself as come or gone.
    fn mark(self, before: Option<&Value>, after: Option<&Value>) -> Self {
        Diff {
            changed: if before.is_none() { Some(marked(self.changed)) } else { self.changed },
            removed: if after.is_none() { Some(marked(self.removed)) } else { self.removed },
        }
    }

    fn changed() -> Self {
        Diff { changed: Some(Node::new()), removed: None }
    }
}

fn values(schema: &Schema<'_>, atom: Atom<'_>, before: Option<&Value>, after: Option<&Value>) -> Diff {
    if before == after {
        return Diff::default();
    }
    match atom {
        Atom::Struct(_) | Atom::Map(_) | Atom::Free => match (as_map(before), as_map(after)) {
            (Some(b), Some(a)) if !b.is_empty() || !a.is_empty() => maps(schema, atom, b, a).mark(before, after),
            _ => leaf(before, after),
        },
        Atom::Set(_) | Atom::Keyed(..) => match (as_list(before), as_list(after)) {
            (Some(b), Some(a)) if !b.is_empty() || !a.is_empty() => lists(schema, atom, b, a).mark(before, after),
            _ => leaf(before, after),
        },
        Atom::Leaf(_) => leaf(before, after),
    }
}

fn leaf(before: Option<&Value>, after: Option<&Value>) -> Diff {
    match (before, after) {
        (Some(_), None) => Diff { changed: None, removed: Some(Node::new()) },
        (before, after) if before == after => Diff::default(),
        _ => Diff::changed(),
    }
}

/// Missing and null are the empty map; `None` when something else stands there.
fn as_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    static EMPTY: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
    match value {
        None | Some(Value::Null) => Some(EMPTY.get_or_init(Map::new)),
        Some(value) => value.as_object(),
    }
}

fn as_list(value: Option<&Value>) -> Option<&[Value]> {
    match value {
        None | Some(Value::Null) => Some(&[]),
        Some(value) => value.as_array().map(Vec::as_slice),
    }
}

fn maps(schema: &Schema<'_>, atom: Atom<'_>, before: &Map<String, Value>, after: &Map<String, Value>) -> Diff {
    let mut diff = Diff::default();
    let mut one = |name: &str, b: Option<&Value>, a: Option<&Value>| {
        if b != a {
            let below = values(schema, schema.member(atom, name).unwrap_or(Atom::Free), b, a);
            if !below.is_empty() {
                diff.insert(field_key(name), below);
            }
        }
    };
    for (name, b) in before {
        one(name, Some(b), after.get(name));
    }
    for (name, a) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        one(name, None, Some(a));
    }
    diff
}

/// The items of both lists under one key. More than one of a side is a duplicate.
#[derive(Default)]
struct Pair<'a> {
    before: Vec<&'a Value>,
    after: Vec<&'a Value>,
}

fn lists(schema: &Schema<'_>, atom: Atom<'_>, before: &[Value], after: &[Value]) -> Diff {
    let mut pairs: BTreeMap<String, Pair<'_>> = BTreeMap::new();
    for item in before {
        if let Ok(key) = schema.item_key(atom, item) {
            pairs.entry(key).or_default().before.push(item);
        }
    }
    for item in after {
        if let Ok(key) = schema.item_key(atom, item) {
            pairs.entry(key).or_default().after.push(item);
        }
    }
    let mut diff = Diff::default();
    for (key, pair) in pairs {
        let below = |b: Option<&Value>, a: Option<&Value>| values(schema, schema.items(atom), b, a);
        let found = match (pair.before.as_slice(), pair.after.as_slice()) {
            ([] | [_], [] | [_]) => below(pair.before.first().copied(), pair.after.first().copied()),
            // Duplicates are told apart by nothing, so they change as a whole.
            ([_, _, ..], [_, _, ..]) if pair.before == pair.after => Diff::default(),
            ([_, _, ..], [_, _, ..]) => Diff::changed(),
            ([_, _, ..], after) => {
                let found = after.first().map_or_else(Diff::default, |a| below(None, Some(a)));
                Diff { removed: Some(marked(found.removed)), ..found }
            }
            (before, _) => {
                let found = before.first().map_or_else(Diff::default, |b| below(Some(b), None));
                Diff { changed: Some(marked(found.changed)), ..found }
            }
        };
        if !found.is_empty() {
            diff.insert(key, found);
        }
    }
    diff
}
