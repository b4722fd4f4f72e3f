//! Rows of the workloads.

use std::sync::Arc;

use control_workloads::{deployment, pods, replica_set};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector as Selector, ObjectMeta};
use object::key::ObjectKey;
use object::plan::{Plan, key_of};
use object::selector::LabelSelector;
use reconcile::controller::controller_key;
use reconcile::{Changed, Controller};

use crate::caches::Caches;

pub(crate) fn replica_set(caches: &Arc<Caches>) -> Controller {
    let (planning, mapping) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("replicaset", "replicaset-controller", move |ask| {
        let caches = &planning;
        let Some(set) = caches.replica_sets.get(&ask.key) else { return Plan::nothing() };
        let view = replica_set::View {
            replica_set: &set,
            pods: &Caches::candidates(&caches.pods_by_owner, &set.metadata),
            related: &|| related(caches, &set),
            is_name_taken: &|name| caches.pods.get(&ObjectKey::new(ask.key.namespace.as_str(), name)).is_some(),
            failure: ask.failure.as_ref(),
        };
        replica_set::plan(&view, ask.now)
    })
    .watches(&caches.replica_sets)
    .maps(&caches.pods, move |changed| sets_of(&mapping, changed))
}

/// The pods of all sets that share this one's controller.
fn related(caches: &Caches, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    let siblings = caches.sets_by_owner.get(&crate::caches::owner_entry(&set.metadata));
    siblings.iter().flat_map(|sibling| caches.pods_by_owner.get(sibling.metadata.uid.as_deref().unwrap_or(""))).collect()
}

fn sets_of(caches: &Caches, changed: &Changed<Pod>) -> Vec<ObjectKey> {
    let mut keys: Vec<ObjectKey> = changed.sides().filter_map(|pod| controller_key(&pod.metadata, "apps", "ReplicaSet")).collect();
    if let Some(orphan) = changed.new.as_ref().filter(|pod| is_orphan(&pod.metadata)) {
        let sets = caches.replica_sets.list_in(&changed.key.namespace);
        keys.extend(sets.iter().filter(|set| selects(&set.spec.selector, &orphan.metadata)).map(|set| key_of(&set.metadata)));
    }
    keys.dedup();
    keys
}

pub(crate) fn deployment(caches: &Arc<Caches>) -> Controller {
    let (planning, from_sets, from_pods) = (Arc::clone(caches), Arc::clone(caches), Arc::clone(caches));
    Controller::new("deployment", "deployment-controller", move |ask| {
        let caches = &planning;
        let Some(deployment) = caches.deployments.get(&ask.key) else { return Plan::nothing() };
        let view = deployment::View {
            deployment: &deployment,
            replica_sets: &Caches::candidates(&caches.sets_by_owner, &deployment.metadata),
            pods_of: &|set| caches.pods_by_owner.get(set.metadata.uid.as_deref().unwrap_or("")),
            set_named: &|name| caches.replica_sets.get(&ObjectKey::new(ask.key.namespace.as_str(), name)),
            failure: ask.failure.as_ref(),
        };
        deployment::plan(&view, ask.now)
    })
    .watches(&caches.deployments)
    .maps(&caches.replica_sets, move |changed| deployments_of(&from_sets, changed))
    .maps(&caches.pods, move |changed| recreating_deployment(&from_pods, changed).into_iter().collect())
}

fn deployments_of(caches: &Caches, changed: &Changed<ReplicaSet>) -> Vec<ObjectKey> {
    let mut keys: Vec<ObjectKey> = changed.sides().filter_map(|set| controller_key(&set.metadata, "apps", "Deployment")).collect();
    if let Some(orphan) = changed.new.as_ref().filter(|set| is_orphan(&set.metadata)) {
        let all = caches.deployments.list_in(&changed.key.namespace);
        keys.extend(all.iter().filter(|d| selects(&d.spec.selector, &orphan.metadata)).map(|d| key_of(&d.metadata)));
    }
    keys.dedup();
    keys
}

/// `Recreate` waits for each old pod to be gone, which no status of a set tells.
fn recreating_deployment(caches: &Caches, changed: &Changed<Pod>) -> Option<ObjectKey> {
    let old = changed.old.as_ref().filter(|_| changed.new.as_ref().is_none_or(|pod| pods::is_finished(pod)))?;
    let set = caches.replica_sets.get(&controller_key(&old.metadata, "apps", "ReplicaSet")?)?;
    let deployment = caches.deployments.get(&controller_key(&set.metadata, "apps", "Deployment")?)?;
    is_recreate(&deployment).then(|| key_of(&deployment.metadata))
}

fn is_recreate(deployment: &Deployment) -> bool {
    deployment.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("Recreate")
}

fn is_orphan(metadata: &ObjectMeta) -> bool {
    !metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true))
}

fn selects(selector: &Selector, metadata: &ObjectMeta) -> bool {
    let tree = serde_json::to_value(selector).expect("a selector is plain data");
    let labels = metadata.labels.as_ref();
    LabelSelector::from_object(&tree).is_ok_and(|s| s.matches_with(&|key| labels.and_then(|l| l.get(key)).map(String::as_str)))
}
