//! What a loop wants: the API writes it plans, when to look again, and what it has to say.
//!
//! Every `plan` of the house gives a `Plan`; the driver of `reconcile` carries it out. A plan leaves nothing to decide: names and counts
//! are fixed, and carrying it out twice, or late, is harmless or refused (names are taken, uids and revisions do not match).
//!
//! Invariant: a plan holds at most one change for each object, for the second would be refused by its revision.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde::Serialize;
use serde_json::{Value, json};

use crate::key::{GroupVersionResource, ObjectKey};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// Plan again at this time even if nothing happens until then.
    pub wake_at: Option<Timestamp>,
    /// What is held back and why. Recorded as an event when the plan before did not say it.
    pub notes: Vec<Note>,
}

impl Plan {
    /// Nothing to do.
    pub fn nothing() -> Self {
        Plan::default()
    }

    /// The earlier of the times asked for wins.
    pub fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// One write, and what to tell about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub write: Write,
    /// Recorded once the write is done.
    pub done: Option<Note>,
    /// Recorded when the server refuses it; the server's reason is put behind the message.
    pub failed: Option<Note>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The object has its name; one that is there already is left alone.
    Create {
        resource: GroupVersionResource,
        object: Value,
    },
    /// The object carries the revision it was planned on.
    Update {
        resource: GroupVersionResource,
        object: Value,
    },
    UpdateStatus {
        resource: GroupVersionResource,
        object: Value,
    },
    Patch {
        resource: GroupVersionResource,
        key: ObjectKey,
        subresource: &'static str,
        kind: PatchKind,
        patch: Value,
    },
    Delete {
        resource: GroupVersionResource,
        key: ObjectKey,
        options: DeleteOptions,
    },
    /// All of one kind in one namespace.
    DeleteCollection {
        resource: GroupVersionResource,
        namespace: String,
    },
    /// A subresource that takes an object of its own: `binding`, `eviction`, `finalize`, `approval`.
    Subresource {
        resource: GroupVersionResource,
        key: ObjectKey,
        subresource: &'static str,
        verb: Verb,
        object: Value,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
}

impl From<Write> for Change {
    fn from(write: Write) -> Self {
        Change { write, done: None, failed: None }
    }
}

impl Change {
    pub fn create<K: Resource + Serialize>(object: &K) -> Self {
        Write::Create { resource: GroupVersionResource::of::<K>(), object: tree(object) }.into()
    }

    pub fn update<K: Resource + Serialize>(object: &K) -> Self {
        Write::Update { resource: GroupVersionResource::of::<K>(), object: tree(object) }.into()
    }

    pub fn update_status<K: Resource + Serialize>(object: &K) -> Self {
        Write::UpdateStatus { resource: GroupVersionResource::of::<K>(), object: tree(object) }.into()
    }

    /// A merge patch that is refused unless the object is still the one that was seen.
    pub fn merge<K: Metadata<Ty = ObjectMeta>>(seen: &K, subresource: &'static str, mut patch: Value) -> Self {
        if let Some(uid) = &seen.metadata().uid {
            patch["metadata"]["uid"] = json!(uid);
        }
        let key = key_of(seen.metadata());
        Write::Patch { resource: GroupVersionResource::of::<K>(), key, subresource, kind: PatchKind::Merge, patch }.into()
    }

    /// Deletes the object that was seen, not a later one of its name.
    pub fn delete<K: Metadata<Ty = ObjectMeta>>(seen: &K) -> Self {
        let options = DeleteOptions { uid: seen.metadata().uid.clone(), ..DeleteOptions::default() };
        Write::Delete { resource: GroupVersionResource::of::<K>(), key: key_of(seen.metadata()), options }.into()
    }

    #[must_use]
    pub fn telling(mut self, done: Note) -> Self {
        self.done = Some(done);
        self
    }

    #[must_use]
    pub fn telling_failure(mut self, failed: Note) -> Self {
        self.failed = Some(failed);
        self
    }
}

/// Typed views encode without fail: they are plain data with text keys.
fn tree<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).expect("an API view is a JSON tree")
}

/// How an object is addressed; empty where its metadata does not say.
pub fn key_of(metadata: &ObjectMeta) -> ObjectKey {
    ObjectKey::new(metadata.namespace.as_deref().unwrap_or(""), metadata.name.as_deref().unwrap_or(""))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    /// Server-side apply; `force` takes over fields of others.
    Apply {
        field_manager: &'static str,
        force: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    pub propagation: Option<Propagation>,
    /// Refuse unless the object still has this uid, this revision.
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Deletes only the object that was seen, not a later one of the same name.
    pub fn only(uid: impl Into<String>) -> Self {
        DeleteOptions { uid: Some(uid.into()), ..DeleteOptions::default() }
    }

    pub fn to_value(&self) -> Value {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(seconds) = self.grace_period_seconds {
            options["gracePeriodSeconds"] = seconds.into();
        }
        if let Some(propagation) = self.propagation {
            options["propagationPolicy"] = match propagation {
                Propagation::Background => "Background",
                Propagation::Foreground => "Foreground",
                Propagation::Orphan => "Orphan",
            }
            .into();
        }
        for (field, value) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if let Some(value) = value {
                options["preconditions"][field] = value.as_str().into();
            }
        }
        options
    }
}

/// How a key's last plan failed to be carried out: part of how things stand, for conditions tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason of the refused change's own note (`FailedCreate`), or empty.
    pub reason: &'static str,
    /// What the server said.
    pub message: String,
}

/// Something worth telling about an object; shown as an Event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    pub about: Reference,
    pub weight: Weight,
    /// CamelCase, as clients match it.
    pub reason: &'static str,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weight {
    Normal,
    Warning,
}

impl Note {
    pub fn normal(about: Reference, reason: &'static str, message: impl Into<String>) -> Self {
        Note { about, weight: Weight::Normal, reason, message: message.into() }
    }

    pub fn warning(about: Reference, reason: &'static str, message: impl Into<String>) -> Self {
        Note { about, weight: Weight::Warning, reason, message: message.into() }
    }
}

/// Which object a note is about, as `involvedObject` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reference {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    /// A part of the object, such as `spec.containers{web}`.
    pub field_path: String,
}

impl Reference {
    pub fn of<K: Metadata<Ty = ObjectMeta>>(object: &K) -> Self {
        let metadata = object.metadata();
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Reference {
            api_version: K::API_VERSION.to_owned(),
            kind: K::KIND.to_owned(),
            namespace: text(&metadata.namespace),
            name: text(&metadata.name),
            uid: text(&metadata.uid),
            resource_version: text(&metadata.resource_version),
            field_path: String::new(),
        }
    }
}
