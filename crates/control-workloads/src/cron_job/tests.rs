use expect_test::{Expect, expect};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use object::key::ObjectKey;
use object::plan::Plan;
use object::{Value, meta, time};
use serde_json::json;

use crate::model::{Model, show};

fn plan_since(model: &Model, schedule_since: Option<Timestamp>) -> Plan {
    let cron_job = model.get::<CronJob>("web").unwrap();
    let mut jobs = model.candidates::<Job>(cron_job.metadata.uid.as_ref());
    jobs.retain(|job| job.metadata.owner_references.is_some());
    let is_name_taken = |name: &str| model.get::<Job>(name).is_some();
    super::plan(&super::View { cron_job: &cron_job, jobs: &jobs, is_name_taken: &is_name_taken, schedule_since }, model.now)
}

fn plan(model: &Model) -> Plan {
    plan_since(model, None)
}

/// A cron job that was created `minutes` ago; the model's clock stands at midnight.
fn model(schedule: &str, minutes: i64, spec: Value) -> Model {
    let mut model = Model::new("cronjob web");
    let cron_job = model.objects.get_mut(&("cronjobs".to_owned(), ObjectKey::new("default", "web"))).unwrap();
    let created = time::seconds(model.now - SignedDuration::from_mins(minutes));
    meta::set(cron_job, "creationTimestamp", created);
    cron_job["spec"] = json!({"schedule": schedule, "jobTemplate": {"spec": {"template": {}}}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        cron_job["spec"][field] = value.clone();
    }
    model
}

fn check(schedule: &str, minutes: i64, spec: Value, expected: Expect) {
    let plan = plan(&model(schedule, minutes, spec));
    let notes: String = plan.notes.iter().map(|note| format!("{}: {}\n", note.reason, note.message)).collect();
    expected.assert_eq(&(show(&plan) + &notes));
}

/// Carries plans out until nothing changes.
fn settle(model: &mut Model) -> String {
    let mut transcript = String::new();
    for _ in 0..10 {
        let plan = plan(model);
        let done = plan.changes.iter().filter_map(|c| c.done.as_ref());
        plan.notes.iter().chain(done).for_each(|note| transcript += &format!("{}: {}\n", note.reason, note.message));
        model.carry_out(&plan);
        if plan.changes.is_empty() {
            return transcript;
        }
    }
    panic!("not settled: {transcript}");
}

fn finish(model: &mut Model, name: &str, condition: &str) {
    let now = time::seconds(model.now);
    let job = model.objects.get_mut(&("jobs".to_owned(), ObjectKey::new("default", name))).unwrap();
    job["status"] = json!({"startTime": now, "completionTime": now,
        "conditions": [{"type": condition, "status": "True", "lastTransitionTime": now}]});
}

fn names(model: &Model) -> Vec<String> {
    model.list::<Job>().iter().map(|job| super::name(job).to_owned()).collect()
}

#[test]
fn only_the_latest_time_is_made_up_for() {
    check(
        "*/10 * * * *",
        5,
        json!({}),
        expect![[r#"
            create job web-29453760
            wake at 2026-01-01T00:10:00.1Z
        "#]],
    );
    check(
        "*/10 * * * *",
        35,
        json!({}),
        expect![[r#"
            create job web-29453760
            wake at 2026-01-01T00:10:00.1Z
        "#]],
    );
    check(
        "7 * * * *",
        35,
        json!({}),
        expect![[r#"
            wake at 2026-01-01T00:07:00.1Z
        "#]],
    );
}

#[test]
fn many_missed_times_are_told() {
    check(
        "* * * * *",
        200,
        json!({}),
        expect![[r#"
            create job web-29453760
            wake at 2026-01-01T00:01:00.1Z
            TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew
        "#]],
    );
    check(
        "* * * * *",
        200,
        json!({"startingDeadlineSeconds": 120}),
        expect![[r#"
            create job web-29453760
            wake at 2026-01-01T00:01:00.1Z
        "#]],
    );
}

#[test]
fn a_time_beyond_the_deadline_is_left_out() {
    check(
        "50 23 * * *",
        30,
        json!({"startingDeadlineSeconds": 60}),
        expect![[r#"
            wake at 2026-01-01T23:50:00.1Z
        "#]],
    );
}

#[test]
fn what_cannot_be_read_is_told() {
    check(
        "* * *",
        30,
        json!({}),
        expect![[r#"
            UnparseableSchedule: unparseable schedule: "* * *" : expected exactly 5 fields, found 3: [* * *]
        "#]],
    );
    check(
        "* * * * *",
        30,
        json!({"timeZone": "Nowhere"}),
        expect![[r#"
            UnknownTimeZone: invalid timeZone: "Nowhere": unknown time zone Nowhere
        "#]],
    );
    check("* * * * *", 30, json!({"suspend": true}), expect![[""]]);
}

#[test]
fn zones_count() {
    check(
        "0 1 * * *",
        30,
        json!({"timeZone": "Europe/Berlin"}),
        expect![[r#"
            create job web-29453760
            wake at 2026-01-02T00:00:00.1Z
        "#]],
    );
}

#[test]
fn a_job_is_created_once_and_seen_to_its_end() {
    let mut model = model("*/10 * * * *", 5, json!({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1}));
    let mut transcript = settle(&mut model);
    let job = model.get::<Job>("web-29453760").unwrap();
    assert_eq!(job.metadata.annotations.clone().unwrap()[super::SCHEDULED], "2026-01-01T00:00:00Z");
    let status = |model: &Model| model.get::<CronJob>("web").unwrap().status.clone().unwrap();
    assert_eq!(status(&model).active.unwrap()[0].uid, job.metadata.uid);
    finish(&mut model, "web-29453760", "Complete");
    transcript += &settle(&mut model);
    assert_eq!((status(&model).active, status(&model).last_successful_time.map(|t| t.0)), (None, Some(model.now)));
    model.now += SignedDuration::from_mins(10);
    transcript += &settle(&mut model);
    finish(&mut model, "web-29453770", "Complete");
    transcript += &settle(&mut model);
    expect![[r#"
        SuccessfulCreate: Created job web-29453760
        SawCompletedJob: Saw completed job: web-29453760, condition: Complete
        SuccessfulCreate: Created job web-29453770
        SawCompletedJob: Saw completed job: web-29453770, condition: Complete
        SuccessfulDelete: Deleted job web-29453760
    "#]]
    .assert_eq(&transcript);
    assert_eq!(names(&model), ["web-29453770"]);
}

#[test]
fn a_running_job_is_kept_company_waited_for_or_replaced() {
    for (policy, expected) in
        [("Allow", &["web-29453760", "web-29453770"][..]), ("Forbid", &["web-29453760"]), ("Replace", &["web-29453770"])]
    {
        let mut model = model("*/10 * * * *", 5, json!({"concurrencyPolicy": policy}));
        settle(&mut model);
        model.now += SignedDuration::from_mins(10);
        settle(&mut model);
        assert_eq!(names(&model), expected, "{policy}");
        let status = model.get::<CronJob>("web").unwrap().status.clone().unwrap();
        assert_eq!(status.active.unwrap().len(), expected.len(), "{policy}");
    }
    let mut model = model("*/10 * * * *", 5, json!({"concurrencyPolicy": "Forbid"}));
    settle(&mut model);
    model.now += SignedDuration::from_mins(11);
    settle(&mut model);
    finish(&mut model, "web-29453760", "Failed");
    settle(&mut model);
    assert_eq!(names(&model), ["web-29453760", "web-29453770"], "started as soon as the other one ended");
}

#[test]
fn a_missing_or_foreign_job_is_told() {
    let mut model = model("*/10 * * * *", 5, json!({}));
    settle(&mut model);
    model.objects.retain(|(resource, _), _| resource != "jobs");
    expect![[r#"
        MissingJob: Active job went missing: web-29453760
    "#]]
    .assert_eq(&settle(&mut model));
    model.add("job manual owner=web");
    expect![[r#"
        UnexpectedJob: Saw a job that the controller did not create or forgot: manual
    "#]]
    .assert_eq(&settle(&mut model));
}

#[test]
fn a_changed_schedule_looks_ahead_only() {
    let model = model("0 10 * * *", 60 * 30, json!({}));
    let now = model.now;
    assert_eq!(show(&plan_since(&model, Some(now))), "wake at 2026-01-01T10:00:00.1Z\n");
}
