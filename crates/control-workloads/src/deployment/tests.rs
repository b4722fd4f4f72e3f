use std::fmt::Write as _;

use expect_test::{Expect, expect};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use object::key::ObjectKey;
use serde_json::json;

use crate::model::{Model, show};
use crate::pods;

/// Carries out all plans until nothing is left; pods become ready when `is_ready` says so. Writes down what the deployment does.
fn settle(model: &mut Model, pods_get_ready: bool) -> String {
    let mut transcript = String::new();
    for _ in 0..200 {
        let plan = model.plan_deployment("web");
        model.carry_out(&plan);
        for change in &plan.changes {
            if let Some(note) = &change.done {
                let _ = writeln!(transcript, "{}", masked(&note.message));
            }
        }
        let mut is_settled = plan.changes.is_empty();
        for set in model.list::<ReplicaSet>() {
            let plan = model.plan_replica_set(set.metadata.name.as_deref().unwrap());
            is_settled &= plan.changes.is_empty();
            model.carry_out(&plan);
        }
        if pods_get_ready {
            is_settled &= !make_one_ready(model);
        }
        if is_settled {
            return transcript + &conditions(model);
        }
    }
    panic!("not settled: {transcript}");
}

/// The oldest unready pod becomes ready.
fn make_one_ready(model: &mut Model) -> bool {
    let ready =
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    let unready = model.list::<Pod>().into_iter().find(|pod| !pods::is_ready(pod));
    let Some(pod) = unready else { return false };
    let id = ("pods".to_owned(), ObjectKey::new("default", pod.metadata.name.as_deref().unwrap()));
    model.objects.get_mut(&id).unwrap()["status"] = ready;
    true
}

