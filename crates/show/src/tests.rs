use expect_test::{Expect, expect};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{custom_cells, custom_columns, human_duration, rows};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// The row of one object, cells in brackets.
fn row(group: &str, plural: &str, object: &Value) -> String {
    let mut rows = rows(group, plural, &[object], false, now());
    let cells = rows.remove(0).cells;
    cells.iter().map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)).map(|cell| format!("[{cell}]")).collect()
}

#[track_caller]
fn check(group: &str, plural: &str, object: Value, expected: Expect) {
    let mut object = object;
    object["metadata"]["name"] = json!("a");
    object["metadata"]["creationTimestamp"] = json!("2026-11-22T11:55:00Z");
    expected.assert_eq(&row(group, plural, &object));
}

#[test]
fn durations_have_upstreams_precision() {
    for (seconds, expected) in [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (10_860, "3h1m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (63_158_400, "2y1d"),
        (252_288_000, "8y"),
    ] {
        assert_eq!(human_duration(SignedDuration::from_secs(seconds)), expected, "{seconds}");
    }
}

fn pod(status: Value) -> Value {
    json!({"metadata": {}, "spec": {"nodeName": "n1", "containers": [{"name": "c"}], "initContainers": []}, "status": status})
}

#[test]
fn pods_show_what_they_are_doing() {
    let check = |object, expected| check("", "pods", object, expected);
    check(pod(json!({"phase": "Pending"})), expect!["[a][0/1][Pending][0][5m][<none>][n1][<none>][<none>]"]);
    check(
        pod(
            json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2,
            "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": "2026-11-22T11:58:00Z"}}}]}),
        ),
        expect!["[a][1/1][Running][2 (2m ago)][5m][10.0.0.1][n1][<none>][<none>]"],
    );
    check(
        pod(json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]})),
        expect!["[a][0/1][CrashLoopBackOff][3][5m][<none>][n1][<none>][<none>]"],
    );
    check(
        pod(
            json!({"phase": "Succeeded", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}),
        ),
        expect!["[a][0/1][Completed][0][5m][<none>][n1][<none>][<none>]"],
    );
    check(
        pod(json!({"phase": "Failed", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}]})),
        expect!["[a][0/1][ExitCode:3][0][5m][<none>][n1][<none>][<none>]"],
    );
    check(
        pod(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]})),
        expect!["[a][0/1][SchedulingGated][0][5m][<none>][n1][<none>][<none>]"],
    );
    let mut going = pod(json!({"phase": "Running"}));
    going["metadata"]["deletionTimestamp"] = json!("2026-11-22T11:59:00Z");
    check(going, expect!["[a][0/1][Terminating][0][5m][<none>][n1][<none>][<none>]"]);
}

#[test]
fn init_containers_and_sidecars_count() {
    let mut object = pod(json!({"phase": "Pending", "initContainerStatuses": [
        {"name": "side", "restartCount": 1, "started": true, "ready": true, "state": {"running": {}}},
        {"name": "init", "state": {"waiting": {"reason": "PodInitializing"}}}]}));
    object["spec"]["initContainers"] = json!([{"name": "side", "restartPolicy": "Always"}, {"name": "init"}]);
    check("", "pods", object.clone(), expect!["[a][1/2][Init:1/2][1][5m][<none>][n1][<none>][<none>]"]);
    object["status"]["initContainerStatuses"][1]["state"] = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    check("", "pods", object, expect!["[a][1/2][Init:Error][1][5m][<none>][n1][<none>][<none>]"]);
}

