//! Faulty objects that are stored already: what is still taken of them, as upstream takes it (`record_validation::kept` of `xtask`
//! explains the lines).

use kinds::Resource;
use serde_json::{Value, json};

use super::replay::updated;
use super::{is_cause, masked, now, put};
use crate::default;

/// One fault that is stored, and what upstream said of three writes.
pub(super) struct Kept<'a> {
    path: &'a str,
    resource: &'static Resource,
    lines: &'a [Value],
    line: &'a Value,
    /// The case that the fault is from.
    case: &'a Value,
    faulty: Value,
}

/// The three writes: what each is called, its subresource, and where `by` has who lent the change.
const WRITES: [(&str, &str, Option<usize>); 3] = [("label", "", None), ("spec", "", Some(0)), ("status", "status", Some(1))];

impl<'a> Kept<'a> {
    pub(super) fn new(path: &'a str, resource: &'static Resource, old: &Value, lines: &'a [Value], line: &'a Value) -> Self {
        let case = &lines[index(&line["kept"]).expect("a case")];
        let mut faulty = old.clone();
        put(&mut faulty, place(case), case.get("put"));
        Kept { path, resource, lines, line, case, faulty }
    }

    pub(super) fn n_answers(&self) -> usize {
        self.said().filter(|(_, said)| !said.is_null()).count()
    }

    fn said(&self) -> impl Iterator<Item = (&'static (&'static str, &'static str, Option<usize>), &'a Value)> {
        WRITES.iter().zip(self.line["said"].as_array().into_iter().flatten())
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        let mut read = self.faulty.clone();
        changed(&mut read, &self.line["read"]);
        let mut ours = self.faulty.clone();
        default(kinds::builtin(), self.resource.type_id, &mut ours, now());
        let mut complaints = Vec::new();
        let (ours, theirs) = (without_zeros(&self.as_json(&ours)), without_zeros(&self.as_json(&read)));
        if ours != theirs {
            complaints.push(format!("{}\n  read {ours}\n  want {theirs}", self.shown("read")));
        }
        default(kinds::builtin(), self.resource.type_id, &mut read, now());
        complaints.extend(self.said().filter_map(|(write, said)| self.complaint(&read, write, said)));
        complaints
    }

    fn as_json(&self, object: &Value) -> Value {
        let mut object = object.clone();
        codec::shed(kinds::builtin(), self.resource.type_id, &mut object, codec::Written::Json);
        object
    }

    fn shown(&self, what: &str) -> String {
        format!("{what} of a stored {} at {} put {}", self.path, self.case["at"], self.case.get("put").unwrap_or(&json!("-")))
    }

    fn complaint(&self, read: &Value, (what, subresource, lender): &(&str, &str, Option<usize>), said: &Value) -> Option<String> {
        if said.is_null() {
            return None;
        }
        let lender = lender.and_then(|lender| index(&self.line["by"][lender])).map(|i| &self.lines[i]);
        // What the recorder stored, as JSON, has its empty lists and maps; what it read and sent again has not.
        let mut sent = self.as_json(read);
        match lender {
            Some(lender) => put(&mut sent, place(lender), lender.get("put")),
            None => put(&mut sent, &[json!("metadata"), json!("labels"), json!("kept")], Some(&json!("so"))),
        }
        let (got, mut faults, _) = updated(self.resource, subresource, read, sent.clone());
        let mut want = if said == 1 { self.case["want"].as_array() } else { said.as_array() }.cloned().unwrap_or_default();
        faults.sort_by_key(ToString::to_string);
        want.sort_by_key(ToString::to_string);
        let by = lender.map_or(String::new(), |lender| format!(" by {} put {}", lender["at"], lender.get("put").unwrap_or(&json!("-"))));
        let shown = || format!("{}{by}", self.shown(what));
        if faults.len() != want.len() || !faults.iter().zip(&want).all(|(got, want)| is_cause(got, want)) {
            return Some(format!("{}\n  got  {}\n  want {}", shown(), json!(faults), json!(want)));
        }
        if !want.is_empty() {
            return None;
        }
        lender.into_iter().for_each(|lender| changed(&mut sent, &lender["then"]));
        changed(&mut sent, &said["then"]);
        let (got, expected) = (without_zeros(&masked(self.resource, &got)), without_zeros(&masked(self.resource, &sent)));
        (got != expected).then(|| format!("{}\n  made {got}\n  want {expected}", shown()))
    }
}

fn index(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|index| usize::try_from(index).ok())
}

fn place(case: &Value) -> &[Value] {
    case["at"].as_array().expect("a place")
}

fn changed(object: &mut Value, changes: &Value) {
    for change in changes.as_array().into_iter().flatten() {
        put(object, change[0].as_array().expect("a place"), change.get(1));
    }
}

/// A place that is empty and one that is not there are one, once an object has been written in Go's normal form.
fn without_zeros(value: &Value) -> Value {
    let is_zero = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "0",
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    };
    match value {
        Value::Object(map) => {
            let fields = map.iter().map(|(key, value)| (key.clone(), without_zeros(value)));
            Value::Object(fields.filter(|(_, value)| !is_zero(value)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_zeros).collect()),
        other => other.clone(),
    }
}
