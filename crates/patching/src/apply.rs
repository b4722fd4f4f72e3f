//! Server-side apply and the tracking of field ownership (`metadata.managedFields`) on every other write.
//!
//! Upstream: `sigs.k8s.io/structured-merge-diff` v6 and `apimachinery/pkg/util/managedfields`. `set` holds field sets, `schema` says how a
//! value merges, `compare`, `merge`, `prune` and `remove` walk values, `managers` reads and writes the entries, `scale` carries them to
//! a view of an object and back; this file is the order of things.
//!
//! Not here: defaulting of the result and strict reading of the configuration, which callers do after and before.

mod compare;
mod managers;
mod merge;
mod prune;
mod remove;
mod scale;
mod schema;
mod set;
mod typed;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use kinds::{Catalog, TypeId};
use object::meta;
use object::status::Status;
use serde_json::{Map, Value, json};

use compare::Comparison;
use managers::{Changes, Managed, ManagerId};
use schema::Schema;

pub use scale::{parent_managers, scale_managers};

/// Who writes, through what, and when.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// Empty is `unknown`.
    pub manager: &'a str,
    pub subresource: &'a str,
    pub api_version: &'a str,
    pub versions: &'a dyn Versions,
    pub now: Timestamp,
    /// Dotted paths that this write cannot set, so that nobody comes to own them by it (`status`).
    pub reset: &'a [&'a str],
}

/// The versions of a kind in which managers may speak of its objects.
pub trait Versions {
    /// An object of one version in another; `None` when there is none of that name.
    fn convert(&self, object: &Value, from: &str, to: &str) -> Option<Converted>;
}

/// A kind of one version.
pub struct OneVersion;

impl Versions for OneVersion {
    fn convert(&self, _: &Value, _: &str, _: &str) -> Option<Converted> {
        None
    }
}

pub enum Converted {
    /// Both versions have the same fields.
    Alike,
    Other(TypeId, Value),
}

/// An object in a version of its kind.
#[derive(Clone)]
struct Versioned<'a> {
    schema: Schema<'a>,
    api_version: Cow<'a, str>,
    object: Cow<'a, Value>,
}

