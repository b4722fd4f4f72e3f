//! Sizes of sets: one set to a number, or all sets in proportion when a rollout is resized on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use object::plan::{Change, Note, Plan};

use super::{Rollout, available, rolling, size};

pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// What the deployment wanted when the set was sized last.
fn noted(set: &ReplicaSet, annotation: &str) -> Option<i32> {
    set.metadata.annotations.as_ref()?.get(annotation)?.parse().ok()
}

pub(super) fn annotate(rollout: &Rollout<'_>, annotations: &mut BTreeMap<String, String>) -> bool {
    let replicas = rollout.replicas();
    let mut is_changed = false;
    for (name, value) in [(DESIRED, replicas), (MAX, replicas + rollout.slack().0)] {
        let value = value.to_string();
        if annotations.get(name) != Some(&value) {
            annotations.insert(name.to_owned(), value);
            is_changed = true;
        }
    }
    is_changed
}

/// The deployment's own size was changed since its sets were sized.
pub(super) fn is_resized(rollout: &Rollout<'_>) -> bool {
    let active = rollout.all().filter(|set| size(set) > 0);
    active.filter_map(|set| noted(set, DESIRED)).any(|desired| desired != rollout.replicas())
}

/// Sets one set's size; true when the size itself changes.
pub(super) fn scale(rollout: &Rollout<'_>, set: &Arc<ReplicaSet>, to: i32, plan: &mut Plan) -> bool {
    let from = size(set);
    let mut wanted = ReplicaSet::clone(set);
    let is_annotated = annotate(rollout, wanted.metadata.annotations.get_or_insert_default());
    if from == to && !is_annotated {
        return false;
    }
    wanted.spec.replicas = Some(to);
    let mut change = Change::update(&wanted);
    if from != to {
        let direction = if to > from { "up" } else { "down" };
        let name = wanted.metadata.name.as_deref().unwrap_or("");
        let text = format!("Scaled {direction} replica set {name} from {from} to {to}");
        change = change.telling(Note::normal(rollout.about(), "ScalingReplicaSet", text));
    }
    plan.changes.push(change);
    from != to
}

/// Spreads a change of the deployment's size over its sets (upstream: `deployment_controller.scale`).
pub(super) fn scale_in_proportion(rollout: &Rollout<'_>, plan: &mut Plan) {
    let replicas = rollout.replicas();
    let active: Vec<_> = rollout.all().filter(|set| size(set) > 0).cloned().collect();
    let only = match active.as_slice() {
        [] => rollout.newest.clone().or_else(|| rollout.old.last().cloned()),
        [only] => Some(Arc::clone(only)),
        _ => None,
    };
    if let Some(only) = only {
        if size(&only) != replicas || noted(&only, DESIRED) != Some(replicas) {
            scale(rollout, &only, replicas, plan);
        }
        return;
    }
    if rollout.newest.as_ref().is_some_and(|newest| is_saturated(rollout, newest)) {
        for set in rollout.old.iter().filter(|set| size(set) > 0) {
            scale(rollout, set, 0, plan);
        }
        return;
    }
    if !rolling::is_recreate(rollout.deployment) {
        spread(rollout, active, plan);
    }
}

fn is_saturated(rollout: &Rollout<'_>, newest: &ReplicaSet) -> bool {
    let replicas = rollout.replicas();
    size(newest) == replicas && noted(newest, DESIRED) == Some(replicas) && available(newest) == replicas
}

fn spread(rollout: &Rollout<'_>, mut active: Vec<Arc<ReplicaSet>>, plan: &mut Plan) {
    let replicas = rollout.replicas();
    let allowed = if replicas > 0 { replicas + rollout.slack().0 } else { 0 };
    let to_add = allowed - active.iter().map(|set| size(set)).sum::<i32>();
    // The largest first; of equal ones the newer grows and the older shrinks first.
    active.sort_by(|a, b| {
        let by_age = if to_add > 0 { super::by_age(b, a) } else { super::by_age(a, b) };
        size(b).cmp(&size(a)).then(by_age)
    });
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::with_capacity(active.len());
    for set in &active {
        let part = if to_add == 0 { 0 } else { proportion(rollout, set, to_add, added) };
        added += part;
        sizes.push(size(set) + part);
    }
    if let Some(first) = sizes.first_mut().filter(|_| to_add != 0) {
        *first = (*first + to_add - added).max(0);
    }
    for (set, to) in active.iter().zip(sizes) {
        scale(rollout, set, to, plan);
    }
}

/// A set's part of what is to be added (or, below zero, taken away).
fn proportion(rollout: &Rollout<'_>, set: &ReplicaSet, to_add: i32, added: i32) -> i32 {
    if size(set) == 0 || to_add == added {
        return 0;
    }
    let fraction = fraction(rollout, set);
    let left = to_add - added;
    if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
}

/// How the set's size would change if it kept its share of the largest allowed size.
fn fraction(rollout: &Rollout<'_>, set: &ReplicaSet) -> i32 {
    let replicas = rollout.replicas();
    if replicas == 0 {
        return -size(set);
    }
    let before = noted(set, MAX).filter(|max| *max != 0);
    let before = before.unwrap_or_else(|| rollout.deployment.status.as_ref().and_then(|s| s.replicas).unwrap_or(0));
    if before == 0 {
        return 0;
    }
    let now_max = replicas + rollout.slack().0;
    let new_size = (f64::from(size(set)) * f64::from(now_max) / f64::from(before)).round();
    new_size as i32 - size(set)
}
