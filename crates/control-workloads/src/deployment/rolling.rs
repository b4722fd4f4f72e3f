//! The two ways from the old template to the new.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use object::plan::Plan;

use super::{Rollout, available, history, progress, scaling, size};

pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    deployment.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("Recreate")
}

/// How large the newest set may be now: within surge, counting every set's size.
pub(super) fn newest_size(rollout: &Rollout<'_>) -> i32 {
    let replicas = rollout.replicas();
    if is_recreate(rollout.deployment) {
        return replicas;
    }
    let newest = rollout.newest.as_ref().map_or(0, |set| size(set));
    let total: i32 = rollout.all().map(|set| size(set)).sum();
    let room = replicas + rollout.slack().0 - total;
    if room <= 0 { newest } else { newest + room.min(replicas - newest) }
}

pub(super) fn recreate(rollout: &Rollout<'_>, plan: &mut Plan) {
    if !history::keep_newest(rollout, plan) {
        return;
    }
    let mut is_scaled = false;
    for set in rollout.old.iter().filter(|set| size(set) > 0) {
        is_scaled |= scaling::scale(rollout, set, 0, plan);
    }
    if is_scaled || rollout.has_old_pods() {
        return;
    }
    match &rollout.newest {
        None => history::make_newest(rollout, plan),
        Some(newest) => {
            let is_scaled = scaling::scale(rollout, newest, rollout.replicas(), plan);
            if !is_scaled && progress::is_complete(rollout) {
                history::clean_up(rollout, plan);
            }
        }
    }
}

pub(super) fn roll(rollout: &Rollout<'_>, plan: &mut Plan) {
    let Some(newest) = &rollout.newest else {
        history::make_newest(rollout, plan);
        return;
    };
    if !history::keep_newest(rollout, plan) {
        return;
    }
    let wanted = if size(newest) > rollout.replicas() { rollout.replicas() } else { newest_size(rollout) };
    if wanted != size(newest) && scaling::scale(rollout, newest, wanted, plan) {
        return;
    }
    if !shrink_old(rollout, newest, plan) && progress::is_complete(rollout) {
        history::clean_up(rollout, plan);
    }
}

/// Takes pods from old sets: first those that are not available anyway, then available ones down to the least allowed number.
fn shrink_old(rollout: &Rollout<'_>, newest: &Arc<ReplicaSet>, plan: &mut Plan) -> bool {
    let mut sizes: Vec<i32> = rollout.old.iter().map(|set| size(set)).collect();
    let n_old: i32 = sizes.iter().sum();
    if n_old == 0 {
        return false;
    }
    let available_min = rollout.replicas() - rollout.slack().1;
    let newest_unavailable = size(newest) - available(newest);
    let removable = n_old + size(newest) - available_min - newest_unavailable;
    if removable <= 0 {
        return false;
    }
    let mut left = removable;
    for (set, to) in rollout.old.iter().zip(&mut sizes) {
        let unavailable = (*to - available(set)).max(0);
        let gone = unavailable.min(left);
        *to -= gone;
        left -= gone;
    }
    // Upstream counts here what is available in all, so the unavailable ones just taken do not matter.
    let mut spare = rollout.all().map(|set| available(set)).sum::<i32>() - available_min;
    for to in &mut sizes {
        let gone = (*to).min(spare.max(0));
        *to -= gone;
        spare -= gone;
    }
    let mut is_scaled = false;
    for (set, to) in rollout.old.iter().zip(sizes).filter(|(set, to)| size(set) != *to) {
        is_scaled |= scaling::scale(rollout, set, to, plan);
    }
    is_scaled
}
