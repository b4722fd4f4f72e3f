use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::node::{NODE_V4, NODE_V6, Node, may_run};

const V4: &str = "10.96.0.20";
const V6: &str = "fd00:10:96::20";

fn service(spec: Value) -> Value {
    let mut spec_whole = json!({"clusterIP": V4, "clusterIPs": [V4, V6], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]});
    for (key, value) in spec.as_object().expect("a map") {
        spec_whole[key] = value.clone();
    }
    json!({"metadata": {"namespace": "default", "name": "web"}, "spec": spec_whole})
}

fn node_port() -> Value {
    json!([{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}])
}

#[test]
fn pods_and_the_node_reach_a_service_over_both_families() {
    if !may_run("pods_and_the_node_reach_a_service_over_both_families") {
        return;
    }
    let mut node = Node::new("cluster-ip");
    for name in ["client", "a", "b"] {
        node.pod(name);
    }
    node.set_up_services();
    node.service(service(json!({})), &[node.slice(true, &["a", "b"]), node.slice(false, &["a", "b"])]);
    for (address, client) in [(V4, "10.244.0.1"), (V6, "fd00:10:244::1")] {
        let seen: BTreeSet<String> = (0..40).map(|_| node.pod_asks("client", address, 80)).collect();
        assert_eq!(seen, BTreeSet::from([format!("a sees {client}"), format!("b sees {client}")]), "spread over both, source kept");
        assert!(node.host_asks(address, 80).contains(" sees "), "host to {address}: {}", node.host_asks(address, 80));
    }
    // One endpoint goes, then the last.
    node.service(service(json!({})), &[node.slice(true, &["b"])]);
    assert!((0..10).all(|_| node.pod_asks("client", V4, 80).starts_with("b sees")));
    assert_eq!(node.pod_asks("client", V6, 80), "ConnectionRefused");
    node.service(service(json!({})), &[]);
    assert_eq!(node.pod_asks("client", V4, 80), "ConnectionRefused");
    assert_eq!(node.host_asks(V4, 80), "ConnectionRefused");
    assert_eq!(node.pod_asks("client", "10.96.3.3", 22), "ConnectionRefused", "no such service");
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    if !may_run("a_pod_reaches_itself_through_its_service") {
        return;
    }
    let mut node = Node::new("hairpin");
    node.pod("a");
    node.service(service(json!({})), &[node.slice(true, &["a"]), node.slice(false, &["a"])]);
    assert_eq!(node.pod_asks("a", V4, 80), format!("a sees {NODE_V4}"));
    assert_eq!(node.pod_asks("a", V6, 80), format!("a sees {NODE_V6}"));
}

#[test]
fn node_ports_answer_at_the_nodes_addresses() {
    if !may_run("node_ports_answer_at_the_nodes_addresses") {
        return;
    }
    let mut node = Node::new("node-port");
    node.pod("client");
    node.pod("a");
    let slices = [node.slice(true, &["a"]), node.slice(false, &["a"])];
    node.service(service(json!({"type": "NodePort", "ports": node_port()})), &slices);
    for address in [NODE_V4, NODE_V6] {
        assert_eq!(node.host_asks(address, 30080), format!("a sees {address}"));
        assert_eq!(node.pod_asks("client", address, 30080), format!("a sees {address}"), "masqueraded, so that the answer comes back");
    }
    // For clients outside only local endpoints; for those inside all.
    let local = json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": node_port()});
    node.service(service(local), &slices);
    assert_eq!(node.pod_asks("client", NODE_V4, 30080), "a sees 10.244.0.1");
    assert_eq!(node.host_asks(NODE_V4, 30080), format!("a sees {NODE_V4}"));
}

#[test]
fn a_client_stays_with_its_backend_until_that_goes() {
    if !may_run("a_client_stays_with_its_backend_until_that_goes") {
        return;
    }
    let mut node = Node::new("sticky");
    for name in ["client", "a", "b", "c"] {
        node.pod(name);
    }
    let sticky = || service(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}));
    let all = ["a", "b", "c"];
    node.service(sticky(), &[node.slice(true, &all), node.slice(false, &all)]);
    for address in [V4, V6] {
        let first = node.pod_asks("client", address, 80);
        assert!((0..20).all(|_| node.pod_asks("client", address, 80) == first), "{address}");
        let rest: Vec<&str> = all.into_iter().filter(|name| !first.starts_with(name)).collect();
        assert_eq!(rest.len(), 2, "{first}");
        node.service(sticky(), &[node.slice(true, &rest), node.slice(false, &rest)]);
        let second = node.pod_asks("client", address, 80);
        assert_ne!(second, first);
        node.service(sticky(), &[node.slice(true, &all), node.slice(false, &all)]);
        assert!((0..20).all(|_| node.pod_asks("client", address, 80) == second), "{address}");
    }
}

