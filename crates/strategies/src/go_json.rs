//! JSON as upstream shows values in faults: its own types' names and order, absent things written out.
//!
//! Types come from `go_types.txt`; a value without a type is written as it is.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

#[derive(Clone, Copy)]
enum Kind {
    Any,
    Text,
    Number,
    Bool,
    Quantity,
    Map,
    One(&'static str),
    OneOrNull(&'static str),
    List(&'static str),
}

enum Field {
    Named { shown: &'static str, name: String, kind: Kind, is_omitted_empty: bool },
    Embedded(&'static str),
}

type Types = HashMap<&'static str, Vec<Field>>;

fn types() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| {
        let lines = include_str!("go_types.txt").lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split_once(' ')).map(|(name, fields)| (name, fields.split(' ').map(field).collect())).collect()
    })
}

fn field(text: &'static str) -> Field {
    if let Some(embedded) = text.strip_prefix('+') {
        return Field::Embedded(embedded);
    }
    let (text, is_omitted_empty) = text.strip_suffix('?').map_or((text, false), |text| (text, true));
    let (names, kind) = text.split_once(':').unwrap_or((text, ""));
    let kind = match kind.split_once(':') {
        Some(("T", of)) => Kind::One(of),
        Some(("P", of)) => Kind::OneOrNull(of),
        Some((_, of)) => Kind::List(of),
        None => match kind {
            "s" => Kind::Text,
            "i" | "o" => Kind::Number,
            "b" => Kind::Bool,
            "q" => Kind::Quantity,
            "m" => Kind::Map,
            _ => Kind::Any,
        },
    };
    let (shown, name) =
        names.split_once('=').map_or_else(|| (names, names[..1].to_lowercase() + &names[1..]), |(shown, name)| (shown, name.to_owned()));
    Field::Named { shown, name, kind, is_omitted_empty }
}

/// `value` as one of `type_name`, on one line.
pub(crate) fn compact(type_name: &str, value: &Value) -> String {
    let mut writer = Writer { out: String::new(), is_indented: false };
    writer.one(type_name, value, 0);
    writer.out
}

/// `value` as one of `type_name`, as lines with one blank a level.
pub(crate) fn lines(type_name: &str, value: &Value) -> Vec<String> {
    let mut writer = Writer { out: String::new(), is_indented: true };
    writer.one(type_name, value, 0);
    writer.out.lines().map(str::to_owned).collect()
}

/// What `omitempty` leaves out. An empty map that is none is a struct behind a pointer.
fn is_empty(kind: Kind, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(kind, Kind::Map),
        _ => false,
    }
}

struct Writer {
    out: String,
    is_indented: bool,
}

impl Writer {
    fn line(&mut self, depth: usize) {
        if self.is_indented {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', depth));
        }
    }

    fn key(&mut self, key: &str, is_first: &mut bool, depth: usize) {
        if !std::mem::replace(is_first, false) {
            self.out.push(',');
        }
        self.line(depth);
        self.scalar(&Value::from(key));
        self.out.push_str(if self.is_indented { ": " } else { ":" });
    }

    /// Go's encoder writes what HTML might take for its own in another way.
    fn scalar(&mut self, value: &Value) {
        self.out.push_str(&value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
    }

    fn one(&mut self, type_name: &str, value: &Value, depth: usize) {
        let Some(fields) = types().get(type_name) else {
            self.any(value, depth);
            return;
        };
        self.out.push('{');
        let mut is_first = true;
        self.fields(fields, value, depth + 1, &mut is_first);
        if !is_first {
            self.line(depth);
        }
        self.out.push('}');
    }

    fn fields(&mut self, fields: &[Field], value: &Value, depth: usize, is_first: &mut bool) {
        for field in fields {
            match field {
                Field::Embedded(of) => {
                    let value = if *of == "ObjectMeta" { &value["metadata"] } else { value };
                    if let Some(fields) = types().get(of) {
                        self.fields(fields, value, depth, is_first);
                    }
                }
                Field::Named { shown, name, kind, is_omitted_empty } => {
                    let value = &value[name.as_str()];
                    if *is_omitted_empty && is_empty(*kind, value) {
                        continue;
                    }
                    self.key(shown, is_first, depth);
                    self.of_kind(*kind, value, depth);
                }
            }
        }
    }

    fn of_kind(&mut self, kind: Kind, value: &Value, depth: usize) {
        match (kind, value) {
            (Kind::One(of), value) => self.one(of, value, depth),
            (Kind::OneOrNull(of), value) if !value.is_null() => self.one(of, value, depth),
            (Kind::List(of), Value::Array(items)) => self.list(items, depth, |writer, item, depth| writer.one(of, item, depth)),
            (Kind::Text, Value::Null) => self.out.push_str("\"\""),
            (Kind::Quantity, Value::Null) => self.out.push_str("\"0\""),
            (Kind::Number, Value::Null) => self.out.push('0'),
            (Kind::Bool, Value::Null) => self.out.push_str("false"),
            (_, value) => self.any(value, depth),
        }
    }

    fn list(&mut self, items: &[Value], depth: usize, mut write: impl FnMut(&mut Self, &Value, usize)) {
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.line(depth + 1);
            write(self, item, depth + 1);
        }
        if !items.is_empty() {
            self.line(depth);
        }
        self.out.push(']');
    }

    fn any(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Object(map) => {
                self.out.push('{');
                let mut is_first = true;
                for (key, value) in map {
                    self.key(key, &mut is_first, depth + 1);
                    self.any(value, depth + 1);
                }
                if !map.is_empty() {
                    self.line(depth);
                }
                self.out.push('}');
            }
            Value::Array(items) => self.list(items, depth, Self::any),
            scalar => self.scalar(scalar),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absent_fields_are_written_out() {
        let got = compact("Taint", &json!({"key": "a<b", "effect": "NoSchedule"}));
        assert_eq!(got, r#"{"Key":"a\u003cb","Value":"","Effect":"NoSchedule","TimeAdded":null}"#);
        assert_eq!(compact("LabelSelector", &json!({"matchLabels": {"a": "b"}})), r#"{"matchLabels":{"a":"b"}}"#);
        assert_eq!(compact("LabelSelector", &json!({"matchLabels": {}, "matchExpressions": []})), "{}");
    }

    #[test]
    fn every_named_type_is_there() {
        for (name, fields) in types() {
            for field in fields {
                let of = match field {
                    Field::Embedded(of) | Field::Named { kind: Kind::One(of) | Kind::OneOrNull(of) | Kind::List(of), .. } => of,
                    Field::Named { .. } => continue,
                };
                assert!(types().contains_key(of), "{name} speaks of {of}");
            }
        }
    }
}
