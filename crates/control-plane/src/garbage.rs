//! The row of the garbage collector: every kind's metadata flows into one graph, whose nodes are the keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use client::{Client, Error};
use control_cluster::garbage::{self, Graph, Item, Lookup};
use futures_util::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::Plan;
use reconcile::cache::AnyCache;
use reconcile::controller::Adder;
use reconcile::reduced::Reduced;
use reconcile::{Controller, Informers};

use crate::discovery::{Discovered, Served};
use crate::following::Follower;

/// A set of a thousand pods goes as fast as the server deletes.
const WORKERS: usize = 32;

struct Collector {
    client: Client,
    graph: Mutex<Graph>,
    /// By group and kind: where an owner of that kind would be.
    kinds: Mutex<BTreeMap<(String, String), Served>>,
    adder: OnceLock<Adder>,
}

/// The row, and how it takes up kinds that come later.
pub(crate) fn controller(informers: &Informers, client: &Client, served: &Discovered) -> (Controller, Follower) {
    let collector =
        Arc::new(Collector { client: client.clone(), graph: Mutex::default(), kinds: Mutex::default(), adder: OnceLock::new() });
    let planning = Arc::clone(&collector);
    let mut controller = Controller::observing("garbagecollector", "garbage-collector-controller", move |ask| {
        let collector = Arc::clone(&planning);
        async move { collector.plan(&ask.key.name).await }
    })
    .workers(WORKERS);
    for served in &served.resources {
        collector.learn(served);
        if is_collected(served) {
            controller = attach(controller, &collector, served, informers.metadata_of(&served.resource));
        }
    }
    let informers = informers.clone();
    let follower: Follower = Box::new(move |served| {
        collector.learn(served);
        if is_collected(served) {
            listen(&collector, served, &informers.metadata_of(&served.resource));
        }
    });
    (controller, follower)
}

/// Upstream ignores events: there are many, and nothing owns them.
fn is_collected(served: &Served) -> bool {
    ["list", "watch", "delete"].iter().all(|verb| served.can(verb)) && served.resource.resource != "events"
}

fn attach(controller: Controller, collector: &Arc<Collector>, served: &Served, cache: Arc<dyn AnyCache>) -> Controller {
    let (collector, served) = (Arc::clone(collector), served.clone());
    let mut progress = cache.progress();
    let feed = move |adder: Adder| {
        let _ = collector.adder.set(adder);
        listen(&collector, &served, &cache);
    };
    let synced = async move {
        let _ = progress.wait_for(|p| p.is_synced).await;
    };
    controller.fed(feed, synced)
}

fn listen(collector: &Arc<Collector>, served: &Served, cache: &Arc<dyn AnyCache>) {
    let (collector, resource, kind) = (Arc::clone(collector), Arc::new(served.resource.clone()), Arc::from(served.kind.as_str()));
    let take_in = move |old: Option<&ObjectMeta>, new: Option<&ObjectMeta>| {
        let affected = collector.take_in(&resource, &kind, old, new);
        let Some(adder) = collector.adder.get() else { return };
        affected.into_iter().for_each(|uid| adder.add(ObjectKey::cluster(uid)));
    };
    let take_in = Arc::new(take_in);
    let later = Arc::clone(&take_in);
    cache.on_metadata_change(Box::new(move |old, new| later(old, new)));
    cache.for_each_metadata(&mut |metadata| take_in(None, Some(metadata)));
}

impl Collector {
    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, served: &Served) {
        let kind = (served.resource.group.clone(), served.kind.clone());
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, served.clone());
    }

    fn place_of(&self, group: &str, kind: &str) -> Option<Served> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&(group.to_owned(), kind.to_owned())).cloned()
    }

    fn take_in(
        &self,
        resource: &Arc<GroupVersionResource>,
        kind: &Arc<str>,
        old: Option<&ObjectMeta>,
        new: Option<&ObjectMeta>,
    ) -> Vec<String> {
        let mut graph = self.graph();
        let mut affected = Vec::new();
        let uid = |metadata: Option<&ObjectMeta>| metadata.and_then(|m| m.uid.clone());
        // The same name may be another object by now.
        if uid(old) != uid(new) {
            affected.extend(uid(old).into_iter().flat_map(|gone| graph.remove(&gone)));
        }
        affected.extend(new.into_iter().flat_map(|metadata| graph.put(Item::new(resource, kind, metadata))));
        affected
    }

    async fn plan(&self, uid: &str) -> Result<Plan, Error> {
        let unknown = self.graph().unknown_owners(uid);
        let lookups = try_join_all(unknown.iter().map(|(item, owner)| self.look_up(item, owner))).await?;
        let found: BTreeMap<&str, Lookup> = unknown.iter().map(|(_, owner)| owner.uid.as_str()).zip(lookups).collect();
        // An owner that came up meanwhile is left for the next plan.
        let lookup = |owner: &OwnerReference| found.get(owner.uid.as_str()).copied().unwrap_or(Lookup::Unknown);
        Ok(garbage::plan(&self.graph(), uid, &lookup))
    }

    /// Asks the server for an owner where it would have to be.
    async fn look_up(&self, item: &Item, owner: &OwnerReference) -> Result<Lookup, Error> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let Some(served) = self.place_of(group, &owner.kind) else { return Ok(Lookup::Unknown) };
        if served.is_namespaced && item.key.namespace.is_empty() {
            return Ok(Lookup::Unknown);
        }
        let namespace = if served.is_namespaced { item.key.namespace.as_str() } else { "" };
        let path = served.resource.path(&ObjectKey::new(namespace, owner.name.as_str()));
        match self.client.get::<Reduced>(&path).await {
            Ok(found) if found.metadata.uid.as_deref() == Some(owner.uid.as_str()) => Ok(Lookup::Present),
            Ok(_) => Ok(Lookup::Absent),
            Err(e) if e.is_not_found() => Ok(Lookup::Absent),
            Err(e) => Err(e),
        }
    }
}
