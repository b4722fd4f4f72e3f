//! Stories of containers that the node itself stops, and of a pod that it does not take.

use expect_test::expect;
use serde_json::json;

use super::{Host, check};

/// Upstream: the wait counts from the run before, which had ended when the node decided; see `restart::wait_counts_from`.
#[test]
fn what_the_node_stops_waits_for_the_run_before() {
    let probe = json!({"periodSeconds": 1, "failureThreshold": 1});
    check(
        json!({"containers": [{"name": "web", "image": "i", "livenessProbe": probe}]}),
        "probe web Liveness fails
         tick 1
         exit web 137
         tick 1
         exit web 137
         tick 1
         exit web 137
         tick 10",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
              probe web1 Liveness
              wakes in 1s
            > probe web Liveness fails
              wakes in 1s
            > tick 1
              probe web1 Liveness
                Normal Killing: Container web failed liveness probe, will be restarted
              stop web1, kill in 30s
            > exit web 137
              = Running web=Error:137#0 [PodReadyToStartContainers Initialized]
              start web #1
              = Running web=running+#1<137 [PodReadyToStartContainers Initialized ContainersReady Ready]
              probe web2 Liveness
                Normal Killing: Container web failed liveness probe, will be restarted
              stop web2, kill in 30s
            > tick 1
            > exit web 137
              = Running web=Error:137#1<137 [PodReadyToStartContainers Initialized]
              start web #2
              = Running web=running+#2<137 [PodReadyToStartContainers Initialized ContainersReady Ready]
              remove web1
              probe web3 Liveness
                Normal Killing: Container web failed liveness probe, will be restarted
              stop web3, kill in 30s
            > tick 1
            > exit web 137
                Warning BackOff: Back-off restarting failed container web in pod web_default(u1)
              = Running web=waiting:CrashLoopBackOff#2<137 [PodReadyToStartContainers Initialized]
              wakes in 10s
            > tick 10
              start web #3
              = Running web=running+#3<137 [PodReadyToStartContainers Initialized ContainersReady Ready]
              remove web2
              probe web4 Liveness
                Normal Killing: Container web failed liveness probe, will be restarted
              stop web4, kill in 30s
        "#]],
    );
}

#[test]
fn a_pod_that_is_not_taken_says_only_why() {
    let mut host = Host::new(json!({"containers": [{"name": "web", "image": "i"}]}));
    host.step("refuse no room");
    host.settle();
    let status = &host.memory.reported;
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("OutOfcpu")));
    assert_eq!((&status.container_statuses, &status.conditions), (&None, &None));
}

/// Twice: the second time there was an end before it, and it stays the last that is known.
#[test]
fn a_run_whose_records_are_lost_counts_as_a_restart() {
    check(
        json!({"containers": [{"name": "web", "image": "i"}]}),
        "lose records
         lose records",
        expect![[r#"
              = Pending web=waiting:ContainerCreating#0 [Initialized]
              mount
              make sandbox #0
              = Pending web=waiting:ContainerCreating#0 [PodReadyToStartContainers Initialized]
              start web #0
              = Running web=running+#0 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > lose records
              = Running web=waiting:ContainerCreating#1<137 [Initialized]
              mount
              make sandbox #0
              = Running web=waiting:ContainerCreating#1<137 [PodReadyToStartContainers Initialized]
              start web #1
              = Running web=running+#1<137 [PodReadyToStartContainers Initialized ContainersReady Ready]
            > lose records
              = Running web=waiting:ContainerCreating#2<137 [Initialized]
              mount
              make sandbox #0
              = Running web=waiting:ContainerCreating#2<137 [PodReadyToStartContainers Initialized]
              start web #2
              = Running web=running+#2<137 [PodReadyToStartContainers Initialized ContainersReady Ready]
        "#]],
    );
}
