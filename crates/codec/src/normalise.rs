//! What Go's decoder and encoder make of an object: the one form in which typed objects are compared, stored and sent.
//!
//! Unknown fields and `omitempty` zeros go, value structs and other fields that Go always writes come (`status: {}`), quantities and
//! times get their canonical text, a value of the wrong type is an error in Go's words. Empty lists, maps and bytes that were given
//! stay: to Go they are not the same as none, until the object is written, which is `shed`.

use kinds::{Catalog, Field, SchemaAlternative, Shape, Type, TypeId};
use object::duration;
use object::quantity::Quantity;
use serde_json::{Map, Value};

use crate::json::{self, kind_of};
use crate::json_text::{self, Step};
use crate::scalar;

/// Brings `value` into Go's form. An error leaves it half done.
pub fn normalise(catalog: &Catalog, ty: TypeId, value: &mut Value) -> Result<(), String> {
    walk_document(catalog, ty, value).map_err(Mismatch::into_text)
}

/// `normalise` for what `json::parse_typed` read from `body`: a fault shows a number as it is written there.
pub fn normalise_json(catalog: &Catalog, ty: TypeId, value: &mut Value, too_large: Option<&str>, body: &[u8]) -> Result<(), String> {
    walk_document(catalog, ty, value).map_err(|mismatch| mismatch.with_number_of(body).into_text())?;
    match too_large {
        // It may have stood in a field that the type does not know.
        Some(number) if has_stand_in(value) => Err(json::too_large(number).to_string()),
        _ => Ok(()),
    }
}

fn walk_document(catalog: &Catalog, ty: TypeId, value: &mut Value) -> Result<(), Mismatch> {
    // Go reads a null body as an object without fields.
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    walk(catalog, &Shape::Struct(ty), "", value)
}

fn has_stand_in(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64() == Some(json_text::STAND_IN),
        Value::Array(items) => items.iter().any(has_stand_in),
        Value::Object(map) => map.values().any(has_stand_in),
        _ => false,
    }
}

/// A struct none of whose fields was given.
pub fn zero(catalog: &Catalog, ty: TypeId) -> Value {
    let mut map = Map::new();
    add_missing(catalog, catalog.get(ty), &mut map);
    Value::Object(map)
}

/// What is wrong, with the way to it gathered while walking back up.
struct Mismatch {
    cause: Cause,
    /// The way down to the value, innermost step first.
    steps: Vec<Step>,
    /// Go goes on after a mismatch and reports the first at the end; but what a type's own decoder returns ends it at once.
    is_final: bool,
}

enum Cause {
    Type {
        found: String,
        wanted: String,
        /// The innermost struct on the way; the fields from the outside in are `path` reversed.
        owner: String,
        path: Vec<String>,
    },
    Text(String),
}

impl Mismatch {
    fn new(found: impl Into<String>, wanted: impl Into<String>) -> Self {
        let cause = Cause::Type { found: found.into(), wanted: wanted.into(), owner: String::new(), path: Vec::new() };
        Mismatch { cause, steps: Vec::new(), is_final: false }
    }

    fn text(text: impl Into<String>) -> Self {
        Mismatch { cause: Cause::Text(text.into()), steps: Vec::new(), is_final: false }
    }

    fn into_final(self) -> Self {
        Mismatch { is_final: true, ..self }
    }

    /// From a decoder inside a decoder: the fields on the way stay, but the outer struct gives its name.
    fn of_inner(mut self) -> Self {
        if let Cause::Type { owner, .. } = &mut self.cause {
            owner.clear();
        }
        self.into_final()
    }

