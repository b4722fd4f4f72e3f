//! A deployment's status: counts, and the conditions Available, Progressing and ReplicaFailure in upstream's words.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use object::plan::{Change, Plan, Write};

use super::history::{self, subject};
use super::{Rollout, available, size};
use crate::pods::whole_seconds;
use crate::replica_set::nonzero;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";

/// Counts and availability only: for a deployment that is paused, resized or being deleted.
pub(super) fn tell_status(rollout: &Rollout<'_>, plan: &mut Plan) {
    let mut status = counts(rollout);
    if rollout.deployment.metadata.deletion_timestamp.is_none() {
        note_pause(rollout, &mut status);
    }
    write(rollout, status, plan);
}

/// Counts, availability and how the rollout goes.
pub(super) fn tell_rollout(rollout: &Rollout<'_>, plan: &mut Plan) {
    let mut status = counts(rollout);
    if deadline(rollout.deployment).is_none() {
        remove(&mut status, PROGRESSING);
    } else if !note_pause(rollout, &mut status) {
        note_progress(rollout, &mut status, plan);
    }
    note_replica_failure(rollout, &mut status);
    write(rollout, status, plan);
}

/// The deployment is what it should be, by its own last status.
pub(super) fn is_complete(rollout: &Rollout<'_>) -> bool {
    rollout.deployment.status.as_ref().is_some_and(|status| complete(rollout, status))
}

fn complete(rollout: &Rollout<'_>, status: &DeploymentStatus) -> bool {
    let wanted = rollout.replicas();
    status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
        && status.available_replicas.unwrap_or(0) == wanted
        && status.observed_generation >= rollout.deployment.metadata.generation
}

fn deadline(deployment: &Deployment) -> Option<SignedDuration> {
    deployment.spec.progress_deadline_seconds.filter(|s| *s != i32::MAX).map(|s| SignedDuration::from_secs(s.into()))
}

