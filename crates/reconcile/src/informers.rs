//! `Informers`: one cache for each kind and selection, shared by all who ask, and the tasks that keep them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use client::Client;
use client::api::Kind;
use client::options::Selection;
use object::key::{GroupResource, GroupVersionResource};
use tokio::task::{AbortHandle, JoinSet};

use crate::cache::{AnyCache, Cache, Cached};
use crate::informer;
use crate::kept::Packing;
use crate::lock::locked;
use crate::reduced::Reduced;

/// A cheap clone. The watches end when the last clone is gone, or with `stop`.
#[derive(Clone)]
pub struct Informers(Arc<Shared>);

struct Shared {
    client: Client,
    caches: Mutex<HashMap<(TypeId, GroupResource, Selection), Box<dyn Any + Send + Sync>>>,
    /// The caches that hold all objects of their kind.
    whole: Mutex<HashMap<GroupResource, Arc<dyn AnyCache>>>,
    /// By the kind's type: `Packing<K>`.
    packings: Mutex<HashMap<TypeId, Box<dyn Any + Send + Sync>>>,
    tasks: Mutex<JoinSet<()>>,
    watches: Mutex<HashMap<GroupResource, Vec<AbortHandle>>>,
}

impl Informers {
    pub fn new(client: Client) -> Self {
        Informers(Arc::new(Shared {
            client,
            caches: Mutex::default(),
            whole: Mutex::default(),
            packings: Mutex::default(),
            tasks: Mutex::default(),
            watches: Mutex::default(),
        }))
    }

    /// For a kind of which there are many: caches made from now on hold what `trim` leaves of an object, and what nobody asks
    /// for they hold as text.
    pub fn keep_packed<K: Kind>(&self, trim: fn(&mut K)) {
        locked(&self.0.packings).insert(TypeId::of::<K>(), Box::new(Packing::<K>::new(trim)));
    }

    /// All objects of a kind. Must be called within a tokio runtime, as all that start watches.
    pub fn of<K: Kind>(&self) -> Cache<K> {
        self.select(Selection::everything())
    }

    pub fn select<K: Kind>(&self, selection: Selection) -> Cache<K> {
        self.cache(GroupVersionResource::of::<K>(), selection)
    }

    /// The metadata of all objects of any kind, typed view or not. A whole cache of the kind that is there already is used.
    pub fn metadata_of(&self, resource: &GroupVersionResource) -> Arc<dyn AnyCache> {
        match self.whole(&resource.group_resource()) {
            Some(cache) => cache,
            None => Arc::new(self.cache::<Reduced>(resource.clone(), Selection::everything())),
        }
    }

    /// The cache that sees every write of a kind, if somebody keeps one.
    pub fn whole(&self, resource: &GroupResource) -> Option<Arc<dyn AnyCache>> {
        locked(&self.0.whole).get(resource).cloned()
    }

    fn cache<K: Cached>(&self, resource: GroupVersionResource, selection: Selection) -> Cache<K> {
        let id = (TypeId::of::<K>(), resource.group_resource(), selection.clone());
        let mut caches = locked(&self.0.caches);
        if let Some(cache) = caches.get(&id).and_then(|any| any.downcast_ref::<Cache<K>>()) {
            return cache.clone();
        }
        let packing = locked(&self.0.packings).get(&TypeId::of::<K>()).and_then(|any| any.downcast_ref::<Packing<K>>()).copied();
        let cache = Cache::<K>::new(selection, packing);
        if *cache.selection() == Selection::everything() {
            // A typed cache is what controllers read, so writes are awaited there.
            let mut whole = locked(&self.0.whole);
            if TypeId::of::<K>() != TypeId::of::<Reduced>() || !whole.contains_key(&resource.group_resource()) {
                whole.insert(resource.group_resource(), Arc::new(cache.clone()));
            }
        }
        caches.insert(id, Box::new(cache.clone()));
        let group_resource = resource.group_resource();
        let watch = locked(&self.0.tasks).spawn(informer::keep(self.0.client.clone(), resource, cache.clone()));
        locked(&self.0.watches).entry(group_resource).or_default().push(watch);
        cache
    }

    /// Ends the watches of a kind that is served no more. Whoever asks again gets a new cache.
    pub fn forget(&self, resource: &GroupResource) {
        locked(&self.0.caches).retain(|(_, of, _), _| of != resource);
        locked(&self.0.whole).remove(resource);
        locked(&self.0.watches).remove(resource).into_iter().flatten().for_each(|watch| watch.abort());
    }

    /// Ends all watches; the caches stay as they are.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *locked(&self.0.tasks));
        tasks.shutdown().await;
    }
}