    fn inside(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn with_number_of(mut self, body: &[u8]) -> Self {
        self.steps.reverse();
        if let Cause::Type { found, .. } = &mut self.cause
            && found.starts_with("number ")
            && let Some(number) = json_text::number_at(body, &self.steps)
        {
            *found = format!("number {number}");
        }
        self
    }

    /// Go: `errorContext` names the struct that holds the field, and all fields on the way without indexes and map keys.
    fn below(mut self, ty: &Type, field: &Field) -> Self {
        if let Cause::Type { owner, path, .. } = &mut self.cause {
            if owner.is_empty() {
                *owner = go_struct(&ty.name).rsplit('.').next().unwrap_or("").to_owned();
            }
            path.push(field.name.clone());
            path.extend(field.inlined.rsplit('.').filter(|part| !part.is_empty()).map(str::to_owned));
        }
        self.inside(Step::Key(field.name.clone()))
    }

    fn into_text(self) -> String {
        match self.cause {
            Cause::Text(text) => text,
            Cause::Type { found, wanted, path, .. } if path.is_empty() => {
                format!("json: cannot unmarshal {found} into Go value of type {wanted}")
            }
            Cause::Type { found, wanted, owner, mut path } => {
                path.reverse();
                format!("json: cannot unmarshal {found} into Go struct field {owner}.{} of type {wanted}", path.join("."))
            }
        }
    }
}

/// Keeps the fault that Go would report: the first final one, else the first.
fn keep(kept: &mut Option<Mismatch>, result: Result<(), Mismatch>) {
    if let Err(new) = result
        && kept.as_ref().is_none_or(|old| new.is_final && !old.is_final)
    {
        *kept = Some(new);
    }
}

fn walk_all<'a>(
    values: impl Iterator<Item = &'a mut Value>,
    mut walk: impl FnMut(&mut Value) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    let mut fault = None;
    values.enumerate().for_each(|(idx, value)| keep(&mut fault, walk(value).map_err(|mismatch| mismatch.inside(Step::Index(idx)))));
    fault.map_or(Ok(()), Err)
}

