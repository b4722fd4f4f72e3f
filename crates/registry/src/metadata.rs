//! What the engine itself puts into `metadata` and keeps there, for every kind: upstream's `rest.BeforeCreate` and `BeforeUpdate`.

use jiff::Timestamp;
use kinds::Resource;
use object::status::Status;
use object::{Value, meta, names, time};

use crate::entropy::Entropy;
use crate::request::Request;
use crate::rows;

/// Namespace and name of a body against those of the request, which it gets where it has none.
pub(crate) fn place(request: &Request, object: &mut Value) -> Result<(), Status> {
    check_place(request, object)?;
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(object::Map::new());
    }
    if request.resource.namespaced && meta::namespace(object).is_empty() {
        meta::set(object, "namespace", request.namespace.clone());
    }
    if !request.name.is_empty() && meta::name(object).is_empty() {
        meta::set(object, "name", request.name.clone());
    }
    Ok(())
}

pub(crate) fn check_place(request: &Request, object: &Value) -> Result<(), Status> {
    if !object.is_object() {
        return Err(Status::bad_request("the object provided is not an object"));
    }
    let (namespace, name) = (meta::namespace(object), meta::name(object));
    if !request.resource.namespaced && !namespace.is_empty() {
        return Err(Status::bad_request("namespace not allowed on this type"));
    }
    if request.resource.namespaced && !namespace.is_empty() && namespace != request.namespace {
        return Err(Status::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    if !request.name.is_empty() && !name.is_empty() && name != request.name {
        return Err(Status::bad_request(format!("the name of the object ({name}) does not match the name on the URL ({})", request.name)));
    }
    Ok(())
}

/// What replaces an object says which one it is.
pub(crate) fn check_named(request: &Request, object: &Value) -> Result<(), Status> {
    if meta::name(object).is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            request.name
        )));
    }
    Ok(())
}

/// System fields of a new object.
pub(crate) fn begin(object: &mut Value, now: Timestamp, entropy: &Entropy) {
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        meta::unset(object, field);
    }
    meta::set(object, "uid", entropy.uid());
    meta::set(object, "creationTimestamp", time::seconds(now));
}

/// Fills in the name of an object whose kind has none to be told.
pub(crate) fn name_by_chance(resource: &Resource, object: &mut Value, entropy: &Entropy) {
    if rows::is_named_by_chance(resource) && meta::name(object).is_empty() && meta::text(object, "generateName").is_empty() {
        meta::set(object, "name", entropy.uid());
    }
}

pub(crate) fn needs_name(object: &Value) -> bool {
    meta::name(object).is_empty() && !meta::text(object, "generateName").is_empty()
}

pub(crate) fn generate_name(object: &mut Value, entropy: &Entropy) {
    let name = names::generated(meta::text(object, "generateName"), entropy.next());
    meta::set(object, "name", name);
}

/// Fields an update may leave out or may not change are taken from `old`.
pub(crate) fn carry(old: &Value, new: &mut Value) {
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generateName"] {
        let kept = &old["metadata"][field];
        let is_left_out = match &new["metadata"][field] {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        // Upstream: a deletion cannot be taken back, whatever the body says.
        if is_left_out && !kept.is_null() && field != "generateName" {
            meta::set(new, field, kept.clone());
        }
    }
    // Upstream: whatever the body says, an object keeps the time of its creation.
    if !old["metadata"]["creationTimestamp"].is_null() {
        meta::set(new, "creationTimestamp", old["metadata"]["creationTimestamp"].clone());
    }
    meta::set(new, "resourceVersion", meta::resource_version(old));
    keep_generation(old, new);
}

pub(crate) fn keep_generation(old: &Value, new: &mut Value) {
    match &old["metadata"]["generation"] {
        Value::Null => meta::unset(new, "generation"),
        kept => meta::set(new, "generation", kept.clone()),
    }
}

/// Everything that must go before the object does: finalizers, and a namespace's own list of them.
pub(crate) fn is_finalized(request: &Request, object: &Value) -> bool {
    let in_spec = rows::is_namespace(&request.resource) && object["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    meta::finalizers(object).next().is_none() && !in_spec
}
