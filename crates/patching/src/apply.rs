//! Server-side apply and the tracking of field ownership (`metadata.managedFields`) on every other write.
//!
//! Upstream: `sigs.k8s.io/structured-merge-diff` v6 and `apimachinery/pkg/util/managedfields`. `set` holds field sets, `schema` says how a
//! value merges, `compare`, `merge` and `remove` walk values, `managers` reads and writes the entries; this file is the order of things.
//!
//! Not here: defaulting of the result and strict reading of the configuration, which callers do after and before.
//! An entry written for another version of the kind is read as if it were of this one.

mod compare;
mod managers;
mod merge;
mod remove;
mod schema;
mod set;
mod typed;

#[cfg(test)]
mod tests;

use std::fmt;

use jiff::Timestamp;
use kinds::{Catalog, TypeId};
use object::meta;
use object::status::Status;
use serde_json::{Map, Value, json};

use compare::Comparison;
use managers::{Managed, ManagerId};
use schema::Schema;
use set::FieldSet;

/// Who writes, through what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Empty is `unknown`.
    pub manager: &'a str,
    pub subresource: &'a str,
    pub api_version: &'a str,
    pub now: Timestamp,
    /// Dotted paths that this write cannot set, so that nobody comes to own them by it (`status`).
    pub reset: &'a [&'a str],
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
    let empty;
    let before = match before {
        Some(before) => before,
        None => {
            empty = schema.zero();
            &empty
        }
    };
    track_update(&schema, before, after, &mut managed, writer, writer.manager);
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
fn track_update(schema: &Schema<'_>, before: &Value, after: &Value, managed: &mut Managed, writer: &Writer<'_>, manager: &str) {
    let comparison = compare::objects(schema, before, after).without(&FieldSet::of_paths(writer.reset));
    let changed = comparison.modified.union(&comparison.added);
    managed.take_from_all(None, &changed, &comparison.removed);
    let own = changed.difference(&stripped());
    if !own.is_empty() {
        let id = ManagerId::update(manager, writer.api_version, writer.subresource);
        managed.add(id, own, writer.api_version, writer.now);
    }
    managed.cap_updates(UPDATE_MANAGERS_MAX);
}

/// Fields that nobody owns.
fn stripped() -> FieldSet {
    FieldSet::of_paths(&[
        "apiVersion",
        "kind",
        "metadata",
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ])
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
    check_typed(&schema, config)?;
    let made;
    let live = match live {
        Some(live) => live,
        None => {
            let mut zero = schema.zero();
            zero["apiVersion"] = config["apiVersion"].clone();
            zero["kind"] = config["kind"].clone();
            made = zero;
            &made
        }
    };
    let mut managed = Managed::read(&live["metadata"]["managedFields"])
        .map_err(|e| ApplyError::Untyped(format!("failed to decode managed fields: {e}")))?;
    if managed.is_empty() {
        track_update(&schema, &schema.zero(), live, &mut managed, &Writer { subresource: "", reset: &[], ..*writer }, BEFORE_FIRST_APPLY);
    }
    let attempt = |managed: Managed, force: bool| apply_once(&schema, live, config, managed, writer, force);
    let result = match attempt(managed.clone(), force) {
        Err(ApplyError::Conflicts(conflicts)) if writer.manager == "kubectl" => {
            match conflicts_beyond_last_applied(&schema, live, conflicts, writer) {
                left if left.is_empty() => attempt(managed, true),
                left => Err(ApplyError::Conflicts(left)),
            }
        }
        result => result,
    };
    let mut result = result?;
    if writer.manager == "kubectl" && meta::annotation(&result, LAST_APPLIED).is_some_and(|text| !text.is_empty()) {
        write_last_applied(&mut result, config);
    }
    Ok(result)
}

fn check_typed(schema: &Schema<'_>, config: &Value) -> Result<(), ApplyError> {
    let faults = typed::faults(schema, config);
    let text = match faults.as_slice() {
        [] => return Ok(()),
        [only] => only.clone(),
        several => format!("errors:\n{}", several.iter().map(|f| format!("  {f}")).collect::<Vec<_>>().join("\n")),
    };
    // Upstream: an untyped object's kind is shown with its group, also when that is empty.
    let kind = meta::kind(config);
    let kind = format!("{}/{}, Kind={}", kind.group, kind.version, kind.kind);
    let (namespace, name) = (meta::namespace(config), meta::name(config));
    Err(ApplyError::Untyped(format!("failed to create typed patch object ({namespace}/{name}; {kind}): {text}")))
}

fn apply_once(
    schema: &Schema<'_>,
    live: &Value,
    config: &Value,
    mut managed: Managed,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    let reset = FieldSet::of_paths(writer.reset);
    let id = ManagerId::apply(writer.manager, writer.subresource);
    let last = managed.set(&id).cloned();
    let wanted = typed::field_set(schema, config).without(&reset);
    managed.replace(id.clone(), wanted.clone(), writer.api_version);
    let mut merged = merge::objects(schema, live, config);
    if let Some(last) = last.filter(|last| !last.difference(&wanted).is_empty()) {
        prune(schema, &mut merged, &managed, &last);
    }
    let comparison = compare::objects(schema, live, &merged).without(&reset);
    settle(&mut managed, &id, &comparison, force)?;
    managed.strip(&id, &stripped());
    if merged != *live {
        managed.stamp(&id, writer.now);
    }
    managed.write(&mut merged);
    Ok(merged)
}

/// Others lose what changed, if they may; and what went.
fn settle(managed: &mut Managed, own: &ManagerId, comparison: &Comparison, force: bool) -> Result<(), ApplyError> {
    let changed = comparison.modified.union(&comparison.added);
    if !force {
        let conflicts = managed.owned_by_others(own, &changed);
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
    }
    managed.take_from_all(Some(own), &changed, &comparison.removed);
    Ok(())
}

/// Takes out what the manager applied last time and does not any more, unless somebody else owns it, and nothing it never owned.
fn prune(schema: &Schema<'_>, merged: &mut Value, managed: &Managed, last: &FieldSet) {
    let named = |set: &FieldSet| schema.with_named_fields(set);
    let last = named(last);
    let all = named(&typed::field_set(schema, merged));
    let mut without_last = merged.clone();
    remove::items(schema, &mut without_last, &last);
    let kept = named(&typed::field_set(schema, &without_last)).union(&named(&managed.union()));
    let mut pruned = merged.clone();
    remove::items(schema, &mut pruned, &all.difference(&kept));
    let left = named(&typed::field_set(schema, &pruned));
    remove::items(schema, merged, &all.difference(&left).intersection(&last));
}

/// A first server-side apply by kubectl takes over what its client-side apply set before: fields still as the annotation has them.
fn conflicts_beyond_last_applied(schema: &Schema<'_>, live: &Value, conflicts: Vec<Conflict>, writer: &Writer<'_>) -> Vec<Conflict> {
    let Some(last) = meta::annotation(live, LAST_APPLIED).and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return conflicts;
    };
    if last["apiVersion"] != writer.api_version || !typed::faults(schema, &last).is_empty() {
        return conflicts;
    }
    let comparison = compare::objects(schema, &last, live);
    let changed = comparison.modified.union(&comparison.added).union(&comparison.removed);
    let allowed = typed::field_set(schema, &last).difference(&changed);
    conflicts.into_iter().filter(|conflict| !allowed.has(&conflict.path)).collect()
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
