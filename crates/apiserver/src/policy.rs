//! The authorizers' indexes, kept up with the store.
//!
//! They are fed when they are asked: a request first takes in what was written since the last one. So a role that a client has
//! just created holds for its next request, and nothing runs while nobody asks.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use authz::{Attributes, NodeGraph, PRIVILEGED_GROUP, Rbac, Verdict};
use kinds::Resource;
use object::Value;
use object::status::Status;
use registry::{Request, Rights, address, form};
use store::{At, Record, Revision, Store, Watcher};

type Row = (&'static str, &'static str, &'static str, Feeds);

/// What the indexes are made of.
const SOURCES: &[Row] = &[
    ("rbac.authorization.k8s.io", "v1", "roles", Feeds::Rbac),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", Feeds::Rbac),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", Feeds::Rbac),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", Feeds::Rbac),
    ("", "v1", "pods", Feeds::Nodes),
    ("", "v1", "persistentvolumes", Feeds::Nodes),
    ("storage.k8s.io", "v1", "volumeattachments", Feeds::Nodes),
    ("resource.k8s.io", "v1", "resourceclaims", Feeds::Nodes),
    ("resource.k8s.io", "v1", "resourceslices", Feeds::Nodes),
    ("certificates.k8s.io", "v1", "podcertificaterequests", Feeds::Nodes),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Feeds {
    Rbac,
    Nodes,
}

pub(crate) struct Policy {
    store: Store,
    indexes: RwLock<Indexes>,
    sources: Mutex<Vec<Source>>,
}

#[derive(Default)]
struct Indexes {
    /// Everything up to here has been taken in.
    seen: Revision,
    rbac: Rbac,
    nodes: NodeGraph,
}

struct Source {
    resource: Arc<Resource>,
    feeds: Feeds,
    watcher: Watcher,
}

/// The past that a source waited for is gone, or the store is closing: everything is read anew.
struct Lost;

impl Policy {
    pub(crate) fn new(store: Store) -> Self {
        Policy { store, indexes: RwLock::default(), sources: Mutex::default() }
    }

    pub(crate) fn authorize(&self, attributes: &Attributes<'_>) -> Verdict {
        if attributes.user.is_in(PRIVILEGED_GROUP) {
            return Verdict::allow("");
        }
        self.with(|rbac, nodes| authz::authorize(nodes, rbac, attributes))
    }

    /// Asks the indexes as they stand now.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&Rbac, &NodeGraph) -> T) -> T {
        self.catch_up();
        let indexes = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
        ask(&indexes.rbac, &indexes.nodes)
    }

    fn catch_up(&self) {
        let revision = self.store.revision();
        if self.indexes.read().unwrap_or_else(PoisonError::into_inner).seen >= revision {
            return;
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut indexes = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        let is_lost = sources.is_empty() || sources.iter_mut().any(|source| source.drain(&mut indexes).is_err());
        if is_lost {
            *indexes = Indexes::default();
            *sources = SOURCES.iter().filter_map(|row| Source::read(&self.store, row, &mut indexes)).collect();
        }
        indexes.seen = indexes.seen.max(revision);
    }
}

impl Rights for Policy {
    fn allows(&self, attributes: &Attributes<'_>) -> bool {
        self.authorize(attributes).is_allowed()
    }

    fn check_grant(&self, request: &Request, old: Option<&Value>, new: &Value) -> Result<(), Status> {
        if request.resource.group != "rbac.authorization.k8s.io" {
            return Ok(());
        }
        self.with(|rbac, nodes| {
            let is_allowed = |attributes: &Attributes<'_>| authz::authorize(nodes, rbac, attributes).is_allowed();
            authz::escalation::check(rbac, &request.user, new, old, &is_allowed)
        })
    }
}

impl Source {
    /// Takes in everything there is and waits for more.
    fn read(store: &Store, (group, version, plural, feeds): &Row, indexes: &mut Indexes) -> Option<Self> {
        let resource = Arc::clone(kinds::builtin().resource(group, version, plural)?);
        let prefix = address::prefix(&resource, "");
        let page = store.range(&prefix, None, At::Latest, 0).ok()?;
        let watcher = store.watch(&prefix, page.revision).ok()?;
        let source = Source { resource, feeds: *feeds, watcher };
        for record in &page.records {
            source.upsert(indexes, record);
        }
        Some(source)
    }

    fn drain(&mut self, indexes: &mut Indexes) -> Result<(), Lost> {
        loop {
            let events = self.watcher.try_next().map_err(|_| Lost)?;
            if events.is_empty() {
                return Ok(());
            }
            for event in &events {
                match &event.current {
                    Some(record) => self.upsert(indexes, record),
                    None => self.remove(indexes, &event.key),
                }
            }
        }
    }

    fn upsert(&self, indexes: &mut Indexes, record: &Record) {
        // What cannot be read grants nothing.
        let Ok(object) = form::decode(&self.resource, &record.value, record.modified) else { return };
        match self.feeds {
            Feeds::Rbac => indexes.rbac.upsert(&object),
            Feeds::Nodes => indexes.nodes.upsert(&object),
        }
    }

    fn remove(&self, indexes: &mut Indexes, key: &str) {
        let (namespace, name) = address::parts(&self.resource, key);
        match self.feeds {
            Feeds::Rbac => indexes.rbac.remove(&self.resource.gvk(), namespace, name),
            Feeds::Nodes => indexes.nodes.remove(&self.resource.gvk(), namespace, name),
        }
    }
}
