use std::sync::Arc;

use object::Value;
use object::plan::Write;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;

fn typed<K: DeserializeOwned>(tree: Value) -> K {
    serde_json::from_value(tree).unwrap()
}

fn pod(name: &str, spec: Value, status: Value) -> Arc<Pod> {
    Arc::new(typed(json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec, "status": status})))
}

fn container(requests: Value, limits: Value) -> Value {
    json!({"name": "c", "resources": {"requests": requests, "limits": limits}})
}

struct Namespace {
    pods: Vec<Arc<Pod>>,
    services: Vec<Arc<Service>>,
    claims: Vec<Arc<PersistentVolumeClaim>>,
}

fn namespace() -> Namespace {
    let small = container(json!({"cpu": "100m", "memory": "64Mi"}), json!({"cpu": "200m"}));
    let large = container(json!({"cpu": "1", "example.com/gpu": "2"}), json!({}));
    let pods = vec![
        pod("a", json!({"containers": [small, small], "initContainers": [large]}), json!({"phase": "Running"})),
        pod("b", json!({"containers": [small], "activeDeadlineSeconds": 5, "priorityClassName": "high"}), json!({"phase": "Pending"})),
        pod("c", json!({"containers": [small]}), json!({"phase": "Succeeded"})),
        pod("d", json!({"containers": [{"name": "c"}]}), json!({"phase": "Running"})),
    ];
    let service = |kind: &str| Arc::new(typed(json!({"spec": {"type": kind, "ports": [{"port": 1}, {"port": 2}]}})));
    let claim = |size: &str, class: &str| {
        Arc::new(typed(json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}})))
    };
    Namespace {
        pods,
        services: vec![service("ClusterIP"), service("NodePort"), service("LoadBalancer")],
        claims: vec![claim("1Gi", "fast"), claim("1.5Gi", "")],
    }
}

fn used(spec: Value, namespace: &Namespace) -> Value {
    let quota: ResourceQuota = typed(json!({"metadata": {"name": "q"}, "spec": spec}));
    let count = |resource: &GroupResource| (resource.resource != "unknowns").then_some(7);
    let view = View { quota: &quota, pods: &namespace.pods, services: &namespace.services, claims: &namespace.claims, count: &count };
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let told = plan(&view, now);
    let Write::UpdateStatus { object, .. } = &told.changes[0].write else { panic!() };
    let again: ResourceQuota = typed(object.clone());
    assert_eq!(plan(&View { quota: &again, ..view }, now).changes, [], "planned again");
    object["status"]["used"].clone()
}

fn check(names: &[&str], more: Value, expected: Value) {
    let mut spec = json!({"hard": {}});
    names.iter().for_each(|name| spec["hard"][*name] = "100".into());
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    assert_eq!(used(spec, &namespace()), expected);
}

#[test]
fn usage_is_counted_by_name() {
    check(
        &["pods", "count/pods", "cpu", "requests.memory", "limits.cpu", "requests.example.com/gpu"],
        json!({}),
        json!({"pods": "3", "count/pods": "4", "cpu": "1100m", "requests.memory": "192Mi", "limits.cpu": "600m", "requests.example.com/gpu": "2"}),
    );
    check(
        &["services", "services.nodeports", "services.loadbalancers"],
        json!({}),
        json!({"services": "3", "services.nodeports": "4", "services.loadbalancers": "1"}),
    );
    check(
        &["persistentvolumeclaims", "requests.storage", "fast.storageclass.storage.k8s.io/requests.storage"],
        json!({}),
        json!({"persistentvolumeclaims": "2", "requests.storage": "2560Mi", "fast.storageclass.storage.k8s.io/requests.storage": "1Gi"}),
    );
    check(
        &["configmaps", "count/deployments.apps", "count/unknowns.example.com", "nothing"],
        json!({}),
        json!({"configmaps": "7", "count/deployments.apps": "7"}),
    );
}

#[test]
fn scopes_narrow_it() {
    for (scopes, n) in [
        (json!({"scopes": ["Terminating"]}), "1"),
        (json!({"scopes": ["NotTerminating"]}), "2"),
        (json!({"scopes": ["BestEffort"]}), "1"),
        (json!({"scopes": ["NotBestEffort", "NotTerminating"]}), "1"),
        (json!({"scopes": ["CrossNamespacePodAffinity"]}), "0"),
        (json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}), "1"),
        (json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]}}), "2"),
        (json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}), "1"),
    ] {
        check(&["pods"], scopes, json!({"pods": n}));
    }
}

#[test]
fn a_pod_that_should_have_gone_is_free() {
    let leaving = |at: &str| {
        let tree =
            json!({"metadata": {"name": "p", "deletionTimestamp": at, "deletionGracePeriodSeconds": 30}, "spec": {"containers": []}});
        Namespace { pods: vec![Arc::new(typed(tree))], services: Vec::new(), claims: Vec::new() }
    };
    assert_eq!(used(json!({"hard": {"pods": "1"}}), &leaving("2025-12-31T23:59:00Z")), json!({"pods": "0"}));
    assert_eq!(used(json!({"hard": {"pods": "1"}}), &leaving("2025-12-31T23:59:45Z")), json!({"pods": "1"}));
}
