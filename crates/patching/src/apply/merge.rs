//! A configuration laid over the live object: its leaves win, lists merge by key, what it leaves out stays.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;

use super::schema::{Atom, Schema};

/// `live` becomes what both say together.
pub(super) fn objects(schema: &Schema<'_>, live: &mut Value, config: &Value) {
    lay(schema, schema.root(), live, config);
}

fn lay(schema: &Schema<'_>, atom: Atom<'_>, live: &mut Value, config: &Value) {
    match (atom, &mut *live, config) {
        (Atom::Struct(_) | Atom::Map(_) | Atom::Free, Value::Object(live), Value::Object(config)) => {
            for (name, value) in config {
                match live.get_mut(name) {
                    Some(current) => lay(schema, schema.member(atom, name).unwrap_or(Atom::Free), current, value),
                    None => {
                        live.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        // A null says nothing about what is in a map or list.
        (Atom::Struct(_) | Atom::Map(_) | Atom::Free, Value::Object(map), Value::Null) if !map.is_empty() => {}
        (Atom::Set(_) | Atom::Keyed(..), Value::Array(items), Value::Null) if !items.is_empty() => {}
        (Atom::Set(_) | Atom::Keyed(..), Value::Array(items), Value::Array(config)) if !items.is_empty() || !config.is_empty() => {
            let merged = lay_lists(schema, atom, std::mem::take(items), config);
            *items = merged;
        }
        _ => *live = config.clone(),
    }
}

/// Shared items come in the configuration's order, those of one side keep their neighbours as far as that allows.
fn lay_lists(schema: &Schema<'_>, atom: Atom<'_>, live: Vec<Value>, config: &[Value]) -> Vec<Value> {
    let key = |item: &Value| schema.item_key(atom, item).unwrap_or_default();
    let (live_keys, config_keys): (Vec<String>, Vec<String>) = (live.iter().map(key).collect(), config.iter().map(key).collect());
    let mut live_counts: HashMap<&str, usize> = HashMap::with_capacity(live.len());
    for key in &live_keys {
        *live_counts.entry(key).or_default() += 1;
    }
    let in_config: HashSet<&str> = config_keys.iter().map(String::as_str).collect();
    let mut shared: VecDeque<&str> = config_keys.iter().map(String::as_str).filter(|k| live_counts.contains_key(k)).collect();
    let mut next_shared = shared.pop_front();
    let mut merged_keys: HashSet<&str> = HashSet::new();
    // The first of each key is what a configured item merges with; of duplicates none is.
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(live.len());
    for (i, key) in live_keys.iter().enumerate() {
        places.entry(key).or_insert(i);
    }
    let mut live: Vec<Option<Value>> = live.into_iter().map(Some).collect();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let (mut l, mut c) = (0, 0);
    while l < live_keys.len() || c < config_keys.len() {
        if l < live_keys.len() && c < config_keys.len() {
            let key = live_keys[l].as_str();
            if key == config_keys[c].as_str() {
                merged_keys.insert(key);
                out.push(laid(schema, atom, taken(&mut live, &places, &live_counts, key), &config[c]));
                (l, c) = (l + 1, c + 1);
                next_shared = shared.pop_front();
                continue;
            }
            if in_config.contains(key) && next_shared.is_some_and(|next| next != key) {
                l += 1;
                continue;
            }
        }
        if l < live_keys.len() {
            let key = live_keys[l].as_str();
            if !in_config.contains(key) {
                out.extend(live[l].take());
                l += 1;
                continue;
            }
            if merged_keys.contains(key) {
                l += 1;
            }
        }
        if c < config_keys.len() {
            let key = config_keys[c].as_str();
            merged_keys.insert(key);
            out.push(laid(schema, atom, taken(&mut live, &places, &live_counts, key), &config[c]));
            c += 1;
            if next_shared == Some(key) {
                next_shared = shared.pop_front();
            }
        }
    }
    out
}

fn taken(live: &mut [Option<Value>], places: &HashMap<&str, usize>, counts: &HashMap<&str, usize>, key: &str) -> Option<Value> {
    if counts.get(key) != Some(&1) {
        return None;
    }
    live[*places.get(key)?].take()
}

fn laid(schema: &Schema<'_>, atom: Atom<'_>, live: Option<Value>, config: &Value) -> Value {
    match live {
        None => config.clone(),
        Some(mut live) => {
            lay(schema, schema.items(atom), &mut live, config);
            live
        }
    }
}
