//! `metadata.managedFields`: who owns which fields, by which operation, since when.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use object::{meta, time};
use serde_json::{Map, Value};

use super::Conflict;
use super::compare::Comparison;
use super::set::FieldSet;

/// Upstream: where the oldest updates go when there are too many.
const OLD_UPDATES: &str = "ancient-changes";

/// Fields that nobody owns.
const STRIPPED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:clusterName"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata"],
];

/// What makes two entries the same. The version counts for updates only: an applier has one entry, whatever version it applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ManagerId {
    pub(super) manager: String,
    pub(super) is_apply: bool,
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl ManagerId {
    pub(super) fn update(manager: &str, api_version: &str, subresource: &str) -> Self {
        let api_version = api_version.to_owned();
        ManagerId { manager: named(manager), is_apply: false, api_version, subresource: subresource.to_owned() }
    }

    pub(super) fn apply(manager: &str, subresource: &str) -> Self {
        ManagerId { manager: named(manager), is_apply: true, api_version: String::new(), subresource: subresource.to_owned() }
    }

    fn operation(&self) -> &'static str {
        if self.is_apply { "Apply" } else { "Update" }
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

    /// Upstream sorts managers by their JSON, in which the name ends with a quote.
    fn rank(&self) -> (String, &'static str, &str, &str) {
        (format!("{}\"", self.manager), self.operation(), &self.api_version, &self.subresource)
    }
}

fn named(manager: &str) -> String {
    if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() }
}

#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) set: FieldSet,
    pub(super) api_version: String,
    /// As written, whole seconds; an applier that changed nothing has none.
    pub(super) time: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Managed(pub(super) BTreeMap<ManagerId, Owned>);

