//! The authorizers' indexes, kept up with the store.
//!
//! They are fed when they are asked: a request first takes in what was written since the last one. So a role that a client has
//! just created holds for its next request, and nothing runs while nobody asks.

use std::sync::{Mutex, PoisonError, RwLock};

use authz::{Attributes, NodeGraph, PRIVILEGED_GROUP, Rbac, Verdict};
use object::Value;
use object::key::GroupVersionKind;
use registry::{Registry, address, form};
use store::{At, Revision, Watcher};

/// What the indexes are made of.
const SOURCES: &[(&str, &str, &str, Feeds)] = &[
    ("rbac.authorization.k8s.io", "v1", "roles", Feeds::Rbac),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", Feeds::Rbac),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", Feeds::Rbac),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", Feeds::Rbac),
    ("", "v1", "pods", Feeds::Nodes),
    ("", "v1", "persistentvolumes", Feeds::Nodes),
    ("storage.k8s.io", "v1", "volumeattachments", Feeds::Nodes),
    ("resource.k8s.io", "v1", "resourceclaims", Feeds::Nodes),
    ("resource.k8s.io", "v1", "resourceslices", Feeds::Nodes),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Feeds {
    Rbac,
    Nodes,
}

pub(crate) struct Policy {
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
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    feeds: Feeds,
    /// `None` until the first read, and again when the past it waited for is gone.
    watcher: Option<Watcher>,
}

impl Policy {
    pub(crate) fn new(_registry: &Registry) -> Self {
        let sources = SOURCES.iter().map(|(group, version, plural, feeds)| Source { group, version, plural, feeds: *feeds, watcher: None });
        Policy { indexes: RwLock::default(), sources: Mutex::new(sources.collect()) }
    }

    pub(crate) fn authorize(&self, registry: &Registry, attributes: &Attributes<'_>) -> Verdict {
        if attributes.user.is_in(PRIVILEGED_GROUP) {
            return Verdict::allow("");
        }
        self.with(registry, |rbac, nodes| authz::authorize(nodes, rbac, attributes))
    }

    /// Asks the indexes as they stand now.
    pub(crate) fn with<T>(&self, registry: &Registry, ask: impl FnOnce(&Rbac, &NodeGraph) -> T) -> T {
        self.catch_up(registry);
        let indexes = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
        ask(&indexes.rbac, &indexes.nodes)
    }

    fn catch_up(&self, registry: &Registry) {
        let revision = registry.revision();
        if self.indexes.read().unwrap_or_else(PoisonError::into_inner).seen >= revision {
            return;
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut indexes = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        for source in sources.iter_mut() {
            source.drain(registry, &mut indexes);
        }
        indexes.seen = indexes.seen.max(revision);
    }
}

impl Source {
    fn drain(&mut self, registry: &Registry, indexes: &mut Indexes) {
        let Ok(resource) = registry.builtin(self.group, self.version, self.plural) else {
            return;
        };
        loop {
            let Some(watcher) = &mut self.watcher else {
                if !self.restart(registry, &resource, indexes) {
                    return;
                }
                continue;
            };
            let Ok(events) = watcher.try_next() else {
                self.watcher = None;
                continue;
            };
            if events.is_empty() {
                return;
            }
            for event in &events {
                match &event.current {
                    Some(record) => {
                        if let Ok(object) = form::decode(&resource, &record.value, record.modified) {
                            self.upsert(indexes, &object);
                        }
                    }
                    None => {
                        let (namespace, name) = address::parts(&resource, &event.key);
                        self.remove(indexes, &resource.gvk(), namespace, name);
                    }
                }
            }
        }
    }

    /// Reads everything anew; false when the store is closing.
    fn restart(&mut self, registry: &Registry, resource: &kinds::Resource, indexes: &mut Indexes) -> bool {
        let prefix = address::prefix(resource, "");
        let Ok(page) = registry.store().range(&prefix, None, At::Latest, 0) else {
            return false;
        };
        for record in &page.records {
            if let Ok(object) = form::decode(resource, &record.value, record.modified) {
                self.upsert(indexes, &object);
            }
        }
        self.watcher = registry.store().watch(&prefix, page.revision).ok();
        self.watcher.is_some()
    }

    fn upsert(&self, indexes: &mut Indexes, object: &Value) {
        match self.feeds {
            Feeds::Rbac => indexes.rbac.upsert(object),
            Feeds::Nodes => indexes.nodes.upsert(object),
        }
    }

    fn remove(&self, indexes: &mut Indexes, kind: &GroupVersionKind, namespace: &str, name: &str) {
        match self.feeds {
            Feeds::Rbac => indexes.rbac.remove(kind, namespace, name),
            Feeds::Nodes => indexes.nodes.remove(kind, namespace, name),
        }
    }
}