/// `io.k8s.api.core.v1.Container` is Go's `v1.Container`.
fn go_struct(name: &str) -> &str {
    name.rmatch_indices('.').nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

pub(crate) fn go_type(catalog: &Catalog, shape: &Shape, named: &str) -> String {
    if !named.is_empty() {
        return named.to_owned();
    }
    match shape {
        Shape::Bool => "bool".to_owned(),
        Shape::Int32 => "int32".to_owned(),
        Shape::Int64 => "int64".to_owned(),
        Shape::Double => "float64".to_owned(),
        Shape::String => "string".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::IntOrString => "intstr.IntOrString".to_owned(),
        Shape::Time => "v1.Time".to_owned(),
        Shape::MicroTime => "v1.MicroTime".to_owned(),
        Shape::Duration => "v1.Duration".to_owned(),
        Shape::Any => "runtime.RawExtension".to_owned(),
        Shape::FieldsV1 => "v1.FieldsV1".to_owned(),
        Shape::Struct(id) => go_struct(&catalog.get(*id).name).to_owned(),
        Shape::List(item) => format!("[]{}", go_type(catalog, item, "")),
        Shape::Map(item) => format!("map[string]{}", go_type(catalog, item, "")),
        Shape::SchemaOr(..) => "v1.JSONSchemaProps".to_owned(),
    }
}

/// The Go name of a list's or map's items, where the whole has a name that tells it.
pub(crate) fn item_name(named: &str) -> &str {
    if let Some(item) = named.strip_prefix("[]") {
        return item;
    }
    named.strip_prefix("map[").and_then(|rest| rest.split_once(']')).map_or("", |(_, item)| item)
}

/// `value` is not null. `named` is Go's name of the type when the shape does not tell it.
fn walk(catalog: &Catalog, shape: &Shape, named: &str, value: &mut Value) -> Result<(), Mismatch> {
    let wrong = |value: &Value| Err(Mismatch::new(kind_of(value), go_type(catalog, shape, named)));
    match (shape, &mut *value) {
        (Shape::Struct(id), Value::Object(map)) => walk_struct(catalog, catalog.get(*id), map),
        (Shape::List(item), Value::Array(items)) => walk_all(items.iter_mut(), |value| walk_item(catalog, item, item_name(named), value)),
        (Shape::Map(item), Value::Object(map)) => map.iter_mut().try_for_each(|(key, value)| {
            walk_item(catalog, item, item_name(named), value).map_err(|mismatch| mismatch.inside(Step::Key(key.clone())))
        }),
        (Shape::Bool, Value::Bool(_)) | (Shape::String, Value::String(_)) => Ok(()),
        (Shape::Int32, Value::Number(n)) => match n.as_i64() {
            Some(i) if i32::try_from(i).is_ok() => Ok(()),
            _ => Err(Mismatch::new(format!("number {n}"), go_type(catalog, shape, named))),
        },
        (Shape::Int64, Value::Number(n)) => match n.as_i64() {
            Some(_) => Ok(()),
            None => Err(Mismatch::new(format!("number {n}"), go_type(catalog, shape, named))),
        },
        (Shape::Double, Value::Number(_)) | (Shape::Any | Shape::FieldsV1, _) => {
            plain_numbers(value);
            Ok(())
        }
        (Shape::Bytes, Value::String(text)) => scalar::canonical_base64(text).map_err(Mismatch::text).map(|canonical| *text = canonical),
        // Go reads a list of numbers as bytes too.
        (Shape::Bytes, Value::Array(items)) => bytes_of(items).map(|text| *value = Value::from(text)),
        (Shape::Quantity, _) => quantity(value),
        (Shape::IntOrString, _) => int_or_string(value),
        (Shape::Time, _) => as_text(value, &scalar::canonical_time),
        (Shape::MicroTime, _) => as_text(value, &scalar::canonical_micro_time),
        (Shape::Duration, _) => as_text(value, &|text| duration::parse(text).map(duration::text)),
        (Shape::SchemaOr(id, other), _) => schema_or(catalog, *id, *other, value),
        (_, value) => wrong(value),
    }
}

/// A value that nothing is around: the error names no field.
pub(crate) fn read_alone(catalog: &Catalog, shape: &Shape, value: &mut Value) -> Result<(), String> {
    walk(catalog, shape, "", value).map_err(Mismatch::into_text)
}

/// An item of a list or map: null is the zero value of its type.
fn walk_item(catalog: &Catalog, shape: &Shape, named: &str, value: &mut Value) -> Result<(), Mismatch> {
    if value.is_null() {
        *value = match shape {
            Shape::Bytes => Value::from(""),
            // A map's list is a message of its own in protobuf, so there it is not lost.
            Shape::List(_) => Value::Array(Vec::new()),
            shape => zero_of(catalog, shape),
        };
        return Ok(());
    }
    walk(catalog, shape, named, value)
}

fn walk_struct(catalog: &Catalog, ty: &Type, map: &mut Map<String, Value>) -> Result<(), Mismatch> {
    let mut fault = None;
    map.retain(|name, value| {
        let Some(field) = ty.field(name) else { return false };
        if value.is_null() {
            return false;
        }
        keep(&mut fault, walk(catalog, &field.shape, &field.go_type, value).map_err(|mismatch| mismatch.below(ty, field)));
        !is_left_out(catalog, field, value)
    });
    if let Some(mismatch) = fault {
        return Err(mismatch);
    }
    add_missing(catalog, ty, map);
    Ok(())
}

/// Whether Go's encoder skips the field though it is no list, map or bytes.
fn is_left_out(catalog: &Catalog, field: &Field, value: &Value) -> bool {
    if field.pointer {
        return false;
    }
    if field.omit_zero && *value == zero_of(catalog, &field.shape) {
        return true;
    }
    field.omit_empty
        && match value {
            Value::Bool(b) => !b,
            Value::Number(n) => matches!(field.shape, Shape::Int32 | Shape::Int64 | Shape::Double) && n.as_f64() == Some(0.0),
            Value::String(text) => matches!(field.shape, Shape::String) && text.is_empty(),
            _ => false,
        }
}

fn add_missing(catalog: &Catalog, ty: &Type, map: &mut Map<String, Value>) {
    for field in &ty.fields {
        if is_always_written(field) && !map.contains_key(&field.name) {
            let value = if field.pointer { Value::Null } else { zero_of(catalog, &field.shape) };
            map.insert(field.name.clone(), value);
        }
    }
}

/// Go's `omitempty` does not see into structs: a struct by value is written even so.
fn is_always_written(field: &Field) -> bool {
    if field.omit_zero {
        return false;
    }
    let is_struct = !matches!(
        field.shape,
        Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Double | Shape::String | Shape::Bytes | Shape::List(_) | Shape::Map(_)
    );
    !field.omit_empty || (is_struct && !field.pointer)
}

fn zero_of(catalog: &Catalog, shape: &Shape) -> Value {
    match shape {
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => Value::from(0),
        Shape::String => Value::from(""),
        Shape::Quantity => Value::from("0"),
        Shape::Duration => Value::from("0s"),
        Shape::Struct(id) => zero(catalog, *id),
        Shape::Bytes
        | Shape::List(_)
        | Shape::Map(_)
        | Shape::Time
        | Shape::MicroTime
        | Shape::Any
        | Shape::FieldsV1
        | Shape::SchemaOr(..) => Value::Null,
    }
}

/// Go writes a float without a fraction as an integer.
fn plain_numbers(value: &mut Value) {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(n) => {
            if let Some(f) = n.as_f64().filter(|f| n.is_f64() && f.fract() == 0.0 && f.abs() <= EXACT_MAX) {
                *value = Value::from(f as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_numbers),
        Value::Object(map) => map.values_mut().for_each(plain_numbers),
        _ => {}
    }
}

fn quantity(value: &mut Value) -> Result<(), Mismatch> {
    let quantity = match &*value {
        Value::String(text) => Quantity::parse(text.trim()),
        other => Quantity::parse(&other.to_string()),
    };
    *value = Value::from(quantity.map_err(|e| Mismatch::text(e).into_final())?.to_string());
    Ok(())
}

fn int_or_string(value: &Value) -> Result<(), Mismatch> {
    match value {
        Value::String(_) => Ok(()),
        Value::Number(n) if n.as_i64().is_some_and(|i| i32::try_from(i).is_ok()) => Ok(()),
        Value::Number(n) => Err(Mismatch::new(format!("number {n}"), "int32").into_final()),
        other => Err(Mismatch::new(kind_of(other), "int32").into_final()),
    }
}

fn as_text(value: &mut Value, canonical: &dyn Fn(&str) -> Result<String, String>) -> Result<(), Mismatch> {
    let Value::String(text) = value else { return Err(Mismatch::new(kind_of(value), "string").into_final()) };
    *text = canonical(text).map_err(|e| Mismatch::text(e).into_final())?;
    Ok(())
}

fn bytes_of(items: &[Value]) -> Result<String, Mismatch> {
    use base64::Engine as _;
    let byte = |item: &Value| match item {
        Value::Null => Ok(0),
        Value::Number(n) => n.as_u64().and_then(|n| u8::try_from(n).ok()).ok_or_else(|| Mismatch::new(format!("number {n}"), "uint8")),
        other => Err(Mismatch::new(kind_of(other), "uint8")),
    };
    let bytes = items.iter().map(byte).collect::<Result<Vec<u8>, _>>()?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

fn schema_or(catalog: &Catalog, schema: TypeId, other: SchemaAlternative, value: &mut Value) -> Result<(), Mismatch> {
    let shape = Shape::Struct(schema);
    let result = match (other, &mut *value) {
        (_, Value::Object(_)) => walk(catalog, &shape, "", value),
        (SchemaAlternative::Schemas, Value::Array(items)) => walk_all(items.iter_mut(), |item| walk_item(catalog, &shape, "", item)),
        (SchemaAlternative::Strings, Value::Array(items)) => {
            walk_all(items.iter_mut(), |item| walk_item(catalog, &Shape::String, "", item))
        }
        (SchemaAlternative::Bool, Value::Bool(_)) => Ok(()),
        (SchemaAlternative::Bool, _) => Err(Mismatch::text("boolean or JSON schema expected")),
        (_, value) => Err(Mismatch::new(kind_of(value), "v1.JSONSchemaProps")),
    };
    result.map_err(Mismatch::of_inner)
}
