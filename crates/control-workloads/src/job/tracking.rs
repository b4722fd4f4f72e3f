//! Counting pods that have ended, and the status that tells of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use object::plan::{Change, Note, Plan};

use super::outcome::{self, Ending};
use super::{Work, ended_note, indexes, is_failed, is_indexed, is_suspended, is_tracked, let_go, policy, valid_index};
use crate::pods;
use crate::replica_set::nonzero;

/// Upstream: `MaxUncountedPods`, which keeps the uids in a status below 20 KB.
const UNCOUNTED_MAX: usize = 500;

/// Uids that stand in the status until their pods have lost the finalizer.
#[derive(Clone, Debug, Default)]
pub(super) struct Uncounted {
    pub(super) succeeded: BTreeSet<String>,
    pub(super) failed: BTreeSet<String>,
}

impl Uncounted {
    pub(super) fn of(status: &JobStatus) -> Self {
        let set = |uids: Option<&Vec<String>>| uids.into_iter().flatten().cloned().collect();
        let uncounted = status.uncounted_terminated_pods.as_ref();
        Uncounted { succeeded: set(uncounted.and_then(|u| u.succeeded.as_ref())), failed: set(uncounted.and_then(|u| u.failed.as_ref())) }
    }
}

/// What a pod's end asks for.
enum Due {
    /// It has not ended, or has been dealt with.
    Nothing,
    /// The status is to tell of it first.
    Succeeded,
    SucceededIndex(i32),
    Failed,
    /// It may lose its finalizer.
    Release,
}

/// Puts finalizers and the status into the plan; the last of it is the job's end.
pub(super) fn track(work: &Work<'_>, ending: Option<&Ending>, plan: &mut Plan) {
    let mut status = work.status.clone();
    let mut uncounted = UncountedTerminatedPods::default();
    count_released(work, &mut status, &mut uncounted);
    let mut indexes = Vec::new();
    let mut is_settled = true;
    for pod in &work.pods {
        let n_pending = uncounted.succeeded.iter().chain(&uncounted.failed).map(Vec::len).sum::<usize>() + indexes.len();
        let due = due(work, ending, pod);
        is_settled &= matches!(due, Due::Nothing) || matches!(due, Due::SucceededIndex(index) if indexes.contains(&index));
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        match due {
            Due::Nothing => {}
            Due::Release => plan.changes.push(let_go(pod)),
            _ if n_pending >= UNCOUNTED_MAX => {}
            Due::Succeeded => uncounted.succeeded.get_or_insert_default().push(uid),
            Due::SucceededIndex(index) => indexes.push(index),
            Due::Failed => uncounted.failed.get_or_insert_default().push(uid),
        }
    }
    is_settled &= uncounted == UncountedTerminatedPods::default();
    status.uncounted_terminated_pods = Some(uncounted);
    if let Some(state) = &work.indexes {
        let completed = state.completed_before.with(indexes);
        status.succeeded = nonzero(completed.len());
        status.completed_indexes = (!completed.is_empty()).then(|| completed.to_string());
        if indexes::backoff_limit(work.job).is_some() {
            status.failed_indexes = Some(state.failed.to_string());
        }
    }
    tell(work, status, ending, is_settled, plan);
}

/// Uids whose pods have lost the finalizer, or are gone, become numbers.
fn count_released(work: &Work<'_>, status: &mut JobStatus, uncounted: &mut UncountedTerminatedPods) {
    let held: BTreeSet<&String> = work.pods.iter().filter(|pod| is_tracked(pod)).filter_map(|pod| pod.metadata.uid.as_ref()).collect();
    let split = |uids: &BTreeSet<String>| uids.iter().cloned().partition::<Vec<_>, _>(|uid| held.contains(uid));
    let (succeeded, n_succeeded) = split(&work.uncounted.succeeded);
    let (failed, n_failed) = split(&work.uncounted.failed);
    status.succeeded = nonzero(status.succeeded.unwrap_or(0) + n_succeeded.len() as i32);
    status.failed = nonzero(status.failed.unwrap_or(0) + n_failed.len() as i32);
    uncounted.succeeded = (!succeeded.is_empty()).then_some(succeeded);
    uncounted.failed = (!failed.is_empty()).then_some(failed);
}

