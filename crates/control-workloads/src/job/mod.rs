//! Job: pods that run to an end, each counted exactly once.
//!
//! ```text
//!   claim pods --> how does it end? --> not yet: create | delete | nothing      (suspended: delete all)
//!                        |
//!                        +--> FailureTarget or SuccessCriteriaMet is noted, active pods are deleted
//!                                 --> all counted, all gone --> Failed or Complete --> (ttl over) deleted
//!
//!   a pod's end:  ended, with finalizer --> its uid is in `uncountedTerminatedPods` --> finalizer taken away --> counted
//! ```
//! Each arrow of a pod's end is a plan of its own that begins when the caches show the one before: so a pod that vanishes at
//! any point is counted once.

mod backoff;
mod indexes;
mod outcome;
mod policy;
mod sizing;
mod tracking;

pub mod orphan;

pub use self::outcome::is_finished;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use object::plan::{Change, Note, Plan, Propagation, Reference, Write};

use self::indexes::Indexes;
use self::outcome::Ending;
use self::tracking::Uncounted;
use crate::claims::{self, Claim};
use crate::pods;

pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const CONTROLLER: &str = "kubernetes.io/job-controller";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

pub struct View<'a> {
    pub job: &'a Job,
    /// Pods it controls, and pods of its namespace that nobody controls.
    pub pods: &'a [Arc<Pod>],
    /// Whether a pod of that name is there.
    pub is_name_taken: &'a dyn Fn(&str) -> bool,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let job = view.job;
    if is_managed_elsewhere(job) {
        return Plan::nothing();
    }
    if let Some(finished) = outcome::finished_at(job) {
        return expire(job, finished, now);
    }
    let mut plan = Plan::nothing();
    let pods = claimed(view, &mut plan);
    if !plan.changes.is_empty() {
        // Counting comes with the next plan: one change an object.
        return plan;
    }
    let work = Work::new(view, pods, now);
    let ending = outcome::decide(&work, &mut plan);
    let is_leaving = job.metadata.deletion_timestamp.is_some();
    match &ending {
        Some(_) => plan.changes.extend(work.active.iter().map(|pod| sizing::delete(job, pod))),
        None if !is_leaving => sizing::resize(&work, &mut plan),
        None => {}
    }
    let ending = ending.or_else(|| outcome::completed(&work));
    tracking::track(&work, ending.as_ref(), &mut plan);
    plan
}

/// Whether another controller was asked to do this job.
pub fn is_managed_elsewhere(job: &Job) -> bool {
    job.spec.as_ref().and_then(|s| s.managed_by.as_deref()).is_some_and(|manager| manager != CONTROLLER)
}

/// A finished job goes some time after its end, if it says so.
fn expire(job: &Job, finished: Timestamp, now: Timestamp) -> Plan {
    let mut plan = Plan::nothing();
    let ttl = job.spec.as_ref().and_then(|s| s.ttl_seconds_after_finished);
    let Some(ttl) = ttl.filter(|_| job.metadata.deletion_timestamp.is_none()) else { return plan };
    let expires = finished + SignedDuration::from_secs(ttl.into());
    if expires > now {
        plan.wake_by(expires);
        return plan;
    }
    let mut change = Change::delete(job);
    if let Write::Delete { options, .. } = &mut change.write {
        options.propagation = Some(Propagation::Foreground);
    }
    plan.changes.push(change);
    plan
}

/// Its own pods, finished ones among them; adoption and release are put into the plan.
fn claimed(view: &View<'_>, plan: &mut Plan) -> Vec<Arc<Pod>> {
    let job = view.job;
    let selector = claims::selector(job.spec.as_ref().and_then(|s| s.selector.as_ref()));
    let mut pods = Vec::new();
    for pod in view.pods {
        match claims::claim(&job.metadata, &selector, &pod.metadata) {
            Claim::Kept => pods.push(Arc::clone(pod)),
            Claim::Adopted => plan.changes.push(claims::adopt_with(job, &**pod, FINALIZER)),
            Claim::Released => plan.changes.push(claims::release_with(job, &**pod, FINALIZER)),
            Claim::Foreign => {}
        }
    }
    pods
}

