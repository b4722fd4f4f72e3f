//! A tree as Go's reflecting converter reads it (`DefaultUnstructuredConverter`), which strategic patches go through instead of a
//! JSON decoder: it takes a float without a fraction for an integer, and has other words for what is of the wrong type.

use kinds::{Catalog, Shape, TypeId};
use serde_json::Value;

use crate::normalise::{go_type, item_name, read_alone};
use crate::scalar;

/// Checks `value` against its type and makes integers of floats; the error is Go's text. Unknown fields are left alone.
pub fn convert(catalog: &Catalog, ty: TypeId, value: &mut Value) -> Result<(), String> {
    walk(catalog, &Shape::Struct(ty), "", value)
}

fn walk(catalog: &Catalog, shape: &Shape, named: &str, value: &mut Value) -> Result<(), String> {
    match (shape, &mut *value) {
        (_, Value::Null) => Ok(()),
        (Shape::Struct(id), Value::Object(map)) => {
            for field in &catalog.get(*id).fields {
                if let Some(value) = map.get_mut(&field.name) {
                    walk(catalog, &field.shape, &field.go_type, value)?;
                }
            }
            Ok(())
        }
        (Shape::Struct(_), other) => Err(format!("cannot restore struct from: {}", kind_of(other))),
        (Shape::Map(item), Value::Object(map)) => map.values_mut().try_for_each(|value| walk(catalog, item, item_name(named), value)),
        (Shape::Map(_), other) => Err(format!("cannot restore map from {}", kind_of(other))),
        (Shape::List(item), Value::Array(items)) => items.iter_mut().try_for_each(|value| walk(catalog, item, item_name(named), value)),
        (Shape::Bytes, Value::String(text)) => {
            scalar::canonical_base64(text).map(drop).map_err(|e| format!("error decoding from json: {e}"))
        }
        (Shape::Bytes, Value::Array(_)) => Ok(()),
        (Shape::List(_) | Shape::Bytes, other) => Err(format!("cannot restore slice from {}", kind_of(other))),
        (Shape::Bool | Shape::String | Shape::Int32 | Shape::Int64 | Shape::Double, _) => scalar(catalog, shape, named, value),
        // These have decoders of their own.
        _ => read_alone(catalog, shape, value),
    }
}

fn scalar(catalog: &Catalog, shape: &Shape, named: &str, value: &mut Value) -> Result<(), String> {
    let cannot = |from: &str| Err(format!("cannot convert {from} to {}", go_type(catalog, shape, named)));
    match (shape, &*value) {
        (Shape::Bool, Value::Bool(_)) | (Shape::String, Value::String(_)) | (Shape::Double, Value::Number(_)) => Ok(()),
        (Shape::Int32 | Shape::Int64, Value::Number(n)) => {
            let whole = n.as_i64().or_else(|| n.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i64));
            let Some(whole) = whole else { return cannot("float64") };
            // Go's conversion drops the upper half.
            *value = if *shape == Shape::Int32 { Value::from(whole as i32) } else { Value::from(whole) };
            Ok(())
        }
        // Go could make a letter of an integer, and says that it will not.
        (Shape::String, Value::Number(n)) if n.is_i64() => cannot("int64"),
        _ => Err(format!("unrecognized type: {}", go_type(catalog, shape, ""))),
    }
}

/// The kind that Go's reflection sees in a decoded tree.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use kinds::builtin;
    use object::key::GroupVersionKind;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: Result<Value, &str>) {
        let catalog = builtin();
        let ty = catalog.type_of(&GroupVersionKind::from_api_version("v1", "Pod")).expect("a pod");
        let mut converted = value.clone();
        let got = convert(catalog, ty, &mut converted).map(|()| converted);
        assert_eq!(got, expected.map_err(str::to_owned), "{value}");
    }

    #[test]
    fn speaks_as_gos_converter() {
        let of_spec = |spec: Value| json!({"spec": spec});
        let whole = of_spec(json!({"activeDeadlineSeconds": 5}));
        check(of_spec(json!({"activeDeadlineSeconds": 5.0})), Ok(whole));
        check(of_spec(json!({"activeDeadlineSeconds": 5.5})), Err("cannot convert float64 to int64"));
        check(of_spec(json!({"activeDeadlineSeconds": "5"})), Err("unrecognized type: int64"));
        check(of_spec(json!({"hostNetwork": 1})), Err("unrecognized type: bool"));
        check(of_spec(json!({"hostname": 1})), Err("cannot convert int64 to string"));
        check(of_spec(json!({"restartPolicy": 1})), Err("cannot convert int64 to v1.RestartPolicy"));
        check(of_spec(json!({"restartPolicy": 1.5})), Err("unrecognized type: string"));
        check(of_spec(json!({"containers": "x"})), Err("cannot restore slice from string"));
        check(of_spec(json!({"nodeSelector": []})), Err("cannot restore map from slice"));
        check(of_spec(json!({"securityContext": 7})), Err("cannot restore struct from: int64"));
        let time = json!({"metadata": {"creationTimestamp": 7}});
        check(time, Err("json: cannot unmarshal number into Go value of type string"));
    }
}
