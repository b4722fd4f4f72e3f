//! Strategic merge patch: maps merge by field, lists as their type's patch strategy and merge key say, directives steer.
//!
//! Upstream: `apimachinery/pkg/util/strategicpatch`. Unknown fields of the patch stay in the result: the strict reading that
//! follows names or drops them. This file walks maps, `lists` merges and orders lists.

mod lists;

use kinds::{Catalog, Field, Shape, Type, TypeId};
use serde_json::{Map, Value};

use crate::error::{Error, cannot_unmarshal};
use crate::go_text;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
const SET_ELEMENT_ORDER: &str = "$setElementOrder";

type Tree = Map<String, Value>;

/// The object that comes of the patch, and what is left of the patch: directives that were carried out go, as does a list that was
/// put in order. Upstream: refusals of the object show what is left.
pub fn strategic_merge(catalog: &Catalog, type_id: TypeId, doc: &Value, patch: &Value) -> Result<(Value, Value), Error> {
    let mut patch = match patch {
        Value::Object(patch) => patch.clone(),
        Value::Null => Tree::new(),
        other => return Err(Error::Malformed(cannot_unmarshal(other, "map[string]interface {}"))),
    };
    let original = doc.as_object().cloned().unwrap_or_default();
    let place = Place { catalog, level: Level::Struct(catalog.get(type_id)) };
    let merged = merge_map(original, &mut patch, place)?;
    Ok((Value::Object(merged), Value::Object(patch)))
}

/// Where in the type arena the merge stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    catalog: &'a Catalog,
    level: Level<'a>,
}

#[derive(Clone, Copy)]
enum Level<'a> {
    Struct(&'a Type),
    /// Go's name of what is no struct.
    Other(&'static str),
}

/// What a field's tags say, and the place inside it.
struct FieldRule<'a> {
    inside: Place<'a>,
    is_merged: bool,
    is_replaced: bool,
    merge_key: &'a str,
}

impl<'a> Place<'a> {
    fn field(self, name: &str) -> Result<&'a Field, Error> {
        let fault = match self.level {
            Level::Struct(t) => match t.fields.iter().find(|f| f.name == name) {
                Some(field) => return Ok(field),
                None => {
                    let short = t.name.rsplit('.').next().unwrap_or("");
                    format!("unable to find api field in struct {short} for the json field {name:?}")
                }
            },
            Level::Other(kind) => format!("merging an object in json but data type is not struct, instead is: {kind}"),
        };
        Err(Error::Unclassified(fault))
    }

    fn of_shape(self, shape: &'a Shape) -> Self {
        let level = match shape {
            Shape::Struct(id) => Level::Struct(self.catalog.get(*id)),
            Shape::Map(_) => Level::Other("map"),
            Shape::List(_) => Level::Other("slice"),
            Shape::Any | Shape::FieldsV1 => Level::Other("struct"),
            _ => Level::Other("string"),
        };
        Place { level, ..self }
    }

    /// The rule of a field whose value is a map.
    fn map_rule(self, name: &str) -> Result<FieldRule<'a>, Error> {
        let field = self.field(name)?;
        Ok(self.rule(field, &field.shape))
    }

    /// The rule of a field whose value is a list; the place is that of its elements.
    fn list_rule(self, name: &str) -> Result<FieldRule<'a>, Error> {
        let field = self.field(name)?;
        match &field.shape {
            Shape::List(element) => Ok(self.rule(field, element)),
            _ => Err(Error::Unclassified("expected slice or array type, but got: struct".to_owned())),
        }
    }

    fn rule(self, field: &'a Field, shape: &'a Shape) -> FieldRule<'a> {
        let patch = field.patch.as_ref();
        FieldRule {
            inside: self.of_shape(shape),
            is_merged: patch.is_some_and(|p| p.merge),
            is_replaced: patch.is_some_and(|p| p.replace_keys),
            merge_key: patch.and_then(|p| p.merge_key.as_deref()).unwrap_or(""),
        }
    }
}

