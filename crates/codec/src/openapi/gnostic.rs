//! OpenAPI documents as protobuf, which older clients ask for: the messages of the `gnostic` project, by a table of facts.
//!
//! Only what stands in our documents has a row; a test finds a key that none covers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::protobuf::{put_bytes, put_double, put_int, put_message};

/// Where names and values stand in the pair that is a map's entry.
const NAME: u32 = 1;
const VALUE: u32 = 2;
/// The text within a message that stands for any value.
const YAML: u32 = 2;

static MESSAGES: LazyLock<BTreeMap<&str, Message>> = LazyLock::new(|| read(include_str!("../../facts/gnostic.txt")));

#[derive(Default)]
struct Message {
    /// The key that chooses one of the rows; else each row is for a key.
    by: Option<&'static str>,
    rows: BTreeMap<&'static str, Row>,
}

struct Row {
    steps: Vec<Step>,
    kind: &'static str,
}

#[derive(Clone, Copy)]
enum Step {
    In(u32),
    Each(u32),
    Entries(u32),
}

fn read(table: &'static str) -> BTreeMap<&'static str, Message> {
    let fine = "a row of the committed table";
    let (mut messages, mut last) = (BTreeMap::<&str, Message>::new(), "");
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["message", name, rest @ ..] = words.as_slice() {
            last = *name;
            messages.insert(*name, Message { by: rest.get(1).copied(), rows: BTreeMap::new() });
            continue;
        }
        let is_step = |word: &&&str| word.starts_with(|c: char| c.is_ascii_digit());
        let steps = words[1..].iter().take_while(is_step).map(|word| step(word)).collect::<Vec<_>>();
        let row = Row { kind: words.get(1 + steps.len()).copied().unwrap_or("any"), steps };
        messages.get_mut(last).expect(fine).rows.insert(words[0], row);
    }
    messages
}

fn step(word: &str) -> Step {
    let tag = |digits: &str| digits.parse().expect("tags are numbers");
    match (word.strip_suffix("[]"), word.strip_suffix('*')) {
        (Some(digits), _) => Step::Each(tag(digits)),
        (_, Some(digits)) => Step::Entries(tag(digits)),
        _ => Step::In(tag(word)),
    }
}

/// `message` is `v2.Document` or `v3.Document`.
pub(super) fn encode(message: &str, document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put_fields(&mut out, message, document);
    out
}

fn put_fields(out: &mut Vec<u8>, name: &str, value: &Value) {
    let Some(message) = MESSAGES.get(name) else { return };
    if let Some(by) = message.by {
        let chosen = value.get(by);
        let key =
            if by == "$ref" { if chosen.is_some() { "present" } else { "absent" } } else { chosen.and_then(Value::as_str).unwrap_or("") };
        if let Some(row) = message.rows.get(key) {
            put(out, &row.steps, row.kind, value);
        }
        return;
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        if key.starts_with("x-") {
            let Some([Step::In(tag)]) = message.rows.get("x-").map(|row| row.steps.as_slice()) else { continue };
            put_message(out, *tag, |pair| {
                put_bytes(pair, NAME, key.as_bytes());
                put_any(pair, VALUE, value);
            });
        } else if let Some(row) = message.rows.get(key.as_str()) {
            put(out, &row.steps, row.kind, value);
        }
    }
}

fn put(out: &mut Vec<u8>, steps: &[Step], kind: &str, value: &Value) {
    let Some((step, rest)) = steps.split_first() else { return };
    match *step {
        Step::In(tag) if rest.is_empty() => put_value(out, tag, kind, value),
        Step::In(tag) => put_message(out, tag, |inner| put(inner, rest, kind, value)),
        Step::Each(tag) => {
            for item in value.as_array().into_iter().flatten() {
                if rest.is_empty() { put_value(out, tag, kind, item) } else { put_message(out, tag, |inner| put(inner, rest, kind, item)) }
            }
        }
        Step::Entries(tag) => {
            for (name, entry) in value.as_object().into_iter().flatten() {
                put_message(out, tag, |pair| {
                    put_bytes(pair, NAME, name.as_bytes());
                    match rest {
                        [] if kind == "texts" => put_message(pair, VALUE, |list| put_value(list, 1, kind, entry)),
                        [] => put_value(pair, VALUE, kind, entry),
                        _ => put_message(pair, VALUE, |inner| put(inner, rest, kind, entry)),
                    }
                });
            }
        }
    }
}

fn put_value(out: &mut Vec<u8>, tag: u32, kind: &str, value: &Value) {
    match (kind, value) {
        ("text", Value::String(text)) => put_bytes(out, tag, text.as_bytes()),
        ("texts", Value::Array(texts)) => texts.iter().filter_map(Value::as_str).for_each(|text| put_bytes(out, tag, text.as_bytes())),
        ("flag", Value::Bool(true)) => put_int(out, tag, 1),
        ("any", _) => put_any(out, tag, value),
        // A default that is an object has no form.
        ("scalar", Value::Number(number)) => put_message(out, tag, |inner| put_double(inner, 1, number.as_f64().unwrap_or(0.0))),
        ("scalar", Value::Bool(flag)) => put_message(out, tag, |inner| put_int(inner, 2, i64::from(*flag))),
        ("scalar", Value::String(text)) => put_message(out, tag, |inner| put_bytes(inner, 3, text.as_bytes())),
        ("text" | "texts" | "flag" | "scalar", _) => {}
        _ => put_message(out, tag, |inner| put_fields(inner, kind, value)),
    }
}

fn put_any(out: &mut Vec<u8>, tag: u32, value: &Value) {
    put_message(out, tag, |inner| put_bytes(inner, YAML, crate::yaml::write(value).as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a value the way it is written, and names the first key without a row.
    fn uncovered(name: &str, value: &Value) -> Option<String> {
        let message = MESSAGES.get(name)?;
        if message.by.is_some() {
            let rows = message.rows.values();
            return rows.map(|row| uncovered(row.kind, value)).min().flatten();
        }
        value.as_object().into_iter().flatten().find_map(|(key, value)| {
            if key.starts_with("x-") {
                return (!message.rows.contains_key("x-")).then(|| format!("{name}.{key}"));
            }
            let Some(row) = message.rows.get(key.as_str()) else { return Some(format!("{name}.{key}")) };
            let mut values = vec![value];
            for step in &row.steps {
                match step {
                    Step::In(_) => {}
                    Step::Each(_) => values = values.iter().flat_map(|v| v.as_array().into_iter().flatten()).collect(),
                    Step::Entries(_) => values = values.iter().flat_map(|v| v.as_object().into_iter().flat_map(|o| o.values())).collect(),
                }
            }
            values.into_iter().find_map(|value| uncovered(row.kind, value))
        })
    }

    #[test]
    fn every_key_has_its_tag() {
        let catalog = kinds::builtin();
        let descriptions = super::super::NoDescriptions;
        assert_eq!(uncovered("v2.Document", &super::super::document_v2(catalog, &descriptions)), None);
        for path in super::super::document_paths(catalog) {
            let document = super::super::document(catalog, &path, &descriptions).unwrap();
            assert_eq!(uncovered("v3.Document", &document), None, "{path}");
        }
    }
}
