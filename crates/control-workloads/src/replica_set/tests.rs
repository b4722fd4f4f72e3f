use expect_test::{Expect, expect};

use crate::model::{Model, show};

fn check(objects: &str, expected: Expect) {
    let model = Model::new(objects);
    expected.assert_eq(&show(&model.plan_replica_set("web")));
}

#[test]
fn missing_replicas_are_created() {
    check(
        "replicaset web replicas=3 | pod web-a owner=web Running",
        expect![[r#"
            create pod web-*  (2)
            status replicaset web: replicas=1
        "#]],
    );
}

#[test]
fn surplus_goes_by_rank() {
    check(
        "replicaset web replicas=1 | pod a owner=web node=n Running Ready | pod b owner=web node=n Running | pod c owner=web Pending",
        expect![[r#"
            delete pod c
            delete pod b
            status replicaset web: replicas=3 readyReplicas=1 availableReplicas=1
        "#]],
    );
    check(
        "replicaset web replicas=1 | pod a owner=web node=n Running Ready cost=1 | pod b owner=web node=n Running Ready cost=-5",
        expect![[r#"
            delete pod b
            status replicaset web: replicas=2 readyReplicas=2 availableReplicas=2
        "#]],
    );
    check(
        "replicaset web replicas=2 | pod a owner=web node=n Running Ready | pod b owner=web node=m Running Ready | pod c owner=web node=m Running Ready",
        expect![[r#"
            delete pod b
            status replicaset web: replicas=3 readyReplicas=3 availableReplicas=3
        "#]],
    );
}

#[test]
fn orphans_are_adopted_and_strangers_released() {
    check(
        "replicaset web replicas=1 | pod a Running | pod b owner=web app=other Running | pod c app=other Running",
        expect![[r#"
            patch pod a: {"ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicaSet","name":"web","uid":"uid-web"}]}
            patch pod b: {"ownerReferences":null}
            status replicaset web: replicas=1
        "#]],
    );
}

#[test]
fn pods_that_leave_or_have_ended_are_replaced() {
    check(
        "replicaset web replicas=2 | pod a owner=web Running leaving | pod b owner=web Failed",
        expect![[r#"
            create pod web-*  (2)
            status replicaset web: replicas=0
        "#]],
    );
}

#[test]
fn a_pod_is_available_after_its_time() {
    check(
        "replicaset web replicas=1 minready=30 | pod a owner=web Running Ready readyfor=10",
        expect![[r#"
            status replicaset web: replicas=1 readyReplicas=1
            wake at 2026-01-01T00:00:20Z
        "#]],
    );
}

#[test]
fn the_same_view_gives_the_same_names_and_a_changed_one_others() {
    let names = |model: &Model| {
        let plan = model.plan_replica_set("web");
        plan.changes.iter().filter_map(|c| c.done.clone()).map(|note| note.message).collect::<Vec<_>>()
    };
    let mut model = Model::new("replicaset web replicas=2");
    let first = names(&model);
    assert_eq!(first, names(&model));
    model.carry_out(&model.plan_replica_set("web"));
    let gone: Vec<_> = model.objects.keys().filter(|(resource, _)| resource == "pods").cloned().collect();
    gone.iter().for_each(|id| drop(model.objects.remove(id)));
    assert!(names(&model).iter().all(|name| !first.contains(name)), "a replacement has a name of its own");
}

#[test]
fn carrying_out_a_plan_leaves_nothing_to_do() {
    for objects in [
        "replicaset web replicas=0",
        "replicaset web replicas=1000",
        "replicaset web replicas=2 | pod a Running | pod b | pod c Running Ready | pod d app=x owner=web",
        "replicaset web replicas=1 | pod a owner=web | pod b owner=web Running | pod c owner=web Running Ready",
    ] {
        let mut model = Model::new(objects);
        for _ in 0..4 {
            model.carry_out(&model.plan_replica_set("web"));
        }
        assert_eq!(show(&model.plan_replica_set("web")), "", "{objects}");
    }
}

#[test]
fn the_older_kind_does_the_same() {
    let check = |objects: &str, expected: Expect| expected.assert_eq(&show(&Model::new(objects).plan_replication_controller("web")));
    check(
        "replicationcontroller web replicas=3 | pod a owner=web Running Ready | pod b",
        expect![[r#"
            patch pod b: {"ownerReferences":[{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"ReplicationController","name":"web","uid":"uid-web"}]}
            create pod web-*
            status replicationcontroller web: replicas=2 readyReplicas=1 availableReplicas=1
        "#]],
    );
    let mut model = Model::new("replicationcontroller web replicas=2 | pod a owner=web | pod b owner=web Running | pod c owner=web");
    for _ in 0..4 {
        model.carry_out(&model.plan_replication_controller("web"));
    }
    assert_eq!(show(&model.plan_replication_controller("web")), "");
    assert_eq!(model.list::<k8s_openapi::api::core::v1::Pod>().len(), 2);
}
