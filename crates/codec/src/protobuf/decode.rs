//! Messages to trees. The result is not yet in Go's form: it has just the fields that stood on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinds::{Catalog, Field, SchemaAlternative, Shape, Type, TypeId, Wire};
use object::duration;
use serde_json::{Map, Value};

use super::Error;
use super::wire::{Payload, Reader};

/// The deepest built-in type is far below; only a schema of a CRD nests freely.
const DEPTH_MAX: usize = 100;
/// Two bytes can make an item with twenty fields: this bounds what a body of 3 MiB can cost.
const VALUES_MAX: usize = 1_000_000;

pub(super) fn message(catalog: &Catalog, ty: TypeId, bytes: &[u8]) -> Result<Value, Error> {
    let mut map = Map::new();
    let mut decoder = Decoder { catalog, n_values: 0 };
    let ty = catalog.get(ty);
    decoder.fields(ty, &ty.wire, bytes, &mut map, 0)?;
    Ok(Value::Object(map))
}

struct Decoder<'a> {
    catalog: &'a Catalog,
    n_values: usize,
}

fn malformed<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(Error::Malformed(text.into()))
}

impl Decoder<'_> {
    /// Reads one message into `map`; a message that comes in two parts is merged, as protobuf has it.
    fn fields(&mut self, ty: &Type, wire: &[Wire], bytes: &[u8], map: &mut Map<String, Value>, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return malformed("the message is nested too deeply");
        }
        let mut reader = Reader::new(bytes);
        while let Some((tag, payload)) = reader.next()? {
            self.n_values += 1;
            if self.n_values > VALUES_MAX {
                return malformed(format!("the message has more than {VALUES_MAX} values"));
            }
            // A tag that is not known is from a newer version: upstream drops it.
            let Ok(at) = wire.binary_search_by_key(&tag, Wire::tag) else { continue };
            match &wire[at] {
                Wire::Inline { parts, .. } => self.fields(ty, parts, payload.bytes(tag)?, map, depth + 1)?,
                Wire::Field { field, .. } => self.field(&ty.fields[usize::from(*field)], payload, map, depth)?,
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, payload: Payload<'_>, map: &mut Map<String, Value>, depth: usize) -> Result<(), Error> {
        let tag = field.tag;
        match &field.shape {
            Shape::List(item) if field.is_message_list() => {
                let items = self.items_message(item, payload.bytes(tag)?, depth)?;
                map.insert(field.name.clone(), items);
            }
            Shape::List(item) => {
                let slot = map.entry(field.name.as_str()).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(items) = slot else { return Ok(()) };
                match (&**item, payload) {
                    // Upstream never packs numbers but reads them packed.
                    (Shape::Int32 | Shape::Int64, Payload::Bytes(packed)) => {
                        let mut reader = Reader::new(packed);
                        while !reader.is_empty() {
                            items.push(self.single(item, tag, Payload::Varint(reader.varint()?), None, depth)?);
                        }
                    }
                    _ => items.push(self.single(item, tag, payload, None, depth)?),
                }
            }
            Shape::Map(item) => {
                let (key, value) = self.entry(item, payload.bytes(tag)?, depth)?;
                let slot = map.entry(field.name.as_str()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(entries) = slot {
                    entries.insert(key, value);
                }
            }
            shape => {
                let before = map.remove(&field.name);
                let value = self.single(shape, tag, payload, before, depth)?;
                map.insert(field.name.clone(), value);
            }
        }
        Ok(())
    }

    fn entry(&mut self, item: &Shape, bytes: &[u8], depth: usize) -> Result<(String, Value), Error> {
        let (mut key, mut value) = (String::new(), Value::Null);
        let mut reader = Reader::new(bytes);
        while let Some((tag, payload)) = reader.next()? {
            match (tag, item) {
                (1, _) => key = payload.text(tag)?,
                (2, Shape::List(inner)) => value = self.items_message(inner, payload.bytes(tag)?, depth)?,
                (2, _) => value = self.single(item, tag, payload, None, depth)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    /// `message { repeated T items = 1 }`, which stands for a list where protobuf cannot repeat.
    fn items_message(&mut self, item: &Shape, bytes: &[u8], depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((tag, payload)) = reader.next()? {
            if tag == 1 {
                items.push(self.single(item, tag, payload, None, depth)?);
            }
        }
        Ok(Value::Array(items))
    }

    fn single(&mut self, shape: &Shape, tag: u32, payload: Payload<'_>, before: Option<Value>, depth: usize) -> Result<Value, Error> {
        Ok(match shape {
            Shape::Bool => Value::Bool(payload.int(tag)? != 0),
            Shape::Int32 => Value::from(payload.int(tag)? as i32),
            Shape::Int64 => Value::from(payload.int(tag)?),
            Shape::Double => serde_json::Number::from_f64(payload.double(tag)?).map_or(Value::Null, Value::Number),
            Shape::String => Value::String(payload.text(tag)?),
            Shape::Bytes => Value::String(BASE64.encode(payload.bytes(tag)?)),
            Shape::Struct(id) => {
                let mut map = match before {
                    Some(Value::Object(map)) => map,
                    _ => Map::new(),
                };
                let ty = self.catalog.get(*id);
                self.fields(ty, &ty.wire, payload.bytes(tag)?, &mut map, depth + 1)?;
                Value::Object(map)
            }
            Shape::Quantity => string_of(payload.bytes(tag)?)?,
            Shape::Time | Shape::MicroTime => time(shape, payload.bytes(tag)?)?,
            Shape::Duration => Value::String(duration::text(first_int(payload.bytes(tag)?)?)),
            Shape::IntOrString => int_or_string(payload.bytes(tag)?)?,
            Shape::Any | Shape::FieldsV1 => raw(payload.bytes(tag)?)?,
            Shape::SchemaOr(id, other) => self.schema_or(*id, *other, payload.bytes(tag)?, depth + 1)?,
            // Lists of lists and maps of maps do not occur on this wire.
            Shape::List(_) | Shape::Map(_) => return malformed(format!("field {tag} has no protobuf form")),
        })
    }

    fn schema_or(&mut self, schema: TypeId, other: SchemaAlternative, bytes: &[u8], depth: usize) -> Result<Value, Error> {
        let shape = Shape::Struct(schema);
        let (mut object, mut items, mut allows) = (None, Vec::new(), false);
        let mut reader = Reader::new(bytes);
        while let Some((tag, payload)) = reader.next()? {
            match (other, tag) {
                (SchemaAlternative::Bool, 1) => allows = payload.int(tag)? != 0,
                (SchemaAlternative::Bool, 2) | (SchemaAlternative::Schemas | SchemaAlternative::Strings, 1) => {
                    object = Some(self.single(&shape, tag, payload, None, depth)?);
                }
                (SchemaAlternative::Schemas, 2) => items.push(self.single(&shape, tag, payload, None, depth)?),
                (SchemaAlternative::Strings, 2) => items.push(Value::String(payload.text(tag)?)),
                _ => {}
            }
        }
        Ok(match (object, other) {
            (Some(object), _) => object,
            (None, SchemaAlternative::Bool) => Value::Bool(allows),
            (None, _) => Value::Array(items),
        })
    }
}

/// `message { string string = 1 }`.
fn string_of(bytes: &[u8]) -> Result<Value, Error> {
    let mut text = "0".to_owned();
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        if tag == 1 {
            text = payload.text(tag)?;
        }
    }
    Ok(Value::String(text))
}

fn first_int(bytes: &[u8]) -> Result<i64, Error> {
    let mut n = 0;
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        if tag == 1 {
            n = payload.int(tag)?;
        }
    }
    Ok(n)
}

/// Upstream: `Time` drops the nanoseconds; the zero time is an empty message, null in JSON.
fn time(shape: &Shape, bytes: &[u8]) -> Result<Value, Error> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        match tag {
            1 => seconds = payload.int(tag)?,
            2 => nanos = payload.int(tag)? as i32,
            _ => {}
        }
    }
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    let nanos = if *shape == Shape::MicroTime { nanos } else { 0 };
    let Ok(at) = jiff::Timestamp::new(seconds, nanos) else { return malformed("time out of range") };
    Ok(Value::String(if *shape == Shape::MicroTime { object::time::micros(at) } else { object::time::seconds(at) }))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Error> {
    let (mut kind, mut number, mut text) = (0, 0, String::new());
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        match tag {
            1 => kind = payload.int(tag)?,
            2 => number = payload.int(tag)? as i32,
            3 => text = payload.text(tag)?,
            _ => {}
        }
    }
    Ok(if kind == 1 { Value::String(text) } else { Value::from(number) })
}

/// `message { bytes raw = 1 }` that holds JSON.
fn raw(bytes: &[u8]) -> Result<Value, Error> {
    let mut value = Value::Null;
    let mut reader = Reader::new(bytes);
    while let Some((tag, payload)) = reader.next()? {
        let json = if tag == 1 { payload.bytes(tag)? } else { continue };
        if !json.is_empty() {
            value = crate::json::parse(json).map_err(|e| Error::Malformed(e.to_string()))?.value;
        }
    }
    Ok(value)
}
