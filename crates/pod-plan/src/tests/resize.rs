//! Stories of pods that get other amounts while they run.

use expect_test::expect;
use serde_json::{Value, json};

use super::check;
use crate::effect::Step;

pub(super) fn described(step: &Step) -> String {
    let group = step.id.as_deref().unwrap_or("pod");
    let mut text = format!(" | {group}");
    let cgroup = &step.cgroup;
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!(" {name}={value}"));
        }
    };
    add("shares", cgroup.cpu_shares.map(|v| v.to_string()));
    add("quota", cgroup.cpu_quota.map(|v| v.to_string()));
    add("memory", cgroup.memory_limit.map(|v| v.to_string()));
    text
}

fn pod(more: Value) -> Value {
    let mut container = json!({
        "name": "web", "image": "i",
        "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"cpu": "200m", "memory": "2Mi"}},
    });
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"containers": [container]})
}

#[test]
fn the_pod_grows_first_and_shrinks_last() {
    check(
        pod(json!({})),
        r#"grant web {"requests":{"cpu":"200m","memory":"1Mi"},"limits":{"cpu":"400m","memory":"4Mi"}}
           grant web {"requests":{"cpu":"100m","memory":"1Mi"},"limits":{"cpu":"200m","memory":"2Mi"}}"#,
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > grant web {"requests":{"cpu":"200m","memory":"1Mi"},"limits":{"cpu":"400m","memory":"4Mi"}}
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready PodResizeInProgress]
              resize | pod memory=4194304 | web1 memory=4194304 | pod quota=40000 | pod shares=204 | web1 shares=204 quota=40000
                Normal ResizeCompleted: Pod resize completed: {"containers":[{"name":"web","resources":{"limits":{"cpu":"400m","memory":"4Mi"},"requests":{"cpu":"200m","memory":"1Mi"}}}],"generation":2}
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > grant web {"requests":{"cpu":"100m","memory":"1Mi"},"limits":{"cpu":"200m","memory":"2Mi"}}
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready PodResizeInProgress]
              resize | web1 memory=2097152 | pod memory=2097152 | web1 shares=102 quota=20000 | pod shares=102 | pod quota=20000
                Normal ResizeCompleted: Pod resize completed: {"containers":[{"name":"web","resources":{"limits":{"cpu":"200m","memory":"2Mi"},"requests":{"cpu":"100m","memory":"1Mi"}}}],"generation":3}
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
        "#]],
    );
}

#[test]
fn equal_amounts_and_a_new_agent_change_nothing() {
    check(
        pod(json!({})),
        r#"grant web {"requests":{"cpu":"0.1","memory":"1024Ki"},"limits":{"cpu":"0.2","memory":"2048Ki"}}
           restart"#,
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > grant web {"requests":{"cpu":"0.1","memory":"1024Ki"},"limits":{"cpu":"0.2","memory":"2048Ki"}}
            > restart
              mount
        "#]],
    );
}

#[test]
fn some_have_to_restart_and_the_pod_follows_them() {
    check(
        pod(json!({"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]})),
        r#"grant web {"requests":{"cpu":"100m","memory":"1Mi"},"limits":{"cpu":"200m","memory":"4Mi"}}
           exit web 0"#,
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > grant web {"requests":{"cpu":"100m","memory":"1Mi"},"limits":{"cpu":"200m","memory":"4Mi"}}
                Normal Killing: Container web resize requires restart
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready PodResizeInProgress]
              stop web1, kill in 30s
            > exit web 0
              = Running web=Completed:0#0 [PodReadyToStartContainers Initialized PodResizeInProgress]
              resize | pod memory=4194304
                Normal ResizeCompleted: Pod resize completed: {"containers":[{"name":"web","resources":{"limits":{"cpu":"200m","memory":"4Mi"},"requests":{"cpu":"100m","memory":"1Mi"}}}],"generation":2}
              = Running web=Completed:0#0 [PodReadyToStartContainers Initialized]
              start web #1
              = Running web=running+#1<0 [PodReadyToStartContainers Initialized ContainersReady Ready]
        "#]],
    );
}

#[test]
fn what_fails_is_told_and_tried_again() {
    check(
        pod(json!({})),
        r#"fail x memory is in use
           grant web {"requests":{"cpu":"100m","memory":"1Mi"},"limits":{"cpu":"200m","memory":"1Mi"}}
           tick 10"#,
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > fail x memory is in use
            > grant web {"requests":{"cpu":"100m","memory":"1Mi"},"limits":{"cpu":"200m","memory":"1Mi"}}
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready PodResizeInProgress]
              resize | web1 memory=1048576 | pod memory=1048576
                Warning ResizeError: Pod resize error: {"containers":[{"name":"web","resources":{"limits":{"cpu":"200m","memory":"1Mi"},"requests":{"cpu":"100m","memory":"1Mi"}}}],"generation":2,"error":"memory is in use"}
              wakes in 10s
            > tick 10
              resize | web1 memory=1048576 | pod memory=1048576
                Normal ResizeCompleted: Pod resize completed: {"containers":[{"name":"web","resources":{"limits":{"cpu":"200m","memory":"1Mi"},"requests":{"cpu":"100m","memory":"1Mi"}}}],"generation":2}
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
        "#]],
    );
}
