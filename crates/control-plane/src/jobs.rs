//! Rows of jobs and cron jobs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use control_workloads::cron_job;
use control_workloads::job::{self, orphan};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use object::key::ObjectKey;
use object::plan::{Plan, key_of};
use object::time::Clock;
use reconcile::controller::controller_key;
use reconcile::{Changed, Controller};

use crate::caches::Caches;
use crate::workloads::{owners_of, selects};

pub(crate) fn jobs(caches: &Arc<Caches>) -> Controller {
    let (planning, mapping) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("job", "job-controller", move |ask| {
        let caches = &planning;
        let Some(job) = caches.jobs.get(&ask.key) else { return Plan::nothing() };
        let view = job::View {
            job: &job,
            pods: &Caches::candidates(&caches.pods_by_owner, &job.metadata, selected_by(&job)),
            is_name_taken: &|name| caches.pods.get(&ObjectKey::new(ask.key.namespace.as_str(), name)).is_some(),
        };
        job::plan(&view, ask.now)
    })
    .watches(&caches.jobs)
    .maps(&caches.pods, move |changed| {
        owners_of(changed, &mapping.jobs, |job, pod| {
            job.spec.as_ref().and_then(|s| s.selector.as_ref()).is_some_and(|selector| selects(selector, pod))
        })
    })
}

fn selected_by(job: &Job) -> Option<&BTreeMap<String, String>> {
    job.spec.as_ref()?.selector.as_ref()?.match_labels.as_ref()
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

pub(crate) fn cron_jobs(caches: &Arc<Caches>, clock: &Clock) -> Controller {
    let (planning, clock) = (Arc::clone(caches), clock.clone());
    let changes = Arc::<ScheduleChanges>::default();
    let seen = Arc::clone(&changes);
    Controller::new("cronjob", "cronjob-controller", move |ask| {
        let caches = &planning;
        let Some(cron_job) = caches.cron_jobs.get(&ask.key) else {
            changes.forget(&ask.key);
            return Plan::nothing();
        };
        let view = cron_job::View {
            cron_job: &cron_job,
            jobs: &caches.jobs_by_owner.get(cron_job.metadata.uid.as_deref().unwrap_or("")),
            is_name_taken: &|name| caches.jobs.get(&ObjectKey::new(ask.key.namespace.as_str(), name)).is_some(),
            schedule_since: changes.of(&ask.key),
        };
        cron_job::plan(&view, ask.now)
    })
    .maps(&caches.cron_jobs, move |changed| {
        seen.note(changed, &clock);
        vec![changed.key.clone()]
    })
    .maps(&caches.jobs, |changed| changed.sides().filter_map(|job| controller_key(&job.metadata, "batch", "CronJob")).collect())
}

/// When schedules were seen to change: what no object tells.
#[derive(Default)]
struct ScheduleChanges(Mutex<BTreeMap<ObjectKey, Timestamp>>);

impl ScheduleChanges {
    fn note(&self, changed: &Changed<CronJob>, clock: &Clock) {
        let schedule = |cron_job: &CronJob| (cron_job.spec.schedule.clone(), cron_job.spec.time_zone.clone());
        let sides = changed.old.as_ref().zip(changed.new.as_ref());
        if sides.is_some_and(|(old, new)| schedule(old) != schedule(new)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(changed.key.clone(), clock.now());
        }
    }

    fn of(&self, key: &ObjectKey) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn forget(&self, key: &ObjectKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}
