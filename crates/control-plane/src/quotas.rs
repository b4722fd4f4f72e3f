//! The row of resource quotas.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use client::api::Kind;
use client::options::Selection;
use client::{Client, Error};
use control_cluster::quota::{self, usage};
use control_workloads::pods;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::key::{GroupResource, GroupVersionResource, ObjectKey};
use object::plan::{Plan, key_of};
use reconcile::cache::AnyCache;
use reconcile::controller::Adder;
use reconcile::reduced::Reduced;
use reconcile::{Ask, Changed, Controller, Informers};

use crate::caches::Caches;
use crate::discovery::{Discovered, Served};
use crate::following::Follower;

/// The kinds that can be counted, as far as they are known by now.
#[derive(Default)]
struct Kinds {
    all: Mutex<BTreeMap<GroupResource, (GroupVersionResource, Arc<dyn AnyCache>)>>,
    adder: OnceLock<Adder>,
}

impl Kinds {
    fn learn(&self, served: &Served, cache: &Arc<dyn AnyCache>) {
        let entry = (served.resource.clone(), Arc::clone(cache));
        self.all.lock().unwrap_or_else(PoisonError::into_inner).insert(served.resource.group_resource(), entry);
    }

    fn get(&self, resource: &GroupResource) -> Option<(GroupVersionResource, Arc<dyn AnyCache>)> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).get(resource).cloned()
    }
}

/// The row, and how it takes up kinds that come later.
pub(crate) fn quotas(caches: &Arc<Caches>, informers: &Informers, client: &Client, served: &Discovered) -> (Controller, Follower) {
    let kinds = Arc::<Kinds>::default();
    let (planning, counting) = (Arc::clone(caches), Arc::clone(&kinds));
    let concerned = |caches: &Arc<Caches>| {
        let caches = Arc::clone(caches);
        move |namespace: &str, is_of: fn(&str) -> bool| concerned(&caches, namespace, &is_of)
    };
    let (of_pods, of_services, of_claims) = (concerned(caches), concerned(caches), concerned(caches));
    let client = client.clone();
    let mut controller = Controller::observing("resourcequota", "resourcequota-controller", move |ask| {
        let (caches, kinds, client) = (Arc::clone(&planning), Arc::clone(&counting), client.clone());
        async move {
            let Some(quota) = caches.quotas.get(&ask.key) else { return Ok(Plan::nothing()) };
            let plan = on_caches(&caches, &kinds, &quota, &ask);
            if plan.changes.is_empty() { Ok(plan) } else { on_server(&client, &kinds, &quota, &ask).await }
        }
    })
    .watches(&caches.quotas)
    .maps(&caches.pods, move |changed| if is_decisive(changed) { of_pods(&changed.key.namespace, usage::is_of_pods) } else { Vec::new() })
    .maps(&caches.services, move |changed| of_services(&changed.key.namespace, usage::is_of_services))
    .maps(&caches.claims, move |changed| of_claims(&changed.key.namespace, usage::is_of_claims));
    for served in served.resources.iter().filter(|s| is_countable(s)) {
        let cache = informers.metadata_of(&served.resource);
        kinds.learn(served, &cache);
        controller = attach(controller, caches, &kinds, served, cache);
    }
    let (caches, informers) = (Arc::clone(caches), informers.clone());
    let follower: Follower = Box::new(move |served| {
        if is_countable(served) {
            let cache = informers.metadata_of(&served.resource);
            kinds.learn(served, &cache);
            listen(&caches, &kinds, served, &cache);
        }
    });
    (controller, follower)
}

fn on_caches(caches: &Caches, kinds: &Kinds, quota: &ResourceQuota, ask: &Ask) -> Plan {
    let namespace = ask.key.namespace.as_str();
    let view = quota::View {
        quota,
        pods: &caches.pods.list_in(namespace),
        services: &caches.services.list_in(namespace),
        claims: &caches.claims.list_in(namespace),
        count: &|resource| kinds.get(resource).map(|(_, cache)| cache.count_in(namespace)),
    };
    quota::plan(&view, ask.now)
}