/// A job and its pods, as the steps look at them.
struct Work<'a> {
    view: &'a View<'a>,
    job: &'a Job,
    status: JobStatus,
    pods: Vec<Arc<Pod>>,
    active: Vec<Arc<Pod>>,
    uncounted: Uncounted,
    /// Of an indexed job.
    indexes: Option<Indexes>,
    /// Ended pods that no status tells of yet.
    newly_succeeded: Vec<Arc<Pod>>,
    newly_failed: Vec<Arc<Pod>>,
    now: Timestamp,
}

impl<'a> Work<'a> {
    fn new(view: &'a View<'a>, pods: Vec<Arc<Pod>>, now: Timestamp) -> Self {
        let job = view.job;
        let status = job.status.clone().unwrap_or_default();
        let uncounted = Uncounted::of(&status);
        let active: Vec<_> = pods.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let is_new = |pod: &Pod| {
            let is_counted = |uids: &std::collections::BTreeSet<String>| pod.metadata.uid.as_ref().is_some_and(|uid| uids.contains(uid));
            is_tracked(pod)
                && !is_counted(&uncounted.succeeded)
                && !is_counted(&uncounted.failed)
                && (!is_indexed(job) || valid_index(job, pod).is_some())
        };
        let ended = |is_so: &dyn Fn(&Pod) -> bool| pods.iter().filter(|pod| is_so(pod) && is_new(pod)).cloned().collect::<Vec<_>>();
        let newly_succeeded = ended(&|pod| pods::phase(pod) == "Succeeded");
        let newly_failed = ended(&|pod| is_failed(job, pod));
        let indexes = is_indexed(job).then(|| Indexes::of(job, &status, &pods, &active));
        Work { view, job, status, active, uncounted, indexes, newly_succeeded, newly_failed, now, pods }
    }

    fn spec(&self) -> &k8s_openapi::api::batch::v1::JobSpec {
        self.job.spec.as_ref().expect("validation keeps jobs without a spec out")
    }

    fn about(&self) -> Reference {
        Reference::of(self.job)
    }

    fn n_succeeded(&self) -> i32 {
        match &self.indexes {
            Some(indexes) => indexes.succeeded.len(),
            None => self.status.succeeded.unwrap_or(0) + (self.uncounted.succeeded.len() + self.newly_succeeded.len()) as i32,
        }
    }

    fn n_failed(&self) -> i32 {
        let counted = self.newly_failed.iter().filter(|pod| policy::verdict(self.spec(), pod).is_counted()).count();
        self.status.failed.unwrap_or(0) + (self.uncounted.failed.len() + counted) as i32
    }

    fn leaving(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|pod| pods::is_leaving(pod) && !pods::is_finished(pod))
    }
}

fn is_indexed(job: &Job) -> bool {
    job.spec.as_ref().and_then(|s| s.completion_mode.as_deref()) == Some("Indexed")
}

fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|s| s.suspend) == Some(true)
}

fn replaces_only_failed(job: &Job) -> bool {
    job.spec.as_ref().and_then(|s| s.pod_replacement_policy.as_deref()) == Some("Failed")
}

/// Pods without the finalizer have been counted, or do not count.
fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER)
}

/// A pod that leaves before its end counts as failed, unless the job waits for how it ends.
fn is_failed(job: &Job, pod: &Pod) -> bool {
    match pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => pods::is_leaving(pod) && !replaces_only_failed(job),
    }
}

fn index_of(pod: &Pod) -> Option<i32> {
    pod.metadata.annotations.as_ref()?.get(INDEX)?.parse().ok().filter(|index| *index >= 0)
}

fn valid_index(job: &Job, pod: &Pod) -> Option<i32> {
    let completions = job.spec.as_ref().and_then(|s| s.completions).unwrap_or(0);
    index_of(pod).filter(|index| *index < completions)
}

/// Takes the tracking finalizer away and leaves everything else alone, whatever happened to the pod meanwhile.
fn let_go(pod: &Pod) -> Change {
    let patch = serde_json::json!({"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    Write::Patch {
        resource: object::key::GroupVersionResource::of::<Pod>(),
        key: object::plan::key_of(&pod.metadata),
        subresource: "",
        kind: object::plan::PatchKind::Strategic,
        patch,
    }
    .into()
}

fn ended_note(ending: &Ending, about: Reference) -> Note {
    match ending.is_success {
        true => Note::normal(about, "Completed", "Job completed"),
        false => Note::warning(about, ending.reason, ending.message.clone()),
    }
}
