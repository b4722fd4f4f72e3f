//! The two resets every kind shares, by its row: status on create, the other half on update; and the generation.

use kinds::Resource;
use object::meta;
use serde_json::Value;

use crate::Context;
use crate::defaults::closed;
use crate::equality::is_semantically_equal;
use crate::row::{self, Row, StatusMetadata};

pub(crate) fn create(resource: &Resource, object: &mut Value, context: &Context<'_>) {
    let row = row::find(&resource.group, &resource.plural);
    closed::drop(resource, object);
    if has_status(resource) && !row.keeps_status_on_create {
        unset(object, "status");
    }
    if row.generation.is_some() {
        meta::set(object, "generation", 1);
    }
    if let Some(create) = row.create {
        create(object, context);
    }
    crate::defaults::default_status(context.catalog, resource.type_id, object, context.now);
}

pub(crate) fn update(resource: &Resource, subresource: &str, old: &Value, new: &mut Value, context: &Context<'_>) {
    let row = row::find(&resource.group, &resource.plural);
    let is_another = |new: &Value| row.generation.is_some_and(|pointers| pointers.iter().any(|pointer| is_changed(pointer, old, new)));
    let counts = subresource.is_empty() && row.counts_dropped && is_another(new);
    closed::drop(resource, new);
    match subresource {
        "" if has_status(resource) => take(new, "status", old),
        "status" => keep_all_but_status(row, old, new),
        _ => {}
    }
    if let Some(update) = row.update {
        update(subresource, old, new, context);
    }
    if counts || (subresource != "status" && is_another(new)) {
        meta::set(new, "generation", meta::generation(old) + 1);
    }
}

/// Dotted paths that a write through `subresource` resets, so that the writer comes to own nothing there.
pub(crate) fn fields(resource: &Resource, subresource: &str) -> &'static [&'static str] {
    let row = row::find(&resource.group, &resource.plural);
    match (resource.plural.as_str(), subresource) {
        ("pods", "status") => &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        ("certificatesigningrequests", "") => &["spec", "status"],
        ("certificatesigningrequests", "status") => &["spec", "status.conditions"],
        ("certificatesigningrequests", "approval") => &["spec", "status.certificate"],
        ("namespaces", "finalize") => &["status"],
        (_, "") if has_status(resource) => &["status"],
        (_, "status") => match row.status_metadata {
            StatusMetadata::Sent => &["spec"],
            StatusMetadata::SentButLabels => &["spec", "metadata.labels"],
            StatusMetadata::Kept => &["spec", "metadata"],
        },
        _ => &[],
    }
}

fn has_status(resource: &Resource) -> bool {
    resource.subresource("status").is_some()
}

pub(crate) fn unset(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

/// The field as `from` has it, also when it has none.
pub(crate) fn take(object: &mut Value, field: &str, from: &Value) {
    match from.get(field) {
        Some(value) => object[field] = value.clone(),
        None => unset(object, field),
    }
}

fn keep_all_but_status(row: &Row, old: &Value, new: &mut Value) {
    let (Some(sent), Some(kept)) = (new.as_object_mut(), old.as_object()) else { return };
    sent.retain(|key, _| matches!(key.as_str(), "metadata" | "status" | "kind" | "apiVersion"));
    for (key, value) in kept.iter().filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status" | "kind" | "apiVersion")) {
        sent.insert(key.clone(), value.clone());
    }
    let fields: &[&str] = match row.status_metadata {
        StatusMetadata::Sent => &[],
        StatusMetadata::SentButLabels => &["labels"],
        StatusMetadata::Kept => &["deletionTimestamp", "generation", "selfLink", "labels", "annotations", "finalizers", "ownerReferences"],
    };
    for field in fields {
        take(&mut new["metadata"], field, &old["metadata"]);
    }
}

fn is_changed(pointer: &str, old: &Value, new: &Value) -> bool {
    if pointer != "*" {
        let (old, new) = (old.pointer(pointer), new.pointer(pointer));
        return !is_semantically_equal(old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
    }
    let is_counted = |key: &str| !matches!(key, "metadata" | "status" | "kind" | "apiVersion");
    let differs = |a: &Value, b: &Value| {
        a.as_object().into_iter().flatten().any(|(key, value)| is_counted(key) && !is_semantically_equal(value, &b[key]))
    };
    differs(old, new) || differs(new, old)
}