impl<'a> Versioned<'a> {
    /// The same in another version, if there is one of that name.
    fn in_version(&self, writer: &Writer<'_>, api_version: &str) -> Option<Versioned<'a>> {
        if api_version == self.api_version {
            return Some(self.clone());
        }
        let converted = writer.versions.convert(&self.object, &self.api_version, api_version)?;
        let api_version = Cow::Owned(api_version.to_owned());
        Some(match converted {
            Converted::Alike => Versioned { api_version, ..self.clone() },
            Converted::Other(type_id, object) => Versioned { schema: self.schema.of(type_id), api_version, object: Cow::Owned(object) },
        })
    }
}

/// Upstream: entries for updates are joined beyond this number.
const UPDATE_MANAGERS_MAX: usize = 10;
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Upstream: `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// Writes `managedFields` of `after`, the object as it will be stored after a create (`before` is `None`), update or patch.
pub fn track(catalog: &Catalog, type_id: TypeId, before: Option<&Value>, after: &mut Value, writer: &Writer<'_>) {
    let schema = Schema::new(catalog, type_id);
    let mut managed = known_managers(before, after, writer);
    meta::unset(after, "managedFields");
    if managed.is_empty() && before.is_some_and(|b| !meta::uid(b).is_empty()) {
        return;
    }
    // Upstream: what it cannot read changes nobody's fields.
    if !schema.has_keys(after) || before.is_some_and(|before| !schema.has_keys(before)) {
        if let Some(kept) = before.map(|before| &before["metadata"]["managedFields"]).filter(|kept| !kept.is_null()) {
            meta::set(after, "managedFields", kept.clone());
        }
        return;
    }
    let before = before.map_or_else(|| Cow::Owned(schema.zero()), Cow::Borrowed);
    track_update(schema, &before, after, &mut managed, writer);
    managed.write(after);
}

/// The entries a write starts from: those sent, unless it goes through a subresource or sends none. An empty list sent resets them.
fn known_managers(before: Option<&Value>, after: &Value, writer: &Writer<'_>) -> Managed {
    let live = || before.and_then(|b| Managed::read(&b["metadata"]["managedFields"]).ok()).unwrap_or_default();
    let sent = &after["metadata"]["managedFields"];
    if !writer.subresource.is_empty() {
        return live();
    }
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => Managed::default(),
        Some([only]) if only.as_object().is_some_and(Map::is_empty) => Managed::default(),
        Some(_) => Managed::read(sent).unwrap_or_else(|_| live()),
        None => live(),
    }
}

/// What changed goes to the writer and from everybody else; what went is nobody's.
fn track_update(schema: Schema<'_>, before: &Value, after: &Value, managed: &mut Managed, writer: &Writer<'_>) {
    let mut changes = changes(schema, before, after, managed, None, writer);
    managed.take_from_all(None, &changes);
    let own = changes.remove(writer.api_version).unwrap_or_default().changed;
    managed.add(ManagerId::update(writer.manager, writer.api_version, writer.subresource), own, writer.api_version, writer.now);
    managed.cap_updates(UPDATE_MANAGERS_MAX);
}

/// What changes, in the writer's version and in those of all others that own something.
fn changes(schema: Schema<'_>, before: &Value, after: &Value, managed: &Managed, own: Option<&ManagerId>, writer: &Writer<'_>) -> Changes {
    let versioned = |object| Versioned { schema, api_version: Cow::Borrowed(writer.api_version), object: Cow::Borrowed(object) };
    let (before, after) = (versioned(before), versioned(after));
    let in_version = |api_version: &str| {
        let (before, after) = (before.in_version(writer, api_version)?, after.in_version(writer, api_version)?);
        let Comparison { mut changed, mut removed } = compare::objects(&after.schema, &before.object, &after.object);
        changed.cut(writer.reset);
        removed.cut(writer.reset);
        Some((api_version.to_owned(), Comparison { changed, removed }))
    };
    let mut versions = managed.versions(own);
    versions.insert(writer.api_version);
    versions.into_iter().filter_map(in_version).collect()
}

/// The object that applying `config` makes of `live` (`None` when it does not exist), its `managedFields` written.
pub fn apply(
    catalog: &Catalog,
    type_id: TypeId,
    live: Option<&Value>,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    let schema = Schema::new(catalog, type_id);
    let mut wanted = typed::checked(&schema, config).map_err(|text| ApplyError::untyped("patch", config, &text))?;
    wanted.cut(writer.reset);
    let live = live.map_or_else(|| Cow::Owned(new_object(&schema, config)), Cow::Borrowed);
    let live: &Value = &live;
    if !schema.has_keys(live) {
        let text = typed::checked(&schema, live).err().unwrap_or_default();
        return Err(ApplyError::untyped("live", live, &text));
    }
    let mut managed = Managed::read(&live["metadata"]["managedFields"])
        .map_err(|e| ApplyError::Untyped(format!("failed to decode managed fields: {e}")))?;
    if managed.is_empty() {
        track_update(schema, &schema.zero(), live, &mut managed, &Writer { manager: BEFORE_FIRST_APPLY, ..*writer });
    }
    let id = ManagerId::apply(writer.manager, writer.subresource);
    let last = managed.replace(id.clone(), wanted, writer.api_version);
    let mut merged = without_managers(live);
    merge::objects(&schema, &mut merged, config);
    if let Some(last) = last {
        merged = prune::objects(schema, merged, &managed, &id, &last, writer);
    }
    let changes = changes(schema, live, &merged, &managed, Some(&id), writer);
    if !force {
        refuse_conflicts(schema, live, managed.conflicts(&id, &changes), writer)?;
    }
    managed.take_from_all(Some(&id), &changes);
    if !is_same_but_managers(live, &merged) {
        managed.stamp(&id, writer.now);
    }
    managed.strip(&id);
    managed.write(&mut merged);
    if writer.manager == "kubectl" && meta::annotation(&merged, LAST_APPLIED).is_some_and(|text| !text.is_empty()) {
        write_last_applied(&mut merged, config);
    }
    Ok(merged)
}

fn new_object(schema: &Schema<'_>, config: &Value) -> Value {
    let mut zero = schema.zero();
    zero["apiVersion"] = config["apiVersion"].clone();
    zero["kind"] = config["kind"].clone();
    zero
}

/// A copy without `metadata.managedFields`, often the largest part.
fn without_managers(object: &Value) -> Value {
    let copy = |map: &Map<String, Value>, without: &str, but: Option<(&str, Value)>| -> Value {
        let kept = map.iter().filter(|(name, _)| *name != without).map(|(name, value)| (name.clone(), value.clone()));
        kept.chain(but.map(|(name, value)| (name.to_owned(), value))).collect()
    };
    match (object.as_object(), object["metadata"].as_object()) {
        (Some(map), Some(metadata)) => copy(map, "metadata", Some(("metadata", copy(metadata, "managedFields", None)))),
        _ => object.clone(),
    }
}

/// `merged` has no `managedFields`.
fn is_same_but_managers(live: &Value, merged: &Value) -> bool {
    fn others<'a>(object: &'a Value, but: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        object.as_object().into_iter().flatten().filter(move |(name, _)| *name != but)
    }
    others(live, "metadata").eq(others(merged, "metadata"))
        && others(&live["metadata"], "managedFields").eq(others(&merged["metadata"], "managedFields"))
}

/// A first server-side apply by kubectl takes over what its client-side apply set before: fields still as the annotation has them.
fn refuse_conflicts(schema: Schema<'_>, live: &Value, conflicts: Vec<Conflict>, writer: &Writer<'_>) -> Result<(), ApplyError> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let last = Some(live).filter(|_| writer.manager == "kubectl").and_then(|live| meta::annotation(live, LAST_APPLIED));
    let last = last.and_then(|text| serde_json::from_str::<Value>(text).ok()).filter(|last| last["apiVersion"] == writer.api_version);
    let Some((last, Ok(mut allowed))) = last.map(|last| (typed::checked(&schema, &last), last)).map(|(set, last)| (last, set)) else {
        return Err(ApplyError::Conflicts(conflicts));
    };
    let Comparison { changed, removed } = compare::objects(&schema, &last, live);
    allowed.subtract(&changed);
    allowed.subtract(&removed);
    let is_allowed = |conflict: &Conflict| allowed.has(&conflict.path.iter().map(String::as_str).collect::<Vec<_>>());
    let left: Vec<Conflict> = conflicts.into_iter().filter(|conflict| !is_allowed(conflict)).collect();
    if left.is_empty() { Ok(()) } else { Err(ApplyError::Conflicts(left)) }
}

fn write_last_applied(object: &mut Value, config: &Value) {
    let mut applied = config.clone();
    if let Some(annotations) = applied["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
        if annotations.is_empty() {
            meta::unset(&mut applied, "annotations");
        }
    }
    let annotations = &mut object["metadata"]["annotations"];
    annotations[LAST_APPLIED] = Value::from(format!("{applied}\n"));
    let bytes: usize = annotations.as_object().into_iter().flatten().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if let Some(annotations) = annotations.as_object_mut().filter(|_| bytes > ANNOTATIONS_BYTES_MAX) {
        annotations.remove(LAST_APPLIED);
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum ApplyError {
    Conflicts(Vec<Conflict>),
    /// The configuration does not fit the kind's schema.
    Untyped(String),
}

/// A field that another manager owns and that would change.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// As messages name it: `"kubectl-edit" using apps/v1`.
    pub manager: String,
    path: Vec<String>,
}

impl Conflict {
    /// `.spec.template.spec.containers[name="c"].image`
    pub fn field(&self) -> String {
        self.path.iter().map(|element| set::shown(element)).collect()
    }
}

impl ApplyError {
    fn untyped(which: &str, object: &Value, text: &str) -> Self {
        // Upstream: an untyped object's kind is shown with its group, also when that is empty.
        let kind = meta::kind(object);
        let kind = format!("{}/{}, Kind={}", kind.group, kind.version, kind.kind);
        let (namespace, name) = (meta::namespace(object), meta::name(object));
        ApplyError::Untyped(format!("failed to create typed {which} object ({namespace}/{name}; {kind}): {text}"))
    }

    pub fn to_status(&self) -> Status {
        match self {
            // Upstream: a plain error, so no reason.
            ApplyError::Untyped(text) => Status::new(500, "", text),
            ApplyError::Conflicts(conflicts) => {
                let causes: Vec<Value> = conflicts
                    .iter()
                    .map(|c| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", c.manager), "field": c.field()}))
                    .collect();
                Status { details: json!({"causes": causes}), ..Status::new(409, "Conflict", self.to_string()) }
            }
        }
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conflicts = match self {
            ApplyError::Untyped(text) => return f.write_str(text),
            ApplyError::Conflicts(conflicts) => conflicts,
        };
        if let [only] = conflicts.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {}", only.manager, only.field());
        }
        write!(f, "Apply failed with {} conflicts: ", conflicts.len())?;
        let mut lines = Vec::new();
        let mut manager = "";
        // They come sorted by manager.
        for conflict in conflicts {
            if conflict.manager != manager {
                manager = &conflict.manager;
                lines.push(format!("conflicts with {manager}:"));
            }
            lines.push(format!("- {}", conflict.field()));
        }
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ApplyError {}
