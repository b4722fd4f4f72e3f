//! One engine for every kind: create, read, update, patch, delete, list and watch over the store, in upstream's ways and words.
//!
//! There is no handler per kind. What differs between kinds is rows: facts (`kinds`), rules (`strategies`, `admission`), and the
//! few of `rows` and `selection`. Reads hand out the stored bytes; only writes make trees.
//! Not here: HTTP, formats, who may do what (`apiserver`, `codec`, `authz`).
//! Start with `write` (every change ends in `update_with` or `create_as`), then `read`, `watch`, `delete`, `patch`.
//!
//! Invariant: an object goes into the store only through `put` and out only through `remove`, each guarded by the revision that
//! was read.

pub mod form;
pub mod options;
pub mod request;

pub mod address;
mod admit;
mod bootstrap;
mod continue_token;
pub mod convert;
mod delete;
pub mod entropy;
mod fanout;
mod faults;
mod leases;
mod metadata;
mod patch;
mod pods;
mod quotas;
mod read;
mod rows;
mod scale;
pub mod selection;
pub mod services;
pub mod stages;
mod watch;
mod write;

use std::sync::{Arc, RwLock};

use bytes::Bytes;
use kinds::{Catalog, Resource};
use object::Value;
use object::status::Status;
use object::time::Clock;
use store::{Revision, Store};

pub use admit::Rights;
pub use delete::{Deleted, deletion_warnings};
pub use patch::{Patch, PatchKind};
pub use read::List;
pub use request::{Answer, Request, Written};
pub use watch::{Watch, WatchEvent};

use crate::entropy::Entropy;
use crate::form::Stored;
use crate::services::ServiceSettings;

pub struct Registry {
    store: Store,
    catalog: RwLock<Arc<Catalog>>,
    clock: Clock,
    entropy: Entropy,
    services: ServiceSettings,
    fanout: fanout::Fanout,
    event_lease: leases::EventLease,
    rights: Arc<dyn Rights>,
}

impl Registry {
    pub fn new(store: Store, clock: Clock, entropy: Entropy, services: ServiceSettings) -> Self {
        Registry {
            store,
            catalog: RwLock::new(Arc::clone(kinds::builtin())),
            clock,
            entropy,
            services,
            fanout: fanout::Fanout::default(),
            event_lease: leases::EventLease::default(),
            rights: Arc::new(admit::Everything),
        }
    }

    /// Some of what is written depends on rights; whoever knows them answers for them.
    pub fn guarded_by(self, rights: Arc<dyn Rights>) -> Self {
        Registry { rights, ..self }
    }

    /// The kinds served at this moment.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn revision(&self) -> Revision {
        self.store.revision()
    }

    /// A built-in resource that the engine itself needs.
    pub fn builtin(&self, group: &str, version: &str, plural: &str) -> Result<Arc<Resource>, Status> {
        let catalog = self.catalog();
        catalog.resource(group, version, plural).cloned().ok_or_else(|| Status::internal(format!("{plural}.{group} is not in the catalog")))
    }

    /// Stored bytes as a tree in the form of a resource.
    pub fn decode(&self, resource: &Resource, stored: &Stored) -> Result<Value, Status> {
        let unreadable = |e: &dyn std::fmt::Display| Status::internal(format!("a stored object cannot be read: {e}"));
        let mut object = form::decode(resource, &stored.bytes, stored.revision).map_err(|e| unreadable(&e))?;
        if !convert::is_stored_form(resource) {
            convert::to_served(resource, &mut object);
            codec::normalise(&self.catalog(), resource.type_id, &mut object).map_err(|e| unreadable(&e))?;
        }
        Ok(object)
    }

    /// The same without `managedFields`, the largest part of many objects and of no use to whoever shows them.
    pub fn decode_lean(&self, resource: &Resource, stored: &Stored) -> Result<Value, Status> {
        if !convert::is_stored_form(resource) {
            return self.decode(resource, stored);
        }
        let unreadable = |e: serde_json::Error| Status::internal(format!("a stored object cannot be read: {e}"));
        codec::stored::decode_lean(&resource.gvk(), stored.revision.0, &stored.bytes).map_err(unreadable)
    }

    /// What is kept of a tree in the form of a resource.
    pub(crate) fn encode(&self, resource: &Resource, object: &Value) -> Result<Bytes, Status> {
        if convert::is_stored_form(resource) {
            return Ok(form::encode(object));
        }
        let mut stored = object.clone();
        convert::to_stored(resource, &mut stored);
        let catalog = self.catalog();
        let kept = catalog.resource(&resource.storage_group, &resource.storage_version, &resource.plural);
        let type_id = kept.map_or(resource.type_id, |kept| kept.type_id);
        codec::normalise(&catalog, type_id, &mut stored).map_err(Status::internal)?;
        codec::shed(&catalog, type_id, &mut stored, codec::Written::Stored);
        Ok(form::encode(&stored))
    }
}

#[cfg(test)]
mod tests;
