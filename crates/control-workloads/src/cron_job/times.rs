//! Which time of a schedule is due, and when to look again.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus};
use object::plan::{Note, Plan, Reference};
use object::schedule::Schedule;

/// So that a clock that is a little behind does not wake before the time.
const WAKE_LATE: SignedDuration = SignedDuration::from_millis(100);
/// Upstream: more are said to be too many.
const MISSED_MAX: i64 = 100;

pub(super) struct Due {
    /// The latest time that has come and is not too late.
    pub(super) at: Option<Timestamp>,
    /// When to look again; none for a schedule that has no more times.
    pub(super) next: Option<Timestamp>,
}

pub(super) fn due(
    cron_job: &CronJob,
    status: &CronJobStatus,
    since: Option<Timestamp>,
    schedule: &Schedule,
    now: Timestamp,
    plan: &mut Plan,
) -> Result<Due, String> {
    let next = schedule.next(now).map(|next| next + WAKE_LATE);
    let deadline = cron_job.spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    let created = cron_job.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0);
    let mut earliest = status.last_schedule_time.as_ref().map_or(created, |t| t.0);
    earliest = earliest.max(since.unwrap_or(earliest));
    if let Some(deadline) = deadline {
        // Nothing before is started any more.
        earliest = earliest.max(now.checked_sub(deadline).unwrap_or(earliest));
    }
    let (at, n_missed) = latest(schedule, earliest, now)?;
    if at.is_some() && n_missed > MISSED_MAX {
        let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.notes.push(Note::warning(Reference::of(cron_job), "TooManyMissedTimes", text));
    }
    let is_late = |at: Timestamp| deadline.is_some_and(|deadline| now.duration_since(at) > deadline);
    if let Some(late) = at.filter(|at| is_late(*at)) {
        let text = format!("Missed scheduled time to start a job: {}", late.strftime("%a, %d %b %Y %H:%M:%S UTC"));
        plan.notes.push(Note::warning(Reference::of(cron_job), "MissSchedule", text));
        return Ok(Due { at: None, next });
    }
    Ok(Due { at, next })
}

/// The last time after `earliest` that has come, and about how many came.
fn latest(schedule: &Schedule, earliest: Timestamp, now: Timestamp) -> Result<(Option<Timestamp>, i64), String> {
    let Some(first) = schedule.next(earliest).filter(|first| *first <= now) else { return Ok((None, 0)) };
    let Some(second) = schedule.next(first).filter(|second| *second <= now) else { return Ok((Some(first), 0)) };
    let interval = second.duration_since(first).as_secs();
    if interval < 1 {
        return Err("time difference between two schedules is less than 1 second".to_owned());
    }
    // Leaps close to now by whole intervals, which keeps `@every` in step, and goes on from there.
    let n_missed = now.duration_since(first).as_secs() / interval + 1;
    let mut latest = first + SignedDuration::from_secs((n_missed - 2) * interval);
    let mut found = None;
    while let Some(next) = schedule.next(latest).filter(|next| *next <= now) {
        latest = next;
        found = Some(next);
    }
    Ok((found, n_missed))
}
