//! The row of the garbage collector: every kind's metadata flows into one graph, whose nodes are the keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client::{Client, Error};
use control_cluster::garbage::{self, Graph, Item, Lookup};
use futures_util::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::Plan;
use reconcile::cache::AnyCache;
use reconcile::reduced::Reduced;
use reconcile::{Controller, Informers};

use crate::discovery::{Discovered, Served};

/// A set of a thousand pods goes as fast as the server deletes.
const WORKERS: usize = 32;

struct Collector {
    client: Client,
    graph: Mutex<Graph>,
    /// By group and kind: where an owner of that kind would be.
    kinds: BTreeMap<(String, String), Served>,
}

pub(crate) fn controller(informers: &Informers, client: &Client, served: &Discovered) -> Controller {
    let kinds = served.resources.iter().map(|s| ((s.resource.group.clone(), s.kind.clone()), s.clone())).collect();
    let collector = Arc::new(Collector { client: client.clone(), graph: Mutex::default(), kinds });
    let planning = Arc::clone(&collector);
    let mut controller = Controller::observing("garbagecollector", "garbage-collector-controller", move |ask| {
        let collector = Arc::clone(&planning);
        async move { collector.plan(&ask.key.name).await }
    })
    .workers(WORKERS);
    for served in served.resources.iter().filter(|s| is_collected(s)) {
        let cache = informers.metadata_of(&served.resource);
        controller = attach(controller, &collector, served, cache);
    }
    controller
}

/// Upstream ignores events: there are many, and nothing owns them.
fn is_collected(served: &Served) -> bool {
    ["list", "watch", "delete"].iter().all(|verb| served.can(verb)) && served.resource.resource != "events"
}

fn attach(controller: Controller, collector: &Arc<Collector>, served: &Served, cache: Arc<dyn AnyCache>) -> Controller {
    let collector = Arc::clone(collector);
    let (resource, kind) = (served.resource.clone(), served.kind.clone());
    let mut progress = cache.progress();
    let feed = move |adder: reconcile::controller::Adder| {
        let take_in = move |old: Option<&ObjectMeta>, new: Option<&ObjectMeta>| {
            let affected = collector.take_in(&resource, &kind, old, new);
            affected.into_iter().for_each(|uid| adder.add(ObjectKey::cluster(uid)));
        };
        let take_in = Arc::new(take_in);
        let later = Arc::clone(&take_in);
        cache.on_metadata_change(Box::new(move |old, new| later(old, new)));
        cache.for_each_metadata(&mut |metadata| take_in(None, Some(metadata)));
    };
    let synced = async move {
        let _ = progress.wait_for(|p| p.is_synced).await;
    };
    controller.fed(feed, synced)
}

impl Collector {
    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, resource: &GroupVersionResource, kind: &str, old: Option<&ObjectMeta>, new: Option<&ObjectMeta>) -> Vec<String> {
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
        let Some(served) = self.kinds.get(&(group.to_owned(), owner.kind.clone())) else { return Ok(Lookup::Unknown) };
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
