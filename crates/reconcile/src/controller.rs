//! `Controller`: one row for the driver. What it watches, which keys a change concerns, and its plan.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use object::key::ObjectKey;
use object::plan::{Failure, Plan, key_of};

use crate::cache::{Cache, Cached};
use crate::changed::Changed;
use crate::queue::Queue;

/// As upstream's `--concurrent-*-syncs` for most controllers.
const WORKERS: usize = 5;

/// What a plan is asked about.
#[derive(Clone, Debug)]
pub struct Ask {
    pub key: ObjectKey,
    pub now: Timestamp,
    /// How carrying out this key's last plan failed; `None` once one succeeded.
    pub failure: Option<Failure>,
}

pub(crate) type PlanFn = Arc<dyn Fn(Ask) -> BoxFuture<'static, Result<Plan, client::Error>> + Send + Sync>;

pub struct Controller {
    pub name: &'static str,
    /// The source of its events, in upstream's words (`replicaset-controller`).
    pub component: &'static str,
    pub(crate) n_workers: usize,
    pub(crate) sources: Vec<Source>,
    pub(crate) plan: PlanFn,
}

pub(crate) struct Source {
    pub(crate) attach: Box<dyn FnOnce(Arc<Queue>) + Send>,
    pub(crate) synced: BoxFuture<'static, ()>,
}

impl Controller {
    /// `plan` reads caches and decides at once.
    pub fn new(name: &'static str, component: &'static str, plan: impl Fn(Ask) -> Plan + Send + Sync + 'static) -> Self {
        Self::observing(name, component, move |ask| std::future::ready(Ok(plan(ask))))
    }

    /// For the few that must ask the server before they can decide.
    pub fn observing<F>(name: &'static str, component: &'static str, plan: impl Fn(Ask) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Plan, client::Error>> + Send + 'static,
    {
        Controller { name, component, n_workers: WORKERS, sources: Vec::new(), plan: Arc::new(move |ask| plan(ask).boxed()) }
    }

    #[must_use]
    pub fn workers(mut self, n: usize) -> Self {
        self.n_workers = n;
        self
    }

    /// Objects of this cache are the keys.
    #[must_use]
    pub fn watches<K: Cached>(self, cache: &Cache<K>) -> Self {
        self.maps(cache, |changed| vec![changed.key.clone()])
    }

    /// A change in this cache concerns the keys that `keys` names.
    #[must_use]
    pub fn maps<K: Cached>(mut self, cache: &Cache<K>, keys: impl Fn(&Changed<K>) -> Vec<ObjectKey> + Send + Sync + 'static) -> Self {
        let (attached, awaited) = (cache.clone(), cache.clone());
        let attach = move |queue: Arc<Queue>| {
            let keys = Arc::new(keys);
            let later = (Arc::clone(&keys), Arc::clone(&queue));
            attached.on_change(move |changed| (later.0)(changed).into_iter().for_each(|key| later.1.add(key)));
            for object in attached.list() {
                let changed = Changed { key: key_of(object.metadata()), old: None, new: Some(object) };
                keys(&changed).into_iter().for_each(|key| queue.add(key));
            }
        };
        self.sources.push(Source { attach: Box::new(attach), synced: async move { awaited.synced().await }.boxed() });
        self
    }

    /// The plan reads this cache, and its changes alone wake nobody.
    #[must_use]
    pub fn reads<K: Cached>(mut self, cache: &Cache<K>) -> Self {
        let awaited = cache.clone();
        self.sources.push(Source { attach: Box::new(|_| {}), synced: async move { awaited.synced().await }.boxed() });
        self
    }

    /// Keys from anywhere else: `attach` is handed the way to add them. Work begins once `synced` is over.
    #[must_use]
    pub fn fed(mut self, attach: impl FnOnce(Adder) + Send + 'static, synced: impl Future<Output = ()> + Send + 'static) -> Self {
        let attach = Box::new(move |queue| attach(Adder(queue)));
        self.sources.push(Source { attach, synced: synced.boxed() });
        self
    }
}

/// Adds keys to a controller's queue.
#[derive(Clone)]
pub struct Adder(Arc<Queue>);

impl Adder {
    pub fn add(&self, key: ObjectKey) {
        self.0.add(key);
    }
}

/// The key of the controlling owner when it is of kind `kind` (and group `group`).
pub fn controller_key(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta, group: &str, kind: &str) -> Option<ObjectKey> {
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let owner_group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    (owner.kind == kind && owner_group == group).then(|| ObjectKey::new(metadata.namespace.as_deref().unwrap_or(""), owner.name.as_str()))
}
