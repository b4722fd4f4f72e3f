use expect_test::{Expect, expect};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::Pod;
use object::key::ObjectKey;
use serde_json::json;

use super::placement;
use crate::model::{Model, show};
use crate::pods;

fn check(objects: &str, expected: Expect) {
    expected.assert_eq(&show(&Model::new(objects).plan_daemon_set("web")));
}

#[test]
fn every_fitting_node_gets_one() {
    check(
        "daemonset web | node a | node b | node c taint=NoSchedule",
        expect![[r#"
        create controllerrevision 1
        create pod web-*  (2)
        status daemonset web: desiredNumberScheduled=2 currentNumberScheduled=0 numberReady=0 numberMisscheduled=0
    "#]],
    );
    check(
        "daemonset web | node a | pod x owner=web node=a Running Ready | pod y owner=web node=a Running age=5",
        expect![[r#"
        create controllerrevision 1
        delete pod x
        status daemonset web: desiredNumberScheduled=1 currentNumberScheduled=1 numberReady=0 numberMisscheduled=0
    "#]],
    );
}

#[test]
fn taints_drive_pods_away_or_let_them_stay() {
    check(
        "daemonset web | node a taint=NoExecute | pod x owner=web node=a Running",
        expect![[r#"
        create controllerrevision 1
        delete pod x
        status daemonset web: desiredNumberScheduled=0 currentNumberScheduled=0 numberReady=0 numberMisscheduled=1
    "#]],
    );
    check(
        "daemonset web | node a taint=NoSchedule | pod x owner=web node=a Running",
        expect![[r#"
        create controllerrevision 1
        status daemonset web: desiredNumberScheduled=0 currentNumberScheduled=0 numberReady=0 numberMisscheduled=1
    "#]],
    );
}

#[test]
fn failed_pods_are_replaced_after_a_while() {
    check(
        "daemonset web | node a | pod x owner=web node=a Failed age=1",
        expect![[r#"
        create controllerrevision 1
        delete pod x
        status daemonset web: desiredNumberScheduled=1 currentNumberScheduled=1 numberReady=0 numberMisscheduled=0
        wake at 2026-01-01T00:00:04Z
    "#]],
    );
    check(
        "daemonset web | node a | pod x owner=web node=a Failed age=9",
        expect![[r#"
        create controllerrevision 1
        delete pod x
        status daemonset web: desiredNumberScheduled=1 currentNumberScheduled=1 numberReady=0 numberMisscheduled=0
    "#]],
    );
}

/// Places pods, makes one ready a round, and carries out plans until nothing is left.
fn settle(model: &mut Model, n_nodes: usize, unavailable_max: usize, surge_max: usize) {
    for _ in 0..100 {
        let plan = model.plan_daemon_set("web");
        model.carry_out(&plan);
        let pods = model.list::<Pod>();
        assert!(pods.len() <= n_nodes + surge_max, "{} pods", pods.len());
        let n_ready = pods.iter().filter(|pod| pods::is_ready(pod)).count();
        assert!(n_ready + unavailable_max >= n_nodes, "{n_ready} ready");
        if !make_one_ready(model) && plan.changes.is_empty() {
            return;
        }
    }
    panic!("not settled");
}

fn make_one_ready(model: &mut Model) -> bool {
    let Some(pod) = model.list::<Pod>().into_iter().find(|pod| !pods::is_ready(pod)) else { return false };
    let id = ("pods".to_owned(), ObjectKey::new("default", pod.metadata.name.as_deref().unwrap()));
    let object = model.objects.get_mut(&id).unwrap();
    object["spec"]["nodeName"] = placement::target(&pod).into();
    object["status"] =
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    true
}

#[test]
fn a_changed_template_replaces_pods_within_limits() {
    for (strategy, unavailable_max, surge_max) in [("unavailable=1", 1, 0), ("unavailable=3", 3, 0), ("surge=2 unavailable=0", 0, 2)] {
        let nodes = (0..5).map(|i| format!("node n{i}")).collect::<Vec<_>>().join("|");
        let mut model = Model::new(&format!("daemonset web {strategy} history=1 | {nodes}"));
        settle(&mut model, 5, 5, surge_max);
        for image in ["b", "c", "a"] {
            let id = ("daemonsets".to_owned(), ObjectKey::new("default", "web"));
            model.objects.get_mut(&id).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
            settle(&mut model, 5, unavailable_max, surge_max);
            let images =
                model.list::<Pod>().iter().map(|pod| pod.spec.clone().unwrap().containers[0].image.clone().unwrap()).collect::<Vec<_>>();
            assert_eq!(images, [image; 5]);
        }
        let numbers = model.list::<ControllerRevision>().iter().map(|r| r.revision.unwrap()).collect::<Vec<_>>();
        assert_eq!(numbers.len(), 2, "the present one and one old");
        assert!(numbers.contains(&4), "a template that comes back after its revision is gone gets a new one: {numbers:?}");
    }
}