fn due(work: &Work<'_>, ending: Option<&Ending>, pod: &Arc<Pod>) -> Due {
    let job = work.job;
    if !is_tracked(pod) {
        return Due::Nothing;
    }
    let has_succeeded = pods::phase(pod) == "Succeeded";
    let is_leaving = job.metadata.deletion_timestamp.is_some();
    if !(is_leaving || ending.is_some() || has_succeeded || (is_failed(job, pod) && !is_awaiting_replacement(work, pod))) {
        return Due::Nothing;
    }
    let is_known = |uids: &BTreeSet<String>| pod.metadata.uid.as_ref().is_some_and(|uid| uids.contains(uid));
    let is_told = is_known(&work.uncounted.failed) || is_known(&work.uncounted.succeeded);
    // An active pod of an ending job is being deleted by this plan: one change an object.
    let is_busy = ending.is_some() && pods::is_active(pod);
    match missing_count(work, ending, pod) {
        Some(due) if !is_told => due,
        _ if is_busy => Due::Nothing,
        _ => Due::Release,
    }
}

/// How the pod counts, when the status does not say so yet.
fn missing_count(work: &Work<'_>, ending: Option<&Ending>, pod: &Pod) -> Option<Due> {
    let job = work.job;
    let index = valid_index(job, pod);
    if is_indexed(job) && index.is_none() {
        return None;
    }
    if pods::phase(pod) == "Succeeded" {
        let Some(state) = &work.indexes else { return Some(Due::Succeeded) };
        return index.filter(|index| !state.completed_before.contains(*index)).map(Due::SucceededIndex);
    }
    let counts = match ending {
        // Whatever still runs when a job fails has failed with it.
        Some(ending) if !ending.is_success => true,
        // Whatever is deleted because a job has succeeded has not failed.
        Some(_) => pods::phase(pod) == "Failed",
        None => is_failed(job, pod),
    };
    (counts && policy::verdict(work.spec(), pod).is_counted()).then_some(Due::Failed)
}

/// The replacement of an index' pod takes over its count of failures, so the pod stays until that is there.
fn is_awaiting_replacement(work: &Work<'_>, pod: &Pod) -> bool {
    let awaiting = valid_index(work.job, pod).and_then(|index| work.indexes.as_ref()?.awaiting.get(&index));
    awaiting.is_some_and(|awaiting| awaiting.metadata.uid == pod.metadata.uid)
}

fn tell(work: &Work<'_>, mut status: JobStatus, ending: Option<&Ending>, is_settled: bool, plan: &mut Plan) {
    let now = pods::whole_seconds(work.now);
    let mut conditions = status.conditions.take().unwrap_or_default();
    let mut done = None;
    if status.start_time.is_none() && !is_suspended(work.job) {
        status.start_time = Some(now.clone());
    }
    let n_leaving = work.leaving().count();
    match ending {
        Some(ending) => {
            if !conditions.iter().any(|c| c.type_ == ending.interim()) {
                outcome::set(&mut conditions, ending.interim(), "True", ending.reason, &ending.message, work.now);
            }
            if is_settled && n_leaving == 0 && work.active.is_empty() {
                outcome::set(&mut conditions, ending.last(), "True", ending.reason, &ending.message, work.now);
                if ending.is_success {
                    status.completion_time = Some(now);
                    note_too_many(work, &status, plan);
                }
                done = Some(ended_note(ending, work.about()));
            }
        }
        None if work.job.metadata.deletion_timestamp.is_none() => {
            let (truth, reason, message, said) = match is_suspended(work.job) {
                true => ("True", "JobSuspended", "Job suspended", "Suspended"),
                false => ("False", "JobResumed", "Job resumed", "Resumed"),
            };
            if outcome::set(&mut conditions, "Suspended", truth, reason, message, work.now) {
                // The deadline runs anew from each resumption.
                status.start_time = (!is_suspended(work.job)).then_some(now);
                done = Some(Note::normal(work.about(), said, message));
            }
        }
        None => {}
    }
    status.conditions = (!conditions.is_empty()).then_some(conditions);
    status.active = nonzero(work.active.len() as i32);
    status.ready = Some(work.active.iter().filter(|pod| pods::is_ready(pod)).count() as i32);
    status.terminating = Some(n_leaving as i32);
    if work.job.status.as_ref() == Some(&status) {
        return;
    }
    let mut change = Change::update_status(&Job { status: Some(status), ..work.job.clone() });
    change.done = done;
    plan.changes.push(change);
}

fn note_too_many(work: &Work<'_>, status: &JobStatus, plan: &mut Plan) {
    if work.spec().completions.is_some_and(|wanted| status.succeeded.unwrap_or(0) > wanted) {
        let text = "Too many succeeded pods running after completion count reached";
        plan.notes.push(Note::warning(work.about(), "TooManySucceededPods", text));
    }
}
