//! Trees and tapes to messages. The value must be in Go's form; what is missing is written as Go writes its zero.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinds::{Catalog, Field, SchemaAlternative, Shape, Type, TypeId, Wire};
use object::duration;

use super::source::Source;
use super::wire::{put_bytes, put_double, put_int, put_message};

pub(super) fn message<'a, S: Source<'a>>(catalog: &Catalog, ty: TypeId, value: S, out: &mut Vec<u8>) {
    Encoder { catalog, found: Vec::with_capacity(64) }.message(ty, value, out);
}

struct Encoder<'a, S> {
    catalog: &'a Catalog,
    /// The members of the structs that are being written, by the position of their field: the outermost first.
    found: Vec<S>,
}

impl<'a, S: Source<'a>> Encoder<'_, S> {
    /// Members come in the order of their names and go in that of their tags.
    fn message(&mut self, ty: TypeId, value: S, out: &mut Vec<u8>) {
        let ty = self.catalog.get(ty);
        let base = self.found.len();
        self.found.resize(base + ty.fields.len(), value.null());
        let mut place = kinds::Place::default();
        value.each_member(|name, member| {
            if let Some(at) = ty.position(name, &mut place) {
                self.found[base + at] = member;
            }
        });
        self.fields(ty, &ty.wire, base, out);
        self.found.truncate(base);
    }

    fn fields(&mut self, ty: &Type, wire: &[Wire], base: usize, out: &mut Vec<u8>) {
        for part in wire {
            match part {
                Wire::Inline { tag, parts } => put_message(out, *tag, |out| self.fields(ty, parts, base, out)),
                Wire::Field { field, .. } => {
                    let at = usize::from(*field);
                    let (field, value) = (&ty.fields[at], self.found[base + at]);
                    if !(value.is_null() && may_be_absent(field)) {
                        self.field(field, value, out);
                    }
                }
            }
        }
    }

    fn field(&mut self, field: &Field, value: S, out: &mut Vec<u8>) {
        match &field.shape {
            Shape::List(item) if field.is_message_list() => {
                if value.is_array() {
                    put_message(out, field.tag, |out| self.items(item, 1, value, out));
                }
            }
            Shape::List(item) => self.items(item, field.tag, value, out),
            Shape::Map(item) => value.each_member(|key, value| {
                put_message(out, field.tag, |out| {
                    put_bytes(out, 1, key);
                    if let Shape::List(inner) = &**item {
                        put_message(out, 2, |out| self.items(inner, 1, value, out));
                    } else {
                        self.single(item, 2, value, out);
                    }
                });
            }),
            shape => self.single(shape, field.tag, value, out),
        }
    }

    fn items(&mut self, item: &Shape, tag: u32, value: S, out: &mut Vec<u8>) {
        value.each_item(|value| self.single(item, tag, value, out));
    }

    fn single(&mut self, shape: &Shape, tag: u32, value: S, out: &mut Vec<u8>) {
        match shape {
            Shape::Bool => put_int(out, tag, i64::from(value.bool())),
            Shape::Int32 | Shape::Int64 => put_int(out, tag, value.int()),
            Shape::Double => put_double(out, tag, value.double()),
            Shape::String => put_bytes(out, tag, &value.text()),
            Shape::Bytes => put_bytes(out, tag, &BASE64.decode(value.text()).unwrap_or_default()),
            Shape::Struct(id) => put_message(out, tag, |out| self.message(*id, value, out)),
            Shape::Quantity => {
                let text = if value.is_string() { value.text() } else { Cow::Borrowed(b"0".as_slice()) };
                put_message(out, tag, |out| put_bytes(out, 1, &text));
            }
            Shape::Time | Shape::MicroTime => put_message(out, tag, |out| time(value, out)),
            Shape::Duration => put_message(out, tag, |out| {
                put_int(out, 1, std::str::from_utf8(&value.text()).ok().and_then(|text| duration::parse(text).ok()).unwrap_or(0));
            }),
            Shape::IntOrString => put_message(out, tag, |out| {
                put_int(out, 1, i64::from(value.is_string()));
                put_int(out, 2, value.int());
                put_bytes(out, 3, &value.text());
            }),
            Shape::Any | Shape::FieldsV1 => put_message(out, tag, |out| {
                if !value.is_null() {
                    put_bytes(out, 1, &value.json());
                }
            }),
            Shape::SchemaOr(id, other) => put_message(out, tag, |out| self.schema_or(*id, *other, value, out)),
            Shape::List(_) | Shape::Map(_) => {}
        }
    }

    fn schema_or(&mut self, schema: TypeId, other: SchemaAlternative, value: S, out: &mut Vec<u8>) {
        let shape = Shape::Struct(schema);
        match other {
            SchemaAlternative::Bool if value.is_object() => {
                put_int(out, 1, 1);
                self.single(&shape, 2, value, out);
            }
            SchemaAlternative::Bool => put_int(out, 1, i64::from(value.bool())),
            _ if value.is_object() => self.single(&shape, 1, value, out),
            SchemaAlternative::Schemas => self.items(&shape, 2, value, out),
            SchemaAlternative::Strings => self.items(&Shape::String, 2, value, out),
        }
    }
}

/// All else has a zero that Go writes.
fn may_be_absent(field: &Field) -> bool {
    field.pointer || matches!(field.shape, Shape::Bytes | Shape::List(_) | Shape::Map(_))
}

/// The zero time is an empty message.
fn time<'a, S: Source<'a>>(value: S, out: &mut Vec<u8>) {
    if let Some(at) = std::str::from_utf8(&value.text()).ok().and_then(object::time::parse) {
        put_int(out, 1, at.as_second());
        put_int(out, 2, i64::from(at.subsec_nanosecond()));
    }
}
