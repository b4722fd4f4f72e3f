//! Trees to messages. The tree must be in Go's form; what is missing is written as Go writes its zero.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinds::{Catalog, Field, SchemaAlternative, Shape, Type, TypeId, Wire};
use object::duration;
use serde_json::Value;

use super::wire::{put_bytes, put_double, put_int, put_message};

pub(super) fn message(catalog: &Catalog, ty: TypeId, value: &Value, out: &mut Vec<u8>) {
    let ty = catalog.get(ty);
    fields(catalog, ty, &ty.wire, value, out);
}

fn fields(catalog: &Catalog, ty: &Type, wire: &[Wire], value: &Value, out: &mut Vec<u8>) {
    for part in wire {
        match part {
            Wire::Inline { tag, parts } => put_message(out, *tag, |out| fields(catalog, ty, parts, value, out)),
            Wire::Field { field, .. } => {
                let field = &ty.fields[usize::from(*field)];
                write_field(catalog, field, value.get(&field.name).unwrap_or(&Value::Null), out);
            }
        }
    }
}

fn write_field(catalog: &Catalog, field: &Field, value: &Value, out: &mut Vec<u8>) {
    match &field.shape {
        Shape::List(item) if field.is_message_list() => {
            if value.is_array() {
                put_message(out, field.tag, |out| write_items(catalog, item, value, out));
            }
        }
        Shape::List(item) => value.as_array().into_iter().flatten().for_each(|value| single(catalog, item, field.tag, value, out)),
        Shape::Map(item) => {
            for (key, value) in value.as_object().into_iter().flatten() {
                put_message(out, field.tag, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    if let Shape::List(inner) = &**item {
                        put_message(out, 2, |out| write_items(catalog, inner, value, out));
                    } else {
                        single(catalog, item, 2, value, out);
                    }
                });
            }
        }
        // A pointer or a slice of bytes may be absent; all else has a zero that Go writes.
        _ if value.is_null() && (field.pointer || field.shape == Shape::Bytes) => {}
        shape => single(catalog, shape, field.tag, value, out),
    }
}

fn write_items(catalog: &Catalog, item: &Shape, value: &Value, out: &mut Vec<u8>) {
    value.as_array().into_iter().flatten().for_each(|value| single(catalog, item, 1, value, out));
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn single(catalog: &Catalog, shape: &Shape, tag: u32, value: &Value, out: &mut Vec<u8>) {
    match shape {
        Shape::Bool => put_int(out, tag, i64::from(value.as_bool().unwrap_or(false))),
        Shape::Int32 | Shape::Int64 => put_int(out, tag, value.as_i64().unwrap_or(0)),
        Shape::Double => put_double(out, tag, value.as_f64().unwrap_or(0.0)),
        Shape::String => put_bytes(out, tag, text(value).as_bytes()),
        Shape::Bytes => put_bytes(out, tag, &BASE64.decode(text(value)).unwrap_or_default()),
        Shape::Struct(id) => put_message(out, tag, |out| message(catalog, *id, value, out)),
        Shape::Quantity => put_message(out, tag, |out| put_bytes(out, 1, value.as_str().unwrap_or("0").as_bytes())),
        Shape::Time | Shape::MicroTime => put_message(out, tag, |out| time(value, out)),
        Shape::Duration => put_message(out, tag, |out| put_int(out, 1, duration::parse(text(value)).unwrap_or(0))),
        Shape::IntOrString => put_message(out, tag, |out| {
            put_int(out, 1, i64::from(value.is_string()));
            put_int(out, 2, value.as_i64().unwrap_or(0));
            put_bytes(out, 3, text(value).as_bytes());
        }),
        Shape::Any | Shape::FieldsV1 => put_message(out, tag, |out| {
            if !value.is_null() {
                put_bytes(out, 1, value.to_string().as_bytes());
            }
        }),
        Shape::SchemaOr(id, other) => put_message(out, tag, |out| schema_or(catalog, *id, *other, value, out)),
        Shape::List(_) | Shape::Map(_) => {}
    }
}

/// The zero time is an empty message.
fn time(value: &Value, out: &mut Vec<u8>) {
    if let Some(at) = value.as_str().and_then(object::time::parse) {
        put_int(out, 1, at.as_second());
        put_int(out, 2, i64::from(at.subsec_nanosecond()));
    }
}

fn schema_or(catalog: &Catalog, schema: TypeId, other: SchemaAlternative, value: &Value, out: &mut Vec<u8>) {
    let shape = Shape::Struct(schema);
    match (other, value) {
        (SchemaAlternative::Bool, Value::Object(_)) => {
            put_int(out, 1, 1);
            single(catalog, &shape, 2, value, out);
        }
        (SchemaAlternative::Bool, value) => put_int(out, 1, i64::from(value == &Value::Bool(true))),
        (_, Value::Object(_)) => single(catalog, &shape, 1, value, out),
        (SchemaAlternative::Schemas, Value::Array(items)) => items.iter().for_each(|item| single(catalog, &shape, 2, item, out)),
        (SchemaAlternative::Strings, Value::Array(items)) => items.iter().for_each(|item| put_bytes(out, 2, text(item).as_bytes())),
        _ => {}
    }
}