/// A cache may lag behind what the quota was charged for, and its count would then give back what is in use. So what is written
/// was counted on the server after the quota was read; the quota's revision tells whether anything was charged since.
async fn on_server(client: &Client, kinds: &Kinds, quota: &ResourceQuota, ask: &Ask) -> Result<Plan, Error> {
    let namespace = ask.key.namespace.as_str();
    let hard = || quota.spec.iter().flat_map(|s| s.hard.iter().flatten()).map(|(name, _)| name.as_str());
    let pods = if hard().any(usage::is_of_pods) { all(client, namespace).await? } else { Vec::new() };
    let services = if hard().any(usage::is_of_services) { all(client, namespace).await? } else { Vec::new() };
    let claims = if hard().any(usage::is_of_claims) { all(client, namespace).await? } else { Vec::new() };
    let mut counts = BTreeMap::new();
    for resource in hard().filter_map(usage::counted_kind) {
        if let Some((served, _)) = kinds.get(&resource) {
            let list = client::api::list::<Reduced>(client, &served, &Selection::namespace(namespace)).await?;
            counts.insert(resource, list.items.map_or(0, |items| items.len()));
        }
    }
    let view = quota::View { quota, pods: &pods, services: &services, claims: &claims, count: &|resource| counts.get(resource).copied() };
    Ok(quota::plan(&view, ask.now))
}

async fn all<K: Kind>(client: &Client, namespace: &str) -> Result<Vec<Arc<K>>, Error> {
    let list = client::api::list::<K>(client, &GroupVersionResource::of::<K>(), &Selection::namespace(namespace)).await?;
    Ok(list.items.unwrap_or_default().into_iter().map(Arc::new).collect())
}

fn is_countable(served: &Served) -> bool {
    let can = ["create", "list", "watch", "delete"].iter().all(|verb| served.can(verb));
    served.is_namespaced && can && served.resource.resource != "events"
}

/// Quotas of the namespace that limit something of this sort.
fn concerned(caches: &Caches, namespace: &str, is_of: &dyn Fn(&str) -> bool) -> Vec<ObjectKey> {
    let names_it = |quota: &ResourceQuota| quota.spec.iter().flat_map(|s| s.hard.iter().flatten()).any(|(name, _)| is_of(name));
    let quotas = caches.quotas.list_in(namespace);
    quotas.iter().filter(|quota| names_it(quota)).map(|quota| key_of(&quota.metadata)).collect()
}

/// Whether the pod costs something else than before.
fn is_decisive(changed: &Changed<Pod>) -> bool {
    let cost = |pod: &Pod| (pods::is_finished(pod), usage::free_at(pod), usage::of_pod(pod, Timestamp::UNIX_EPOCH));
    changed.old.as_ref().zip(changed.new.as_ref()).is_none_or(|(old, new)| cost(old) != cost(new))
}

fn attach(controller: Controller, caches: &Arc<Caches>, kinds: &Arc<Kinds>, served: &Served, cache: Arc<dyn AnyCache>) -> Controller {
    let (caches, kinds, served) = (Arc::clone(caches), Arc::clone(kinds), served.clone());
    let mut progress = cache.progress();
    let feed = move |adder: Adder| {
        let _ = kinds.adder.set(adder);
        listen(&caches, &kinds, &served, &cache);
    };
    let synced = async move {
        let _ = progress.wait_for(|p| p.is_synced).await;
    };
    controller.fed(feed, synced)
}

/// Objects that come and go are counted.
fn listen(caches: &Arc<Caches>, kinds: &Arc<Kinds>, served: &Served, cache: &Arc<dyn AnyCache>) {
    let (caches, kinds, resource) = (Arc::clone(caches), Arc::clone(kinds), served.resource.group_resource());
    cache.on_metadata_change(Box::new(move |old: Option<&ObjectMeta>, new: Option<&ObjectMeta>| {
        let (Some(one), None) = (old.or(new), old.and(new)) else { return };
        let Some(adder) = kinds.adder.get() else { return };
        let namespace = one.namespace.as_deref().unwrap_or("");
        let counts = |name: &str| usage::counted_kind(name).as_ref() == Some(&resource);
        concerned(&caches, namespace, &counts).into_iter().for_each(|key| adder.add(key));
    }));
}
