//! Pods of real processes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Test;
use crate::client::get_logs;
use crate::cluster::{Cluster, run};

pub(crate) const TESTS: &[Test] = &[
    ("life::a_pod_runs_with_variables_and_volumes", a_pod_runs_with_variables_and_volumes),
    ("life::a_killed_container_is_restarted", a_killed_container_is_restarted),
    ("life::config_maps_change_under_a_running_pod", config_maps_change_under_a_running_pod),
    ("life::probes_decide", probes_decide),
    ("life::last_words_are_kept", last_words_are_kept),
    ("life::a_new_agent_adopts", a_new_agent_adopts),
    ("life::hooks_run", hooks_run),
    ("life::groups_own_volumes", groups_own_volumes),
];

async fn logs_have(cluster: &Cluster, pod: &str, text: &str) -> String {
    let from = Instant::now();
    loop {
        let logs = get_logs(cluster, pod, "").await;
        if logs.contains(text) {
            return logs;
        }
        assert!(from.elapsed() < Duration::from_secs(20), "no {text:?} in {logs:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn a_pod_runs_with_variables_and_volumes() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}, "data": {"color": "blue"}});
        cluster.create("/api/v1/namespaces/default/configmaps", map).await;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "default"}, "data": {"key": "aHVzaA=="}});
        cluster.create("/api/v1/namespaces/default/secrets", secret).await;
        let container = json!({
            "env": [
                {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
                {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "BOTH", "value": "$(ME)-$(COLOR)"},
            ],
            "volumeMounts": [
                {"name": "settings", "mountPath": "/settings"}, {"name": "keys", "mountPath": "/keys"}, {"name": "scratch", "mountPath": "/scratch"},
                {"name": "memory", "mountPath": "/memory"}, {"name": "about", "mountPath": "/about"}, {"name": "scratch", "mountPath": "/sub", "subPath": "a/b"},
            ],
        });
        let pod = json!({"volumes": [
            {"name": "settings", "configMap": {"name": "settings"}}, {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 256}},
            {"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "about", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        ]});
        let script = "echo $BOTH $KEY $KUBERNETES_SERVICE_PORT; cat /settings/color /keys/key /about/labels; echo; echo x > /sub/y; cat /scratch/a/b/y; \
            stat -c %a /keys/..data/key; echo z > /settings/no || echo read-only; hostname; cat /etc/hosts /etc/resolv.conf; echo done; sleep 1000";
        cluster.create_pod("full", script, container, pod).await;
        let status = cluster.until_running("full").await["status"].clone();
        assert_eq!(status["containerStatuses"][0]["ready"], true);
        assert_eq!(status["podIP"], "10.244.0.1");
        let logs = logs_have(&cluster, "full", "done").await;
        for text in [
            "full-blue hush 443",
            "bluehushapp=\"full\"",
            "\nx\n",
            "400\n",
            "read-only",
            "10.244.0.1\tfull",
            "nameserver 10.96.0.10",
            "ndots:5",
        ] {
            assert!(logs.contains(text), "no {text:?} in {logs}");
        }
        cluster.delete_pod("full").await;
        cluster.until("full", "gone", Value::is_null).await;
    });
}

fn a_killed_container_is_restarted() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        cluster.create_pod("web", "sleep 1000", json!({}), json!({})).await;
        let pod = cluster.until_running("web").await;
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().expect("an id").trim_start_matches("coracle://").to_owned();
        let status =
            oci_runtime::runtime::Runtime::container_status(cluster.runtime.as_ref(), &oci_runtime::spec::ContainerId(id)).expect("known");
        let oci_runtime::status::ContainerState::Running { pid, .. } = status.state else { panic!("not running") };
        let killed = Instant::now();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        let pod = cluster
            .until("web", "restarted", |pod| {
                let status = &pod["status"]["containerStatuses"][0];
                status["restartCount"] == 1 && status["ready"] == true
            })
            .await;
        println!("    killed -> restarted: {:?}", killed.elapsed());
        assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    });
}

