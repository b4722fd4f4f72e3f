//! How a job ends: the rules in upstream's order, and the conditions that tell of it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use object::plan::Plan;

use super::{Work, indexes, is_failed, is_suspended, policy};
use crate::pods;

/// Decided, though pods may still have to go or be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) is_success: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Ending {
    fn failure(reason: &'static str, message: impl Into<String>) -> Self {
        Ending { is_success: false, reason, message: message.into() }
    }

    /// While pods still have to go.
    pub(super) fn interim(&self) -> &'static str {
        if self.is_success { "SuccessCriteriaMet" } else { "FailureTarget" }
    }

    /// In the end.
    pub(super) fn last(&self) -> &'static str {
        if self.is_success { "Complete" } else { "Failed" }
    }
}

/// Since when the job is finished.
pub(super) fn finished_at(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let finished = conditions.iter().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    Some(finished.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0))
}

pub fn is_finished(job: &Job) -> bool {
    finished_at(job).is_some()
}

/// What ends the job although pods are active, or may be needed. What was decided before stays so.
pub(super) fn decide(work: &Work<'_>, plan: &mut Plan) -> Option<Ending> {
    decided_before(&work.status)
        .or_else(|| failed_by_policy(work))
        .or_else(|| failed_by_limit(work, plan))
        .or_else(|| failed_by_indexes(work))
        .or_else(|| succeeded_by_policy(work))
}

/// Enough pods have succeeded, and none is active.
pub(super) fn completed(work: &Work<'_>) -> Option<Ending> {
    let wanted = work.spec().completions;
    let is_enough = match wanted {
        None => work.n_succeeded() > 0,
        Some(completions) => work.n_succeeded() >= completions,
    };
    let message = "Reached expected number of succeeded pods".to_owned();
    (is_enough && work.active.is_empty()).then_some(Ending { is_success: true, reason: "CompletionsReached", message })
}

fn decided_before(status: &JobStatus) -> Option<Ending> {
    let condition = |kind: &str| status.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == "True");
    let (is_success, condition) = match (condition("SuccessCriteriaMet"), condition("FailureTarget")) {
        (Some(met), _) => (true, met),
        (None, Some(target)) => (false, target),
        (None, None) => return None,
    };
    let said = condition.reason.as_deref().unwrap_or("");
    let reason = REASONS.iter().find(|reason| **reason == said).copied().unwrap_or("");
    Some(Ending { is_success, reason, message: condition.message.clone().unwrap_or_default() })
}

const REASONS: &[&str] = &[
    "CompletionsReached",
    "SuccessPolicy",
    "PodFailurePolicy",
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "MaxFailedIndexesExceeded",
    "FailedIndexes",
];

fn failed_by_policy(work: &Work<'_>) -> Option<Ending> {
    let failed = work.pods.iter().filter(|pod| is_failed(work.job, pod));
    failed
        .filter_map(|pod| match policy::verdict(work.spec(), pod) {
            policy::Verdict::FailJob(message) => Some(Ending::failure("PodFailurePolicy", message)),
            _ => None,
        })
        .next()
}

fn failed_by_limit(work: &Work<'_>, plan: &mut Plan) -> Option<Ending> {
    let spec = work.spec();
    let limit = spec.backoff_limit.unwrap_or(6);
    if work.n_failed() > limit || is_restarted_too_often(work, limit) {
        return Some(Ending::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
    }
    let started = work.status.start_time.as_ref().map_or(pods::whole_seconds(work.now).0, |t| t.0);
    let deadline = spec.active_deadline_seconds.filter(|_| !is_suspended(work.job))?;
    let deadline = started.checked_add(SignedDuration::from_secs(deadline)).ok()?;
    if deadline <= work.now {
        return Some(Ending::failure("DeadlineExceeded", "Job was active longer than specified deadline"));
    }
    plan.wake_by(deadline);
    None
}

/// Pods that restart their own containers never fail, so their restarts are counted.
fn is_restarted_too_often(work: &Work<'_>, limit: i32) -> bool {
    if work.spec().template.spec.as_ref().and_then(|s| s.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let living = work.pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
    let statuses = living.filter_map(|pod| pod.status.as_ref());
    let containers = statuses.flat_map(|s| s.init_container_statuses.iter().chain(&s.container_statuses).flatten());
    let n: i32 = containers.map(|c| c.restart_count).sum();
    if limit == 0 { n > 0 } else { n >= limit }
}

fn failed_by_indexes(work: &Work<'_>) -> Option<Ending> {
    indexes::backoff_limit(work.job)?;
    let (spec, state) = (work.spec(), work.indexes.as_ref()?);
    let (n_failed, n_succeeded) = (state.failed.len(), state.succeeded.len());
    if spec.max_failed_indexes.is_some_and(|max| n_failed > max) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Some(Ending::failure("MaxFailedIndexesExceeded", message));
    }
    let are_all_done = n_failed + n_succeeded >= spec.completions.unwrap_or(0);
    (n_failed > 0 && are_all_done).then(|| Ending::failure("FailedIndexes", "Job has failed indexes"))
}

fn succeeded_by_policy(work: &Work<'_>) -> Option<Ending> {
    let message = policy::success(work.spec(), &work.indexes.as_ref()?.succeeded)?;
    Some(Ending { is_success: true, reason: "SuccessPolicy", message })
}

/// Sets a condition; one that is not there does not become false. Answers whether that changed anything.
pub(super) fn set(conditions: &mut Vec<JobCondition>, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> bool {
    let now = pods::whole_seconds(now);
    let condition = JobCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(now.clone()),
        last_transition_time: Some(now),
    };
    match conditions.iter_mut().find(|c| c.type_ == kind) {
        Some(old) if old.status == status && old.reason == condition.reason && old.message == condition.message => false,
        Some(old) => {
            *old = condition;
            true
        }
        None if status == "False" => false,
        None => {
            conditions.push(condition);
            true
        }
    }
}
