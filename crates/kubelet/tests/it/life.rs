//! What becomes of pods.

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use crate::cluster::{Cluster, run};

fn one(more: Value) -> Value {
    let mut container = json!({"name": "web", "image": "img:1"});
    container.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    json!({"containers": [container]})
}

#[test]
fn a_pod_runs_and_goes() {
    run(|| async {
        let cluster = Cluster::start().await;
        cluster.create_pod("web", json!({}), one(json!({}))).await;
        let took = cluster.until_phase("web", "Running").await;
        assert!(took < Duration::from_millis(150), "{took:?}");
        let pod = cluster.pod("web").await.expect("there");
        let mut status = pod["status"].clone();
        status["containerStatuses"][0]["containerID"] = json!("…");
        expect![[r#"
            {
              "conditions": [
                {
                  "lastProbeTime": null,
                  "lastTransitionTime": "2026-11-22T10:00:00Z",
                  "observedGeneration": 1,
                  "status": "True",
                  "type": "PodReadyToStartContainers"
                },
                {
                  "lastProbeTime": null,
                  "lastTransitionTime": "2026-11-22T10:00:00Z",
                  "observedGeneration": 1,
                  "status": "True",
                  "type": "Initialized"
                },
                {
                  "lastProbeTime": null,
                  "lastTransitionTime": "2026-11-22T10:00:00Z",
                  "observedGeneration": 1,
                  "status": "True",
                  "type": "Ready"
                },
                {
                  "lastProbeTime": null,
                  "lastTransitionTime": "2026-11-22T10:00:00Z",
                  "observedGeneration": 1,
                  "status": "True",
                  "type": "ContainersReady"
                },
                {
                  "lastProbeTime": null,
                  "lastTransitionTime": "2026-11-22T10:00:00Z",
                  "observedGeneration": 1,
                  "status": "True",
                  "type": "PodScheduled"
                }
              ],
              "containerStatuses": [
                {
                  "containerID": "…",
                  "image": "img:1",
                  "imageID": "docker.io/library/img:1",
                  "lastState": {},
                  "name": "web",
                  "ready": true,
                  "restartCount": 0,
                  "started": true,
                  "state": {
                    "running": {
                      "startedAt": "2026-11-22T10:00:00Z"
                    }
                  },
                  "user": {
                    "linux": {
                      "gid": 0,
                      "supplementalGroups": [
                        0
                      ],
                      "uid": 0
                    }
                  }
                }
              ],
              "hostIP": "192.168.0.1",
              "hostIPs": [
                {
                  "ip": "192.168.0.1"
                }
              ],
              "observedGeneration": 1,
              "phase": "Running",
              "podIP": "10.244.0.1",
              "podIPs": [
                {
                  "ip": "10.244.0.1"
                }
              ],
              "qosClass": "BestEffort",
              "startTime": "2026-11-22T10:00:00Z"
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&status).expect("text"));
        expect![[r#"
            Normal Created spec.containers{web}: Container created
            Normal Pulled spec.containers{web}: Container image "img:1" already present on machine and can be accessed by the pod
            Normal Started spec.containers{web}: Container started
        "#]]
        .assert_eq(&cluster.events("web").await);
        cluster.delete_pod("web").await;
        let took = cluster.until("web", "gone", Value::is_null).await;
        assert!(took < Duration::from_millis(150), "{took:?}");
    });
}

#[test]
fn a_job_like_pod_completes() {
    run(|| async {
        let cluster = Cluster::start().await;
        let mut spec = one(json!({}));
        spec["restartPolicy"] = json!("Never");
        cluster.create_pod("job", json!({"fake.coracle.io/run-for": "5"}), spec).await;
        cluster.until_phase("job", "Succeeded").await;
        let pod = cluster.pod("job").await.expect("there");
        assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
        assert_eq!(cluster.elapsed().as_secs(), 5);
        cluster.delete_pod("job").await;
        cluster.until("job", "gone", Value::is_null).await;
    });
}

#[test]
fn a_crash_loop_backs_off() {
    run(|| async {
        let cluster = Cluster::start().await;
        cluster.create_pod("bad", json!({"fake.coracle.io/run-for": "1", "fake.coracle.io/exit-code": "3"}), one(json!({}))).await;
        cluster.until("bad", "restarted five times", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 5).await;
        // One start and five restarts of a second each; waits of 10, 20, 40 and 80 s after the first, immediate, restart.
        assert_eq!(cluster.elapsed().as_secs(), 5 + 10 + 20 + 40 + 80);
        cluster.until("bad", "held", |pod| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff").await;
        expect![[r#"
            Normal Created x6 spec.containers{web}: Container created
            Normal Pulled x6 spec.containers{web}: Container image "img:1" already present on machine and can be accessed by the pod
            Normal Started x6 spec.containers{web}: Container started
            Warning BackOff x5 spec.containers{web}: Back-off restarting failed container web in pod bad_default(UID)
        "#]]
        .assert_eq(&cluster.events("bad").await);
    });
}

#[test]
fn an_image_that_is_missing_is_tried_again() {
    run(|| async {
        let cluster = Cluster::start().await;
        let spec = json!({"containers": [{"name": "web", "image": "missing"}]});
        cluster.create_pod("web", json!({}), spec).await;
        let reason = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
        cluster.until("web", "refused", |pod| reason(pod) == "ErrImagePull").await;
        cluster.until("web", "held", |pod| reason(pod) == "ImagePullBackOff").await;
        let pod = cluster.pod("web").await.expect("there");
        assert_eq!(pod["status"]["phase"], "Pending");
        expect![[r#"
            Normal BackOff spec.containers{web}: Back-off pulling image "missing"
            Normal Pulling spec.containers{web}: Pulling image "missing"
            Warning Failed spec.containers{web}: Error: ErrImagePull
            Warning Failed spec.containers{web}: Error: ImagePullBackOff
            Warning Failed spec.containers{web}: Failed to pull image "missing": failed to pull and unpack image "missing:latest": not found
        "#]]
        .assert_eq(&cluster.events("web").await);
    });
}

#[test]
fn a_restarted_agent_adopts() {
    run(|| async {
        let mut cluster = Cluster::start().await;
        cluster.create_pod("web", json!({}), one(json!({}))).await;
        cluster.until_phase("web", "Running").await;
        let before = cluster.pod("web").await.expect("there");
        cluster.restart_agent().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(cluster.pod("web").await.expect("there")["status"], before["status"]);
        // What went while nobody looked is noticed.
        cluster.kill_agent();
        cluster
            .client
            .delete(
                "/api/v1/namespaces/default/pods/web",
                &object::plan::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() },
            )
            .await
            .expect("deletes");
        cluster.restart_agent().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        use oci_runtime::runtime::Runtime;
        assert_eq!(cluster.runtime.list_pod_sandboxes().len(), 0);
    });
}

#[test]
fn thirty_pods_at_once() {
    run(|| async {
        let cluster = Cluster::start().await;
        for n in 0..30 {
            cluster.create_pod(&format!("web-{n}"), json!({}), one(json!({"readinessProbe": {"exec": {"command": ["true"]}}}))).await;
        }
        for n in 0..30 {
            cluster.until(&format!("web-{n}"), "ready", |pod| pod["status"]["containerStatuses"][0]["ready"] == true).await;
        }
        assert!(cluster.elapsed() < Duration::from_secs(1), "{:?}", cluster.elapsed());
        let node: Value = cluster.client.get("/api/v1/nodes/node-1").await.expect("the node");
        let ready = node["status"]["conditions"].as_array().expect("conditions").last().expect("Ready");
        assert_eq!((ready["type"].as_str(), ready["status"].as_str()), (Some("Ready"), Some("True")));
        let lease: Value =
            cluster.client.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1").await.expect("a lease");
        assert_eq!(lease["spec"]["holderIdentity"], "node-1");
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    run(|| async {
        let cluster = Cluster::start().await;
        let ask = |cpu: &str| one(json!({"resources": {"requests": {"cpu": cpu}}}));
        cluster.create_pod("first", json!({}), ask("3")).await;
        cluster.until_phase("first", "Running").await;
        cluster.create_pod("second", json!({}), ask("2")).await;
        cluster.until_phase("second", "Failed").await;
        let status = cluster.pod("second").await.expect("there")["status"].clone();
        assert_eq!(status["reason"], "OutOfcpu");
        assert_eq!(
            status["message"],
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000"
        );
    });
}
