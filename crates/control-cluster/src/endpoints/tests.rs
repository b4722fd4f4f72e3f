use std::sync::Arc;

use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::Value;
use object::plan::{Plan, Write};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{View, legacy, slices};

fn view<K: DeserializeOwned>(tree: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn service(spec: Value) -> Service {
    let mut tree = json!({"metadata": {"name": "web", "namespace": "default", "uid": "uid-web"}, "spec": {"selector": {"app": "web"}}});
    tree["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Service::clone(&view(tree))
}

/// `a 10.0.0.1,fd00::1 ready`; words: `ready`, `leaving`, `node=n`.
fn pods(text: &str) -> Vec<Arc<Pod>> {
    text.split('|')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let ready = if words.contains(&"ready") { "True" } else { "False" };
            let node = words.iter().find_map(|w| w.strip_prefix("node="));
            let ips: Vec<Value> = words[1].split(',').map(|ip| json!({"ip": ip})).collect();
            view(json!({
                "metadata": {"name": words[0], "namespace": "default", "uid": format!("uid-{}", words[0]), "labels": {"app": "web"},
                    "deletionTimestamp": words.contains(&"leaving").then_some("2026-01-01T00:00:00Z")},
                "spec": {"nodeName": node, "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
                "status": {"phase": "Running", "podIPs": ips, "conditions": [{"type": "Ready", "status": ready}]},
            }))
        })
        .collect()
}

fn plan_slices(service: &Service, pods: &[Arc<Pod>], kept: &[Arc<EndpointSlice>]) -> Plan {
    let zone_of = |node: &str| Some(format!("zone-{node}"));
    slices::plan(&View { service, pods, zone_of: &zone_of, kept, is_name_taken: &|_| false })
}

fn show(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let (verb, object) = match &change.write {
            Write::Create { object, .. } => ("create", object),
            Write::Update { object, .. } => ("update", object),
            Write::Delete { key, .. } => {
                text.push_str(&format!("delete {}\n", key.name));
                continue;
            }
            other => panic!("{other:?}"),
        };
        text.push_str(&format!("{verb} {} {}\n", object["addressType"].as_str().unwrap_or("Endpoints"), shown_ports(&object["ports"])));
        for endpoint in object["endpoints"].as_array().into_iter().flatten() {
            let conditions: Vec<&str> =
                ["ready", "serving", "terminating"].into_iter().filter(|c| endpoint["conditions"][*c] == Value::Bool(true)).collect();
            text.push_str(&format!("  {} {}", endpoint["addresses"][0].as_str().unwrap(), conditions.join(",")));
            if let Some(zone) = endpoint["zone"].as_str() {
                text.push_str(&format!(" zone={zone}"));
            }
            if !endpoint["hints"].is_null() {
                text.push_str(&format!(" hints={}", endpoint["hints"]));
            }
            text.push('\n');
        }
        for subset in object["subsets"].as_array().into_iter().flatten() {
            let ips = |side: &str| {
                subset[side].as_array().into_iter().flatten().map(|a| a["ip"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            text.push_str(&format!(
                "  {} ready={:?} not ready={:?}\n",
                shown_ports(&subset["ports"]),
                ips("addresses"),
                ips("notReadyAddresses")
            ));
        }
    }
    text
}

fn shown_ports(ports: &Value) -> String {
    let port = |p: &Value| format!("{}:{}/{}", p["name"].as_str().unwrap_or(""), p["port"], p["protocol"].as_str().unwrap_or(""));
    format!("[{}]", ports.as_array().into_iter().flatten().map(port).collect::<Vec<_>>().join(" "))
}

fn check(spec: Value, pod_lines: &str, expected: Expect) {
    let (service, pods) = (service(spec), pods(pod_lines));
    let older = legacy::plan(&View { service: &service, pods: &pods, zone_of: &|_| None, kept: &[], is_name_taken: &|_| false });
    expected.assert_eq(&(show(&plan_slices(&service, &pods, &[])) + &show(&older)));
}

#[test]
fn endpoints_follow_readiness_and_family() {
    check(
        json!({"ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}], "ipFamilies": ["IPv4", "IPv6"]}),
        "a 10.0.0.1,fd00::1 ready node=n | b 10.0.0.2,fd00::2 | c 10.0.0.3 ready leaving",
        expect![[r#"
            create IPv4 [http:8080/TCP]
              10.0.0.1 ready,serving zone=zone-n
              10.0.0.2 
              10.0.0.3 serving,terminating
            create IPv6 [http:8080/TCP]
              fd00::1 ready,serving zone=zone-n
              fd00::2 
            create Endpoints []
              [http:8080/TCP] ready=["10.0.0.1"] not ready=["10.0.0.2"]
        "#]],
    );
}

#[test]
fn a_service_without_pods_has_an_empty_slice() {
    check(
        json!({"ports": [{"port": 80}]}),
        "",
        expect![[r#"
        create IPv4 []
        create Endpoints []
    "#]],
    );
}

#[test]
fn unready_addresses_are_published_when_asked_for() {
    check(
        json!({"clusterIP": "None", "publishNotReadyAddresses": true, "trafficDistribution": "PreferSameZone"}),
        "a 10.0.0.1 node=n",
        expect![[r#"
            create IPv4 []
              10.0.0.1 ready zone=zone-n hints={"forZones":[{"name":"zone-n"}]}
            create Endpoints []
              [] ready=["10.0.0.1"] not ready=[]
        "#]],
    );
}

#[test]
fn selectorless_services_are_left_alone() {
    check(json!({"selector": null, "ports": [{"port": 80}]}), "a 10.0.0.1 ready", expect![[""]]);
}

/// Carries out creates, updates and deletes of slices.
fn carry_out(plan: &Plan, kept: &mut Vec<Arc<EndpointSlice>>) {
    for change in &plan.changes {
        match &change.write {
            Write::Create { object, .. } => {
                let mut object = object.clone();
                let uid = format!("uid-{}", object::meta::name(&object));
                object::meta::set(&mut object, "uid", uid);
                kept.push(view(object));
            }
            Write::Update { object, .. } => {
                let at = kept.iter().position(|s| s.metadata.name.as_deref() == Some(object::meta::name(object))).unwrap();
                kept[at] = view(object.clone());
            }
            Write::Delete { key, .. } => kept.retain(|s| s.metadata.name.as_deref() != Some(key.name.as_str())),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_pod_more_or_less_rewrites_one_slice() {
    let service = service(json!({"ports": [{"port": 80}]}));
    let many = |n: usize| pods(&(0..n).map(|i| format!("p{i} 10.0.{}.{} ready", i / 200, i % 200 + 1)).collect::<Vec<_>>().join("|"));
    let mut kept = Vec::new();
    for (n, n_changes) in [(250, Some(3)), (251, Some(1)), (260, Some(1)), (259, Some(1)), (400, None), (60, None), (0, None), (1, Some(2))]
    {
        let plan = plan_slices(&service, &many(n), &kept);
        assert!(n_changes.is_none_or(|n_changes| plan.changes.len() == n_changes), "{n}: {}", show(&plan));
        carry_out(&plan, &mut kept);
        let n_endpoints: usize = kept.iter().map(|s| s.endpoints.as_ref().map_or(0, Vec::len)).sum();
        assert_eq!(n_endpoints, n);
        assert!(kept.iter().all(|s| s.endpoints.as_ref().is_none_or(|e| e.len() <= 100)));
        assert!(plan_slices(&service, &many(n), &kept).changes.is_empty(), "planning again finds nothing");
    }
}

#[test]
fn endpoints_are_kept_up_to_date() {
    let service = service(json!({"ports": [{"port": 80}]}));
    let plan = |pods: &[Arc<Pod>], kept: &[Arc<Endpoints>]| {
        legacy::plan(&View { service: &service, pods, zone_of: &|_| None, kept, is_name_taken: &|_| false })
    };
    let first = plan(&pods("a 10.0.0.1 ready"), &[]);
    let Write::Create { object, .. } = &first.changes[0].write else { panic!() };
    let kept = [view(object.clone())];
    assert!(plan(&pods("a 10.0.0.1 ready"), &kept).changes.is_empty());
    expect![[r#"
        update Endpoints []
          [:80/TCP] ready=[] not ready=["10.0.0.1"]
    "#]]
    .assert_eq(&show(&plan(&pods("a 10.0.0.1"), &kept)));
}

#[test]
fn endpoints_go_with_their_service_but_not_those_of_people() {
    let labelled = |by: &str| -> k8s_openapi::api::core::v1::Endpoints {
        let labels = serde_json::json!({"endpoints.kubernetes.io/managed-by": by});
        serde_json::from_value(serde_json::json!({"metadata": {"name": "a", "namespace": "d", "uid": "1", "labels": labels}}))
            .expect("endpoints")
    };
    for (kept, n_changes) in [(Some(labelled("endpoint-controller")), 1), (Some(labelled("me")), 0), (None, 0)] {
        assert_eq!(legacy::plan_without_service(kept.as_ref()).changes.len(), n_changes);
    }
}
