//! How many finished jobs are kept.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use object::plan::Plan;

use super::{View, delete, has_succeeded, is_leaving, name};
use crate::job;

/// Deletes the oldest finished jobs beyond the limits, succeeded and failed ones each by their own.
pub(super) fn clean_up(view: &View<'_>, plan: &mut Plan) {
    let spec = &view.cron_job.spec;
    let limits = [(spec.successful_jobs_history_limit, true), (spec.failed_jobs_history_limit, false)];
    for (limit, succeeded) in limits {
        let Some(limit) = limit else { continue };
        let mut finished: Vec<&Arc<Job>> =
            view.jobs.iter().filter(|job| job::is_finished(job) && has_succeeded(job) == succeeded && !is_leaving(job)).collect();
        // Jobs that never started count as the newest.
        let started = |job: &Job| job.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
        finished.sort_by_key(|job| (started(job).is_none(), started(job), name(job).to_owned()));
        let n_beyond = finished.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        plan.changes.extend(finished.into_iter().take(n_beyond).map(|job| delete(view.cron_job, job)));
    }
}
