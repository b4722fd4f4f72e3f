//! Sets of field paths in the form that `fieldsV1` has: a tree of path elements (`f:spec`, `k:{"name":"c"}`, `v:"x"`), so that what
//! is read is what is worked on and written.
//!
//! A path is in the set when its node has nothing below it, or has `.` beside what is below. So no other node is empty, and a node
//! that would be is taken out.

use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::go_text;

/// What goes on below a path element.
pub(super) type Node = Map<String, Value>;

/// Beside what is below a path: the path itself is in the set.
const ITSELF: &str = ".";

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FieldSet(Node);

impl FieldSet {
    pub(super) fn of(node: Option<Node>) -> Self {
        let mut root = node.unwrap_or_default();
        root.remove(ITSELF);
        FieldSet(root)
    }

    /// The one path of these elements.
    pub(super) fn of_path(path: &[&str]) -> Self {
        let node = path.iter().rfold(Node::new(), |below, element| Node::from_iter([((*element).to_owned(), Value::Object(below))]));
        FieldSet(node)
    }

    /// Reads `fieldsV1`; `None` when it is malformed.
    pub(super) fn from_fields(fields: &Value) -> Option<Self> {
        let mut root = match fields {
            Value::Null => Node::default(),
            other => other.as_object()?.clone(),
        };
        make_canonical(&mut root)?;
        root.remove(ITSELF);
        Some(FieldSet(root))
    }

    pub(super) fn into_fields(self) -> Value {
        Value::Object(self.0)
    }

    pub(super) fn nodes(&self) -> &Node {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, path: &[&str]) -> bool {
        let mut at = &self.0;
        for element in path {
            match below(at.get(*element)) {
                Some(node) => at = node,
                None => return false,
            }
        }
        !path.is_empty() && is_member(at)
    }

    /// All of this set is in the other.
    pub(super) fn is_within(&self, other: &FieldSet) -> bool {
        is_within(&self.0, &other.0)
    }

    pub(super) fn join(&mut self, other: FieldSet) {
        join(&mut self.0, other.0);
    }

    /// Takes away what is in the other set. A child is not taken away by its parent.
    pub(super) fn subtract(&mut self, other: &FieldSet) {
        subtract(&mut self.0, &other.0);
    }

    pub(super) fn intersection(&self, other: &FieldSet) -> FieldSet {
        FieldSet(intersection(&self.0, &other.0))
    }

    /// Takes away the path itself, and nothing below it.
    pub(super) fn unmark(&mut self, path: &[&str]) {
        unmark(&mut self.0, path);
    }

    /// Takes away everything at and below dotted paths of plain fields.
    pub(super) fn cut(&mut self, paths: &[&str]) {
        for path in paths {
            cut(&mut self.0, &mut path.split('.').map(field_key));
        }
    }

    /// A set of the same keys at most, with each node as `change` makes it; `None` takes it out.
    pub(super) fn map_nodes(self, change: impl Fn(&str, Node) -> Node) -> FieldSet {
        FieldSet(map_children(self.0, change))
    }

    /// Every path, members of a level before what lies deeper, as upstream walks.
    pub(super) fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        push_paths(&self.0, &mut Vec::new(), &mut paths);
        paths
    }
}

fn below(node: Option<&Value>) -> Option<&Node> {
    node.and_then(Value::as_object)
}

pub(super) fn is_member(node: &Node) -> bool {
    node.is_empty() || node.contains_key(ITSELF)
}

/// The node with its own path in the set.
pub(super) fn marked(node: Option<Node>) -> Node {
    let mut node = node.unwrap_or_default();
    if !node.is_empty() {
        node.insert(ITSELF.to_owned(), Value::Object(Map::new()));
    }
    node
}

/// A node after its children changed: `None` when nothing is left of it.
fn settled(mut children: Node, is_member: bool) -> Option<Node> {
    children.remove(ITSELF);
    match (is_member, children.is_empty()) {
        (true, _) => Some(marked(Some(children))),
        (false, false) => Some(children),
        (false, true) => None,
    }
}

/// The children of a node, each as `change` makes it.
pub(super) fn map_children(node: Node, change: impl Fn(&str, Node) -> Node) -> Node {
    let changed = |(key, child): (String, Value)| match child {
        Value::Object(child) if key != ITSELF => {
            let child = change(&key, child);
            (key, Value::Object(child))
        }
        other => (key, other),
    };
    node.into_iter().map(changed).collect()
}

/// Adds a node that may be there already.
pub(super) fn put(nodes: &mut Node, key: String, node: Node) {
    match nodes.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(Value::Object(node));
        }
        Entry::Occupied(mut entry) => {
            let Value::Object(there) = entry.get_mut() else { return };
            let is_marked = is_member(there) || is_member(&node);
            join(there, node);
            if is_marked && !there.is_empty() {
                there.insert(ITSELF.to_owned(), Value::Object(Map::new()));
            }
        }
    }
}

