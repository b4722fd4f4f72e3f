//! How Go's `%v` prints a tree (`map[a:1 b:[x y]]`). Some of upstream's messages carry it, and clients show them.

use std::fmt::Write;

use serde_json::Value;

pub fn of(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value);
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("<nil>"),
        Value::String(s) => text.push_str(s),
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push(' ');
                }
                write(text, item);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push_str("map[");
            for (i, (key, item)) in fields.iter().enumerate() {
                let _ = write!(text, "{}{key}:", if i > 0 { " " } else { "" });
                write(text, item);
            }
            text.push(']');
        }
        Value::Number(n) if n.is_f64() => write_float(text, n.as_f64().unwrap_or_default()),
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// Shortest digits, with an exponent where Go writes one.
fn write_float(text: &mut String, float: f64) {
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let _ = if (-4..21).contains(&exponent) {
        write!(text, "{float}")
    } else {
        write!(text, "{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
    };
}

/// The Go type a decoded JSON value has, as `%T` names it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
