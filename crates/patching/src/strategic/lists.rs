//! Merging two lists by merge key or by value, and the order of what comes out: `$setElementOrder`, else the patch, then the live list.

use std::collections::HashMap;

use serde_json::Value;

use super::{DIRECTIVE, FieldRule, Tree, merge_map, unknown_directive, without_directives};
use crate::Error;
use crate::go_text;

pub(super) fn expect_list(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(Error::Unclassified(format!("expected a []interface {{}}, but received a {}", go_text::type_name(&other)))),
    }
}

pub(super) fn merge_by_rule(original: Vec<Value>, patch: Vec<Value>, rule: &FieldRule<'_>, is_deletion: bool) -> Result<Vec<Value>, Error> {
    if !rule.is_merged && !is_deletion {
        return Ok(patch);
    }
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    if !element_is_map(&original, &patch)? {
        let patch_order = Order::of(&patch, "");
        if is_deletion {
            return Ok(original.into_iter().filter(|item| !patch_order.0.contains_key(&item.to_string())).collect());
        }
        let server_order = Order::of(&original, "");
        let merged = without_duplicates(original.into_iter().chain(patch));
        return Ok(ordered(merged, "", &patch_order, &server_order));
    }
    if rule.merge_key.is_empty() {
        return Err(Error::Unclassified("cannot merge lists without merge key for struct".to_owned()));
    }
    let (kept, changes, is_replaced) = carry_out_directives(original, patch, rule.merge_key)?;
    if is_replaced {
        return Ok(changes);
    }
    let (patch_order, server_order) = (Order::of(&changes, rule.merge_key), Order::of(&kept, rule.merge_key));
    let merged = merge_elements(kept, changes, rule)?;
    check_keys(&merged, rule.merge_key)?;
    Ok(ordered(merged, rule.merge_key, &patch_order, &server_order))
}

/// Merges a list that has a `$setElementOrder`; `None` when it is neither in the object nor in the patch.
pub(super) fn merge_in_order(
    original: Option<Vec<Value>>,
    patch: Option<Vec<Value>>,
    order: &[Value],
    rule: &FieldRule<'_>,
) -> Result<Option<Vec<Value>>, Error> {
    check_against_order(patch.as_deref().unwrap_or(&[]), order, rule.merge_key)?;
    if original.as_ref().is_none_or(Vec::is_empty) && patch.as_ref().is_none_or(Vec::is_empty) && (original.is_some() || patch.is_some()) {
        return Err(Error::Unclassified("no elements in any of the given slices".to_owned()));
    }
    let server_order = Order::of(original.as_deref().unwrap_or(&[]), rule.merge_key);
    let merged = match (original, patch) {
        (None, None) => return Ok(None),
        (Some(original), None) => original,
        (None, Some(patch)) => patch.into_iter().filter_map(without_directives).collect(),
        (Some(original), Some(patch)) => merge_by_rule(original, patch, rule, false)?,
    };
    if !rule.merge_key.is_empty() {
        check_keys(&merged, rule.merge_key)?;
    }
    Ok(Some(ordered(merged, rule.merge_key, &Order::of(order, rule.merge_key), &server_order)))
}

/// Whether the elements are maps; all must be of one type, and none a list.
fn element_is_map(original: &[Value], patch: &[Value]) -> Result<bool, Error> {
    let mut types = original.iter().chain(patch).map(go_text::type_name);
    let first = types.next().expect("one of the lists has an element");
    if first == "[]interface {}" {
        return Err(Error::DoesNotApply("lists of lists are not supported".to_owned()));
    }
    if types.any(|t| t != first) {
        let shown = go_text::of(&Value::Array(vec![Value::Array(original.to_vec()), Value::Array(patch.to_vec())]));
        return Err(Error::Unclassified(format!("list element types are not identical: {shown}")));
    }
    Ok(first == "map[string]interface {}")
}

fn without_duplicates(items: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    items.filter(|item| seen.insert(item.to_string())).collect()
}

fn no_merge_key(element: &Tree, key: &str) -> Error {
    Error::Unclassified(format!("map: {} does not contain declared merge key: {key}", go_text::of(&Value::Object(element.clone()))))
}

