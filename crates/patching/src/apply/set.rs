//! Sets of field paths, kept as the tree `FieldsV1` writes: a path element is its text (`f:spec`, `k:{"name":"c"}`, `v:"x"`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use crate::go_text;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FieldSet(BTreeMap<Box<str>, Node>);

/// A path element: whether the path that ends here is in the set, and the paths that go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub(super) is_member: bool,
    pub(super) below: FieldSet,
}

impl Node {
    pub(super) fn is_empty(&self) -> bool {
        !self.is_member && self.below.is_empty()
    }
}

impl FieldSet {
    /// Dotted paths of plain fields.
    pub(super) fn of_paths(paths: &[&str]) -> Self {
        let mut set = FieldSet::default();
        for path in paths {
            let mut at = &mut set;
            let mut parts = path.split('.').peekable();
            while let Some(part) = parts.next() {
                let node = at.0.entry(field_key(part)).or_default();
                node.is_member |= parts.peek().is_none();
                at = &mut node.below;
            }
        }
        set
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key)
    }

    /// Adds a node that is not empty; one that is there already is joined.
    pub(super) fn insert(&mut self, key: Box<str>, node: Node) {
        if node.is_empty() {
            return;
        }
        match self.0.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(node);
            }
            Entry::Occupied(mut entry) => entry.get_mut().join(&node),
        }
    }

    pub(super) fn has(&self, path: &[String]) -> bool {
        match path {
            [] => false,
            [last] => self.get(last).is_some_and(|node| node.is_member),
            [first, rest @ ..] => self.get(first).is_some_and(|node| node.below.has(rest)),
        }
    }

    pub(super) fn union(&self, other: &FieldSet) -> FieldSet {
        if self.is_empty() {
            return other.clone();
        }
        let mut union = self.clone();
        for (key, node) in &other.0 {
            union.insert(key.clone(), node.clone());
        }
        union
    }

    pub(super) fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.map_nodes(|key, node| {
            let other = other.0.get(key)?;
            Some(Node { is_member: node.is_member && other.is_member, below: node.below.intersection(&other.below) })
        })
    }

    /// What is in this set but not in the other. A child is not taken away by its parent.
    pub(super) fn difference(&self, other: &FieldSet) -> FieldSet {
        self.map_nodes(|key, node| match other.0.get(key) {
            Some(other) => Some(Node { is_member: node.is_member && !other.is_member, below: node.below.difference(&other.below) }),
            None => Some(node.clone()),
        })
    }

    /// As `difference`, but a parent takes all its children with it.
    pub(super) fn without(&self, other: &FieldSet) -> FieldSet {
        if other.is_empty() {
            return self.clone();
        }
        self.map_nodes(|key, node| match other.0.get(key) {
            Some(other) if other.is_member => None,
            Some(other) => Some(Node { is_member: node.is_member, below: node.below.without(&other.below) }),
            None => Some(node.clone()),
        })
    }

    /// A set of the same keys at most; nodes that come out empty go.
    pub(super) fn map_nodes(&self, change: impl Fn(&str, &Node) -> Option<Node>) -> FieldSet {
        FieldSet(
            self.0
                .iter()
                .filter_map(|(key, node)| change(key, node).filter(|node| !node.is_empty()).map(|node| (key.clone(), node)))
                .collect(),
        )
    }

    /// Every path, members of a level before what lies deeper, as upstream walks.
    pub(super) fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        self.push_paths(&mut Vec::new(), &mut paths);
        paths
    }

    fn push_paths(&self, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
        for (key, _) in self.0.iter().filter(|(_, node)| node.is_member) {
            paths.push(prefix.iter().cloned().chain([key.to_string()]).collect());
        }
        for (key, node) in self.0.iter().filter(|(_, node)| !node.below.is_empty()) {
            prefix.push(key.to_string());
            node.below.push_paths(prefix, paths);
            prefix.pop();
        }
    }

    pub(super) fn to_fields(&self) -> Value {
        Value::Object(self.0.iter().map(|(key, node)| (key.to_string(), node.to_fields())).collect())
    }

    /// Reads `fieldsV1`; `None` when it is malformed.
    pub(super) fn from_fields(fields: &Value) -> Option<Self> {
        let map = match fields {
            Value::Null => return Some(FieldSet::default()),
            other => other.as_object()?,
        };
        let mut set = FieldSet::default();
        for (key, below) in map.iter().filter(|(key, _)| key.as_str() != ".") {
            if !matches!(key.get(..2), Some("f:" | "k:" | "v:" | "i:")) {
                return None;
            }
            let inner = below.as_object()?;
            let is_member = inner.is_empty() || inner.contains_key(".");
            set.insert(canonical_key(key)?, Node { is_member, below: FieldSet::from_fields(below)? });
        }
        Some(set)
    }
}

impl Node {
    fn join(&mut self, other: &Node) {
        self.is_member |= other.is_member;
        for (key, node) in &other.below.0 {
            self.below.insert(key.clone(), node.clone());
        }
    }

    fn to_fields(&self) -> Value {
        let mut below = self.below.to_fields();
        if self.is_member && !self.below.is_empty() {
            below["."] = Value::Object(Map::new());
        }
        below
    }
}

/// Clients may space the JSON of a key as they like.
fn canonical_key(key: &str) -> Option<Box<str>> {
    let (kind, rest) = key.split_at(2);
    match kind {
        "k:" | "v:" if rest.contains(' ') => {
            let value: Value = serde_json::from_str(rest).ok()?;
            Some(format!("{kind}{value}").into())
        }
        "k:" | "v:" | "i:" if rest.is_empty() => None,
        _ => Some(key.into()),
    }
}

pub(super) fn field_key(name: &str) -> Box<str> {
    let mut key = String::with_capacity(name.len() + 2);
    key.push_str("f:");
    key.push_str(name);
    key.into()
}

/// A path element as messages write it: `.spec`, `[name="c"]`, `[="x"]`.
pub(super) fn shown(key: &str) -> String {
    let (kind, rest) = key.split_at(2);
    let parsed = || serde_json::from_str::<Value>(rest).unwrap_or_default();
    let value_text = |value: &Value| match value {
        Value::String(text) => format!("{text:?}"),
        other => go_text::of(other),
    };
    match kind {
        "f:" => format!(".{rest}"),
        "k:" => {
            let pairs: Vec<String> =
                parsed().as_object().into_iter().flatten().map(|(name, value)| format!("{name}={}", value_text(value))).collect();
            format!("[{}]", pairs.join(","))
        }
        "v:" => format!("[={}]", value_text(&parsed())),
        _ => format!("[{rest}]"),
    }
}
