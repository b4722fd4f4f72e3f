use std::fmt::Write as _;

use expect_test::{Expect, expect};
use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use object::key::ObjectKey;
use object::{Value, time};
use serde_json::json;

use crate::model::{Model, show};
use crate::pods;

fn check(objects: &str, expected: Expect) {
    expected.assert_eq(&show(&Model::new(objects).plan_job("web")));
}

/// Carries plans out until nothing is left; writes down what the job tells.
fn settle(model: &mut Model) -> String {
    let mut transcript = String::new();
    for _ in 0..50 {
        let plan = model.plan_job("web");
        let notes = plan.notes.iter().chain(plan.changes.iter().filter_map(|c| c.done.as_ref()));
        for note in notes {
            let text = note.message.split_once(": web-").map_or(note.message.as_str(), |(text, _)| text);
            let _ = writeln!(transcript, "{}: {text}", note.reason);
        }
        if plan.changes.is_empty() {
            return transcript + &ending(model);
        }
        model.carry_out(&plan);
    }
    panic!("not settled: {transcript}");
}

fn ending(model: &Model) -> String {
    let status = model.get::<Job>("web").and_then(|job| job.status.clone()).unwrap_or_default();
    let n = |n: Option<i32>| n.unwrap_or(0);
    let mut text = format!("active={} succeeded={} failed={}", n(status.active), n(status.succeeded), n(status.failed));
    for c in status.conditions.iter().flatten() {
        let _ = write!(text, " {}={}", c.type_, c.status);
    }
    text + "\n"
}

fn job(model: &mut Model) -> &mut Value {
    model.objects.get_mut(&("jobs".to_owned(), ObjectKey::new("default", "web"))).unwrap()
}

/// The active pods that `which` picks end in `phase`, now.
fn end(model: &mut Model, phase: &str, exit_code: i32, which: impl Fn(&Pod) -> bool) {
    let now = time::seconds(model.now);
    for pod in model.list::<Pod>().iter().filter(|pod| pods::is_active(pod) && which(pod)) {
        let id = ("pods".to_owned(), ObjectKey::new("default", pod.metadata.name.as_deref().unwrap()));
        let terminated = json!({"exitCode": exit_code, "finishedAt": now});
        model.objects.get_mut(&id).unwrap()["status"] = json!({"phase": phase, "containerStatuses": [
            {"name": "c", "ready": false, "restartCount": 0, "image": "a", "imageID": "", "state": {"terminated": terminated}}]});
    }
}

fn index(pod: &Pod) -> i32 {
    super::index_of(pod).unwrap()
}