fn check_keys(items: &[Value], key: &str) -> Result<(), Error> {
    match items.iter().filter_map(Value::as_object).find(|item| !item.contains_key(key)) {
        Some(element) => Err(no_merge_key(element, key)),
        None => Ok(()),
    }
}

/// Elements with `$patch` act on the list: what is left of it, the other elements, and whether they take its place.
fn carry_out_directives(mut original: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(Vec<Value>, Vec<Value>, bool), Error> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut is_replaced = false;
    for element in patch {
        let Value::Object(map) = &element else { continue };
        let Some(directive) = map.get(DIRECTIVE) else {
            plain.push(element);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let wanted = map.get(key).ok_or_else(|| no_merge_key(map, key))?;
                original.retain(|item| item.get(key) != Some(wanted));
            }
            Some("replace") => is_replaced = true,
            Some("merge") => return Err(Error::Unclassified("merging lists cannot yet be specified in the patch".to_owned())),
            _ => return Err(unknown_directive(map)),
        }
    }
    Ok((original, plain, is_replaced))
}

fn merge_elements(mut original: Vec<Value>, patch: Vec<Value>, rule: &FieldRule<'_>) -> Result<Vec<Value>, Error> {
    let mut places = Order::of(&original, rule.merge_key);
    for element in patch {
        let Value::Object(mut change) = element else { continue };
        let Some(wanted) = change.get(rule.merge_key) else { return Err(no_merge_key(&change, rule.merge_key)) };
        match places.0.get(&wanted.to_string()) {
            Some(&at) => {
                let Value::Object(current) = original[at].take() else { unreachable!("all elements are maps") };
                original[at] = Value::Object(merge_map(current, &mut change, rule.inside)?);
            }
            None => {
                places.0.insert(wanted.to_string(), original.len());
                original.push(Value::Object(change));
            }
        }
    }
    Ok(original)
}

/// The patch's elements must stand in the order the directive gives, and all be in it.
fn check_against_order(patch: &[Value], order: &[Value], key: &str) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for element in patch {
        if element.get(DIRECTIVE).is_some() {
            continue;
        }
        if let (false, Some(map)) = (key.is_empty(), element.as_object().filter(|m| !m.contains_key(key))) {
            return Err(no_merge_key(map, key));
        }
        if !rest.any(|place| identity(place, key) == identity(element, key)) {
            let (patch, order) = (Value::Array(patch.to_vec()), Value::Array(order.to_vec()));
            return Err(Error::Unclassified(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                go_text::of(&patch),
                go_text::of(&order)
            )));
        }
    }
    Ok(())
}

/// What makes an element of a list itself: its merge key's value, or all of a scalar.
fn identity<'a>(element: &'a Value, key: &str) -> &'a Value {
    if key.is_empty() { element } else { element.get(key).unwrap_or(&Value::Null) }
}

/// The first place of every element of a list.
struct Order(HashMap<String, usize>);

impl Order {
    fn of(items: &[Value], key: &str) -> Self {
        let mut places = HashMap::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            places.entry(identity(item, key).to_string()).or_insert(i);
        }
        Order(places)
    }
}

/// Upstream: `normalizeElementOrder`. What the patch orders keeps that order; what only the server has is woven in by its old place.
fn ordered(merged: Vec<Value>, key: &str, patch_order: &Order, server_order: &Order) -> Vec<Value> {
    let mut patched: Vec<Ranked> = Vec::new();
    let mut server_only: Vec<Ranked> = Vec::new();
    for value in merged {
        let text = identity(&value, key).to_string();
        let server = server_order.0.get(&text).copied();
        match patch_order.0.get(&text) {
            Some(&rank) => patched.push(Ranked { rank, server, value }),
            None => server_only.push(Ranked { rank: server.unwrap_or(usize::MAX), server, value }),
        }
    }
    patched.sort_by_key(|item| item.rank);
    server_only.sort_by_key(|item| item.rank);
    let mut all = Vec::with_capacity(patched.len() + server_only.len());
    let mut left = server_only.into_iter().peekable();
    for right in patched {
        while let Some(item) = left.next_if(|l| matches!((l.server, right.server), (Some(l), Some(r)) if l < r)) {
            all.push(item.value);
        }
        all.push(right.value);
    }
    all.extend(left.map(|item| item.value));
    all
}

struct Ranked {
    rank: usize,
    server: Option<usize>,
    value: Value,
}
