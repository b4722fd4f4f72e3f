//! What changed between two objects, as three sets: removed, modified, added.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::schema::{Atom, Schema};
use super::set::{FieldSet, Node, field_key};

#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) added: FieldSet,
}

impl Comparison {
    /// Nothing at or below `fields`.
    pub(super) fn without(self, fields: &FieldSet) -> Self {
        if fields.is_empty() {
            return self;
        }
        Comparison { removed: self.removed.without(fields), modified: self.modified.without(fields), added: self.added.without(fields) }
    }
}

pub(super) fn objects(schema: &Schema<'_>, before: &Value, after: &Value) -> Comparison {
    let diff = values(schema, schema.root(), Some(before), Some(after));
    Comparison { removed: diff.removed.below, modified: diff.modified.below, added: diff.added.below }
}

/// The three sets of one subtree.
#[derive(Default)]
struct Diff {
    removed: Node,
    modified: Node,
    added: Node,
}

impl Diff {
    fn insert(&mut self, key: Box<str>, below: Diff) {
        self.removed.below.insert(key.clone(), below.removed);
        self.modified.below.insert(key.clone(), below.modified);
        self.added.below.insert(key, below.added);
    }

    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// Marks the value itself as come or gone.
    fn mark(mut self, before: Option<&Value>, after: Option<&Value>) -> Self {
        self.added.is_member |= before.is_none();
        self.removed.is_member |= after.is_none();
        self
    }
}

fn values(schema: &Schema<'_>, atom: Atom<'_>, before: Option<&Value>, after: Option<&Value>) -> Diff {
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
    let mut diff = Diff::default();
    match (before, after) {
        (None, _) => diff.added.is_member = true,
        (_, None) => diff.removed.is_member = true,
        (before, after) => diff.modified.is_member = before != after,
    }
    diff
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
        let below = values(schema, schema.member(atom, name).unwrap_or(Atom::Free), b, a);
        if !below.is_empty() {
            diff.insert(field_key(name), below);
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
    let mut pairs: HashMap<Box<str>, Pair<'_>> = HashMap::with_capacity(before.len().max(after.len()));
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
        let (n_before, n_after) = (pair.before.len(), pair.after.len());
        let found = match (n_before, n_after) {
            (0 | 1, 0 | 1) => below(pair.before.first().copied(), pair.after.first().copied()),
            // Duplicates are told apart by nothing, so they change as a whole.
            (2.., 2..) => {
                let mut found = Diff::default();
                found.modified.is_member = pair.before != pair.after;
                found
            }
            (2.., _) => {
                let mut found = pair.after.first().map_or_else(Diff::default, |a| below(None, Some(a)));
                found.removed.is_member = true;
                found
            }
            (_, _) => {
                let mut found = pair.before.first().map_or_else(Diff::default, |b| below(Some(b), None));
                found.added.is_member = true;
                found
            }
        };
        if !found.is_empty() {
            diff.insert(key, found);
        }
    }
    diff
}
