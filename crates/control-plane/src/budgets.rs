//! The row of disruption budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use control_cluster::disruption;
use control_workloads::pods;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use object::key::ObjectKey;
use object::plan::{Plan, key_of};
use object::selector::LabelSelector;
use reconcile::controller::controller_key;
use reconcile::{Changed, Controller};

use crate::caches::Caches;

pub(crate) fn budgets(caches: &Arc<Caches>) -> Controller {
    let (planning, mapping) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("disruption", "controllermanager", move |ask| {
        let Some(budget) = planning.budgets.get(&ask.key) else { return Plan::nothing() };
        let mut pods = planning.pods.list_in(&ask.key.namespace);
        pods.retain(|pod| selects(&budget, pod));
        let wanted = wanted(&planning, &pods);
        disruption::plan(&disruption::View { budget: &budget, pods: &pods, wanted }, ask.now)
    })
    .watches(&caches.budgets)
    .maps(&caches.pods, move |changed| budgets_of(&mapping, changed))
    .reads(&caches.replica_sets)
    .reads(&caches.replication_controllers)
    .reads(&caches.deployments)
    .reads(&caches.stateful_sets)
}

fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
    let tree = serde_json::to_value(selector).expect("a selector is plain data");
    let labels = pod.metadata.labels.as_ref();
    LabelSelector::from_object(&tree).is_ok_and(|s| s.matches_with(&|key| labels.and_then(|l| l.get(key)).map(String::as_str)))
}

fn budgets_of(caches: &Caches, changed: &Changed<Pod>) -> Vec<ObjectKey> {
    let counts = |pod: &Pod| (pods::is_ready(pod), pods::is_leaving(pod), pods::is_finished(pod), pod.metadata.labels.clone());
    if changed.old.as_ref().zip(changed.new.as_ref()).is_some_and(|(old, new)| counts(old) == counts(new)) {
        return Vec::new();
    }
    let budgets = caches.budgets.list_in(&changed.key.namespace);
    let concerned = budgets.iter().filter(|budget| changed.sides().any(|pod| selects(budget, pod)));
    concerned.map(|budget| key_of(&budget.metadata)).collect()
}

/// How many pods the controllers of these pods want. Pods without a controller count for nothing, as upstream has it.
fn wanted(caches: &Caches, pods: &[Arc<Pod>]) -> Result<i32, String> {
    let mut by_controller: BTreeMap<(&str, ObjectKey), i32> = BTreeMap::new();
    for pod in pods {
        let Some(owner) = pod.metadata.owner_references.iter().flatten().find(|o| o.controller == Some(true)) else { continue };
        if let Some(set) = controller_key(&pod.metadata, "apps", "StatefulSet").and_then(|key| caches.stateful_sets.get(&key)) {
            by_controller.insert(("StatefulSet", key_of(&set.metadata)), set.spec.replicas.unwrap_or(1));
            continue;
        }
        let key = controller_key(&pod.metadata, "", "ReplicationController");
        if let Some(controller) = key.and_then(|key| caches.replication_controllers.get(&key)) {
            let replicas = controller.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
            by_controller.insert(("ReplicationController", key_of(&controller.metadata)), replicas);
            continue;
        }
        let set = controller_key(&pod.metadata, "apps", "ReplicaSet").and_then(|key| caches.replica_sets.get(&key));
        let Some(set) = set else {
            return Err(format!("{}/{} {} does not implement the scale subresource", owner.api_version, owner.kind, owner.name));
        };
        let deployment = controller_key(&set.metadata, "apps", "Deployment").and_then(|key| caches.deployments.get(&key));
        match deployment {
            Some(deployment) => by_controller.insert(("Deployment", key_of(&deployment.metadata)), deployment.spec.replicas.unwrap_or(1)),
            None => by_controller.insert(("ReplicaSet", key_of(&set.metadata)), set.spec.replicas.unwrap_or(1)),
        };
    }
    Ok(by_controller.into_values().sum())
}
