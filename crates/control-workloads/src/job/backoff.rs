//! How long a job waits before it replaces failed pods.
//!
//! Upstream counts failures since the last success in memory; here they are read from the pods that are still there, so that a
//! restart changes nothing.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::{Work, index_of, indexes, is_failed, is_indexed};
use crate::pods;

/// Upstream: `DefaultJobPodFailureBackOff`, `MaxJobPodFailureBackOff`.
const BACKOFF_MIN: SignedDuration = SignedDuration::from_secs(10);
const BACKOFF_MAX: SignedDuration = SignedDuration::from_secs(600);

/// When the job may make pods again.
pub(super) fn over_at(work: &Work<'_>) -> Option<Timestamp> {
    let job = work.job;
    let counts = |pod: &&Arc<Pod>| !is_indexed(job) || index_of(pod).is_some();
    let last_success = work.pods.iter().filter(counts).filter(|pod| pods::phase(pod) == "Succeeded").map(|pod| finished_at(pod)).max();
    let is_since = |at: &Timestamp| last_success.is_none_or(|success| *at > success);
    let failures: Vec<Timestamp> =
        work.pods.iter().filter(counts).filter(|pod| is_failed(job, pod)).map(|pod| finished_at(pod)).filter(is_since).collect();
    let last = failures.iter().max()?;
    let has_succeeded = last_success.is_some() || work.n_succeeded() > 0;
    // Failed pods that somebody has deleted still count.
    let n = if has_succeeded { failures.len() as i32 } else { work.n_failed().max(failures.len() as i32) };
    Some(*last + delay(n))
}

/// When an index may have the pod that replaces this failed one.
pub(super) fn index_over_at(failed: &Pod) -> Timestamp {
    let n = indexes::n_failures(failed) + indexes::n_ignored_failures(failed) + 1;
    finished_at(failed) + delay(n)
}

fn delay(n_failures: i32) -> SignedDuration {
    let doublings = n_failures.saturating_sub(1).clamp(0, 10);
    (BACKOFF_MIN * (1 << doublings)).min(BACKOFF_MAX)
}

/// Times of containers are cut to seconds in the API, so these are only about right.
pub(super) fn finished_at(pod: &Pod) -> Timestamp {
    let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0);
    containers_finished_at(pod).or_else(|| unready_since(pod)).or_else(|| asked_to_go_at(pod)).unwrap_or(created)
}

/// The end of the last container, sidecars among them; none while one runs.
fn containers_finished_at(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let is_sidecar = |name: &str| {
        let mut inits = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
        inits.any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
    };
    let sidecars = status.init_container_statuses.iter().flatten().filter(|s| is_sidecar(&s.name));
    let containers = status.container_statuses.iter().flatten().chain(sidecars);
    let end = |c: &ContainerStatus| c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|t| t.0);
    containers.map(end).try_fold(None, |latest: Option<Timestamp>, end| Some(latest.max(Some(end?)))).flatten()
}

fn unready_since(pod: &Pod) -> Option<Timestamp> {
    let condition = pods::condition(pod, "Ready").filter(|c| c.status == "False")?;
    condition.last_transition_time.as_ref().map(|t| t.0)
}

fn asked_to_go_at(pod: &Pod) -> Option<Timestamp> {
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    pod.metadata.deletion_timestamp.as_ref().map(|t| t.0 - grace)
}
