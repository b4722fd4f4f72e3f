//! `Cache<K>`: the objects of one kind as they stood at one revision, kept by its informer; and indexes over them.
//!
//! Reading never waits. Objects come in key order, so that equal clusters give equal plans.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use client::options::Selection;
use client::watch::Watched;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::key::ObjectKey;
use object::plan::key_of;
use tokio::sync::{Notify, watch};

use crate::changed::Changed;
use crate::kept::{Kept, Packing};
use crate::subscription::Subscription;

/// About a millisecond's work.
const N_PACKED_BETWEEN_BREATHS: usize = 256;

/// What a cache can hold.
pub trait Cached: Watched + Sync {
    fn metadata(&self) -> &ObjectMeta;
    /// Drops what nobody reads from any cache: `managedFields` is often half of an object.
    fn trim(&mut self);
}

impl<K: Metadata<Ty = ObjectMeta> + Watched + Sync> Cached for K {
    fn metadata(&self) -> &ObjectMeta {
        Metadata::metadata(self)
    }
    fn trim(&mut self) {
        self.metadata_mut().managed_fields = None;
    }
}

pub struct Cache<K>(Arc<Shared<K>>);

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Cache(Arc::clone(&self.0))
    }
}

struct Shared<K> {
    selection: Selection,
    packing: Option<Packing<K>>,
    /// Hears of objects that were packed and are not any more.
    loosened: Notify,
    state: RwLock<State<K>>,
    listeners: RwLock<Vec<Listener<K>>>,
    progress: watch::Sender<Progress>,
}

type Listener<K> = Arc<dyn Fn(&Changed<K>) + Send + Sync>;
type KeysOf<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

struct State<K> {
    /// Indexes share the keys.
    objects: BTreeMap<Arc<ObjectKey>, Arc<Kept<K>>>,
    indexes: Vec<IndexState<K>>,
}

struct IndexState<K> {
    keys_of: KeysOf<K>,
    entries: BTreeMap<String, BTreeMap<Arc<ObjectKey>, Arc<Kept<K>>>>,
}

/// How far a cache has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub is_synced: bool,
    pub revision: u64,
}

impl<K: Cached> Cache<K> {
    pub(crate) fn new(selection: Selection, packing: Option<Packing<K>>) -> Self {
        Cache(Arc::new(Shared {
            selection,
            packing,
            loosened: Notify::new(),
            state: RwLock::new(State { objects: BTreeMap::new(), indexes: Vec::new() }),
            listeners: RwLock::default(),
            progress: watch::Sender::new(Progress::default()),
        }))
    }

    pub fn selection(&self) -> &Selection {
        &self.0.selection
    }

    pub fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.read().objects.get(key).map(|kept| self.object(kept))
    }

    pub fn list(&self) -> Vec<Arc<K>> {
        self.read().objects.values().map(|kept| self.object(kept)).collect()
    }

    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        self.read().within(namespace).map(|kept| self.object(kept)).collect()
    }

    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Objects by whatever `keys_of` draws from them, kept up to date from now on. Make each index once.
    pub fn index(&self, keys_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Index<K> {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut index = IndexState { keys_of: Box::new(keys_of), entries: BTreeMap::new() };
        for (key, kept) in &state.objects {
            index.insert(key, &kept.peek(), kept);
        }
        state.indexes.push(index);
        Index { cache: self.clone(), at: state.indexes.len() - 1 }
    }

    /// Calls `listener` after each change, on the informer's task: it must be quick and must not wait.
    /// It is not told of objects that are there already; see `subscribe` for that.
    pub fn on_change(&self, listener: impl Fn(&Changed<K>) + Send + Sync + 'static) {
        self.0.listeners.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(listener));
    }

    /// All objects that are there, then every change; a slow reader sees changes of one key drawn together.
    pub fn subscribe(&self) -> Subscription<K> {
        let (subscription, feed) = Subscription::new();
        {
            let first = feed.clone();
            self.on_change(move |changed| first.push(changed));
        }
        for object in self.list() {
            feed.push(&Changed { key: key_of(object.metadata()), old: None, new: Some(object) });
        }
        subscription
    }

    /// Waits until all objects that stood at the start are here.
    pub async fn synced(&self) {
        let mut progress = self.0.progress.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = progress.wait_for(|p| p.is_synced).await;
    }

    /// Waits until every write up to `revision` is seen.
    pub async fn reached(&self, revision: u64) {
        let mut progress = self.0.progress.subscribe();
        let _ = progress.wait_for(|p| p.is_synced && p.revision >= revision).await;
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, kept: &Kept<K>) -> Arc<K> {
        kept.object(&self.0.loosened)
    }

    // What follows is called by the informer only, and by one task.

    pub(crate) fn trim(&self, object: &mut K) {
        object.trim();
        if let Some(packing) = self.0.packing {
            (packing.trim)(object);
        }
    }

    /// Waits until there is something to pack.
    pub(crate) async fn loosened(&self) {
        self.0.loosened.notified().await;
    }

    /// Packs what nobody has asked for since the last time; answers whether there is more to pack.
    pub(crate) async fn pack_unasked(&self) -> bool {
        let Some(packing) = self.0.packing else { return false };
        let all: Vec<_> = self.read().objects.values().cloned().collect();
        let mut is_any_loose = false;
        for some in all.chunks(N_PACKED_BETWEEN_BREATHS) {
            for kept in some {
                is_any_loose |= kept.pack_unless_asked(packing);
            }
            tokio::task::yield_now().await;
        }
        is_any_loose
    }

    pub(crate) fn put(&self, new: Arc<K>) {
        let key = key_of(new.metadata());
        let old = self.0.state.write().unwrap_or_else(PoisonError::into_inner).replace(&key, Some(&new), self.0.packing);
        self.tell(&Changed { key, old, new: Some(new) });
    }

    pub(crate) fn remove(&self, key: ObjectKey) {
        let old = self.0.state.write().unwrap_or_else(PoisonError::into_inner).replace(&key, None, None);
        if old.is_some() {
            self.tell(&Changed { key, old, new: None });
        }
    }

    /// Everything anew after a list; only differences are told.
    pub(crate) fn replace_all(&self, objects: impl Iterator<Item = Arc<K>>) {
        let mut gone = self.read().objects.clone();
        for object in objects {
            let key = key_of(object.metadata());
            let revision = &object.metadata().resource_version;
            let is_known = gone.remove(&key).is_some_and(|old| old.peek().metadata().resource_version == *revision);
            if !is_known {
                self.put(object);
            }
        }
        for key in gone.into_keys() {
            self.remove(Arc::unwrap_or_clone(key));
        }
    }

    pub(crate) fn advance(&self, revision: &str, is_synced: bool) {
        let revision = revision.parse().unwrap_or(0);
        self.0.progress.send_if_modified(|progress| {
            let next = Progress { is_synced: progress.is_synced || is_synced, revision: progress.revision.max(revision) };
            let is_new = next != *progress;
            *progress = next;
            is_new
        });
    }

    fn tell(&self, changed: &Changed<K>) {
        let listeners = self.0.listeners.read().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners {
            listener(changed);
        }
    }
}

