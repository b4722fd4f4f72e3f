use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use net_plan::rows::{Action, NodeView, Rows};
use serde_json::{Value, json};

fn node() -> NodeView {
    NodeView {
        name: "node-1".to_owned(),
        zone: Some("east".to_owned()),
        addresses: ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().expect("an address")).to_vec(),
        dns_addresses: vec!["10.96.0.10".parse().expect("an address")],
    }
}

pub(crate) fn service(spec: Value) -> Service {
    let mut whole = json!({"type": "ClusterIP", "clusterIP": "10.96.0.20", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]});
    for (key, value) in spec.as_object().expect("a map") {
        whole[key] = value.clone();
    }
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}, {"ip": "198.51.100.8", "ipMode": "Proxy"}]}});
    serde_json::from_value(json!({"metadata": {"namespace": "default", "name": "web"}, "spec": whole, "status": ingress}))
        .expect("a service")
}

/// `10.244.0.5` or `10.244.0.5 node-1 serving terminating not-ready zone=east for-zone=east for-node=node-1`
pub(crate) fn slice(endpoints: &[&str]) -> EndpointSlice {
    let list: Vec<Value> = endpoints.iter().map(|text| endpoint(text)).collect();
    let family =
        if endpoints.first().is_some_and(|text| text.split(' ').next().is_some_and(|ip| ip.contains(':'))) { "IPv6" } else { "IPv4" };
    let ports = json!([{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    serde_json::from_value(json!({"metadata": {}, "addressType": family, "ports": ports, "endpoints": list})).expect("a slice")
}

fn endpoint(text: &str) -> Value {
    let mut words = text.split(' ');
    let mut endpoint = json!({"addresses": [words.next()], "conditions": {"ready": true}});
    for word in words {
        match word.split_once('=') {
            Some(("for-zone", zone)) => endpoint["hints"]["forZones"] = json!([{"name": zone}]),
            Some(("for-node", node)) => endpoint["hints"]["forNodes"] = json!([{"name": node}]),
            _ if word == "terminating" => endpoint["conditions"] = json!({"ready": false, "serving": true, "terminating": true}),
            _ if word == "not-ready" => endpoint["conditions"] = json!({"ready": false, "serving": false}),
            _ => endpoint["nodeName"] = json!(word),
        }
    }
    endpoint
}

fn action(action: &Action, rows: &Rows) -> String {
    match action {
        Action::Pick { target, n, mode } => {
            let target = rows.targets.iter().find(|found| found.id == *target).expect("a front leads to a target that is there");
            assert_eq!(target.backends.len(), *n as usize);
            let list: Vec<String> = target.backends.iter().map(ToString::to_string).collect();
            let sticky = mode.sticky_seconds.map_or(String::new(), |seconds| format!(" sticky {seconds}s"));
            format!("{}{sticky}{}", list.join(" "), if mode.masquerade { " masquerade" } else { "" })
        }
        Action::Reject => "reject".to_owned(),
        Action::Drop => "drop".to_owned(),
    }
}

pub(crate) fn shown(rows: &Rows) -> String {
    let mut text = String::new();
    for (front, row) in &rows.fronts {
        let inside = row.inside.as_ref().map_or(String::new(), |inside| format!("; inside {}", action(inside, rows)));
        text += &format!("{front} -> {}{inside}\n", action(&row.action, rows));
    }
    if !rows.local_backends.is_empty() {
        text += &format!("local {:?}\n", rows.local_backends);
    }
    text
}

fn check(spec: Value, endpoints: &[&[&str]], expected: Expect) {
    let slices: Vec<EndpointSlice> = endpoints.iter().map(|list| slice(list)).collect();
    let rows = net_plan::service::rows(&service(spec.clone()), &slices.iter().collect::<Vec<_>>(), &node());
    expected.assert_eq(&shown(&rows));
    let reversed = net_plan::service::rows(&service(spec), &slices.iter().rev().collect::<Vec<_>>(), &node());
    assert_eq!(rows, reversed, "the order of slices is irrelevant");
}

const TWO: &[&[&str]] = &[&["10.244.0.5 node-1", "10.244.1.5 node-2"]];

#[test]
fn cluster_ips() {
    check(
        json!({}),
        TWO,
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.1.5:8080
        local [10.244.0.5]
    "#]],
    );
    check(
        json!({"clusterIPs": ["10.96.0.20", "fd00::20"]}),
        &[TWO[0], &["fd00:1::5 node-1"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.1.5:8080
        tcp [fd00::20]:80 -> [fd00:1::5]:8080
        local [10.244.0.5, fd00:1::5]
    "#]],
    );
    check(json!({"clusterIP": "None"}), TWO, expect![]);
    check(json!({"type": "ExternalName", "clusterIP": "", "externalName": "example.com"}), TWO, expect![]);
    check(
        json!({}),
        &[],
        expect![[r#"
        tcp 10.96.0.20:80 -> reject
    "#]],
    );
    check(json!({"clusterIP": "10.96.0.10"}), &[], expect![]);
}

#[test]
fn node_ports_and_load_balancers() {
    check(
        json!({"type": "NodePort"}),
        TWO,
        expect![[r#"
            tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.1.5:8080
            tcp 127.0.0.1:30080 -> 10.244.0.5:8080
            tcp 192.0.2.1:30080 -> 10.244.0.5:8080 10.244.1.5:8080 masquerade
            local [10.244.0.5]
        "#]],
    );
    check(
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
        TWO,
        expect![[r#"
            tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.1.5:8080
            tcp 127.0.0.1:30080 -> 10.244.0.5:8080
            tcp 192.0.2.1:30080 -> 10.244.0.5:8080; inside 10.244.0.5:8080 10.244.1.5:8080
            tcp 198.51.100.7:80 -> 10.244.0.5:8080; inside 10.244.0.5:8080 10.244.1.5:8080
            local [10.244.0.5]
        "#]],
    );
    check(
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
        &[&["10.244.1.5 node-2"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.1.5:8080
        tcp 192.0.2.1:30080 -> drop; inside 10.244.1.5:8080
        tcp 198.51.100.7:80 -> drop; inside 10.244.1.5:8080
    "#]],
    );
    check(
        json!({"externalIPs": ["203.0.113.9"]}),
        TWO,
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.1.5:8080
        tcp 203.0.113.9:80 -> 10.244.0.5:8080 10.244.1.5:8080 masquerade
        local [10.244.0.5]
    "#]],
    );
}

#[test]
fn internal_traffic_policy() {
    check(
        json!({"internalTrafficPolicy": "Local"}),
        TWO,
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080
        local [10.244.0.5]
    "#]],
    );
    check(
        json!({"internalTrafficPolicy": "Local"}),
        &[&["10.244.1.5 node-2"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> drop
    "#]],
    );
}

#[test]
fn endpoints_that_go_are_the_last_resort() {
    check(
        json!({}),
        &[&["10.244.0.5 terminating", "10.244.0.6"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.6:8080
    "#]],
    );
    check(
        json!({}),
        &[&["10.244.0.5 terminating", "10.244.0.6 not-ready"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080
    "#]],
    );
    check(
        json!({}),
        &[&["10.244.0.6 not-ready"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> reject
    "#]],
    );
    check(
        json!({"internalTrafficPolicy": "Local"}),
        &[&["10.244.0.5 node-1 terminating", "10.244.1.6 node-2"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080
        local [10.244.0.5]
    "#]],
    );
}

#[test]
fn hints_count_when_all_have_one() {
    check(
        json!({}),
        &[&["10.244.0.5 for-zone=east", "10.244.0.6 for-zone=west"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080
    "#]],
    );
    check(
        json!({}),
        &[&["10.244.0.5 for-zone=east", "10.244.0.6"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.0.6:8080
    "#]],
    );
    check(
        json!({}),
        &[&["10.244.0.5 for-zone=west", "10.244.0.6 for-zone=west"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.0.6:8080
    "#]],
    );
    check(
        json!({}),
        &[&["10.244.0.5 for-zone=east for-node=node-1", "10.244.0.6 for-zone=east for-node=node-2"]],
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080
    "#]],
    );
}

#[test]
fn affinity_and_protocols() {
    check(
        json!({"sessionAffinity": "ClientIP"}),
        TWO,
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.1.5:8080 sticky 10800s
        local [10.244.0.5]
    "#]],
    );
    let seconds = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}});
    check(
        seconds,
        TWO,
        expect![[r#"
        tcp 10.96.0.20:80 -> 10.244.0.5:8080 10.244.1.5:8080 sticky 60s
        local [10.244.0.5]
    "#]],
    );
    check(
        json!({"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "http", "port": 53}]}),
        TWO,
        expect![[r#"
        tcp 10.96.0.20:53 -> 10.244.0.5:8080 10.244.1.5:8080
        udp 10.96.0.20:53 -> 10.244.0.5:53 10.244.1.5:53
        local [10.244.0.5]
    "#]],
    );
    check(
        json!({"ports": [{"name": "other", "port": 81}]}),
        TWO,
        expect![[r#"
        tcp 10.96.0.20:81 -> reject
    "#]],
    );
}

#[test]
fn host_ports() {
    let check = |spec: Value, expected: Expect| {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec})).expect("a pod");
        let addresses = ["10.244.0.5", "fd00:1::5"].map(|ip| ip.parse().expect("an address"));
        expected.assert_eq(&shown(&net_plan::host_ports::rows(&pod, &addresses, &node())));
    };
    let containers = json!([{"name": "a", "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]}]);
    check(
        json!({"containers": containers}),
        expect![[r#"
            tcp 127.0.0.1:8080 -> 10.244.0.5:80
            tcp 192.0.2.1:8080 -> 10.244.0.5:80
            tcp [2001:db8::1]:8080 -> [fd00:1::5]:80
            local [10.244.0.5, fd00:1::5]
        "#]],
    );
    check(json!({"containers": containers, "hostNetwork": true}), expect![]);
    let one_address = json!([{"name": "a", "ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1", "protocol": "UDP"}]}]);
    check(
        json!({"containers": one_address}),
        expect![[r#"
        udp 127.0.0.1:8080 -> 10.244.0.5:80
        local [10.244.0.5, fd00:1::5]
    "#]],
    );
}

#[test]
fn load_balancers_are_told_of_endpoints_on_this_node() {
    let check = |more: Value, endpoints: &[&str], expected: Option<(Option<usize>, Option<usize>)>| {
        let mut spec =
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000, "ipFamilies": ["IPv4"]});
        spec.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        let told = net_plan::health::check(&service(spec), &[&slice(endpoints)], &node());
        assert_eq!(told.map(|c| (c.n_local_ipv4, c.n_local_ipv6)), expected, "{more} {endpoints:?}");
    };
    let none = || json!({});
    check(none(), &[], Some((Some(0), None)));
    check(none(), &["10.244.0.5 node-1", "10.244.0.6 node-1", "10.244.0.7 node-2"], Some((Some(2), None)));
    check(none(), &["10.244.0.5 node-1 terminating", "10.244.0.6 node-1 not-ready"], Some((Some(0), None)));
    check(json!({"ipFamilies": ["IPv4", "IPv6"]}), &["fd00::5 node-1"], Some((Some(0), Some(1))));
    check(json!({"externalTrafficPolicy": "Cluster"}), &["10.244.0.5 node-1"], None);
    check(json!({"type": "NodePort"}), &["10.244.0.5 node-1"], None);
    check(json!({"healthCheckNodePort": null}), &["10.244.0.5 node-1"], None);
}

#[test]
fn what_load_balancers_are_told_is_json() {
    let told: Value = serde_json::from_str(&net_plan::health::body("default", "web", 2, true)).expect("JSON");
    let service = json!({"namespace": "default", "name": "web"});
    assert_eq!(told, json!({"service": service, "localEndpoints": 2, "serviceProxyHealthy": true}));
}
