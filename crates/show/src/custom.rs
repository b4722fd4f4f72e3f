//! Tables of custom resources: `additionalPrinterColumns` of a CRD's version. Upstream: `customresource/tableconvertor`.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::age::since;
use crate::columns::Column;
use crate::json_path::JsonPath;

/// The columns of a version; without columns of its own it shows the age.
pub fn custom_columns(additional: &Value) -> Vec<Column> {
    let name = Column {
        name: Cow::Borrowed("Name"),
        ty: Cow::Borrowed("string"),
        format: Cow::Borrowed("name"),
        description: String::new(),
        field: "apimachinery.pkg.apis.meta.v1.ObjectMeta.name",
        priority: 0,
    };
    let mut columns = vec![name];
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    for column in definitions(additional).as_ref() {
        let description = match column["description"].as_str() {
            Some(given) if !given.is_empty() => given.to_owned(),
            _ => format!("Custom resource definition column (in JSONPath format): {}", text(&column["jsonPath"])),
        };
        columns.push(Column {
            name: Cow::Owned(text(&column["name"])),
            ty: Cow::Owned(text(&column["type"])),
            format: Cow::Owned(text(&column["format"])),
            description,
            field: "",
            priority: column["priority"].as_i64().unwrap_or(0) as i32,
        });
    }
    columns
}

fn definitions(additional: &Value) -> Cow<'_, [Value]> {
    match additional.as_array() {
        Some(columns) if !columns.is_empty() => Cow::Borrowed(columns),
        _ => Cow::Owned(vec![json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})]),
    }
}

pub fn custom_cells(additional: &Value, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![object["metadata"]["name"].clone()];
    cells.extend(definitions(additional).iter().map(|column| cell(column, object, now)));
    cells
}

/// Null where there is nothing to show, or nothing of the column's type.
fn cell(column: &Value, object: &Value, now: Timestamp) -> Value {
    let Ok(path) = JsonPath::parse(column["jsonPath"].as_str().unwrap_or("")) else { return Value::Null };
    let Some(value) = path.find(object).into_iter().next() else { return Value::Null };
    match (column["type"].as_str().unwrap_or(""), value) {
        ("string", Value::String(_)) => value.clone(),
        // A list or map is shown as JSON.
        ("string", value) => Value::from(value.to_string()),
        ("integer", Value::Number(n)) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)).map_or(Value::Null, Value::from),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(text)) if object::time::parse(text).is_none() => Value::from("<invalid>"),
        ("date", Value::String(_)) => Value::from(since(value, now)),
        _ => Value::Null,
    }
}