impl<K> State<K> {
    fn within(&self, namespace: &str) -> impl Iterator<Item = &Arc<Kept<K>>> {
        let first = ObjectKey::new(namespace, "");
        let from = self.objects.range((Bound::Included(first), Bound::Unbounded));
        from.take_while(move |(key, _)| key.namespace == namespace).map(|(_, kept)| kept)
    }

    fn replace(&mut self, key: &ObjectKey, new: Option<&Arc<K>>, packing: Option<Packing<K>>) -> Option<Arc<K>> {
        let (key, before) = match self.objects.remove_entry(key) {
            Some((key, kept)) => (key, Some(kept)),
            None => (Arc::new(key.clone()), None),
        };
        let kept = new.map(|new| Arc::new(Kept::new(new, before.as_deref(), packing)));
        let old = before.map(|kept| kept.peek());
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            if let (Some(new), Some(kept)) = (new, &kept) {
                index.insert(&key, new, kept);
            }
        }
        if let Some(kept) = kept {
            self.objects.insert(key, kept);
        }
        old
    }
}

impl<K> IndexState<K> {
    fn insert(&mut self, key: &Arc<ObjectKey>, object: &K, kept: &Arc<Kept<K>>) {
        for entry in (self.keys_of)(object) {
            self.entries.entry(entry).or_default().insert(Arc::clone(key), Arc::clone(kept));
        }
    }

    fn remove(&mut self, key: &ObjectKey, object: &K) {
        for entry in (self.keys_of)(object) {
            if let Some(objects) = self.entries.get_mut(&entry) {
                objects.remove(key);
                if objects.is_empty() {
                    self.entries.remove(&entry);
                }
            }
        }
    }
}

/// A second way into a cache.
pub struct Index<K> {
    cache: Cache<K>,
    at: usize,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Index { cache: self.cache.clone(), at: self.at }
    }
}

impl<K: Cached> Index<K> {
    pub fn get(&self, entry: &str) -> Vec<Arc<K>> {
        let state = self.cache.read();
        let found = state.indexes[self.at].entries.get(entry);
        found.map(|all| all.values().map(|kept| self.cache.object(kept)).collect()).unwrap_or_default()
    }

    pub fn count(&self, entry: &str) -> usize {
        self.cache.read().indexes[self.at].entries.get(entry).map_or(0, BTreeMap::len)
    }
}

/// A cache of whatever kind, for those who hold writes of many kinds against it.
pub trait AnyCache: Send + Sync {
    fn progress(&self) -> watch::Receiver<Progress>;
    /// Whether the object is here, and whether it is marked for deletion. An empty uid means whichever has the name.
    fn presence(&self, key: &ObjectKey, uid: &str) -> Presence;
    fn on_metadata_change(&self, listener: MetadataListener);
    fn for_each_metadata(&self, visit: &mut dyn FnMut(&ObjectMeta));
    /// How many objects a namespace has.
    fn count_in(&self, namespace: &str) -> usize;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Living,
    Leaving,
    Gone,
}

pub type MetadataListener = Box<dyn Fn(Option<&ObjectMeta>, Option<&ObjectMeta>) + Send + Sync>;

impl<K: Cached> AnyCache for Cache<K> {
    fn progress(&self) -> watch::Receiver<Progress> {
        Cache::progress(self)
    }
    fn presence(&self, key: &ObjectKey, uid: &str) -> Presence {
        match self.get(key) {
            Some(object) if uid.is_empty() || object.metadata().uid.as_deref() == Some(uid) => {
                if object.metadata().deletion_timestamp.is_none() { Presence::Living } else { Presence::Leaving }
            }
            _ => Presence::Gone,
        }
    }
    fn on_metadata_change(&self, listener: MetadataListener) {
        self.on_change(move |changed| {
            listener(changed.old.as_ref().map(|o| o.metadata()), changed.new.as_ref().map(|o| o.metadata()));
        });
    }
    fn for_each_metadata(&self, visit: &mut dyn FnMut(&ObjectMeta)) {
        for object in self.list() {
            visit(object.metadata());
        }
    }
    fn count_in(&self, namespace: &str) -> usize {
        self.read().within(namespace).count()
    }
}
