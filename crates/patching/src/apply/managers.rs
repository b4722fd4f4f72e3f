//! `metadata.managedFields`: who owns which fields, by which operation, since when.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use object::{meta, time};
use serde_json::{Value, json};

use super::Conflict;
use super::set::FieldSet;

/// Upstream: where the oldest updates go when there are too many.
const OLD_UPDATES: &str = "ancient-changes";

/// What makes two entries the same. The version counts for updates only: an applier has one entry, whatever version it applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ManagerId {
    manager: String,
    is_apply: bool,
    api_version: String,
    subresource: String,
}

impl ManagerId {
    pub(super) fn update(manager: &str, api_version: &str, subresource: &str) -> Self {
        let api_version = api_version.to_owned();
        ManagerId { manager: named(manager), is_apply: false, api_version, subresource: subresource.to_owned() }
    }

    pub(super) fn apply(manager: &str, subresource: &str) -> Self {
        ManagerId { manager: named(manager), is_apply: true, api_version: String::new(), subresource: subresource.to_owned() }
    }

    /// As messages about conflicts name it.
    fn shown(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if !self.is_apply {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

fn named(manager: &str) -> String {
    if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() }
}

#[derive(Clone, Debug)]
struct Owned {
    set: FieldSet,
    api_version: String,
    /// As written, whole seconds; an applier that changed nothing has none.
    time: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Managed(BTreeMap<ManagerId, Owned>);

impl Managed {
    pub(super) fn read(entries: &Value) -> Result<Self, String> {
        let mut managed = BTreeMap::new();
        for (i, entry) in entries.as_array().into_iter().flatten().enumerate() {
            let text = |field: &str| entry[field].as_str().unwrap_or("");
            let is_apply = match text("operation") {
                "Apply" => true,
                "Update" => false,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            if text("apiVersion").is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {i}")),
            }
            let set = FieldSet::from_fields(&entry["fieldsV1"]).ok_or("error decoding set: fieldsV1 is malformed")?;
            let api_version = if is_apply { String::new() } else { text("apiVersion").to_owned() };
            let id = ManagerId { manager: text("manager").to_owned(), is_apply, api_version, subresource: text("subresource").to_owned() };
            let time = entry["time"].as_str().map(str::to_owned);
            managed.insert(id, Owned { set, api_version: text("apiVersion").to_owned(), time });
        }
        Ok(Managed(managed))
    }

    pub(super) fn write(&self, object: &mut Value) {
        if self.0.is_empty() {
            meta::unset(object, "managedFields");
            return;
        }
        let mut entries: Vec<(&ManagerId, &Owned)> = self.0.iter().collect();
        entries.sort_by_key(|(id, owned)| {
            (!id.is_apply, owned.time.as_deref().unwrap_or(""), id.manager.as_str(), owned.api_version.as_str(), id.subresource.as_str())
        });
        let entries: Vec<Value> = entries.into_iter().map(|(id, owned)| written(id, owned)).collect();
        meta::set(object, "managedFields", entries);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn set(&self, id: &ManagerId) -> Option<&FieldSet> {
        self.0.get(id).map(|owned| &owned.set)
    }

    /// Adds fields to an entry and stamps it.
    pub(super) fn add(&mut self, id: ManagerId, set: FieldSet, api_version: &str, now: Timestamp) {
        let set = self.0.get(&id).map_or_else(|| set.clone(), |owned| set.union(&owned.set));
        self.0.insert(id, Owned { set, api_version: api_version.to_owned(), time: Some(time::seconds(now)) });
    }

    /// Puts a set in place of what an entry had; its time stays.
    pub(super) fn replace(&mut self, id: ManagerId, set: FieldSet, api_version: &str) {
        let time = self.0.get(&id).and_then(|owned| owned.time.clone());
        self.0.insert(id, Owned { set, api_version: api_version.to_owned(), time });
    }

    pub(super) fn stamp(&mut self, id: &ManagerId, now: Timestamp) {
        if let Some(owned) = self.0.get_mut(id) {
            owned.time = Some(time::seconds(now));
        }
    }

    pub(super) fn strip(&mut self, id: &ManagerId, fields: &FieldSet) {
        if let Some(owned) = self.0.get_mut(id) {
            owned.set = owned.set.difference(fields);
        }
        self.drop_empty();
    }

    /// All entries but one lose the fields of two sets.
    pub(super) fn take_from_all(&mut self, but: Option<&ManagerId>, changed: &FieldSet, removed: &FieldSet) {
        for (_, owned) in self.0.iter_mut().filter(|(id, _)| Some(*id) != but) {
            owned.set = owned.set.difference(changed).difference(removed);
        }
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        self.0.retain(|_, owned| !owned.set.is_empty());
    }

    /// What others own of `changed`, sorted by how they are named.
    pub(super) fn owned_by_others(&self, own: &ManagerId, changed: &FieldSet) -> Vec<Conflict> {
        let mut conflicts: Vec<Conflict> = Vec::new();
        for (id, owned) in self.0.iter().filter(|(id, _)| *id != own) {
            let manager = id.shown();
            conflicts.extend(owned.set.intersection(changed).paths().into_iter().map(|path| Conflict { manager: manager.clone(), path }));
        }
        conflicts.sort_by(|a, b| a.manager.cmp(&b.manager));
        conflicts
    }

    pub(super) fn union(&self) -> FieldSet {
        self.0.values().fold(FieldSet::default(), |union, owned| union.union(&owned.set))
    }

    /// Joins the oldest updates of each version until there are few enough.
    pub(super) fn cap_updates(&mut self, max: usize) {
        let mut updates: Vec<(String, ManagerId)> =
            self.0.iter().filter(|(id, _)| !id.is_apply).map(|(id, owned)| (owned.time.clone().unwrap_or_default(), id.clone())).collect();
        let mut n_left = updates.len();
        if n_left <= max {
            return;
        }
        updates.sort();
        let mut first_of_version: HashMap<String, ManagerId> = HashMap::new();
        for (_, id) in updates {
            if n_left <= max {
                return;
            }
            let Some(owned) = self.0.get(&id).cloned() else { continue };
            let Some(first) = first_of_version.get(&owned.api_version).cloned() else {
                first_of_version.insert(owned.api_version, id);
                continue;
            };
            let bucket = ManagerId::update(OLD_UPDATES, &owned.api_version, "");
            if !self.0.contains_key(&bucket)
                && let Some(old) = self.0.remove(&first)
            {
                self.0.insert(bucket.clone(), old);
            }
            self.0.remove(&id);
            let set = self.0.get(&bucket).map_or_else(|| owned.set.clone(), |old| owned.set.union(&old.set));
            self.0.insert(bucket, Owned { set, ..owned });
            n_left -= 1;
        }
    }
}

fn written(id: &ManagerId, owned: &Owned) -> Value {
    let operation = if id.is_apply { "Apply" } else { "Update" };
    let mut entry = json!({"manager": id.manager, "operation": operation, "apiVersion": owned.api_version, "fieldsType": "FieldsV1"});
    entry["fieldsV1"] = owned.set.to_fields();
    if let Some(time) = &owned.time {
        entry["time"] = Value::from(time.as_str());
    }
    if !id.subresource.is_empty() {
        entry["subresource"] = Value::from(id.subresource.as_str());
    }
    entry
}
