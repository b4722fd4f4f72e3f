//! Rows of the workloads.

use std::sync::Arc;

use client::api::Kind;
use control_workloads::replica_set::Replicated;
use control_workloads::{daemon_set, deployment, pods, replica_set, stateful_set};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector as Selector, ObjectMeta};
use object::key::ObjectKey;
use object::plan::{Plan, key_of};
use object::selector::LabelSelector;
use reconcile::cache::Cached;
use reconcile::controller::controller_key;
use reconcile::{Cache, Changed, Controller};

use crate::caches::{Caches, is_orphan, owner_entry};

pub(crate) fn replica_set(caches: &Arc<Caches>) -> Controller {
    let (planning, mapping) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("replicaset", "replicaset-controller", move |ask| {
        let caches = &planning;
        let Some(set) = caches.replica_sets.get(&ask.key) else { return Plan::nothing() };
        let view = replica_set::View {
            replica_set: &*set,
            pods: &Caches::candidates(&caches.pods_by_owner, &set.metadata, set.spec.selector.match_labels.as_ref()),
            related: &|| related(caches, &set),
            is_name_taken: &|name| caches.pods.get(&ObjectKey::new(ask.key.namespace.as_str(), name)).is_some(),
            failure: ask.failure.as_ref(),
        };
        replica_set::plan(&view, ask.now)
    })
    .watches(&caches.replica_sets)
    .maps(&caches.pods, move |changed| owners_of(changed, &mapping.replica_sets, |set, object| selects(&set.spec.selector, object)))
}

/// The pods of all sets that share this one's controller.
fn related(caches: &Caches, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    let siblings = caches.sets_by_owner.get(&owner_entry(&set.metadata));
    siblings.iter().flat_map(|sibling| caches.pods_by_owner.get(sibling.metadata.uid.as_deref().unwrap_or(""))).collect()
}

pub(crate) fn replication_controller(caches: &Arc<Caches>) -> Controller {
    let (planning, mapping) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("replicationcontroller", "replication-controller", move |ask| {
        let caches = &planning;
        let Some(controller) = caches.replication_controllers.get(&ask.key) else { return Plan::nothing() };
        let own = || caches.pods_by_owner.get(controller.metadata.uid.as_deref().unwrap_or(""));
        let view = replica_set::View {
            replica_set: &*controller,
            pods: &Caches::candidates(
                &caches.pods_by_owner,
                &controller.metadata,
                controller.spec.as_ref().and_then(|spec| spec.selector.as_ref()),
            ),
            related: &own,
            is_name_taken: &|name| caches.pods.get(&ObjectKey::new(ask.key.namespace.as_str(), name)).is_some(),
            failure: ask.failure.as_ref(),
        };
        replica_set::plan(&view, ask.now)
    })
    .watches(&caches.replication_controllers)
    .maps(&caches.pods, move |changed| {
        owners_of(changed, &mapping.replication_controllers, |controller, pod| {
            let labels = pod.labels.as_ref();
            controller.selector().matches_with(&|key| labels.and_then(|l| l.get(key)).map(String::as_str))
        })
    })
}

