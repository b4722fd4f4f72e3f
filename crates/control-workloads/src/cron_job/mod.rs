//! CronJob: a Job at each time of a schedule.
//!
//! ```text
//!   jobs seen --> status: active ones, last times
//!        |
//!        v
//!   the latest time that is due: too late? done already? one still active (Forbid)? --> wake at the next
//!        |
//!        +--> (Replace: delete the active ones) create the job that is named after its time
//! ```
//! A job's name holds its time, so one time cannot have two jobs; the status tells of it once it is seen.

mod history;
mod times;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use object::plan::{Change, Note, Plan, Propagation, Reference, Write};
use object::schedule::Schedule;
use object::zone;

use self::times::Due;
use crate::claims::owner_reference;
use crate::job;

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub struct View<'a> {
    pub cron_job: &'a CronJob,
    /// The jobs it controls.
    pub jobs: &'a [Arc<Job>],
    /// Whether a job of that name is there, whosever it is.
    pub is_name_taken: &'a dyn Fn(&str) -> bool,
    /// When the schedule became what it is, if that was seen: times before are not made up for.
    pub schedule_since: Option<Timestamp>,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan::nothing();
    let mut status = view.cron_job.status.clone().unwrap_or_default();
    history::clean_up(view, &mut plan);
    take_in(view, &mut status, &mut plan);
    if view.cron_job.metadata.deletion_timestamp.is_none() {
        run(view, &mut status, now, &mut plan);
    }
    if status.active.as_ref().is_some_and(Vec::is_empty) {
        status.active = None;
    }
    if status != view.cron_job.status.clone().unwrap_or_default() {
        plan.changes.push(Change::update_status(&CronJob { status: Some(status), ..view.cron_job.clone() }));
    }
    plan
}

/// What the jobs tell, put into the status.
fn take_in(view: &View<'_>, status: &mut CronJobStatus, plan: &mut Plan) {
    let about = Reference::of(view.cron_job);
    let mut active = status.active.take().unwrap_or_default();
    for job in view.jobs {
        let uid = job.metadata.uid.as_ref();
        let known = active.iter().position(|reference| reference.uid.as_ref() == uid);
        let scheduled = scheduled_time(view.cron_job, job);
        let is_new = scheduled.is_some_and(|at| status.last_schedule_time.as_ref().is_none_or(|last| at > last.0));
        if let Some(at) = scheduled.filter(|_| is_new) {
            status.last_schedule_time = Some(Time(at));
        }
        match (known, job::is_finished(job)) {
            (None, false) if is_new => active.push(reference(job)),
            (None, false) if !is_leaving(job) => {
                let text = format!("Saw a job that the controller did not create or forgot: {}", name(job));
                plan.notes.push(Note::warning(about.clone(), "UnexpectedJob", text));
            }
            (Some(i), true) => {
                active.remove(i);
                let ending = if has_succeeded(job) { "Complete" } else { "Failed" };
                let text = format!("Saw completed job: {}, condition: {ending}", name(job));
                plan.notes.push(Note::normal(about.clone(), "SawCompletedJob", text));
            }
            _ => {}
        }
        let completed = job.status.as_ref().and_then(|s| s.completion_time.clone()).filter(|_| has_succeeded(job));
        if completed.as_ref().is_some_and(|at| status.last_successful_time.as_ref().is_none_or(|last| at.0 > last.0)) {
            status.last_successful_time = completed;
        }
    }
    active.retain(|reference| {
        let is_here = view.jobs.iter().any(|job| job.metadata.uid == reference.uid);
        if !is_here {
            let text = format!("Active job went missing: {}", reference.name.as_deref().unwrap_or(""));
            plan.notes.push(Note::normal(about.clone(), "MissingJob", text));
        }
        is_here
    });
    status.active = Some(active);
}

/// Creates the job that is due, or says why not; wakes at the next time.
fn run(view: &View<'_>, status: &mut CronJobStatus, now: Timestamp, plan: &mut Plan) {
    let cron_job = view.cron_job;
    let Some((schedule, zone)) = schedule(cron_job, plan) else { return };
    let due = times::due(cron_job, status, view.schedule_since, &schedule, now, plan);
    let Due { at, next } = match due {
        Ok(due) => due,
        Err(fault) => {
            let text = format!("invalid schedule: {} : {fault}", cron_job.spec.schedule);
            plan.notes.push(Note::warning(Reference::of(cron_job), "InvalidSchedule", text));
            return;
        }
    };
    if let Some(next) = next {
        plan.wake_by(next);
    }
    let Some(at) = at else { return };
    let job = job_at(cron_job, at, &zone);
    if status.last_schedule_time.as_ref().is_some_and(|last| last.0 == at) || (view.is_name_taken)(name(&job)) {
        return;
    }
    let active = status.active.get_or_insert_default();
    match cron_job.spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.notes.push(Note::normal(Reference::of(cron_job), "JobAlreadyActive", text));
            return;
        }
        Some("Replace") => {
            let running = view.jobs.iter().filter(|job| active.iter().any(|reference| reference.uid == job.metadata.uid));
            plan.changes.extend(running.filter(|job| !is_leaving(job)).map(|job| delete(cron_job, job)));
            active.clear();
        }
        _ => {}
    }
    let about = Reference::of(cron_job);
    let done = Note::normal(about.clone(), "SuccessfulCreate", format!("Created job {}", name(&job)));
    let failed = Note::warning(about, "FailedCreate", "Error creating job: ");
    plan.changes.push(Change::create(&job).telling(done).telling_failure(failed));
}

