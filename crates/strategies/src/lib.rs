//! What each kind needs beyond its fields: defaults, what create and update reset, names, validation.
//!
//! Functions over object trees; facts are rows (`defaults/rows.txt`, `row::Row`), conditions small functions beside them, by API group
//! in `groups`. A kind without a row (a custom resource) gets the rules that hold for all.
//! Not here: what the engine puts into metadata (uid, times: `registry`), admission plugins, schemas of custom resources.
//! Start with the functions below, in the order in which a write calls them.

pub mod allotment;
mod check;
mod defaults;
mod diff;
mod equality;
mod go_json;
mod groups;
mod metadata;
mod reset;
mod row;
mod shapes;
mod validation;
mod warnings;

use authz::UserInfo;
use check::{At, Faults};
use jiff::Timestamp;
use kinds::{Catalog, Resource};
use object::field::{self, Path};
use serde_json::Value;

pub use defaults::default;
pub use equality::is_semantically_equal;
pub use metadata::{validate_condition_list, validate_label_selector};
pub use row::counts_generation;

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub catalog: &'a Catalog,
    pub now: Timestamp,
    pub user: &'a UserInfo,
}

/// What was left out and is known from `old`, before the write is looked at in any other way.
pub fn complete(resource: &Resource, subresource: &str, old: Option<&Value>, new: &mut Value) {
    if let Some(complete) = row::find(&resource.group, &resource.plural).complete.filter(|_| subresource.is_empty()) {
        complete(old, new);
    }
}

/// What a create may not choose: status, generation. Comes after admission has changed the object.
pub fn prepare_create(resource: &Resource, object: &mut Value, context: &Context<'_>) {
    reset::create(resource, object, context);
}

/// What an update of the object (`subresource` empty) or of a part of it must keep from `old`, and the generation it gets.
pub fn prepare_update(resource: &Resource, subresource: &str, old: &Value, new: &mut Value, context: &Context<'_>) {
    reset::update(resource, subresource, old, new, context);
}

/// The form in which what has passed all checks is kept.
pub fn canonicalize(resource: &Resource, object: &mut Value) {
    if let Some(canonicalize) = row::find(&resource.group, &resource.plural).canonicalize {
        canonicalize(object);
    }
}

/// Dotted paths that a write of the object (`subresource` empty) or a part of it resets: what field tracking must not count.
pub fn reset_fields(resource: &Resource, subresource: &str) -> &'static [&'static str] {
    reset::fields(resource, subresource)
}

/// All faults of a new object, in upstream's order.
pub fn validate_create(resource: &Resource, object: &Value) -> Vec<field::Error> {
    let row = row::find(&resource.group, &resource.plural);
    let (mut faults, path) = (Faults::default(), Path::new("metadata"));
    faults.0.extend(metadata::validate(object, resource.namespaced, row.name, &path));
    if row.has_bound_finalizers("") {
        faults.0.extend(metadata::validate_finalizer_domains(object, &path));
    }
    if let Some(validate) = row.validate {
        validate(&At::root(object), &mut faults);
    }
    faults.into_list()
}

/// What the namespace of an object does not let it have; stands before all other faults. `old` on update.
pub fn validate_place(
    resource: &Resource,
    subresource: &str,
    old: Option<&Value>,
    new: &Value,
    namespace: &dyn Fn() -> Option<Value>,
) -> Vec<field::Error> {
    match resource.group.as_str() {
        "resource.k8s.io" => validation::devices::admin::validate(&resource.plural, subresource, old, new, namespace),
        _ => Vec::new(),
    }
}

/// All faults of a review of access, which is no stored object: of its metadata too.
pub fn validate_access_review(plural: &str, review: &Value) -> Vec<field::Error> {
    let mut faults = Faults::default();
    validation::authorization::validate(plural, &At::root(review), &mut faults);
    faults.into_list()
}

/// All faults of an update of the object or of a subresource in the object's form, but for those that it may keep.
pub fn validate_update(resource: &Resource, subresource: &str, old: &Value, new: &Value) -> Vec<field::Error> {
    let row = row::find(&resource.group, &resource.plural);
    let faults = update_faults(row, subresource, old, new);
    if !faults.has_tolerable() {
        return faults.into_list();
    }
    faults.tolerating(&update_faults(row, subresource, old, old), old, new).into_list()
}

fn update_faults(row: &row::Row, subresource: &str, old: &Value, new: &Value) -> Faults {
    let (mut faults, path) = (Faults::default(), Path::new("metadata"));
    faults.0.extend(metadata::validate_update(old, new, &path));
    if row.has_bound_finalizers(subresource) {
        faults.0.extend(metadata::validate_finalizer_domains(new, &path));
    }
    if let Some(validate) = row.validate_update {
        validate(subresource, &At::root(old), &At::root(new), &mut faults);
    }
    faults
}

/// What is not wrong but should be known: deprecated fields, settings without effect. Of an object as it was sent, defaulted; `old` on
/// update.
pub fn warnings(resource: &Resource, subresource: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(warn) = warnings::find(&resource.group, &resource.plural).filter(|_| subresource.is_empty()) {
        warn(old, &At::root(new), &mut said);
    }
    said
}

#[cfg(test)]
mod tests;