#[test]
fn a_new_process_takes_over_and_reset_leaves_nothing() {
    if !may_run("a_new_process_takes_over_and_reset_leaves_nothing") {
        return;
    }
    let mut node = Node::new("adopt");
    node.pod("client");
    node.pod("a");
    node.set_up_services();
    let slices = [node.slice(true, &["a"])];
    node.service(service(json!({})), &slices);
    node.adopt();
    assert!(node.pod_asks("client", V4, 80).starts_with("a sees"));
    node.service(service(json!({"type": "NodePort", "ports": node_port()})), &slices);
    assert!(node.pod_asks("client", NODE_V4, 30080).starts_with("a sees"), "changes go on after it");
    node.reset();
    let tables = node.host.run(|| net_link::nft::NftSocket::open().and_then(|mut socket| socket.tables())).expect("tables");
    assert_eq!(tables, Vec::<String>::new());
    let links = node.host.run(|| net_link::route::RouteSocket::open().and_then(|mut socket| socket.links())).expect("links");
    assert_eq!(links.iter().map(|link| link.name.as_str()).filter(|name| name.starts_with("cor")).count(), 0);
}

#[test]
fn host_ports_lead_to_their_pod_also_from_loopback() {
    if !may_run("host_ports_lead_to_their_pod_also_from_loopback") {
        return;
    }
    let mut node = Node::new("host-port");
    node.pod("client");
    node.pod("a");
    let ports = json!([{"containerPort": 8080, "hostPort": 9000}, {"containerPort": 8080, "hostPort": 9001, "hostIP": "127.0.0.1"}]);
    node.host_ports("a", json!({"containers": [{"name": "a", "ports": ports}]}));
    assert_eq!(node.pod_asks("client", NODE_V4, 9000), "a sees 10.244.0.1");
    assert_eq!(node.pod_asks("a", NODE_V6, 9000), format!("a sees {NODE_V6}"), "itself");
    assert!(node.host_asks(NODE_V4, 9000).starts_with("a sees"));
    assert_eq!(node.host_asks("127.0.0.1", 9000), format!("a sees {NODE_V4}"));
    assert_eq!(node.host_asks("127.0.0.1", 9001), format!("a sees {NODE_V4}"));
    node.service(service(json!({"type": "NodePort", "ports": node_port()})), &[node.slice(true, &["a"])]);
    assert_eq!(node.host_asks("127.0.0.1", 30080), format!("a sees {NODE_V4}"));
    // What listens on the node's loopback address alone stays closed to pods.
    node.serve_on_loopback(7000);
    assert!(node.host_asks("127.0.0.1", 7000).starts_with("loopback sees"));
    assert_eq!(node.pod_routes_to_node("a", "127.0.0.1", 7000), "TimedOut");
}

#[test]
fn udp_clients_move_on_when_their_backend_goes() {
    if !may_run("udp_clients_move_on_when_their_backend_goes") {
        return;
    }
    let mut node = Node::new("udp");
    for name in ["client", "a", "b"] {
        node.pod(name);
    }
    let udp = || service(json!({"ports": [{"name": "http", "port": 80, "protocol": "UDP"}]}));
    node.service(udp(), &[node.slice(true, &["a"])]);
    let mut client = node.udp_client("client", V4, 80);
    assert_eq!(client.ask(), "a");
    node.service(udp(), &[node.slice(true, &["b"])]);
    assert_eq!(client.ask(), "b", "from the same port");
    node.service(udp(), &[]);
    assert_eq!(client.ask(), "nobody");
    node.service(udp(), &[node.slice(true, &["a"])]);
    assert_eq!(client.ask(), "a");
}

#[test]
fn a_host_that_has_everything_has_no_findings() {
    if !may_run("a_host_that_has_everything_has_no_findings") {
        return;
    }
    let node = Node::new("probe");
    assert_eq!(node.host.run(netd::probe::findings), Vec::new());
}