/// What a write changes, in the words of each version in which somebody owns something.
pub(super) type Changes = HashMap<String, Comparison>;

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

    pub(super) fn write(self, object: &mut Value) {
        match written(self.0.into_iter().collect()) {
            entries if entries.is_empty() => meta::unset(object, "managedFields"),
            entries => meta::set(object, "managedFields", entries),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The versions in which others than `own` speak.
    pub(super) fn versions(&self, own: Option<&ManagerId>) -> BTreeSet<&str> {
        self.0.iter().filter(|(id, _)| Some(*id) != own).map(|(_, owned)| owned.api_version.as_str()).collect()
    }

    /// Adds fields to an entry and stamps it. Nobody owns what is `STRIPPED`.
    pub(super) fn add(&mut self, id: ManagerId, mut set: FieldSet, api_version: &str, now: Timestamp) {
        strip(&mut set);
        if set.is_empty() {
            return;
        }
        if let Some(owned) = self.0.remove(&id) {
            set.join(owned.set);
        }
        self.0.insert(id, Owned { set, api_version: api_version.to_owned(), time: Some(time::seconds(now)) });
    }

    /// Puts a set in place of what an entry had, which is returned; its time stays.
    pub(super) fn replace(&mut self, id: ManagerId, set: FieldSet, api_version: &str) -> Option<Owned> {
        let last = self.0.remove(&id);
        let time = last.as_ref().and_then(|owned| owned.time.clone());
        self.0.insert(id, Owned { set, api_version: api_version.to_owned(), time });
        last
    }

    pub(super) fn stamp(&mut self, id: &ManagerId, now: Timestamp) {
        if let Some(owned) = self.0.get_mut(id) {
            owned.time = Some(time::seconds(now));
        }
    }

    pub(super) fn strip(&mut self, id: &ManagerId) {
        if let Some(owned) = self.0.get_mut(id) {
            strip(&mut owned.set);
        }
        self.drop_empty();
    }

    /// All entries but one lose what changed and what went. One in a version that nobody knows any more goes.
    pub(super) fn take_from_all(&mut self, but: Option<&ManagerId>, changes: &Changes) {
        self.0.retain(|id, owned| Some(id) == but || changes.contains_key(&owned.api_version));
        for (_, owned) in self.0.iter_mut().filter(|(id, _)| Some(*id) != but) {
            owned.set.subtract(&changes[&owned.api_version].changed);
            owned.set.subtract(&changes[&owned.api_version].removed);
        }
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        self.0.retain(|_, owned| !owned.set.is_empty());
    }

    /// What others own of what changes, sorted by manager.
    pub(super) fn conflicts(&self, own: &ManagerId, changes: &Changes) -> Vec<Conflict> {
        let mut others: Vec<_> = self.0.iter().filter(|(id, _)| *id != own).collect();
        others.sort_by_key(|(id, _)| id.rank());
        let of_one = |(id, owned): (&ManagerId, &Owned)| {
            let contested = changes.get(&owned.api_version).map(|changes| owned.set.intersection(&changes.changed)).unwrap_or_default();
            let manager = id.shown();
            contested.paths().into_iter().map(|path| Conflict { manager: manager.clone(), path }).collect::<Vec<_>>()
        };
        others.into_iter().flat_map(of_one).collect()
    }

    /// Everything that somebody owns in the words of a version.
    pub(super) fn union(&self, api_version: &str) -> FieldSet {
        let mut union = FieldSet::default();
        for owned in self.0.values().filter(|owned| owned.api_version == api_version) {
            union.join(owned.set.clone());
        }
        union
    }

    /// Joins the oldest updates of each version until there are few enough.
    pub(super) fn cap_updates(&mut self, max: usize) {
        let mut updates: Vec<ManagerId> = self.0.keys().filter(|id| !id.is_apply).cloned().collect();
        let mut n_left = updates.len();
        if n_left <= max {
            return;
        }
        updates.sort_by_cached_key(|id| {
            let (name, operation, api_version, subresource) = id.rank();
            (self.0[id].time.clone(), name, operation, api_version.to_owned(), subresource.to_owned())
        });
        let mut first_of_version: HashMap<String, ManagerId> = HashMap::new();
        for id in updates {
            if n_left <= max {
                return;
            }
            let Some(first) = first_of_version.get(&id.api_version).cloned() else {
                first_of_version.insert(id.api_version.clone(), id);
                continue;
            };
            let bucket = ManagerId::update(OLD_UPDATES, &id.api_version, "");
            if !self.0.contains_key(&bucket)
                && let Some(old) = self.0.remove(&first)
            {
                self.0.insert(bucket.clone(), old);
            }
            if let Some(mut owned) = self.0.remove(&id) {
                owned.set.join(self.0.remove(&bucket).map(|old| old.set).unwrap_or_default());
                self.0.insert(bucket, owned);
            }
            n_left -= 1;
        }
    }
}

fn strip(set: &mut FieldSet) {
    STRIPPED.iter().for_each(|path| set.unmark(path));
}

/// The entries in upstream's order.
pub(super) fn written(mut entries: Vec<(ManagerId, Owned)>) -> Vec<Value> {
    type Entry = (ManagerId, Owned);
    fn rank((id, owned): &Entry) -> (bool, Option<&str>, &str, &str, &str) {
        (!id.is_apply, owned.time.as_deref(), &id.manager, &owned.api_version, &id.subresource)
    }
    entries.sort_by(|a, b| rank(a).cmp(&rank(b)));
    entries.into_iter().map(|(id, owned)| written_one(id, owned)).collect()
}

fn written_one(id: ManagerId, owned: Owned) -> Value {
    let mut entry = Map::new();
    let mut set = |member: &str, value: Value| entry.insert(member.to_owned(), value);
    set("operation", Value::from(id.operation()));
    set("apiVersion", Value::from(owned.api_version));
    set("fieldsType", Value::from("FieldsV1"));
    set("fieldsV1", owned.set.into_fields());
    if let Some(time) = owned.time {
        set("time", Value::from(time));
    }
    if !id.subresource.is_empty() {
        set("subresource", Value::from(id.subresource));
    }
    set("manager", Value::from(id.manager));
    Value::Object(entry)
}
