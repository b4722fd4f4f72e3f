//! ReplicaSet, and ReplicationController before it: as many pods of one template as asked for.
//!
//! ```text
//!   claim pods --> too few: create | too many: delete, least wanted first
//!        |                            (nothing of both while the set is being deleted)
//!        +-------> status from what is seen
//! ```

mod forms;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use object::plan::{Change, Failure, Note, Plan, Reference, Write};

pub use self::forms::Replicated;
use crate::claims::{self, Claim};
use crate::{pods, ranking, template};
use object::fresh::{Seed, fresh};

/// More are left for the next plan, which follows at once. Upstream's burst is 500.
const CHANGES_MAX: usize = 2000;

pub struct View<'a, K> {
    pub replica_set: &'a K,
    /// Pods it controls, and pods of its namespace that nobody controls.
    pub pods: &'a [Arc<Pod>],
    /// All pods of the sets that share this one's controller; asked for only when pods must go.
    pub related: &'a dyn Fn() -> Vec<Arc<Pod>>,
    /// Whether a pod of that name is there.
    pub is_name_taken: &'a dyn Fn(&str) -> bool,
    pub failure: Option<&'a Failure>,
}

pub fn plan<K: Replicated>(view: &View<'_, K>, now: Timestamp) -> Plan {
    let set = view.replica_set;
    let mut plan = Plan::nothing();
    let active = claimed_active(view, &mut plan);
    let leaving = view.pods.iter().filter(|p| is_kept(set, p) && pods::is_leaving(p) && !pods::is_finished(p)).count();
    let wanted = set.replicas().unwrap_or(1).max(0) as usize;
    if set.metadata().deletion_timestamp.is_none() {
        if active.len() < wanted {
            plan.changes.extend(creations(view, wanted - active.len()));
        } else if active.len() > wanted && plan.changes.is_empty() {
            // A pod that is adopted just now goes with the next plan: one change an object.
            plan.changes.extend(deletions(view, &active, active.len() - wanted, now));
        }
    }
    let status = status(view, &active, leaving, now);
    let told = set.with_status(status);
    if told != *set {
        plan.changes.push(Change::update_status(&told));
    }
    let min_ready_seconds = set.min_ready_seconds().unwrap_or(0);
    let soonest = active.iter().filter_map(|pod| pods::available_at(pod, min_ready_seconds)).filter(|at| *at > now).min();
    soonest.into_iter().for_each(|at| plan.wake_by(at));
    plan
}

fn is_kept<K: Replicated>(set: &K, pod: &Pod) -> bool {
    claims::controller_of(&pod.metadata).is_some_and(|owner| Some(&owner.uid) == set.metadata().uid.as_ref())
}

/// The set's own active pods, adopted ones among them; adoption and release are put into the plan.
fn claimed_active<K: Replicated>(view: &View<'_, K>, plan: &mut Plan) -> Vec<Arc<Pod>> {
    let set = view.replica_set;
    let selector = set.selector();
    let mut active = Vec::new();
    for pod in view.pods.iter().filter(|pod| pods::is_active(pod)) {
        match claims::claim(set.metadata(), &selector, &pod.metadata) {
            Claim::Kept => active.push(Arc::clone(pod)),
            Claim::Adopted => {
                plan.changes.push(claims::adopt(set, &**pod));
                active.push(Arc::clone(pod));
            }
            Claim::Released => plan.changes.push(claims::release(set, &**pod)),
            Claim::Foreign => {}
        }
    }
    active
}

fn creations<K: Replicated>(view: &View<'_, K>, n: usize) -> Vec<Change> {
    let set = view.replica_set;
    let Some(wanted) = set.template() else { return Vec::new() };
    let set_name = set.metadata().name.as_deref().unwrap_or("");
    let pod = serde_json::to_value(template::pod(set, wanted)).expect("a pod is plain data");
    let about = Reference::of(set);
    fresh(&template::generate_name(set_name), seed(view), view.is_name_taken)
        .take(n.min(CHANGES_MAX))
        .map(|name| {
            let mut object = pod.clone();
            object::meta::set(&mut object, "name", name.as_str());
            let create = Write::Create { resource: object::key::GroupVersionResource::of::<Pod>(), object };
            Change::from(create)
                .telling(Note::normal(about.clone(), "SuccessfulCreate", format!("Created pod: {name}")))
                .telling_failure(Note::warning(about.clone(), "FailedCreate", "Error creating: "))
        })
        .collect()
}

