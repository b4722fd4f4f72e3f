//! Deployment: one ReplicaSet for each template it ever had, and the way from the old ones to the newest.
//!
//! ```text
//!   claim sets --> deleted? paused? resized? --> status (+ proportional scaling)
//!        |
//!        v
//!   newest set for the template: make it | take its name's collision into account | bring its revision up to date
//!        |
//!        v
//!   Recreate:      old to 0 --> old pods gone --> newest to full
//!   RollingUpdate: newest up within surge --> old down within unavailable --> ...
//!        |
//!        v
//!   complete? clean up old sets by revisionHistoryLimit;   always: status and conditions
//! ```
//!
//! One plan takes one step; the next is planned once the caches show it.

mod history;
mod progress;
mod rolling;
mod scaling;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use object::plan::{Change, Failure, Note, Plan, Reference};

use crate::claims::{self, Claim};
use crate::{pods, rounding};

pub struct View<'a> {
    pub deployment: &'a Deployment,
    /// Sets it controls, and sets of its namespace that nobody controls.
    pub replica_sets: &'a [Arc<ReplicaSet>],
    /// The pods of one of its sets.
    pub pods_of: &'a dyn Fn(&ReplicaSet) -> Vec<Arc<Pod>>,
    /// The set of that name in its namespace, whosever it is.
    pub set_named: &'a dyn Fn(&str) -> Option<Arc<ReplicaSet>>,
    pub failure: Option<&'a Failure>,
}

/// A deployment and its sets, as the steps look at them. `sizes` of sets change only through `scaling`.
struct Rollout<'a> {
    view: &'a View<'a>,
    deployment: &'a Deployment,
    newest: Option<Arc<ReplicaSet>>,
    /// Every other set, oldest first.
    old: Vec<Arc<ReplicaSet>>,
    now: Timestamp,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let deployment = view.deployment;
    let mut plan = Plan::nothing();
    if is_selecting_all(deployment) {
        return selecting_all(deployment);
    }
    let sets = claimed(view, &mut plan);
    let rollout = Rollout::new(view, sets, now);
    if deployment.metadata.deletion_timestamp.is_some() {
        progress::tell_status(&rollout, &mut plan);
        return plan;
    }
    step(&rollout, &mut plan);
    plan
}

/// The one step this plan takes, and the status that goes with it.
fn step(rollout: &Rollout<'_>, plan: &mut Plan) {
    let is_paused = rollout.deployment.spec.paused == Some(true);
    if is_paused || scaling::is_resized(rollout) {
        if history::keep_newest(rollout, plan) {
            scaling::scale_in_proportion(rollout, plan);
        }
        if is_paused {
            history::clean_up(rollout, plan);
        }
        progress::tell_status(rollout, plan);
        return;
    }
    if rolling::is_recreate(rollout.deployment) {
        rolling::recreate(rollout, plan)
    } else {
        rolling::roll(rollout, plan)
    }
    progress::tell_rollout(rollout, plan);
}

fn is_selecting_all(deployment: &Deployment) -> bool {
    let selector = &deployment.spec.selector;
    selector.match_labels.as_ref().is_none_or(|l| l.is_empty()) && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

fn selecting_all(deployment: &Deployment) -> Plan {
    let text = "This deployment is selecting all pods. A non-empty selector is required.";
    let mut plan = Plan { notes: vec![Note::warning(Reference::of(deployment), "SelectingAll", text)], ..Plan::nothing() };
    let mut status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        status.observed_generation = deployment.metadata.generation;
        plan.changes.push(Change::update_status(&Deployment { status: Some(status), ..deployment.clone() }));
    }
    plan
}

/// Its own sets, adopted ones among them, oldest first.
fn claimed(view: &View<'_>, plan: &mut Plan) -> Vec<Arc<ReplicaSet>> {
    let deployment = view.deployment;
    let selector = claims::selector(Some(&deployment.spec.selector));
    let mut sets = Vec::new();
    for set in view.replica_sets {
        match claims::claim(&deployment.metadata, &selector, &set.metadata) {
            Claim::Kept => sets.push(Arc::clone(set)),
            // It counts from the next plan on: one change an object.
            Claim::Adopted => plan.changes.push(claims::adopt(deployment, &**set)),
            Claim::Released => plan.changes.push(claims::release(deployment, &**set)),
            Claim::Foreign => {}
        }
    }
    sets.sort_by(|a, b| by_age(a, b));
    sets
}

fn by_age(a: &ReplicaSet, b: &ReplicaSet) -> std::cmp::Ordering {
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|t| t.0);
    created(a).cmp(&created(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
}

impl<'a> Rollout<'a> {
    fn new(view: &'a View<'a>, mut sets: Vec<Arc<ReplicaSet>>, now: Timestamp) -> Self {
        // Upstream: of several sets with the template the oldest is the newest one's rightful holder.
        let newest_idx = sets.iter().position(|set| history::has_template_of(set, view.deployment));
        let newest = newest_idx.map(|i| sets.remove(i));
        Rollout { view, deployment: view.deployment, newest, old: sets, now }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.newest.iter().chain(self.old.iter())
    }

    fn replicas(&self) -> i32 {
        self.deployment.spec.replicas.unwrap_or(1)
    }

    /// How many pods there may be beyond, and how many may be missing from, the wanted number.
    fn slack(&self) -> (i32, i32) {
        let deployment = self.deployment;
        let replicas = self.replicas();
        if rolling::is_recreate(deployment) || replicas == 0 {
            return (0, 0);
        }
        let rolling = deployment.spec.strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        let rolling = rolling.map(|r| (r.max_surge.as_ref(), r.max_unavailable.as_ref())).unwrap_or((None, None));
        let (surge, unavailable) = rounding::fenceposts(rolling.0, rolling.1, replicas);
        (surge, unavailable.min(replicas))
    }

    fn about(&self) -> Reference {
        Reference::of(self.deployment)
    }

    fn has_old_pods(&self) -> bool {
        let counted: i32 = self.old.iter().map(|set| set.status.as_ref().map_or(0, |s| s.replicas)).sum();
        counted > 0 || self.old.iter().any(|set| (self.view.pods_of)(set).iter().any(|pod| !pods::is_finished(pod)))
    }
}

fn size(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0)
}
