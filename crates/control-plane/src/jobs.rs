//! Rows of jobs.

use std::sync::Arc;

use control_workloads::job::{self, orphan};
use k8s_openapi::api::batch::v1::Job;
use object::key::ObjectKey;
use object::plan::{Plan, key_of};
use reconcile::{Changed, Controller};

use crate::caches::Caches;
use crate::workloads::owners_of;

pub(crate) fn jobs(caches: &Arc<Caches>) -> Controller {
    let (planning, mapping) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("job", "job-controller", move |ask| {
        let caches = &planning;
        let Some(job) = caches.jobs.get(&ask.key) else { return Plan::nothing() };
        let view = job::View {
            job: &job,
            pods: &Caches::candidates(&caches.pods_by_owner, &job.metadata),
            is_name_taken: &|name| caches.pods.get(&ObjectKey::new(ask.key.namespace.as_str(), name)).is_some(),
        };
        job::plan(&view, ask.now)
    })
    .watches(&caches.jobs)
    .maps(&caches.pods, move |changed| owners_of(changed, &mapping.jobs, |job| job.spec.as_ref()?.selector.as_ref()))
}

/// Pods whose job is gone, or has ended, lose its finalizer.
pub(crate) fn orphans(caches: &Arc<Caches>) -> Controller {
    let (planning, mapping) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("job-orphan", "job-controller", move |ask| {
        let caches = &planning;
        let Some(pod) = caches.pods.get(&ask.key) else { return Plan::nothing() };
        let job_named = |name: &str| caches.jobs.get(&ObjectKey::new(ask.key.namespace.as_str(), name));
        orphan::plan(&orphan::View { pod: &pod, job_named: &job_named })
    })
    .maps(&caches.pods, |changed| {
        let is_held = |finalizers: &Option<Vec<String>>| finalizers.iter().flatten().any(|name| name == job::FINALIZER);
        changed.new.iter().filter(|pod| is_held(&pod.metadata.finalizers)).map(|_| changed.key.clone()).collect()
    })
    .maps(&caches.jobs, move |changed| pods_of_ended(&mapping, changed))
}

fn pods_of_ended(caches: &Caches, changed: &Changed<Job>) -> Vec<ObjectKey> {
    let Some(ended) = changed.old.as_ref().filter(|_| changed.new.as_ref().is_none_or(|job| job::is_finished(job))) else {
        return Vec::new();
    };
    let pods = caches.pods_by_owner.get(ended.metadata.uid.as_deref().unwrap_or(""));
    pods.iter().map(|pod| key_of(&pod.metadata)).collect()
}