fn merge_map(mut original: Tree, patch: &mut Tree, place: Place<'_>) -> Result<Tree, Error> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch.clone())
            }
            Some("delete") => Ok(Tree::new()),
            _ => Err(unknown_directive(patch)),
        };
    }
    retain_keys(&mut original, patch)?;
    merge_ordered_lists(&mut original, patch, place)?;
    for (key, change) in patch {
        let (key, is_deletion) = match key.strip_prefix(DELETE_FROM_PRIMITIVE_LIST) {
            Some(rest) => (directive_target(rest, "invalid patch format of primitive list")?, true),
            None => (key.clone(), false),
        };
        if change.is_null() {
            original.remove(&key);
            continue;
        }
        let merged = match (original.remove(&key), change) {
            (Some(Value::Object(current)), Value::Object(change)) => {
                let rule = place.map_rule(&key)?;
                Some(Value::Object(if rule.is_replaced { change.clone() } else { merge_map(current, change, rule.inside)? }))
            }
            (Some(Value::Array(current)), Value::Array(change)) => {
                let rule = place.list_rule(&key)?;
                Some(Value::Array(lists::merge_by_rule(current, change.clone(), &rule, is_deletion)?))
            }
            // A list to delete from that is not there, or is no list: nothing to do.
            (current, _) if is_deletion => current,
            (_, change) => {
                discard_nulls(change);
                without_directives(change.clone())
            }
        };
        if let Some(value) = merged {
            original.insert(key, value);
        }
    }
    Ok(original)
}

fn unknown_directive(patch: &Tree) -> Error {
    let kind = match &patch[DIRECTIVE] {
        Value::String(text) => text.clone(),
        other => format!("%!s({}={})", go_text::type_name(other), go_text::of(other)),
    };
    Error::Unclassified(format!("unknown patch type: {kind} in map: {}", go_text::of(&Value::Object(patch.clone()))))
}

/// The field behind `$directive/field`.
fn directive_target(rest: &str, fault: &str) -> Result<String, Error> {
    rest.strip_prefix('/').map(str::to_owned).ok_or_else(|| Error::Malformed(fault.to_owned()))
}

/// `$retainKeys` clears every field it does not list; the patch may set only what it lists.
fn retain_keys(original: &mut Tree, patch: &mut Tree) -> Result<(), Error> {
    let Some(list) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let malformed = || Error::Malformed("invalid patch format of retainKeys".to_owned());
    let Value::Array(retained) = list else { return Err(malformed()) };
    let is_retained = |key: &str| retained.iter().any(|r| r.as_str() == Some(key));
    let is_directive = |key: &str| key.starts_with(DELETE_FROM_PRIMITIVE_LIST) || key.starts_with(SET_ELEMENT_ORDER);
    if patch.iter().any(|(k, v)| !v.is_null() && !is_directive(k) && !is_retained(k)) {
        return Err(malformed());
    }
    original.retain(|key, _| is_retained(key));
    Ok(())
}

/// Merges every list that has a `$setElementOrder` beside it, and takes both out of the patch.
fn merge_ordered_lists(original: &mut Tree, patch: &mut Tree, place: Place<'_>) -> Result<(), Error> {
    let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let order = lists::expect_list(patch.remove(&directive).expect("listed above"))?;
        let key = directive_target(&directive[SET_ELEMENT_ORDER.len()..], "invalid patch format of setElementOrder list")?;
        let current = original.get(&key).cloned().map(lists::expect_list).transpose()?;
        let change = patch.get(&key).cloned().map(lists::expect_list).transpose()?;
        let rule = place.list_rule(&key)?;
        if let Some(list) = lists::merge_in_order(current, change, &order, &rule)? {
            original.insert(key.clone(), Value::Array(list));
            patch.remove(&key);
        }
    }
    Ok(())
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// A new value without the maps that carry a `$patch`; `None` when it is one.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => Some(Value::Object(map.into_iter().filter_map(|(k, v)| without_directives(v).map(|v| (k, v))).collect())),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}