#[test]
fn workloads() {
    let template = json!({"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]}});
    let selector = json!({"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]});
    check(
        "apps",
        "deployments",
        json!({"spec": {"replicas": 3, "selector": selector, "template": template}, "status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}}),
        expect!["[a][2/3][3][2][5m][c,d][i:1,j][a in (x,y),b=1]"],
    );
    check(
        "apps",
        "replicasets",
        json!({"spec": {"replicas": 3, "selector": {}, "template": template}, "status": {"replicas": 3}}),
        expect!["[a][3][3][0][5m][c,d][i:1,j][<none>]"],
    );
    check(
        "apps",
        "daemonsets",
        json!({"spec": {"selector": selector, "template": template}, "status": {"desiredNumberScheduled": 1, "numberReady": 1}}),
        expect!["[a][1][0][1][0][0][<none>][5m][c,d][i:1,j][a in (x,y),b=1]"],
    );
    check(
        "batch",
        "jobs",
        json!({"spec": {"completions": 4, "template": template}, "status": {"succeeded": 1, "startTime": "2026-11-22T11:59:00Z"}}),
        expect!["[a][Running][1/4][60s][5m][c,d][i:1,j][<none>]"],
    );
    check(
        "batch",
        "cronjobs",
        json!({"spec": {"schedule": "* * * * *", "suspend": false, "jobTemplate": {"spec": {"template": template}}}, "status": {}}),
        expect!["[a][* * * * *][<none>][False][0][<none>][5m][c,d][i:1,j][<none>]"],
    );
    check(
        "autoscaling",
        "horizontalpodautoscalers",
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
            {"type": "External", "external": {"target": {"value": "1"}}}]},
            "status": {"currentReplicas": 1, "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7}}}]}}),
        expect!["[a][Deployment/web][cpu: 7%/80%, <unknown>/10 + 1 more...][<unset>][5][1][5m]"],
    );
}

#[test]
fn services_and_endpoints() {
    let service = |spec: Value, status: Value| json!({"metadata": {}, "spec": spec, "status": status});
    check(
        "",
        "services",
        service(
            json!({"type": "NodePort", "clusterIPs": ["10.0.0.1"], "selector": {"a": "b"},
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
            json!({}),
        ),
        expect!["[a][NodePort][10.0.0.1][<none>][80:30080/TCP,53/UDP][5m][a=b]"],
    );
    check(
        "",
        "services",
        service(json!({"type": "LoadBalancer", "clusterIPs": ["None"]}), json!({"loadBalancer": {}})),
        expect!["[a][LoadBalancer][None][<pending>][<none>][5m][<none>]"],
    );
    check(
        "discovery.k8s.io",
        "endpointslices",
        json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "x"}],
            "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.3"]}, {"addresses": ["10.0.0.4"]}]}),
        expect!["[a][IPv4][80,x][10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...][5m]"],
    );
    check("discovery.k8s.io", "endpointslices", json!({"addressType": "IPv6"}), expect!["[a][IPv6][<unset>][<unset>][5m]"]);
    check(
        "",
        "endpoints",
        json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}]}]}),
        expect!["[a][10.0.0.1:80,[fd00::1]:80][5m]"],
    );
    check(
        "networking.k8s.io",
        "ingresses",
        json!({"spec": {"rules": [{"host": "a.b"}, {}], "tls": [{}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
        expect!["[a][<none>][a.b][1.2.3.4][80, 443][5m]"],
    );
}

#[test]
fn cluster_objects() {
    check(
        "",
        "nodes",
        json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/worker": ""}},
            "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.1.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.37.1", "kernelVersion": "6.1", "architecture": "amd64"}}}),
        expect!["[a][Ready,SchedulingDisabled][control-plane,worker][5m][v1.37.1][10.1.0.1][<none>][<unknown>][6.1 (amd64)][<unknown>]"],
    );
    check(
        "",
        "events",
        json!({"type": "Normal", "reason": "Pulled", "message": " ok \n", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
            "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": "2026-11-22T11:59:00Z", "lastTimestamp": "2026-11-22T11:59:30Z", "count": 3}),
        expect!["[30s][Normal][Pulled][pod/p][spec][kubelet, n][ok][60s][3][a]"],
    );
    check(
        "events.k8s.io",
        "events",
        json!({"type": "Normal", "reason": "R", "note": "n", "regarding": {"kind": "Pod", "name": "p"}, "reportingController": "c",
            "reportingInstance": "i", "eventTime": "2026-11-22T11:59:50.000000Z"}),
        expect!["[10s][Normal][R][pod/p][][c, i][n][10s][1][a]"],
    );
    check(
        "",
        "resourcequotas",
        json!({"status": {"hard": {"cpu": "2", "limits.cpu": "4"}, "used": {"cpu": "1"}}}),
        expect!["[a][cpu: 1/2][limits.cpu: 0/4][5m]"],
    );
    check("", "secrets", json!({"type": "Opaque", "data": {"a": "", "b": ""}}), expect!["[a][Opaque][2][5m]"]);
    check("", "limitranges", json!({}), expect!["[a][2026-11-22T11:55:00Z]"]);
    check(
        "",
        "persistentvolumeclaims",
        json!({"spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}}),
        expect!["[a][Bound][v][1Gi][RWO,RWX][fast][<unset>][5m][Filesystem]"],
    );
}

#[test]
fn lists_mark_the_default_class_and_order_flow_schemas() {
    let class = |name: &str, created: &str| {
        json!({"metadata": {"name": name, "creationTimestamp": created,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"})
    };
    let (old, new) = (class("old", "2026-11-22T11:00:00Z"), class("new", "2026-11-22T11:30:00Z"));
    let names = |is_list: bool| -> Vec<Value> {
        rows("storage.k8s.io", "storageclasses", &[&old, &new], is_list, now()).into_iter().map(|row| row.cells[0].clone()).collect()
    };
    assert_eq!(names(true), ["old", "new (default)"]);
    assert_eq!(names(false), ["old", "new"]);

    let schema = |name: &str, precedence: i64| json!({"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence}});
    let (late, early) = (schema("late", 900), schema("early", 1));
    let order: Vec<usize> =
        rows("flowcontrol.apiserver.k8s.io", "flowschemas", &[&late, &early], true, now()).iter().map(|r| r.object_idx).collect();
    assert_eq!(order, [1, 0]);
}

/// Every resource with columns of its own has as many cells.
#[test]
fn cells_fit_the_columns() {
    for resource in &kinds::builtin().resources {
        let columns = crate::columns(&resource.group, &resource.version, &resource.plural);
        let object = json!({"metadata": {"name": "a"}});
        let n_cells = rows(&resource.group, &resource.plural, &[&object], true, now())[0].cells.len();
        // Upstream: one cell more than columns.
        let extra = usize::from(resource.plural == "ipaddresses");
        assert_eq!(n_cells, columns.len() + extra, "{}", resource.plural);
    }
}

#[test]
fn custom_resources_show_their_printer_columns() {
    let columns = json!([
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
        {"name": "First", "type": "string", "jsonPath": ".spec.hosts[0]"},
        {"name": "Label", "type": "string", "jsonPath": ".metadata.labels.app\\.io/x"},
        {"name": "Quoted", "type": "string", "jsonPath": "$.metadata.labels['app.io/x']"},
        {"name": "All", "type": "string", "jsonPath": ".spec.hosts"},
        {"name": "Missing", "type": "string", "jsonPath": ".spec.none"},
        {"name": "Wrong", "type": "integer", "jsonPath": ".spec.hosts"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]);
    let object = json!({"metadata": {"name": "a", "creationTimestamp": "2026-11-22T11:59:00Z", "labels": {"app.io/x": "l"}},
        "spec": {"size": 3, "hosts": ["h", "i"]}, "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}});
    assert_eq!(
        custom_cells(&columns, &object, now()),
        [
            json!("a"),
            json!("True"),
            json!(3),
            json!("h"),
            json!("l"),
            json!("l"),
            json!("[\"h\",\"i\"]"),
            Value::Null,
            Value::Null,
            json!("60s")
        ]
    );
    assert_eq!(custom_columns(&columns)[2].priority, 1);
    let default = custom_columns(&Value::Null);
    assert_eq!(default.iter().map(|c| c.name.as_ref()).collect::<Vec<_>>(), ["Name", "Age"]);
    assert_eq!(custom_cells(&Value::Null, &object, now()), [json!("a"), json!("60s")]);
}

/// A column is described by the field it shows, or not at all.
#[test]
fn columns_bear_the_words_of_their_fields() {
    let of_field = |ty: &str, field: &str| Some(format!("{ty}#{field}"));
    let pods = crate::column_definitions(crate::columns("", "v1", "pods"), &of_field);
    let described: Vec<&str> = pods.as_array().unwrap().iter().map(|c| c["description"].as_str().unwrap()).collect();
    let metadata = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    assert_eq!(described[0], format!("{metadata}#name"));
    assert_eq!(described[1..4], ["", "", ""]);
    assert_eq!(described[4], format!("{metadata}#creationTimestamp"));
    assert_eq!(described[6], "io.k8s.api.core.v1.PodSpec#nodeName");
}
