//! An object against its schema: the fields it sets, and what does not fit.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::schema::{Atom, Leaf, Schema};
use super::set::{FieldSet, Node, field_key, marked, put, shown};
use crate::go_text;

/// The fields an object sets: leaves, items of lists, and what is set to nothing.
pub(super) fn field_set(schema: &Schema<'_>, object: &Value) -> FieldSet {
    read(schema, object).0
}

/// The same of a configuration, which must fit its schema; the error is upstream's text.
pub(super) fn checked(schema: &Schema<'_>, config: &Value) -> Result<FieldSet, String> {
    let (set, faults) = read(schema, config);
    match faults.as_slice() {
        [] => Ok(set),
        [only] => Err(only.to_string()),
        several => Err(format!("errors:\n{}", several.iter().map(|f| format!("  {f}")).collect::<Vec<_>>().join("\n"))),
    }
}

fn read(schema: &Schema<'_>, object: &Value) -> (FieldSet, Vec<String>) {
    let mut reader = Reader { schema, faults: Vec::new() };
    let node = reader.node(schema.root(), object);
    (FieldSet::of(node), reader.faults.into_iter().map(|fault| format!("{}: {}", fault.path, fault.text)).collect())
}

/// In upstream's words. The path grows from behind while the walk goes back up.
struct Fault {
    path: String,
    text: String,
}

struct Reader<'s, 'a> {
    schema: &'s Schema<'a>,
    faults: Vec<Fault>,
}

impl<'a> Reader<'_, 'a> {
    /// What a value sets below it, and whether itself; `None` when neither.
    fn node(&mut self, atom: Atom<'a>, value: &Value) -> Option<Node> {
        match (atom, value) {
            (Atom::Leaf(leaf), value) => {
                self.whole(leaf, value);
                Some(Node::new())
            }
            (Atom::Struct(_) | Atom::Map(_) | Atom::Free, Value::Object(map)) => self.members(atom, map),
            (Atom::Free, _) => Some(Node::new()),
            (_, Value::Null) => None,
            (Atom::Set(_) | Atom::Keyed(..), Value::Array(items)) => self.items(atom, items),
            (Atom::Struct(_) | Atom::Map(_), other) => self.fault(format!("expected map, got &{{{}}}", go_text::of(other))),
            (Atom::Set(_) | Atom::Keyed(..), other) => self.fault(format!("expected list, got &{{{}}}", go_text::of(other))),
        }
    }

    /// What is owned as a whole must fit all the same.
    fn whole(&mut self, leaf: Leaf<'a>, value: &Value) {
        match (leaf, value) {
            (_, Value::Null) => {}
            (Leaf::Struct(ty), value) => drop(self.node(Atom::Struct(ty), value)),
            (Leaf::Map(shape), value) => drop(self.node(Atom::Map(shape), value)),
            (Leaf::List(shape), Value::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    self.below(|| format!("[{i}]"), |reader| reader.node(reader.schema.item(shape), item));
                }
            }
            (Leaf::List(_), other) => drop(self.fault(format!("expected list, got &{{{}}}", go_text::of(other)))),
            (Leaf::Text, value) if !value.is_string() => drop(self.fault(format!("expected string, got {}", go_syntax(value)))),
            (Leaf::Bool, value) if !value.is_boolean() => {
                self.fault(format!("expected boolean, got &{{{}}}", go_text::of(value)));
            }
            (Leaf::Number, value) if !value.is_number() => {
                self.fault(format!("expected numeric (int or float), got {}", go_text::type_name(value)));
            }
            (Leaf::Text | Leaf::Bool | Leaf::Number | Leaf::Untyped, _) => {}
        }
    }

    fn members(&mut self, atom: Atom<'a>, map: &Map<String, Value>) -> Option<Node> {
        let mut nodes = Node::new();
        for (name, value) in map {
            let Some(member) = self.schema.member(atom, name) else {
                self.faults.push(Fault { path: format!(".{name}"), text: "field not declared in schema".to_owned() });
                // Upstream stops at the first unknown field of a struct.
                break;
            };
            let child = self.below(|| format!(".{name}"), |reader| reader.node(member, value));
            let is_nothing = value.is_null() || value.as_object().is_some_and(Map::is_empty);
            let is_set = is_nothing || !matches!(atom, Atom::Struct(_));
            if let Some(child) = if is_set { Some(marked(child)) } else { child } {
                nodes.insert(field_key(name), Value::Object(child));
            }
        }
        (!nodes.is_empty()).then_some(nodes)
    }

    fn items(&mut self, atom: Atom<'a>, items: &[Value]) -> Option<Node> {
        let (mut nodes, mut doubled) = (Node::new(), BTreeSet::new());
        for (i, item) in items.iter().enumerate() {
            let key = match self.schema.item_key(atom, item) {
                Ok(key) => key,
                Err(fault) => {
                    self.fault(format!("element {i}: {fault}"));
                    break;
                }
            };
            if nodes.contains_key(&key) {
                self.fault(format!("duplicate entries for key {}", shown(&key)));
                doubled.insert(key.clone());
            }
            let child = self.below(|| shown(&key), |reader| reader.node(reader.schema.items(atom), item));
            put(&mut nodes, key, marked(child));
        }
        // Duplicates are told apart by nothing, so they are owned as a whole.
        for key in doubled {
            nodes.insert(key, Value::Object(Node::new()));
        }
        (!nodes.is_empty()).then_some(nodes)
    }

    fn fault(&mut self, text: String) -> Option<Node> {
        self.faults.push(Fault { path: String::new(), text });
        None
    }

    /// Puts a step before the paths of all faults that `walk` finds.
    fn below(&mut self, step: impl Fn() -> String, walk: impl FnOnce(&mut Self) -> Option<Node>) -> Option<Node> {
        let n_before = self.faults.len();
        let node = walk(self);
        for fault in &mut self.faults[n_before..] {
            fault.path.insert_str(0, &step());
        }
        node
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
