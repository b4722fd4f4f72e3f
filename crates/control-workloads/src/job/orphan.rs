//! Pods that carry a job's finalizer and have no job any more that would take it away.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use object::plan::Plan;

use super::{is_managed_elsewhere, is_tracked, let_go, outcome};
use crate::claims;

pub struct View<'a> {
    pub pod: &'a Pod,
    /// The job of the name that the pod's controller has.
    pub job_named: &'a dyn Fn(&str) -> Option<std::sync::Arc<Job>>,
}

pub fn plan(view: &View<'_>) -> Plan {
    let pod = view.pod;
    let mut plan = Plan::nothing();
    if is_tracked(pod) && is_orphan(view) {
        plan.changes.push(let_go(pod));
    }
    plan
}

fn is_orphan(view: &View<'_>) -> bool {
    let Some(owner) = claims::controller_of(&view.pod.metadata) else { return true };
    if owner.kind != "Job" || owner.api_version != "batch/v1" {
        return false;
    }
    match (view.job_named)(&owner.name).filter(|job| job.metadata.uid.as_ref() == Some(&owner.uid)) {
        Some(job) => outcome::is_finished(&job) && !is_managed_elsewhere(&job),
        None => true,
    }
}
