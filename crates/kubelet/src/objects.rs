//! Config maps and secrets that pods of this node refer to: fetched when they are needed, watched while volumes show them.
//!
//! Each object is watched by itself, for a node may only see those its pods refer to.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use client::api::Kind;
use client::options::Selection;
use client::{Api, Client};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use object::key::ObjectKey;
use pod_plan::references::{Objects, References};
use reconcile::Informers;

use crate::start::locked;

pub struct ObjectSource {
    client: Client,
    config_maps: Watched<ConfigMap>,
    secrets: Watched<Secret>,
}

/// Called when a watched object changed; it must be quick.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// Keeps watches open; they end when nobody is interested any more.
pub struct Interest {
    _watches: Vec<Arc<dyn Any + Send + Sync>>,
    /// The watches hold it weakly.
    _waker: Arc<Waker>,
}

type Watches<K> = Mutex<HashMap<ObjectKey, Weak<WatchedObject<K>>>>;

struct Watched<K>(Watches<K>);

struct WatchedObject<K> {
    cache: reconcile::Cache<K>,
    wakers: Arc<Mutex<Vec<Weak<Waker>>>>,
    _informers: Informers,
}

impl ObjectSource {
    pub fn new(client: &Client) -> Self {
        ObjectSource { client: client.clone(), config_maps: Watched(Mutex::default()), secrets: Watched(Mutex::default()) }
    }

    /// Fails only when the API server does; what is not there is not there.
    pub async fn fetch(&self, namespace: &str, names: &References) -> Result<Objects, client::Error> {
        let mut objects = Objects::default();
        for name in &names.config_maps {
            let found = self.config_maps.get(&self.client, ObjectKey::new(namespace, name)).await?;
            objects.config_maps.insert(name.clone(), found);
        }
        for name in &names.secrets {
            let found = self.secrets.get(&self.client, ObjectKey::new(namespace, name)).await?;
            objects.secrets.insert(name.clone(), found);
        }
        Ok(objects)
    }

    /// Watches the objects from now on.
    pub fn watch(&self, namespace: &str, names: &References, waker: Waker) -> Interest {
        let waker = Arc::new(waker);
        let key = |name: &String| ObjectKey::new(namespace, name);
        let config_maps = names.config_maps.iter().map(|n| self.config_maps.watch(&self.client, key(n), &waker));
        let mut watches: Vec<Arc<dyn Any + Send + Sync>> = config_maps.map(|w| w as Arc<dyn Any + Send + Sync>).collect();
        let secrets = names.secrets.iter().map(|n| self.secrets.watch(&self.client, key(n), &waker));
        watches.extend(secrets.map(|w| w as Arc<dyn Any + Send + Sync>));
        Interest { _watches: watches, _waker: waker }
    }
}

impl<K: Kind> Watched<K> {
    /// From its watch where there is one that has caught up; else from the server.
    async fn get(&self, client: &Client, key: ObjectKey) -> Result<Option<Arc<K>>, client::Error> {
        let watched = locked(&self.0).get(&key).and_then(Weak::upgrade);
        if let Some(watched) = watched.filter(|w| w.cache.progress().borrow().is_synced)
            && let Some(found) = watched.cache.get(&key)
        {
            return Ok(Some(found));
        }
        Ok(Api::<K>::new(client).find(&key).await?.map(Arc::new))
    }

    fn watch(&self, client: &Client, key: ObjectKey, waker: &Arc<Waker>) -> Arc<WatchedObject<K>> {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|_, watched| watched.strong_count() > 0);
        let watched = watches.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let made = Arc::new(WatchedObject::new(client, &key));
            watches.insert(key, Arc::downgrade(&made));
            made
        });
        let mut wakers = locked(&watched.wakers);
        wakers.retain(|w| w.strong_count() > 0);
        wakers.push(Arc::downgrade(waker));
        drop(wakers);
        watched
    }
}

impl<K: Kind> WatchedObject<K> {
    fn new(client: &Client, key: &ObjectKey) -> Self {
        let informers = Informers::new(client.clone());
        let field_selector = format!("metadata.name={}", key.name);
        let cache = informers.select::<K>(Selection { namespace: key.namespace.clone(), field_selector, ..Selection::default() });
        let wakers: Arc<Mutex<Vec<Weak<Waker>>>> = Arc::default();
        let told = Arc::clone(&wakers);
        cache.on_change(move |_| {
            let awake: Vec<Arc<Waker>> = locked(&told).iter().filter_map(Weak::upgrade).collect();
            awake.iter().for_each(|wake| wake());
        });
        WatchedObject { cache, wakers, _informers: informers }
    }
}