fn join(nodes: &mut Node, other: Node) {
    for (key, node) in other {
        match node {
            Value::Object(node) if key != ITSELF => put(nodes, key, node),
            _ => {}
        }
    }
}

/// Changes children in place; those that `change` leaves nothing of go.
fn retain(nodes: &mut Node, mut change: impl FnMut(&str, Node) -> Option<Node>) {
    nodes.retain(|key, child| match child {
        Value::Object(node) if key != ITSELF => match change(key, std::mem::take(node)) {
            Some(left) => {
                *node = left;
                true
            }
            None => false,
        },
        _ => true,
    });
}

fn subtract(nodes: &mut Node, other: &Node) {
    retain(nodes, |key, mut node| {
        let Some(other) = below(other.get(key)) else { return Some(node) };
        let is_left = is_member(&node) && !is_member(other);
        subtract(&mut node, other);
        settled(node, is_left)
    });
}

fn intersection(nodes: &Node, other: &Node) -> Node {
    let both = |(key, node): (&String, &Value)| {
        let (node, other) = (node.as_object()?, below(other.get(key)).filter(|_| key != ITSELF)?);
        let shared = settled(intersection(node, other), is_member(node) && is_member(other))?;
        Some((key.clone(), Value::Object(shared)))
    };
    nodes.iter().filter_map(both).collect()
}

fn is_within(nodes: &Node, other: &Node) -> bool {
    nodes.iter().filter(|(key, _)| *key != ITSELF).all(|(key, node)| match (node.as_object(), below(other.get(key))) {
        (Some(node), Some(other)) => (!is_member(node) || is_member(other)) && is_within(node, other),
        _ => false,
    })
}

fn unmark(nodes: &mut Node, path: &[&str]) {
    let [first, rest @ ..] = path else { return };
    let Some(Value::Object(node)) = nodes.get_mut(*first) else { return };
    let mut node = std::mem::take(node);
    let was_member = is_member(&node);
    unmark(&mut node, rest);
    put_back(nodes, first, settled(node, was_member && !rest.is_empty()));
}

fn cut(nodes: &mut Node, path: &mut dyn Iterator<Item = String>) {
    let Some(first) = path.next() else { return };
    let Some(Value::Object(node)) = nodes.get_mut(&first) else { return };
    let mut node = std::mem::take(node);
    let was_member = is_member(&node);
    let mut path = path.peekable();
    let left = if path.peek().is_none() {
        None
    } else {
        cut(&mut node, &mut path);
        settled(node, was_member)
    };
    put_back(nodes, &first, left);
}

fn put_back(nodes: &mut Node, key: &str, node: Option<Node>) {
    match node {
        Some(node) => nodes[key] = Value::Object(node),
        None => drop(nodes.remove(key)),
    }
}

fn push_paths(nodes: &Node, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let children = || nodes.iter().filter(|(key, _)| *key != ITSELF).filter_map(|(key, node)| Some((key, node.as_object()?)));
    for (key, _) in children().filter(|(_, node)| is_member(node)) {
        paths.push(prefix.iter().cloned().chain([key.clone()]).collect());
    }
    for (key, node) in children() {
        prefix.push(key.clone());
        push_paths(node, prefix, paths);
        prefix.pop();
    }
}

/// Brings what a client sent into the form that this module makes; `None` when it is malformed.
fn make_canonical(nodes: &mut Node) -> Option<()> {
    let mut odd = Vec::new();
    for (key, node) in nodes.iter_mut().filter(|(key, _)| *key != ITSELF) {
        if !matches!(key.get(..2), Some("f:" | "k:" | "v:" | "i:")) {
            return None;
        }
        let canonical = canonical_key(key)?;
        if canonical != *key {
            odd.push((key.clone(), canonical));
        }
        let node = node.as_object_mut()?;
        make_canonical(node)?;
        if node.len() == 1 {
            node.remove(ITSELF);
        }
    }
    if let Some(itself) = nodes.get_mut(ITSELF) {
        *itself = Value::Object(Map::new());
    }
    for (sent, canonical) in odd {
        if let Some(Value::Object(node)) = nodes.remove(&sent) {
            put(nodes, canonical, node);
        }
    }
    Some(())
}

/// Clients may space the JSON of a key as they like.
fn canonical_key(key: &str) -> Option<String> {
    let (kind, rest) = key.split_at(2);
    match kind {
        "k:" | "v:" if rest.contains(' ') => {
            let value: Value = serde_json::from_str(rest).ok()?;
            Some(format!("{kind}{value}"))
        }
        "k:" | "v:" | "i:" if rest.is_empty() => None,
        _ => Some(key.to_owned()),
    }
}

pub(super) fn field_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 2);
    key.push_str("f:");
    key.push_str(name);
    key
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