/// Hashes change with the template's fields, so only their place is shown.
fn masked(text: &str) -> String {
    let word = |word: &str| {
        let is_hash = word.strip_prefix("web-").is_some_and(|hash| hash.len() > 6);
        if is_hash { "web-*".to_owned() } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn conditions(model: &Model) -> String {
    let deployment = model.get::<Deployment>("web").unwrap();
    let status = deployment.status.clone().unwrap_or_default();
    let mut text = String::new();
    for c in status.conditions.iter().flatten() {
        let word = |field: &Option<String>| field.clone().unwrap_or_default();
        let message = word(&c.message)
            .split('"')
            .enumerate()
            .map(|(i, part)| if i % 2 == 1 { masked(part) } else { part.to_owned() })
            .collect::<Vec<_>>()
            .join("\"");
        let _ = writeln!(text, "{}={} {}: {message}", word(&c.type_), word(&c.status), word(&c.reason));
    }
    text
}

fn change(model: &mut Model, edit: impl FnOnce(&mut object::Value)) {
    let id = ("deployments".to_owned(), ObjectKey::new("default", "web"));
    let object = model.objects.get_mut(&id).unwrap();
    edit(object);
    let generation = object::meta::generation(object) + 1;
    object::meta::set(object, "generation", generation);
}

fn check(objects: &str, expected: Expect) {
    expected.assert_eq(&settle(&mut Model::new(objects), true));
}

#[test]
fn a_new_deployment_makes_its_set() {
    check(
        "deployment web replicas=3 deadline=600",
        expect![[r#"
        Scaled up replica set web-* from 0 to 3
        Available=True MinimumReplicasAvailable: Deployment has minimum availability.
        Progressing=True NewReplicaSetAvailable: ReplicaSet "web-*" has successfully progressed.
    "#]],
    );
}

#[test]
fn a_changed_template_rolls_within_surge_and_unavailable() {
    let mut model = Model::new("deployment web replicas=4 surge=1 unavailable=1 deadline=600");
    settle(&mut model, true);
    change(&mut model, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into());
    expect![[r#"
        Scaled up replica set web-* from 0 to 1
        Scaled down replica set web-* from 4 to 3
        Scaled up replica set web-* from 1 to 2
        Scaled down replica set web-* from 3 to 2
        Scaled up replica set web-* from 2 to 3
        Scaled down replica set web-* from 2 to 1
        Scaled up replica set web-* from 3 to 4
        Scaled down replica set web-* from 1 to 0
        Available=True MinimumReplicasAvailable: Deployment has minimum availability.
        Progressing=True NewReplicaSetAvailable: ReplicaSet "web-*" has successfully progressed.
    "#]]
    .assert_eq(&settle(&mut model, true));
    let revisions = |model: &Model| {
        let sets = model.list::<ReplicaSet>();
        let mut revisions: Vec<_> =
            sets.iter().map(|s| (s.metadata.annotations.clone().unwrap()[super::history::REVISION].clone(), super::size(s))).collect();
        revisions.sort();
        revisions
    };
    assert_eq!(revisions(&model), [("1".to_owned(), 0), ("2".to_owned(), 4)]);
    change(&mut model, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "a".into());
    settle(&mut model, true);
    assert_eq!(revisions(&model), [("2".to_owned(), 0), ("3".to_owned(), 4)], "undo makes the old set the newest");
    let shown = model.get::<Deployment>("web").unwrap().metadata.annotations.clone().unwrap();
    assert_eq!(shown[super::history::REVISION], "3");
}

#[test]
fn a_rollout_that_cannot_become_ready_stops_at_its_limits() {
    let mut model = Model::new("deployment web replicas=4 surge=1 unavailable=1 deadline=600");
    settle(&mut model, true);
    change(&mut model, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "bad".into());
    expect![[r#"
        Scaled up replica set web-* from 0 to 1
        Scaled down replica set web-* from 4 to 3
        Scaled up replica set web-* from 1 to 2
        Available=True MinimumReplicasAvailable: Deployment has minimum availability.
        Progressing=True ReplicaSetUpdated: ReplicaSet "web-*" is progressing.
    "#]]
    .assert_eq(&settle(&mut model, false));
    model.now += jiff::SignedDuration::from_secs(601);
    expect![[r#"
        Available=True MinimumReplicasAvailable: Deployment has minimum availability.
        Progressing=False ProgressDeadlineExceeded: ReplicaSet "web-*" has timed out progressing.
    "#]]
    .assert_eq(&settle(&mut model, false));
    change(&mut model, |d| d["spec"]["replicas"] = 10.into());
    expect![[r#"
        Scaled up replica set web-* from 3 to 7
        Scaled up replica set web-* from 2 to 4
        Available=False MinimumReplicasUnavailable: Deployment does not have minimum availability.
        Progressing=True ReplicaSetUpdated: ReplicaSet "web-*" is progressing.
    "#]]
    .assert_eq(&settle(&mut model, false));
}

#[test]
fn recreate_waits_for_the_old_pods() {
    let mut model = Model::new("deployment web replicas=2 recreate");
    settle(&mut model, true);
    change(&mut model, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into());
    expect![[r#"
        Scaled down replica set web-* from 2 to 0
        Scaled up replica set web-* from 0 to 2
        Available=True MinimumReplicasAvailable: Deployment has minimum availability.
    "#]]
    .assert_eq(&settle(&mut model, true));
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll() {
    let mut model = Model::new("deployment web replicas=2 deadline=600");
    settle(&mut model, true);
    change(&mut model, |d| {
        d["spec"]["paused"] = true.into();
        d["spec"]["replicas"] = 3.into();
        d["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into();
    });
    expect![[r#"
        Scaled up replica set web-* from 2 to 3
        Progressing=Unknown DeploymentPaused: Deployment is paused
        Available=True MinimumReplicasAvailable: Deployment has minimum availability.
    "#]]
    .assert_eq(&settle(&mut model, true));
    change(&mut model, |d| d["spec"]["paused"] = false.into());
    expect![[r#"
        Scaled up replica set web-* from 0 to 1
        Scaled down replica set web-* from 3 to 2
        Scaled up replica set web-* from 1 to 2
        Scaled down replica set web-* from 2 to 1
        Scaled up replica set web-* from 2 to 3
        Scaled down replica set web-* from 1 to 0
        Available=True MinimumReplicasAvailable: Deployment has minimum availability.
        Progressing=True NewReplicaSetAvailable: ReplicaSet "web-*" has successfully progressed.
    "#]]
    .assert_eq(&settle(&mut model, true));
}

#[test]
fn history_is_cut_to_its_limit() {
    let mut model = Model::new("deployment web replicas=1 history=2");
    for image in ["a", "b", "c", "d", "e"] {
        change(&mut model, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = image.into());
        settle(&mut model, true);
    }
    assert_eq!(model.list::<ReplicaSet>().len(), 3, "the newest and two old ones");
}

#[test]
fn a_taken_name_raises_the_collision_count() {
    let mut model = Model::new("deployment web replicas=1");
    let plan = model.plan_deployment("web");
    model.carry_out(&plan);
    let set = model.list::<ReplicaSet>()[0].clone();
    let id = ("replicasets".to_owned(), ObjectKey::new("default", set.metadata.name.as_deref().unwrap()));
    let stranger = model.objects.get_mut(&id).unwrap();
    object::meta::unset(stranger, "ownerReferences");
    stranger["metadata"]["labels"] = json!({"app": "other"});
    let plan = model.plan_deployment("web");
    expect![[r#"
        status deployment web: collisionCount=1 Available=False(MinimumReplicasUnavailable)
    "#]]
    .assert_eq(&show(&plan));
    model.carry_out(&plan);
    settle(&mut model, true);
    assert_eq!(model.list::<ReplicaSet>().len(), 2);
}

#[test]
fn a_rollout_keeps_its_limits_at_every_step() {
    for (surge, unavailable, from, to) in [(1, 0, 3, 3), (0, 1, 3, 5), (2, 2, 10, 4), (3, 1, 1, 7), (25, 0, 8, 8)] {
        let mut model = Model::new(&format!("deployment web replicas={from} surge={surge} unavailable={unavailable}"));
        settle(&mut model, true);
        change(&mut model, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into());
        for step in 0..200 {
            model.carry_out(&model.plan_deployment("web"));
            for set in model.list::<ReplicaSet>() {
                model.carry_out(&model.plan_replica_set(set.metadata.name.as_deref().unwrap()));
            }
            let pods = model.list::<Pod>();
            let n_ready = pods.iter().filter(|pod| pods::is_ready(pod)).count() as i64;
            assert!(pods.len() as i64 <= from + surge, "step {step}: {} pods", pods.len());
            assert!(n_ready >= from - unavailable, "step {step}: {n_ready} ready");
            make_one_ready(&mut model);
        }
        change(&mut model, |d| d["spec"]["replicas"] = to.into());
        settle(&mut model, true);
        assert_eq!(model.list::<Pod>().len() as i64, to);
    }
}
