//! `as=Table`: objects as the rows that kubectl prints.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::{BufMut, BytesMut};
use codec::openapi::Descriptions;
use jiff::Timestamp;
use kinds::Resource;
use object::Value;
use object::status::Status;
use registry::form::Stored;
use registry::{Registry, convert};
use serde_json::json;

use crate::negotiate::{Include, Style};
use crate::pieces;

/// What the columns of a kind are. The sentences are unpacked once, for all tables, and let go.
pub(crate) fn definitions(resource: &Resource) -> &'static Value {
    static ALL: OnceLock<HashMap<&str, Value>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let texts = descriptions::Upstream::unpack();
        let of_field = |ty: &str, field: &str| texts.of_field(ty, field).map(str::to_owned);
        show::tables().iter().map(|(name, columns)| (*name, show::column_definitions(columns, &of_field))).collect()
    });
    &all[show::table_name(&resource.group, &resource.version, &resource.plural)]
}

/// A table of one object. In a watch only the first one says what its columns are.
pub(crate) fn text_of_one(
    registry: &Registry,
    resource: &Resource,
    style: Style,
    stored: &Stored,
    is_first: bool,
) -> Result<BytesMut, Status> {
    let definitions = if is_first { definitions(resource) } else { &Value::Null };
    let metadata = json!({"resourceVersion": stored.revision.0.to_string()});
    let mut text = BytesMut::with_capacity(4096);
    text.put_slice(head(style, &metadata, definitions).as_bytes());
    put_rows(&mut text, registry, resource, style, std::slice::from_ref(stored), false)?;
    text.put_slice(b"]}");
    Ok(text)
}

/// A table of objects that are answered and not stored.
pub(crate) fn of_trees(resource: &Resource, style: Style, objects: &[Value], is_list: bool, now: Timestamp) -> Value {
    let shown = show::rows(&resource.group, &resource.plural, &objects.iter().collect::<Vec<_>>(), is_list, now);
    let row = |row: show::Row| {
        let object = &objects[row.object_idx];
        let beside = match style.include {
            Include::Nothing => Value::Null,
            Include::Metadata => pieces::partial(object, style.version),
            Include::Object => object.clone(),
        };
        json!({"cells": row.cells, "object": beside})
    };
    let revision = objects.first().map(|object| &object["metadata"]["resourceVersion"]).filter(|revision| !is_list && revision.is_string());
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{}", style.version),
        "metadata": revision.map_or(json!({}), |revision| json!({"resourceVersion": revision})),
        "columnDefinitions": definitions(resource), "rows": shown.into_iter().map(row).collect::<Vec<_>>(),
    })
}

/// A bookmark carries its revision in a row with the cells of an empty object.
pub(crate) fn of_bookmark(resource: &Resource, style: Style, metadata: &Value, now: Timestamp) -> Value {
    let empty = json!({"metadata": metadata});
    let cells = show::rows(&resource.group, &resource.plural, &[&empty], false, now).into_iter().next().map(|row| row.cells);
    let object = pieces::partial(&empty, style.version);
    json!({
        "kind": "Table", "apiVersion": format!("meta.k8s.io/{}", style.version), "metadata": {"resourceVersion": metadata["resourceVersion"]},
        "columnDefinitions": null, "rows": [{"cells": cells, "object": object}],
    })
}

/// A table up to its first row.
pub(crate) fn head(style: Style, metadata: &Value, definitions: &Value) -> String {
    format!(
        "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{}\",\"metadata\":{metadata},\"columnDefinitions\":{definitions},\"rows\":[",
        style.version
    )
}

/// The rows of a list or of one object, with commas between. Cells are made of trees; what stands beside them is cut from the
/// stored bytes.
pub(crate) fn put_rows(
    text: &mut BytesMut,
    registry: &Registry,
    resource: &Resource,
    style: Style,
    stored: &[Stored],
    is_list: bool,
) -> Result<(), Status> {
    let objects = stored.iter().map(|one| registry.decode_lean(resource, one)).collect::<Result<Vec<Value>, Status>>()?;
    let shown = show::rows(&resource.group, &resource.plural, &objects.iter().collect::<Vec<_>>(), is_list, registry.clock().now());
    for (i, row) in shown.into_iter().enumerate() {
        text.put_slice(if i > 0 { b",{\"cells\":" } else { b"{\"cells\":" });
        text.put_slice(Value::from(row.cells).to_string().as_bytes());
        if !row.conditions.is_null() {
            text.put_slice(b",\"conditions\":");
            text.put_slice(row.conditions.to_string().as_bytes());
        }
        text.put_slice(b",\"object\":");
        let stored = &stored[row.object_idx];
        match style.include {
            Include::Nothing => text.put_slice(b"null"),
            Include::Metadata => text.put_slice(&pieces::partial_text(stored, style.version)),
            Include::Object if convert::is_stored_form(resource) => pieces::put_object(text, &pieces::prefix(resource), stored),
            Include::Object => text.put_slice(registry.decode(resource, stored)?.to_string().as_bytes()),
        }
        text.put_u8(b'}');
    }
    Ok(())
}
