//! StatefulSet: pods with numbers, names, and claims of their own.
//!
//! ```text
//!   replicas in order:   ended --> delete | missing --> claims, create | not ready --> wait (OrderedReady)
//!   too many, from the highest: delete, one at a time once all before it are healthy (OrderedReady)
//!   older template, from the highest down to the partition: delete within maxUnavailable
//! ```

mod identity;
mod storage;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use object::plan::{Change, Note, Plan, Reference};

use crate::claims::{self, Claim};
use crate::replica_set::nonzero;
use crate::revisions::{self, Current, History, REVISION_LABEL, label};
use crate::rounding::{Round, scaled};
use crate::{pods, template};

const HASH_LABEL: &str = "controller.kubernetes.io/hash";

pub struct View<'a> {
    pub stateful_set: &'a StatefulSet,
    /// Pods it controls, and pods of its namespace that nobody controls.
    pub pods: &'a [Arc<Pod>],
    pub revisions: &'a [Arc<ControllerRevision>],
    /// The claim of that name in its namespace.
    pub claim: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    pub is_revision_name_taken: &'a dyn Fn(&str) -> bool,
}

struct Replicas<'a> {
    view: &'a View<'a>,
    set: &'a StatefulSet,
    /// Its pods by number.
    pods: BTreeMap<i32, Arc<Pod>>,
    /// Name and template of the revision that a rollout starts from, and of the one it goes to.
    current: (String, PodTemplateSpec),
    update: (String, PodTemplateSpec),
    now: Timestamp,
}

/// Whether a step leaves room for the next one in the same plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    GoOn,
    Wait,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let set = view.stateful_set;
    let mut plan = Plan::nothing();
    let selector = claims::selector(Some(&set.spec.selector));
    let collision_count = set.status.as_ref().and_then(|s| s.collision_count);
    let history = History::new(set, &set.spec.template, collision_count, HASH_LABEL, &selector, view.revisions, &mut plan);
    let mut pods = BTreeMap::new();
    for pod in view.pods {
        let ordinal = identity::ordinal(set, pod);
        match (claims::claim(&set.metadata, &selector, &pod.metadata), ordinal) {
            (Claim::Kept, Some(ordinal)) => drop(pods.insert(ordinal, Arc::clone(pod))),
            // A name that is not of this set is not adopted: it could have no number.
            (Claim::Adopted, Some(_)) => plan.changes.push(claims::adopt(set, &**pod)),
            (Claim::Released, _) => plan.changes.push(claims::release(set, &**pod)),
            _ => {}
        }
    }
    if set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let update = match history.current(view.is_revision_name_taken, &mut plan) {
        Current::Known(revision) => revision,
        Current::Collided => {
            let status =
                StatefulSetStatus { collision_count: Some(collision_count.unwrap_or(0) + 1), ..set.status.clone().unwrap_or_default() };
            plan.changes.push(Change::update_status(&StatefulSet { status: Some(status), ..set.clone() }));
            return plan;
        }
    };
    let name = |revision: &ControllerRevision| revision.metadata.name.clone().unwrap_or_default();
    let started_from = set.status.as_ref().and_then(|s| s.current_revision.as_deref()).and_then(|name| history.named(name));
    let current = started_from.and_then(|revision| Some((name(revision), revisions::template_of(revision)?)));
    let update = (name(&update), set.spec.template.clone());
    let replicas = Replicas { view, set, pods, current: current.unwrap_or_else(|| update.clone()), update, now };
    replicas.step(&mut plan);
    replicas.tell(&mut plan);
    let in_use = |revision: &ControllerRevision| {
        let name = name(revision);
        [&replicas.current.0, &replicas.update.0].contains(&&name)
            || replicas.pods.values().any(|pod| label(&pod.metadata, REVISION_LABEL) == name)
    };
    history.clean_up(set.spec.revision_history_limit, &in_use, &mut plan);
    plan
}