fn counts(rollout: &Rollout<'_>) -> DeploymentStatus {
    let old = rollout.deployment.status.clone().unwrap_or_default();
    let seen = || rollout.all().filter_map(|set| set.status.as_ref());
    let n_available: i32 = rollout.all().map(|set| available(set)).sum();
    let n_wanted: i32 = rollout.all().map(|set| size(set)).sum();
    let terminating: Option<i32> = rollout.all().map(|set| set.status.as_ref().and_then(|s| s.terminating_replicas)).sum();
    let mut status = DeploymentStatus {
        observed_generation: rollout.deployment.metadata.generation,
        replicas: nonzero(seen().map(|s| s.replicas).sum()),
        updated_replicas: nonzero(rollout.newest.as_ref().and_then(|set| set.status.as_ref()).map_or(0, |s| s.replicas)),
        ready_replicas: nonzero(seen().filter_map(|s| s.ready_replicas).sum()),
        available_replicas: nonzero(n_available),
        unavailable_replicas: nonzero((n_wanted - n_available).max(0)),
        terminating_replicas: terminating,
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    let is_available = n_available >= rollout.replicas() - rollout.slack().1;
    let (state, reason, message) = if is_available {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status, AVAILABLE, state, reason, message, rollout.now);
    status
}

/// The deadline's clock stands still during a pause; true when the condition was set just now.
fn note_pause(rollout: &Rollout<'_>, status: &mut DeploymentStatus) -> bool {
    let deployment = rollout.deployment;
    let reason = find(status, PROGRESSING).and_then(|c| c.reason.clone()).unwrap_or_default();
    let is_paused = deployment.spec.paused == Some(true);
    // Upstream: a rollout that has failed already stays failed.
    if deadline(deployment).is_none() || reason == TIMED_OUT {
        return false;
    }
    match (is_paused, reason == "DeploymentPaused") {
        (true, false) => set(status, PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused", rollout.now),
        (false, true) => set(status, PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed", rollout.now),
        _ => return false,
    }
    true
}

fn note_progress(rollout: &Rollout<'_>, status: &mut DeploymentStatus, plan: &mut Plan) {
    let now = rollout.now;
    if let Some(failure) = rollout.view.failure.filter(|f| f.reason == "ReplicaSetCreateError") {
        let name = created(plan).unwrap_or_default();
        let message = format!("Failed to create new replica set \"{name}\": {}", failure.message);
        set(status, PROGRESSING, "False", "ReplicaSetCreateError", &message, now);
        return;
    }
    if find(status, PROGRESSING).is_none() {
        first_condition(rollout, status, plan);
    }
    let current = find(status, PROGRESSING).cloned();
    let is_done =
        status.replicas == status.updated_replicas && current.as_ref().is_some_and(|c| c.reason.as_deref() == Some(NEW_SET_AVAILABLE));
    if is_done {
        return;
    }
    if complete(rollout, status) {
        let message = format!("{} has successfully progressed.", subject(rollout));
        set(status, PROGRESSING, "True", NEW_SET_AVAILABLE, &message, now);
    } else if has_progressed(&rollout.deployment.status.clone().unwrap_or_default(), status) {
        // Upstream renews the update time even where status and reason stay: the deadline counts from it.
        let mut fresh = condition(PROGRESSING, "True", "ReplicaSetUpdated", &format!("{} is progressing.", subject(rollout)), now);
        if let Some(current) = current.filter(|c| c.status.as_deref() == Some("True")) {
            fresh.last_transition_time = current.last_transition_time;
        }
        remove(status, PROGRESSING);
        status.conditions.get_or_insert_default().push(fresh);
    } else if let Some(at) = timeout_at(rollout.deployment, current.as_ref()) {
        if at <= now {
            let message = format!("{} has timed out progressing.", subject(rollout));
            set(status, PROGRESSING, "False", TIMED_OUT, &message, now);
        } else {
            plan.wake_by(at);
        }
    }
}

/// The first word on progress: the set is made by this very plan, or was there.
fn first_condition(rollout: &Rollout<'_>, status: &mut DeploymentStatus, plan: &Plan) {
    let found = rollout.newest.as_ref().and_then(|set| set.metadata.name.clone());
    let (reason, message) = match (created(plan), found) {
        (Some(name), _) => ("NewReplicaSetCreated", format!("Created new replica set \"{name}\"")),
        (None, Some(name)) => ("FoundNewReplicaSet", format!("Found new replica set \"{name}\"")),
        (None, None) => return,
    };
    set(status, PROGRESSING, "True", reason, &message, rollout.now);
}

/// The name of the set that this very plan makes.
fn created(plan: &Plan) -> Option<String> {
    plan.changes.iter().find_map(|change| match &change.write {
        Write::Create { object, .. } => Some(object::meta::name(object).to_owned()),
        _ => None,
    })
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let n = |count: Option<i32>| count.unwrap_or(0);
    let not_updated = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
    n(new.updated_replicas) > n(old.updated_replicas)
        || not_updated(new) < not_updated(old)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

/// When the rollout counts as stuck; `None` when it is over or was found stuck before.
fn timeout_at(deployment: &Deployment, progressing: Option<&DeploymentCondition>) -> Option<Timestamp> {
    let progressing = progressing.filter(|c| !matches!(c.reason.as_deref(), Some(NEW_SET_AVAILABLE | TIMED_OUT)))?;
    // Upstream looks again a second late, so that the time has surely passed.
    let after = deadline(deployment)? + SignedDuration::from_secs(1);
    progressing.last_update_time.as_ref()?.0.checked_add(after).ok()
}

/// A set that cannot make its pods makes its deployment say so.
fn note_replica_failure(rollout: &Rollout<'_>, status: &mut DeploymentStatus) {
    let sets = rollout.newest.iter().chain(rollout.old.iter());
    let mut failures = sets.flat_map(|s| s.status.iter()).flat_map(|s| s.conditions.iter().flatten());
    match failures.find(|c| c.type_.as_deref() == Some(REPLICA_FAILURE)) {
        None => remove(status, REPLICA_FAILURE),
        Some(failure) => {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            set(status, REPLICA_FAILURE, &text(&failure.status), &text(&failure.reason), &text(&failure.message), rollout.now);
        }
    }
}

/// Puts the status into the plan unless a status of the deployment is in it already.
fn write(rollout: &Rollout<'_>, status: DeploymentStatus, plan: &mut Plan) {
    let wanted = Deployment { status: Some(status), ..history::with_revision(rollout) };
    let is_told = plan.changes.iter().any(|change| matches!(change.write, Write::UpdateStatus { .. }));
    if wanted != *rollout.deployment && !is_told {
        plan.changes.push(Change::update_status(&wanted));
    }
}

fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|c| c.type_.as_deref() == Some(kind))
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|c| c.type_.as_deref() != Some(kind));
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}

fn condition(kind: &str, state: &str, reason: &str, message: &str, now: Timestamp) -> DeploymentCondition {
    let now = whole_seconds(now);
    DeploymentCondition {
        type_: Some(kind.to_owned()),
        status: Some(state.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(now),
    }
}

/// Upstream: nothing is touched while status and reason stay; a change goes to the end of the list.
fn set(status: &mut DeploymentStatus, kind: &str, state: &str, reason: &str, message: &str, now: Timestamp) {
    let mut fresh = condition(kind, state, reason, message, now);
    if let Some(current) = find(status, kind) {
        if current.status.as_deref() == Some(state) && current.reason.as_deref() == Some(reason) {
            return;
        }
        if current.status.as_deref() == Some(state) {
            fresh.last_transition_time = current.last_transition_time.clone();
        }
    }
    remove(status, kind);
    status.conditions.get_or_insert_default().push(fresh);
}