/// The schedule in its zone, unless the job is suspended or either cannot be read.
fn schedule(cron_job: &CronJob, plan: &mut Plan) -> Option<(Schedule, TimeZone)> {
    let spec = &cron_job.spec;
    let about = || Reference::of(cron_job);
    let zone = match zone::named(spec.time_zone.as_deref().unwrap_or("")) {
        Ok(zone) => zone,
        Err(fault) => {
            let text = format!("invalid timeZone: {:?}: {fault}", spec.time_zone.as_deref().unwrap_or(""));
            plan.notes.push(Note::warning(about(), "UnknownTimeZone", text));
            return None;
        }
    };
    if spec.suspend == Some(true) {
        return None;
    }
    let names_zone = spec.schedule.contains("TZ");
    if names_zone {
        let text = format!(
            "CRON_TZ or TZ used in schedule {:?} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
            spec.schedule
        );
        plan.notes.push(Note::warning(about(), "UnsupportedSchedule", text));
    }
    match Schedule::parse(&spec.schedule) {
        Ok(schedule) if names_zone => Some((schedule, zone)),
        Ok(schedule) => Some((schedule.within(zone.clone()), zone)),
        Err(fault) => {
            let text = format!("unparseable schedule: {:?} : {fault}", spec.schedule);
            plan.notes.push(Note::warning(about(), "UnparseableSchedule", text));
            None
        }
    }
}

/// The job of one time. Its name counts the minutes since 1970.
fn job_at(cron_job: &CronJob, at: Timestamp, zone: &TimeZone) -> Job {
    let template = cron_job.spec.job_template.clone();
    let wanted = template.metadata.unwrap_or_default();
    let mut annotations = wanted.annotations.unwrap_or_default();
    let local = at.to_zoned(zone.clone());
    let format = if zone == &TimeZone::UTC { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    annotations.insert(SCHEDULED.to_owned(), local.strftime(format).to_string());
    let metadata = ObjectMeta {
        name: Some(format!("{}-{}", cron_job.metadata.name.as_deref().unwrap_or(""), at.as_second() / 60)),
        namespace: cron_job.metadata.namespace.clone(),
        labels: wanted.labels,
        annotations: Some(annotations),
        owner_references: Some(vec![owner_reference(cron_job)]),
        ..ObjectMeta::default()
    };
    Job { metadata, spec: template.spec, status: None }
}

/// The time that a job was made for, if this is one of the schedule's own.
fn scheduled_time(cron_job: &CronJob, job: &Job) -> Option<Timestamp> {
    let minutes = name(job).strip_prefix(cron_job.metadata.name.as_deref()?)?.strip_prefix('-')?;
    let at: Timestamp = job.metadata.annotations.as_ref()?.get(SCHEDULED)?.parse().ok()?;
    (minutes.parse() == Ok(at.as_second() / 60)).then_some(at)
}

fn reference(job: &Job) -> ObjectReference {
    let of = Reference::of(job);
    ObjectReference {
        api_version: Some(of.api_version),
        kind: Some(of.kind),
        namespace: Some(of.namespace),
        name: Some(of.name),
        uid: Some(of.uid),
        resource_version: Some(of.resource_version),
        field_path: None,
    }
}

/// With its pods.
fn delete(cron_job: &CronJob, job: &Job) -> Change {
    let about = Reference::of(cron_job);
    let mut change = Change::delete(job)
        .telling(Note::normal(about.clone(), "SuccessfulDelete", format!("Deleted job {}", name(job))))
        .telling_failure(Note::warning(about, "FailedDelete", "Deleted job: "));
    if let Write::Delete { options, .. } = &mut change.write {
        options.propagation = Some(Propagation::Background);
    }
    change
}

fn name(job: &Job) -> &str {
    job.metadata.name.as_deref().unwrap_or("")
}

fn is_leaving(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_some()
}

fn has_succeeded(job: &Job) -> bool {
    job.status.iter().flat_map(|s| s.conditions.iter().flatten()).any(|c| c.type_ == "Complete" && c.status == "True")
}
