//! What is not the same in two answers, a line each.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ask::Answer;

/// Lines that start with `-` are the reference's, those with `+` coracle's. Empty when the answers are the same.
pub fn lines(reference: &Answer, ours: &Answer) -> Vec<String> {
    if reference == ours {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if reference.status != ours.status {
        lines.push(format!("- status {}", reference.status));
        lines.push(format!("+ status {}", ours.status));
    }
    lines.extend(reference.headers.iter().filter(|h| !ours.headers.contains(h)).map(|h| format!("- {h}")));
    lines.extend(ours.headers.iter().filter(|h| !reference.headers.contains(h)).map(|h| format!("+ {h}")));
    if reference.body != ours.body {
        let n_before = lines.len();
        bodies(&reference.body, &ours.body, &mut lines);
        if lines.len() == n_before {
            lines.push(format!("- {}", from_first_difference(&reference.body, &ours.body)));
            lines.push(format!("+ {}", from_first_difference(&ours.body, &reference.body)));
        }
    } else if lines.is_empty() {
        lines.push("the order of headers".to_owned());
    }
    lines
}

fn bodies(reference: &str, ours: &str, lines: &mut Vec<String>) {
    let (reference, ours) = (leaves_of(reference), leaves_of(ours));
    for (path, value) in &reference {
        if ours.get(path) != Some(value) {
            lines.push(format!("- {path} {value}"));
            lines.extend(ours.get(path).map(|other| format!("+ {path} {other}")));
        }
    }
    lines.extend(ours.iter().filter(|(path, _)| !reference.contains_key(*path)).map(|(path, value)| format!("+ {path} {value}")));
}

/// Every leaf by its path; documents that follow each other are numbered.
fn leaves_of(body: &str) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    if let Ok(value) = serde_json::from_str::<Value>(body) {
        collect(&value, String::new(), &mut leaves);
        return leaves;
    }
    for (number, line) in body.lines().enumerate() {
        match serde_json::from_str::<Value>(line) {
            Ok(value) => collect(&value, format!("#{number}"), &mut leaves),
            Err(_) => drop(leaves.insert(format!("#{number}"), line.to_owned())),
        }
    }
    leaves
}

fn collect(value: &Value, path: String, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(key, member)| collect(member, format!("{path}/{key}"), leaves)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(i, item)| collect(item, format!("{path}/{i}"), leaves));
        }
        leaf => drop(leaves.insert(path, leaf.to_string())),
    }
}

fn from_first_difference(text: &str, other: &str) -> String {
    let same = text.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    text.chars().skip(same.saturating_sub(20)).take(120).collect()
}
