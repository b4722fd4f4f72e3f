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
mod bootstrap;
mod continue_token;
mod delete;
pub mod entropy;
mod faults;
mod metadata;
mod patch;
mod pods;
mod read;
mod rows;
mod scale;
pub mod selection;
pub mod services;
pub mod stages;
mod watch;
mod write;

use std::sync::{Arc, RwLock};

use kinds::{Catalog, Resource};
use object::Value;
use object::status::Status;
use object::time::Clock;
use store::{Revision, Store};

pub use delete::Deleted;
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
}

impl Registry {
    pub fn new(store: Store, clock: Clock, entropy: Entropy, services: ServiceSettings) -> Self {
        Registry { store, catalog: RwLock::new(Arc::clone(kinds::builtin())), clock, entropy, services }
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
        form::decode(resource, &stored.bytes, stored.revision).map_err(|e| Status::internal(format!("a stored object cannot be read: {e}")))
    }
}