pub(crate) fn deployment(caches: &Arc<Caches>) -> Controller {
    let (planning, from_sets, from_pods) = (Arc::clone(caches), Arc::clone(caches), Arc::clone(caches));
    Controller::new("deployment", "deployment-controller", move |ask| {
        let caches = &planning;
        let Some(deployment) = caches.deployments.get(&ask.key) else { return Plan::nothing() };
        let view = deployment::View {
            deployment: &deployment,
            replica_sets: &Caches::candidates(&caches.sets_by_owner, &deployment.metadata, deployment.spec.selector.match_labels.as_ref()),
            pods_of: &|set| caches.pods_by_owner.get(set.metadata.uid.as_deref().unwrap_or("")),
            set_named: &|name| caches.replica_sets.get(&ObjectKey::new(ask.key.namespace.as_str(), name)),
            failure: ask.failure.as_ref(),
        };
        deployment::plan(&view, ask.now)
    })
    .watches(&caches.deployments)
    .maps(&caches.replica_sets, move |changed| {
        owners_of(changed, &from_sets.deployments, |deployment, object| selects(&deployment.spec.selector, object))
    })
    .maps(&caches.pods, move |changed| recreating_deployment(&from_pods, changed).into_iter().collect())
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

pub(crate) fn daemon_set(caches: &Arc<Caches>) -> Controller {
    let (planning, from_pods, from_revisions, from_nodes) =
        (Arc::clone(caches), Arc::clone(caches), Arc::clone(caches), Arc::clone(caches));
    Controller::new("daemonset", "daemonset-controller", move |ask| {
        let caches = &planning;
        let Some(set) = caches.daemon_sets.get(&ask.key) else { return Plan::nothing() };
        let in_namespace = |name: &str| ObjectKey::new(ask.key.namespace.as_str(), name);
        let view = daemon_set::View {
            daemon_set: &set,
            pods: &Caches::candidates(&caches.pods_by_owner, &set.metadata, set.spec.selector.match_labels.as_ref()),
            revisions: &Caches::candidates(&caches.revisions_by_owner, &set.metadata, set.spec.selector.match_labels.as_ref()),
            nodes: &caches.nodes.list(),
            is_pod_name_taken: &|name| caches.pods.get(&in_namespace(name)).is_some(),
            is_revision_name_taken: &|name| caches.revisions.get(&in_namespace(name)).is_some(),
        };
        daemon_set::plan(&view, ask.now)
    })
    .watches(&caches.daemon_sets)
    .maps(&caches.pods, move |changed| owners_of(changed, &from_pods.daemon_sets, |set, object| selects(&set.spec.selector, object)))
    .maps(&caches.revisions, move |changed| {
        owners_of(changed, &from_revisions.daemon_sets, |set, object| selects(&set.spec.selector, object))
    })
    .maps(&caches.nodes, move |changed| {
        let decisive = |node: &Node| (node.metadata.labels.clone(), node.spec.as_ref().and_then(|s| s.taints.clone()));
        if changed.old.as_ref().zip(changed.new.as_ref()).is_some_and(|(old, new)| decisive(old) == decisive(new)) {
            return Vec::new();
        }
        from_nodes.daemon_sets.list().iter().map(|set| key_of(&set.metadata)).collect()
    })
}

pub(crate) fn stateful_set(caches: &Arc<Caches>) -> Controller {
    let (planning, from_pods, from_revisions) = (Arc::clone(caches), Arc::clone(caches), Arc::clone(caches));
    Controller::new("statefulset", "statefulset-controller", move |ask| {
        let caches = &planning;
        let Some(set) = caches.stateful_sets.get(&ask.key) else { return Plan::nothing() };
        let in_namespace = |name: &str| ObjectKey::new(ask.key.namespace.as_str(), name);
        let view = stateful_set::View {
            stateful_set: &set,
            pods: &Caches::candidates(&caches.pods_by_owner, &set.metadata, set.spec.selector.match_labels.as_ref()),
            revisions: &Caches::candidates(&caches.revisions_by_owner, &set.metadata, set.spec.selector.match_labels.as_ref()),
            claim: &|name| caches.claims.get(&in_namespace(name)),
            is_revision_name_taken: &|name| caches.revisions.get(&in_namespace(name)).is_some(),
        };
        stateful_set::plan(&view, ask.now)
    })
    .watches(&caches.stateful_sets)
    .maps(&caches.pods, move |changed| owners_of(changed, &from_pods.stateful_sets, |set, object| selects(&set.spec.selector, object)))
    .maps(&caches.revisions, move |changed| {
        owners_of(changed, &from_revisions.stateful_sets, |set, object| selects(&set.spec.selector, object))
    })
    .reads(&caches.claims)
}

/// The controllers of a changed object before and after, and whoever might adopt it when it has none.
pub(crate) fn owners_of<K: Cached, O: Kind>(
    changed: &Changed<K>,
    owners: &Cache<O>,
    would_adopt: fn(&O, &ObjectMeta) -> bool,
) -> Vec<ObjectKey> {
    let mut keys: Vec<ObjectKey> = changed.sides().filter_map(|side| controller_key(side.metadata(), O::GROUP, O::KIND)).collect();
    if let Some(orphan) = changed.new.as_ref().filter(|object| is_orphan(object.metadata())) {
        let candidates = owners.list_in(&changed.key.namespace);
        let adopting = candidates.iter().filter(|owner| would_adopt(owner, orphan.metadata()));
        keys.extend(adopting.map(|owner| key_of(k8s_openapi::Metadata::metadata(&**owner))));
    }
    keys.dedup();
    keys
}

pub(crate) fn selects(selector: &Selector, metadata: &ObjectMeta) -> bool {
    let tree = serde_json::to_value(selector).expect("a selector is plain data");
    let labels = metadata.labels.as_ref();
    LabelSelector::from_object(&tree).is_ok_and(|s| s.matches_with(&|key| labels.and_then(|l| l.get(key)).map(String::as_str)))
}