fn seed<K: Replicated>(view: &View<'_, K>) -> Seed {
    let metadata = view.replica_set.metadata();
    let mut seed = Seed::new();
    for text in [&metadata.uid, &metadata.resource_version].into_iter().flatten() {
        seed = seed.with(text);
    }
    let mut uids: Vec<&str> = view.pods.iter().filter_map(|p| p.metadata.uid.as_deref()).collect();
    uids.sort_unstable();
    uids.into_iter().fold(seed, Seed::with)
}

fn deletions<K: Replicated>(view: &View<'_, K>, active: &[Arc<Pod>], n: usize, now: Timestamp) -> Vec<Change> {
    let about = Reference::of(view.replica_set);
    // When all must go there is nothing to rank.
    let ordered = if n == active.len() { active.to_vec() } else { ranking::in_order_of_deletion(active, &(view.related)(), now) };
    let going = ordered.iter().take(n.min(CHANGES_MAX));
    going
        .map(|pod| {
            let name = pod.metadata.name.as_deref().unwrap_or("");
            Change::delete(&**pod)
                .telling(Note::normal(about.clone(), "SuccessfulDelete", format!("Deleted pod: {name}")))
                .telling_failure(Note::warning(about.clone(), "FailedDelete", "Error deleting: "))
        })
        .collect()
}

fn status<K: Replicated>(view: &View<'_, K>, active: &[Arc<Pod>], n_leaving: usize, now: Timestamp) -> ReplicaSetStatus {
    let set = view.replica_set;
    let template_labels = set.template().and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.clone()).unwrap_or_default();
    let min_ready_seconds = set.min_ready_seconds().unwrap_or(0);
    let is_fully_labeled =
        |pod: &Pod| template_labels.iter().all(|(k, v)| pod.metadata.labels.as_ref().is_some_and(|labels| labels.get(k) == Some(v)));
    let count = |is: &dyn Fn(&Pod) -> bool| active.iter().filter(|pod| is(pod)).count() as i32;
    let conditions = conditions(set.status().conditions, view.failure, now);
    ReplicaSetStatus {
        replicas: active.len() as i32,
        fully_labeled_replicas: nonzero(count(&is_fully_labeled)),
        ready_replicas: nonzero(count(&pods::is_ready)),
        available_replicas: nonzero(count(&|pod| pods::is_available(pod, min_ready_seconds, now))),
        terminating_replicas: Some(n_leaving as i32),
        observed_generation: set.metadata().generation,
        conditions,
    }
}

/// Upstream leaves zeros out of JSON.
pub(crate) fn nonzero(n: i32) -> Option<i32> {
    (n != 0).then_some(n)
}

const REPLICA_FAILURE: &str = "ReplicaFailure";

fn conditions(old: Option<Vec<ReplicaSetCondition>>, failure: Option<&Failure>, now: Timestamp) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = old.unwrap_or_default();
    let known = conditions.iter().any(|c| c.type_.as_deref() == Some(REPLICA_FAILURE));
    match failure.filter(|f| matches!(f.reason, "FailedCreate" | "FailedDelete")) {
        Some(failure) if !known => conditions.push(ReplicaSetCondition {
            type_: Some(REPLICA_FAILURE.to_owned()),
            status: Some("True".to_owned()),
            last_transition_time: Some(pods::whole_seconds(now)),
            reason: Some(failure.reason.to_owned()),
            message: Some(failure.message.clone()),
        }),
        Some(_) => {}
        None => conditions.retain(|c| c.type_.as_deref() != Some(REPLICA_FAILURE)),
    }
    (!conditions.is_empty()).then_some(conditions)
}