impl Replicas<'_> {
    fn range(&self) -> std::ops::Range<i32> {
        let start = identity::start(self.set);
        start..start + self.set.spec.replicas.unwrap_or(1).max(0)
    }

    fn is_ordered(&self) -> bool {
        self.set.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && pods::is_available(pod, self.set.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !pods::is_leaving(pod)
    }

    fn step(&self, plan: &mut Plan) {
        if self.fill(plan) == Step::Wait || self.shrink(plan) == Step::Wait {
            return;
        }
        self.roll(plan);
    }

    /// Replicas from the lowest: each must be there and, when ordered, healthy before the next.
    fn fill(&self, plan: &mut Plan) -> Step {
        for ordinal in self.range() {
            let step = match self.pods.get(&ordinal) {
                None => {
                    self.create(ordinal, plan);
                    Step::Wait
                }
                Some(pod) if pods::is_finished(pod) => {
                    self.replace_ended(pod, plan);
                    Step::Wait
                }
                Some(pod) => {
                    storage::keep_claims(self, ordinal, None, plan);
                    self.keep_identity(ordinal, pod, plan);
                    if self.is_healthy(pod) { Step::GoOn } else { Step::Wait }
                }
            };
            if step == Step::Wait && self.is_ordered() {
                return Step::Wait;
            }
        }
        Step::GoOn
    }

    /// Pods beyond the wanted ones, from the highest.
    fn shrink(&self, plan: &mut Plan) -> Step {
        let range = self.range();
        let condemned: Vec<(&i32, &Arc<Pod>)> = self.pods.iter().rev().filter(|(ordinal, _)| !range.contains(ordinal)).collect();
        // The lowest of all that are not healthy may go although it is not ready.
        let first_unhealthy = self.pods.values().find(|pod| !self.is_healthy(pod)).map(|pod| &pod.metadata.name);
        for (ordinal, pod) in condemned {
            storage::keep_claims(self, *ordinal, Some(pod), plan);
            if !pods::is_leaving(pod) {
                let must_wait = !self.is_available(pod) && first_unhealthy != Some(&pod.metadata.name);
                if self.is_ordered() && must_wait {
                    return Step::Wait;
                }
                plan.changes.push(self.delete(pod));
            }
            if self.is_ordered() {
                return Step::Wait;
            }
        }
        Step::GoOn
    }

    /// Pods of another revision, from the highest down to the partition.
    fn roll(&self, plan: &mut Plan) {
        let strategy = self.set.spec.update_strategy.as_ref();
        if strategy.and_then(|s| s.type_.as_deref()) == Some("OnDelete") {
            return;
        }
        let rolling = strategy.and_then(|s| s.rolling_update.clone()).unwrap_or_default();
        let targets = || self.range().rev().filter(|ordinal| *ordinal >= identity::start(self.set) + rolling.partition.unwrap_or(0));
        let n_unhealthy = targets().filter(|o| self.pods.get(o).is_none_or(|pod| !self.is_healthy(pod))).count();
        let mut room = self.unavailable_max(&rolling).saturating_sub(n_unhealthy);
        for pod in targets().filter_map(|ordinal| self.pods.get(&ordinal)) {
            let is_old = label(&pod.metadata, REVISION_LABEL) != self.update.0;
            if is_old && !pods::is_leaving(pod) && (room > 0 || !self.is_healthy(pod)) {
                room = room.saturating_sub(usize::from(self.is_healthy(pod)));
                plan.changes.retain(|change| !touches(change, pod));
                plan.changes.push(self.delete(pod));
            }
        }
    }

    fn unavailable_max(&self, rolling: &RollingUpdateStatefulSetStrategy) -> usize {
        let max = match &rolling.max_unavailable {
            None => 1,
            some => scaled(some.as_ref(), self.set.spec.replicas.unwrap_or(1), Round::Up),
        };
        usize::try_from(max.max(1)).unwrap_or(1)
    }

    fn create(&self, ordinal: i32, plan: &mut Plan) {
        let about = Reference::of(self.set);
        let set_name = &about.name;
        storage::make_claims(self, ordinal, plan);
        let (revision, wanted) = self.revision_of(ordinal);
        let mut pod = template::pod(self.set, wanted);
        identity::give(self.set, ordinal, revision, &mut pod);
        let name = identity::name(self.set, ordinal);
        let done = Note::normal(about.clone(), "SuccessfulCreate", format!("create Pod {name} in StatefulSet {set_name} successful"));
        let failed = Note::warning(about.clone(), "FailedCreate", format!("create Pod {name} in StatefulSet {set_name} failed error: "));
        plan.changes.push(Change::create(&pod).telling(done).telling_failure(failed));
    }

    /// Below the partition, and before anything was updated, new pods are of the current revision.
    fn revision_of(&self, ordinal: i32) -> (&str, &PodTemplateSpec) {
        let strategy = self.set.spec.update_strategy.as_ref();
        let is_rolling = strategy.and_then(|s| s.type_.as_deref()) != Some("OnDelete");
        let n_current = match strategy.and_then(|s| s.rolling_update.as_ref()).and_then(|r| r.partition).filter(|_| is_rolling) {
            Some(partition) => partition,
            None => self.set.status.as_ref().and_then(|s| s.current_replicas).unwrap_or(0),
        };
        let (name, template) = if ordinal < identity::start(self.set) + n_current { &self.current } else { &self.update };
        (name, template)
    }

    fn replace_ended(&self, pod: &Arc<Pod>, plan: &mut Plan) {
        if pods::is_leaving(pod) {
            return;
        }
        let key = object::plan::key_of(&self.set.metadata);
        let name = pod.metadata.name.as_deref().unwrap_or("");
        let about = Reference::of(self.set);
        plan.notes.push(if pods::phase(pod) == "Failed" {
            Note::warning(about, "RecreatingFailedPod", format!("StatefulSet {key} is recreating failed Pod {name}"))
        } else {
            Note::normal(about, "RecreatingTerminatedPod", format!("StatefulSet {key} is recreating terminated Pod {name}"))
        });
        plan.changes.push(self.delete(pod));
    }

    fn delete(&self, pod: &Pod) -> Change {
        let about = Reference::of(self.set);
        let name = pod.metadata.name.as_deref().unwrap_or("");
        let set_name = &about.name;
        let done = Note::normal(about.clone(), "SuccessfulDelete", format!("delete Pod {name} in StatefulSet {set_name} successful"));
        let failed = Note::warning(about.clone(), "FailedDelete", format!("delete Pod {name} in StatefulSet {set_name} failed error: "));
        Change::delete(pod).telling(done).telling_failure(failed)
    }

    fn keep_identity(&self, ordinal: i32, pod: &Pod, plan: &mut Plan) {
        plan.changes.extend(identity::mended(self.set, ordinal, pod));
    }

    fn tell(&self, plan: &mut Plan) {
        let mut status = self.counted();
        let wanted = self.set.spec.replicas.unwrap_or(1);
        let is_rolling = self.set.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref()) != Some("OnDelete");
        let is_complete =
            status.updated_replicas.unwrap_or(0) == wanted && status.replicas == wanted && status.ready_replicas.unwrap_or(0) == wanted;
        if is_rolling && is_complete {
            status.current_replicas = status.updated_replicas;
            status.current_revision.clone_from(&status.update_revision);
        }
        if self.set.status.as_ref() != Some(&status) {
            plan.changes.push(Change::update_status(&StatefulSet { status: Some(status), ..self.set.clone() }));
        }
        let min_ready_seconds = self.set.spec.min_ready_seconds.unwrap_or(0);
        let waiting = self.pods.values().filter_map(|pod| pods::available_at(pod, min_ready_seconds)).filter(|at| *at > self.now);
        waiting.for_each(|at| plan.wake_by(at));
    }

    fn counted(&self) -> StatefulSetStatus {
        let old = self.set.status.clone().unwrap_or_default();
        let there = || self.pods.values().filter(|pod| !pods::phase(pod).is_empty());
        let of = |revision: &str| {
            there().filter(|pod| !pods::is_leaving(pod) && label(&pod.metadata, REVISION_LABEL) == revision).count() as i32
        };
        let is_ready = |pod: &&Arc<Pod>| pods::phase(pod) == "Running" && pods::is_ready(pod);
        StatefulSetStatus {
            observed_generation: self.set.metadata.generation,
            replicas: there().count() as i32,
            ready_replicas: nonzero(there().filter(is_ready).count() as i32),
            available_replicas: Some(there().filter(|pod| self.is_available(pod)).count() as i32),
            current_replicas: nonzero(of(&self.current.0)),
            updated_replicas: nonzero(of(&self.update.0)),
            current_revision: Some(self.current.0.clone()),
            update_revision: Some(self.update.0.clone()),
            collision_count: Some(old.collision_count.unwrap_or(0)),
            conditions: old.conditions,
        }
    }
}

fn touches(change: &Change, pod: &Pod) -> bool {
    match &change.write {
        object::plan::Write::Patch { resource, key, .. } => resource.resource == "pods" && *key == object::plan::key_of(&pod.metadata),
        _ => false,
    }
}