#[test]
fn a_new_job_starts_its_pods() {
    check(
        "job web parallelism=2 completions=5",
        expect![[r#"
            create pod web-*  (2)
            status job web:
        "#]],
    );
    check(
        "job web parallelism=3 indexed completions=2",
        expect![[r#"
            create pod web-0-*
            create pod web-1-*
            status job web:
        "#]],
    );
}

#[test]
fn an_ended_pod_is_counted_in_three_steps() {
    check(
        "job web completions=2 | pod a owner=web tracked Succeeded",
        expect![[r#"
            create pod web-*
            status job web: succeeded+1
        "#]],
    );
    let mut model = Model::new("job web completions=1 | pod a owner=web tracked Running");
    settle(&mut model);
    end(&mut model, "Succeeded", 0, |_| true);
    let mut steps = String::new();
    for _ in 0..4 {
        let plan = model.plan_job("web");
        steps += &show(&plan);
        model.carry_out(&plan);
    }
    expect![[r#"
        status job web: succeeded+1 SuccessCriteriaMet=True(CompletionsReached)
        let pod a go
        status job web: succeeded=1 SuccessCriteriaMet=True(CompletionsReached) Complete=True(CompletionsReached)
    "#]]
    .assert_eq(&steps);
}

#[test]
fn a_pod_that_vanishes_between_the_steps_is_counted() {
    let mut model = Model::new("job web completions=2 parallelism=1 | pod a owner=web tracked Succeeded");
    model.carry_out(&model.plan_job("web"));
    model.objects.retain(|(resource, key), _| resource != "pods" || key.name != "a");
    expect![[r#"
        active=1 succeeded=1 failed=0
    "#]]
    .assert_eq(&settle(&mut model));
}

#[test]
fn jobs_run_to_completion() {
    let mut model = Model::new("job web parallelism=2 completions=3");
    let mut transcript = settle(&mut model);
    for _ in 0..2 {
        end(&mut model, "Succeeded", 0, |_| true);
        transcript += &settle(&mut model);
    }
    expect![[r#"
        SuccessfulCreate: Created pod
        SuccessfulCreate: Created pod
        active=2 succeeded=0 failed=0
        SuccessfulCreate: Created pod
        active=1 succeeded=2 failed=0
        Completed: Job completed
        active=0 succeeded=3 failed=0 SuccessCriteriaMet=True Complete=True
    "#]]
    .assert_eq(&transcript);
}

#[test]
fn without_completions_one_success_ends_it() {
    let mut model = Model::new("job web parallelism=3");
    let mut transcript = settle(&mut model);
    let first = model.list::<Pod>()[0].metadata.name.clone();
    end(&mut model, "Succeeded", 0, |pod| pod.metadata.name == first);
    transcript += &settle(&mut model);
    end(&mut model, "Failed", 1, |_| true);
    transcript += &settle(&mut model);
    expect![[r#"
        SuccessfulCreate: Created pod
        SuccessfulCreate: Created pod
        SuccessfulCreate: Created pod
        active=3 succeeded=0 failed=0
        active=2 succeeded=1 failed=0
        Completed: Job completed
        active=0 succeeded=1 failed=2 SuccessCriteriaMet=True Complete=True
    "#]]
    .assert_eq(&transcript);
}

#[test]
fn failed_pods_are_replaced_later_and_later_up_to_the_limit() {
    let mut model = Model::new("job web backoff=2 completions=1");
    let mut transcript = settle(&mut model);
    for _ in 0..3 {
        end(&mut model, "Failed", 1, |_| true);
        transcript += &settle(&mut model);
        let wake_at = model.plan_job("web").wake_at;
        if let Some(at) = wake_at {
            let _ = writeln!(transcript, "after {}:", at.duration_since(model.now));
            model.now = at;
            transcript += &settle(&mut model);
        }
    }
    expect![[r#"
        SuccessfulCreate: Created pod
        active=1 succeeded=0 failed=0
        active=0 succeeded=0 failed=1
        after PT10S:
        SuccessfulCreate: Created pod
        active=1 succeeded=0 failed=1
        active=0 succeeded=0 failed=2
        after PT20S:
        SuccessfulCreate: Created pod
        active=1 succeeded=0 failed=2
        BackoffLimitExceeded: Job has reached the specified backoff limit
        active=0 succeeded=0 failed=3 FailureTarget=True Failed=True
    "#]]
    .assert_eq(&transcript);
}

#[test]
fn a_failed_job_takes_its_running_pods_with_it() {
    let mut model = Model::new("job web backoff=0 parallelism=3 completions=3");
    settle(&mut model);
    let first = model.list::<Pod>()[0].metadata.name.clone();
    end(&mut model, "Failed", 1, |pod| pod.metadata.name == first);
    expect![[r#"
        SuccessfulDelete: Deleted pod
        SuccessfulDelete: Deleted pod
        BackoffLimitExceeded: Job has reached the specified backoff limit
        active=0 succeeded=0 failed=3 FailureTarget=True Failed=True
    "#]]
    .assert_eq(&settle(&mut model));
}

#[test]
fn a_deadline_ends_a_job_in_its_time() {
    let mut model = Model::new("job web deadline=30 completions=1");
    settle(&mut model);
    let wake_at = model.plan_job("web").wake_at.unwrap();
    assert_eq!(wake_at, model.now + SignedDuration::from_secs(30));
    model.now = wake_at;
    expect![[r#"
        SuccessfulDelete: Deleted pod
        DeadlineExceeded: Job was active longer than specified deadline
        active=0 succeeded=0 failed=1 FailureTarget=True Failed=True
    "#]]
    .assert_eq(&settle(&mut model));
}

#[test]
fn suspending_stops_pods_without_counting_them() {
    let mut model = Model::new("job web parallelism=2 completions=2 deadline=60");
    let mut transcript = settle(&mut model);
    for (suspend, seconds) in [(true, 50), (false, 50)] {
        model.now += SignedDuration::from_secs(seconds);
        job(&mut model)["spec"]["suspend"] = suspend.into();
        transcript += &settle(&mut model);
    }
    expect![[r#"
        SuccessfulCreate: Created pod
        SuccessfulCreate: Created pod
        active=2 succeeded=0 failed=0
        Suspended: Job suspended
        SuccessfulDelete: Deleted pod
        SuccessfulDelete: Deleted pod
        active=0 succeeded=0 failed=0 Suspended=True
        SuccessfulCreate: Created pod
        SuccessfulCreate: Created pod
        Resumed: Job resumed
        active=2 succeeded=0 failed=0 Suspended=False
    "#]]
    .assert_eq(&transcript);
    let started = model.get::<Job>("web").unwrap().status.clone().unwrap().start_time.unwrap();
    assert_eq!(started.0, model.now, "the deadline runs anew");
}

#[test]
fn less_parallelism_removes_pods_uncounted() {
    let mut model = Model::new("job web parallelism=3 completions=9");
    settle(&mut model);
    job(&mut model)["spec"]["parallelism"] = 1.into();
    expect![[r#"
        SuccessfulDelete: Deleted pod
        SuccessfulDelete: Deleted pod
        active=1 succeeded=0 failed=0
    "#]]
    .assert_eq(&settle(&mut model));
}

#[test]
fn indexes_are_each_done_once() {
    let mut model = Model::new("job web indexed parallelism=2 completions=4");
    settle(&mut model);
    end(&mut model, "Succeeded", 0, |pod| index(pod) == 1);
    settle(&mut model);
    end(&mut model, "Failed", 1, |pod| index(pod) == 0);
    settle(&mut model);
    model.now += SignedDuration::from_secs(10);
    settle(&mut model);
    let active = |model: &Model| {
        let pods = model.list::<Pod>();
        let mut active: Vec<_> = pods.iter().filter(|p| pods::is_active(p)).map(|p| index(p)).collect();
        active.sort_unstable();
        active
    };
    assert_eq!(active(&model), [0, 2]);
    let status = |model: &Model| model.get::<Job>("web").unwrap().status.clone().unwrap();
    assert_eq!(status(&model).completed_indexes.as_deref(), Some("1"));
    while !active(&model).is_empty() {
        end(&mut model, "Succeeded", 0, |_| true);
        settle(&mut model);
    }
    assert_eq!(status(&model).completed_indexes.as_deref(), Some("0-3"));
    assert_eq!((status(&model).succeeded, status(&model).failed), (Some(4), Some(1)));
}

#[test]
fn an_indexed_pod_knows_its_index() {
    let model = Model::new("job web indexed completions=1");
    let plan = model.plan_job("web");
    let object::plan::Write::Create { object, .. } = &plan.changes[0].write else { panic!("no pod") };
    assert_eq!(object["metadata"]["labels"][super::INDEX], "0");
    assert_eq!(object["spec"]["hostname"], "web-0");
    assert_eq!(object["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(object["metadata"]["finalizers"], json!([super::FINALIZER]));
}

#[test]
fn doubled_and_wrong_indexes_go() {
    check(
        "job web indexed parallelism=3 completions=3
         pod a owner=web tracked Running Ready index=0 | pod b owner=web tracked Pending index=0
         pod c owner=web tracked Running index=7 | pod d owner=web tracked Running",
        expect![[r#"
            let pod b go
            let pod c go
            let pod d go
            status job web: active=4
        "#]],
    );
}

#[test]
fn an_index_fails_by_its_own_limit() {
    let mut model = Model::new("job web indexed parallelism=2 completions=2 perindex=1 backoff=2147483647");
    let mut transcript = settle(&mut model);
    for _ in 0..2 {
        end(&mut model, "Failed", 1, |pod| index(pod) == 0);
        transcript += &settle(&mut model);
        if let Some(at) = model.plan_job("web").wake_at {
            model.now = at;
            transcript += &settle(&mut model);
        }
    }
    end(&mut model, "Succeeded", 0, |_| true);
    transcript += &settle(&mut model);
    expect![[r#"
        SuccessfulCreate: Created pod
        SuccessfulCreate: Created pod
        active=2 succeeded=0 failed=0
        active=1 succeeded=0 failed=0
        SuccessfulCreate: Created pod
        active=2 succeeded=0 failed=1
        active=1 succeeded=0 failed=2
        FailedIndexes: Job has failed indexes
        active=0 succeeded=1 failed=2 FailureTarget=True Failed=True
    "#]]
    .assert_eq(&transcript);
    let status = model.get::<Job>("web").unwrap().status.clone().unwrap();
    assert_eq!((status.completed_indexes.as_deref(), status.failed_indexes.as_deref()), (Some("1"), Some("0")));
}

#[test]
fn rules_decide_on_failed_pods() {
    for (action, code, expected) in [
        ("FailJob", 42, "active=0 succeeded=0 failed=1 FailureTarget=True Failed=True\n"),
        ("Ignore", 42, "active=0 succeeded=0 failed=0\n"),
        ("Count", 42, "active=0 succeeded=0 failed=1\n"),
        ("FailJob", 1, "active=0 succeeded=0 failed=1\n"),
    ] {
        let mut model = Model::new("job web completions=1");
        job(&mut model)["spec"]["podFailurePolicy"] =
            json!({"rules": [{"action": action, "onExitCodes": {"operator": "In", "values": [42]}}]});
        settle(&mut model);
        end(&mut model, "Failed", code, |_| true);
        settle(&mut model);
        assert_eq!(ending(&model), expected, "{action} {code}");
    }
}

#[test]
fn enough_indexes_are_enough() {
    let mut model = Model::new("job web indexed parallelism=3 completions=3");
    job(&mut model)["spec"]["successPolicy"] = json!({"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]});
    settle(&mut model);
    end(&mut model, "Succeeded", 0, |pod| index(pod) == 1);
    let mut transcript = settle(&mut model);
    end(&mut model, "Succeeded", 0, |pod| index(pod) == 2);
    transcript += &settle(&mut model);
    expect![[r#"
        active=2 succeeded=1 failed=0
        SuccessfulDelete: Deleted pod
        Completed: Job completed
        active=0 succeeded=2 failed=0 SuccessCriteriaMet=True Complete=True
    "#]]
    .assert_eq(&transcript);
}

#[test]
fn a_leaving_pod_is_replaced_at_once_or_when_it_has_failed() {
    for (replace, expected) in [
        (
            "TerminatingOrFailed",
            expect![[r#"
            status job web: failed+1
            wake at 2026-01-01T00:00:10Z
        "#]],
        ),
        (
            "Failed",
            expect![[r#"
            status job web:
        "#]],
        ),
    ] {
        check(&format!("job web completions=1 replace={replace} | pod a owner=web tracked Running leaving"), expected);
    }
}

#[test]
fn orphans_are_adopted_with_their_finalizer() {
    check(
        "job web completions=1 | pod a Running | pod b owner=web tracked app=x Running",
        expect![[r#"
            patch pod a: {"finalizers":["batch.kubernetes.io/job-tracking"],"ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"web","uid":"uid-web"}]}
            patch pod b: {"finalizers":[],"ownerReferences":null}
        "#]],
    );
}

#[test]
fn a_finished_job_goes_after_its_time() {
    let mut model = Model::new("job web completions=1 ttl=100");
    settle(&mut model);
    end(&mut model, "Succeeded", 0, |_| true);
    settle(&mut model);
    let plan = model.plan_job("web");
    assert_eq!(plan.wake_at, Some(model.now + SignedDuration::from_secs(100)));
    model.now = plan.wake_at.unwrap();
    expect![[r#"
        delete job web
    "#]]
    .assert_eq(&show(&model.plan_job("web")));
}

#[test]
fn a_leaving_job_lets_its_pods_go() {
    check(
        "job web completions=3 parallelism=3 leaving | pod a owner=web tracked Running | pod b owner=web tracked Succeeded",
        expect![[r#"
            let pod a go
            status job web: active=1 succeeded+1
        "#]],
    );
}

#[test]
fn pods_without_their_job_are_let_go() {
    let check = |objects: &str, goes: bool| {
        let model = Model::new(objects);
        let pod = model.get::<Pod>("a").unwrap();
        let plan = super::orphan::plan(&super::orphan::View { pod: &pod, job_named: &|name| model.get::<Job>(name) });
        assert_eq!(!plan.changes.is_empty(), goes, "{objects}");
    };
    check("pod a tracked", true);
    check("pod a", false);
    check("job web | pod a tracked owner=web", false);
    check("replicaset web | pod a tracked owner=web", false);
    let mut model = Model::new("job web | pod a tracked owner=web Succeeded");
    model.objects.retain(|(resource, _), _| resource == "pods");
    let pod = model.get::<Pod>("a").unwrap();
    let plan = super::orphan::plan(&super::orphan::View { pod: &pod, job_named: &|_| None });
    assert_eq!(plan.changes.len(), 1);
}

#[test]
fn carrying_out_a_plan_leaves_nothing_to_do() {
    for objects in [
        "job web completions=0",
        "job web completions=1200 parallelism=1200",
        "job web completions=5 parallelism=3 | pod a owner=web tracked Succeeded | pod b owner=web tracked Failed | pod c owner=web tracked",
        "job web indexed completions=5 parallelism=5 perindex=1 | pod a owner=web tracked Failed index=1 | pod b owner=web tracked index=9",
        "job web suspend completions=2 | pod a owner=web tracked Running",
        "job web completions=1 backoff=0 | pod a owner=web tracked Failed | pod b owner=web tracked Running",
    ] {
        let mut model = Model::new(objects);
        settle(&mut model);
        assert_eq!(model.plan_job("web").changes, [], "{objects}");
    }
}
