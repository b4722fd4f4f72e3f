use std::fmt::Write as _;

use expect_test::{Expect, expect};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use object::Value;
use object::key::ObjectKey;
use serde_json::json;

use crate::model::{Model, show};
use crate::pods;

/// Carries out plans until nothing is left; after each the first unready pod becomes ready. Writes down what was done.
fn settle(model: &mut Model) -> String {
    let mut transcript = String::new();
    for _ in 0..100 {
        let plan = model.plan_stateful_set("web");
        for change in &plan.changes {
            if let Some(note) = &change.done {
                let _ = writeln!(transcript, "{}", note.message.trim_end_matches(" in StatefulSet web successful"));
            }
        }
        model.carry_out(&plan);
        if !make_one_ready(model) && plan.changes.is_empty() {
            return transcript;
        }
        transcript.push_str(if plan.changes.iter().any(|c| c.done.is_some()) { "-\n" } else { "" });
    }
    panic!("not settled: {transcript}");
}

fn make_one_ready(model: &mut Model) -> bool {
    let Some(pod) = model.list::<Pod>().into_iter().find(|pod| !pods::is_ready(pod)) else { return false };
    let id = ("pods".to_owned(), ObjectKey::new("default", pod.metadata.name.as_deref().unwrap()));
    let ready =
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    model.objects.get_mut(&id).unwrap()["status"] = ready;
    true
}

fn change(model: &mut Model, edit: impl FnOnce(&mut Value)) {
    edit(model.objects.get_mut(&("statefulsets".to_owned(), ObjectKey::new("default", "web"))).unwrap());
}

fn check(objects: &str, expected: Expect) {
    expected.assert_eq(&settle(&mut Model::new(objects)));
}

#[test]
fn pods_come_in_order_or_together() {
    check(
        "statefulset web replicas=3",
        expect![[r#"
        create Pod web-0
        -
        create Pod web-1
        -
        create Pod web-2
        -
    "#]],
    );
    check(
        "statefulset web replicas=3 parallel",
        expect![[r#"
        create Pod web-0
        create Pod web-1
        create Pod web-2
        -
    "#]],
    );
}

#[test]
fn pods_go_from_the_highest() {
    let mut model = Model::new("statefulset web replicas=3");
    settle(&mut model);
    change(&mut model, |set| set["spec"]["replicas"] = 1.into());
    expect![[r#"
        delete Pod web-2
        -
        delete Pod web-1
        -
    "#]]
    .assert_eq(&settle(&mut model));
}

#[test]
fn a_rollout_goes_from_the_highest_to_the_partition() {
    let mut model = Model::new("statefulset web replicas=3 partition=1");
    settle(&mut model);
    change(&mut model, |set| set["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into());
    expect![[r#"
        delete Pod web-2
        -
        create Pod web-2
        -
        delete Pod web-1
        -
        create Pod web-1
        -
    "#]]
    .assert_eq(&settle(&mut model));
    let status = |model: &Model| model.get::<StatefulSet>("web").unwrap().status.clone().unwrap();
    assert_ne!(status(&model).current_revision, status(&model).update_revision, "held by the partition");
    assert_eq!((status(&model).current_replicas, status(&model).updated_replicas), (Some(1), Some(2)));
    change(&mut model, |set| set["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0.into());
    expect![[r#"
        delete Pod web-0
        -
        create Pod web-0
        -
    "#]]
    .assert_eq(&settle(&mut model));
    assert_eq!(status(&model).current_revision, status(&model).update_revision);
}

#[test]
fn below_the_partition_pods_keep_their_revision() {
    let mut model = Model::new("statefulset web replicas=2 partition=2");
    settle(&mut model);
    change(&mut model, |set| set["spec"]["template"]["spec"]["containers"][0]["image"] = "b".into());
    settle(&mut model);
    model.objects.remove(&("pods".to_owned(), ObjectKey::new("default", "web-0")));
    settle(&mut model);
    assert_eq!(model.get::<Pod>("web-0").unwrap().spec.clone().unwrap().containers[0].image.as_deref(), Some("a"));
}

#[test]
fn failed_pods_are_replaced_and_strangers_left_alone() {
    check(
        "statefulset web replicas=1 | pod web-0 owner=web Failed | pod stray",
        expect![[r#"
        delete Pod web-0
        -
        create Pod web-0
        -
    "#]],
    );
}

#[test]
fn claims_stay_unless_the_policy_lets_them_go() {
    let mut model = Model::new("statefulset web replicas=2 claims scaled=Delete deleted=Retain");
    expect![[r#"
        create Claim data-web-0 Pod web-0 in StatefulSet web success
        create Pod web-0
        -
        create Claim data-web-1 Pod web-1 in StatefulSet web success
        create Pod web-1
        -
    "#]]
    .assert_eq(&settle(&mut model));
    let pod = model.get::<Pod>("web-1").unwrap();
    let volume = &pod.spec.as_ref().unwrap().volumes.as_ref().unwrap()[0];
    assert_eq!(volume.persistent_volume_claim.as_ref().unwrap().claim_name, "data-web-1");
    assert_eq!(pod.spec.as_ref().unwrap().hostname.as_deref(), Some("web-1"));
    change(&mut model, |set| set["spec"]["replicas"] = 1.into());
    let plan = model.plan_stateful_set("web");
    expect![[r#"
        patch persistentvolumeclaim data-web-1: {"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Pod","name":"web-1","uid":"uid-7"}]}
        delete pod web-1
    "#]].assert_eq(&show(&plan));
    model.carry_out(&plan);
    let owners = model.get::<PersistentVolumeClaim>("data-web-1").unwrap().metadata.owner_references.clone().unwrap();
    assert_eq!(owners[0].kind, "Pod", "the claim goes with its pod");
}
