//! Config maps, secrets and trust bundles that pods of this node refer to, and the certificates asked for them: fetched when they
//! are needed, watched while volumes show them.
//!
//! A config map or secret is watched by itself, for a node may only see those its pods refer to.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use client::api::Kind;
use client::options::Selection;
use client::{Api, Client};
use k8s_openapi::api::certificates::v1::{ClusterTrustBundle, PodCertificateRequest};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use object::key::ObjectKey;
use pod_plan::references::{Objects, References};
use reconcile::Informers;

use crate::lock::locked;
use crate::seams::Waker;

pub struct ObjectSource {
    client: Client,
    config_maps: Watched<ConfigMap>,
    secrets: Watched<Secret>,
    trust_bundles: Watched<ClusterTrustBundle>,
    /// Those of this node; it may see no others.
    certificate_requests: Watched<PodCertificateRequest>,
    of_node: Selection,
}

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
    pub fn new(client: &Client, node_name: &str) -> Self {
        ObjectSource {
            client: client.clone(),
            config_maps: Watched::default(),
            secrets: Watched::default(),
            trust_bundles: Watched::default(),
            certificate_requests: Watched::default(),
            of_node: Selection { field_selector: format!("spec.nodeName={node_name}"), ..Selection::default() },
        }
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
        if names.trust_bundles {
            objects.trust_bundles = self.trust_bundles.all(&self.client).await?;
        }
        Ok(objects)
    }

    pub async fn certificate_request(&self, key: &ObjectKey) -> Result<Option<PodCertificateRequest>, client::Error> {
        Api::new(&self.client).find(key).await
    }

    /// Watches the objects from now on, and with `has_certificates` what becomes of this node's requests for them.
    pub fn watch(&self, namespace: &str, names: &References, has_certificates: bool, waker: Waker) -> Interest {
        let waker = Arc::new(waker);
        let key = |name: &String| ObjectKey::new(namespace, name);
        let config_maps = names.config_maps.iter().map(|n| self.config_maps.watch(&self.client, key(n), &waker));
        let mut watches: Vec<Arc<dyn Any + Send + Sync>> = config_maps.map(|w| w as Arc<dyn Any + Send + Sync>).collect();
        let secrets = names.secrets.iter().map(|n| self.secrets.watch(&self.client, key(n), &waker));
        watches.extend(secrets.map(|w| w as Arc<dyn Any + Send + Sync>));
        if names.trust_bundles {
            watches.push(self.trust_bundles.open(&self.client, all_of_them(), Selection::default(), &waker));
        }
        if has_certificates {
            watches.push(self.certificate_requests.open(&self.client, all_of_them(), self.of_node.clone(), &waker));
        }
        Interest { _watches: watches, _waker: waker }
    }
}

/// Stands among the names of single objects for a watch of many.
fn all_of_them() -> ObjectKey {
    ObjectKey::cluster("")
}

impl<K> Default for Watched<K> {
    fn default() -> Self {
        Watched(Mutex::default())
    }
}

impl<K: Kind> Watched<K> {
    async fn all(&self, client: &Client) -> Result<Vec<Arc<K>>, client::Error> {
        let watched = locked(&self.0).get(&all_of_them()).and_then(Weak::upgrade);
        if let Some(watched) = watched.filter(|w| w.cache.progress().borrow().is_synced) {
            return Ok(watched.cache.list());
        }
        Ok(Api::<K>::new(client).list(&Selection::default()).await?.items.unwrap_or_default().into_iter().map(Arc::new).collect())
    }

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
        let field_selector = format!("metadata.name={}", key.name);
        let selection = Selection { namespace: key.namespace.clone(), field_selector, ..Selection::default() };
        self.open(client, key, selection, waker)
    }

    fn open(&self, client: &Client, key: ObjectKey, selection: Selection, waker: &Arc<Waker>) -> Arc<WatchedObject<K>> {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|_, watched| watched.strong_count() > 0);
        let watched = watches.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let made = Arc::new(WatchedObject::new(client, selection));
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
    fn new(client: &Client, selection: Selection) -> Self {
        let informers = Informers::new(client.clone());
        let cache = informers.select::<K>(selection);
        let wakers: Arc<Mutex<Vec<Weak<Waker>>>> = Arc::default();
        let told = Arc::clone(&wakers);
        cache.on_change(move |_| {
            let awake: Vec<Arc<Waker>> = locked(&told).iter().filter_map(Weak::upgrade).collect();
            awake.iter().for_each(|wake| wake());
        });
        WatchedObject { cache, wakers, _informers: informers }
    }
}