fn config_maps_change_under_a_running_pod() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        let map = |color: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s", "namespace": "default"}, "data": {"color": color}});
        cluster.create("/api/v1/namespaces/default/configmaps", map("blue")).await;
        let mounts = json!({"volumeMounts": [{"name": "s", "mountPath": "/s"}]});
        let script = "while true; do echo is $(cat /s/color); sleep 0.05; done";
        cluster.create_pod("web", script, mounts, json!({"volumes": [{"name": "s", "configMap": {"name": "s"}}]})).await;
        logs_have(&cluster, "web", "is blue").await;
        let _: Value = cluster.client.update("/api/v1/namespaces/default/configmaps/s", &map("green")).await.expect("updates");
        logs_have(&cluster, "web", "is green").await;
    });
}

fn probes_decide() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        let container = json!({
            "readinessProbe": {"exec": {"command": ["/bin/test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
            "livenessProbe": {"exec": {"command": ["/bin/test", "!", "-e", "/tmp/dead"]}, "periodSeconds": 1, "failureThreshold": 1},
        });
        cluster.create_pod("web", "sleep 1; echo > /tmp/ready; sleep 2; echo > /tmp/dead; sleep 1000", container, json!({})).await;
        let pod = cluster.until_running("web").await;
        assert_eq!(pod["status"]["containerStatuses"][0]["ready"], false);
        cluster.until("web", "ready", |pod| pod["status"]["containerStatuses"][0]["ready"] == true).await;
        cluster.until("web", "restarted", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    });
}

fn last_words_are_kept() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        cluster.create_pod("told", "echo because > /dev/termination-log; exit 3", json!({}), json!({"restartPolicy": "Never"})).await;
        let fallback = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
        cluster.create_pod("logged", "echo from the log; exit 4", fallback, json!({"restartPolicy": "Never"})).await;
        for (name, code, message) in [("told", 3, "because\n"), ("logged", 4, "from the log\n")] {
            let pod = cluster.until(name, "over", |pod| pod["status"]["phase"] == "Failed").await;
            let end = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
            assert_eq!((end["exitCode"].as_i64(), end["message"].as_str()), (Some(code), Some(message)), "{end}");
        }
    });
}

fn a_new_agent_adopts() {
    run(|cluster| async move {
        let mut cluster = cluster.lock().await;
        cluster.create_pod("stays", "sleep 1000", json!({}), json!({})).await;
        cluster.create_pod("ends", "sleep 1; exit 5", json!({}), json!({"restartPolicy": "Never"})).await;
        let before = cluster.until_running("stays").await["status"].clone();
        cluster.until_running("ends").await;
        cluster.kill_agent().await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        cluster.start_agent().await;
        let ended = cluster.until("ends", "over", |pod| pod["status"]["phase"] == "Failed").await;
        assert_eq!(ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 5);
        assert_eq!(cluster.pod("stays").await["status"], before);
    });
}

fn hooks_run() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        let container = json!({
            "lifecycle": {
                "postStart": {"exec": {"command": ["/bin/sh", "-c", "echo begun > /shared/begun"]}},
                "preStop": {"exec": {"command": ["/bin/sh", "-c", "echo ending > /proc/1/fd/1; sleep 0.2"]}},
            },
            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        });
        let script = "trap 'exit 0' TERM; while true; do test -e /shared/begun && echo seen; sleep 0.05; done";
        cluster
            .create_pod(
                "web",
                script,
                container,
                json!({"volumes": [{"name": "shared", "emptyDir": {}}], "terminationGracePeriodSeconds": 10}),
            )
            .await;
        cluster.until_running("web").await;
        logs_have(&cluster, "web", "seen").await;
        let deleted = Instant::now();
        cluster.delete_pod("web").await;
        logs_have(&cluster, "web", "ending").await;
        cluster.until("web", "gone", Value::is_null).await;
        assert!(deleted.elapsed() < Duration::from_secs(5), "{:?}", deleted.elapsed());
    });
}

fn groups_own_volumes() {
    run(|cluster| async move {
        let cluster = cluster.lock().await;
        let container =
            json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}], "securityContext": {"runAsUser": 1000, "runAsGroup": 1000}});
        let pod = json!({"volumes": [{"name": "v", "emptyDir": {}}], "securityContext": {"fsGroup": 2000}});
        cluster.create_pod("web", "id; stat -c '%g %a' /v; echo x > /v/f && stat -c %g /v/f; echo done; sleep 1000", container, pod).await;
        let logs = logs_have(&cluster, "web", "done").await;
        assert!(logs.contains("uid=1000 gid=1000") && logs.contains("2000") && logs.contains("2000 2777\n2000\n"), "{logs}");
    });
}
