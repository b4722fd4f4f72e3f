//! What a manager applied last time and does not any more goes, unless somebody else owns it; nothing it never owned goes with it.

use std::borrow::Cow;

use serde_json::Value;

use super::managers::{Managed, ManagerId, Owned};
use super::schema::Schema;
use super::set::FieldSet;
use super::{Versioned, Writer, remove, typed};

/// `merged` without that. What others own counts in the words of their version.
pub(super) fn objects(schema: Schema<'_>, merged: Value, managed: &Managed, id: &ManagerId, last: &Owned, writer: &Writer<'_>) -> Value {
    let wanted = &managed.0[id];
    if wanted.api_version == last.api_version && last.set.is_within(&wanted.set) {
        return merged;
    }
    let merged = Versioned { schema, api_version: Cow::Borrowed(writer.api_version), object: Cow::Owned(merged) };
    match pruned(&merged, managed, last, writer) {
        Some(pruned) => pruned.object.into_owned(),
        None => merged.object.into_owned(),
    }
}

/// `None` when the version last applied is not known any more.
fn pruned<'a>(merged: &Versioned<'a>, managed: &Managed, last: &Owned, writer: &Writer<'_>) -> Option<Versioned<'a>> {
    let merged = merged.in_version(writer, &last.api_version)?;
    let named_last = merged.schema.with_named_fields(last.set.clone());
    let mut pruned = merged.clone();
    remove::items(&merged.schema, pruned.object.to_mut(), &named_last);
    let mut versions = managed.versions(None);
    versions.remove(last.api_version.as_str());
    // Upstream: the last version first, for what is pruned there may be needed to convert the rest.
    for api_version in std::iter::once(last.api_version.as_str()).chain(versions) {
        if let (Some(merged), Some(left)) = (merged.in_version(writer, api_version), pruned.in_version(writer, api_version)) {
            pruned = with_owned(merged, &left, managed);
        }
    }
    let pruned = pruned.in_version(writer, &last.api_version)?;
    let mut gone = named_fields(&merged);
    gone.subtract(&named_fields(&pruned));
    let mut result = merged;
    remove::items(&result.schema, result.object.to_mut(), &gone.intersection(&named_last));
    result.in_version(writer, writer.api_version)
}

/// `merged` without what was pruned and nobody owns.
fn with_owned<'a>(merged: Versioned<'a>, pruned: &Versioned<'_>, managed: &Managed) -> Versioned<'a> {
    let mut gone = named_fields(&merged);
    gone.subtract(&named_fields(pruned));
    gone.subtract(&merged.schema.with_named_fields(managed.union(&merged.api_version)));
    let mut kept = merged;
    remove::items(&kept.schema, kept.object.to_mut(), &gone);
    kept
}

fn named_fields(object: &Versioned<'_>) -> FieldSet {
    object.schema.with_named_fields(typed::field_set(&object.schema, &object.object))
}
