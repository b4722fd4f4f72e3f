//! The loop against a real API server in memory, on a host of its own.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::{ApiServer, Settings};
use authz::UserInfo;
use client::Client;
use net_plan::node_routes::Tunnels;
use netd::agent::{Config, Netd, reset};
use netd::host::VXLAN_PORT;
use object::plan::PatchKind;
use object::time::Clock;
use reconcile::Informers;
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;
use serde_json::{Value, json};

use crate::node::{Folder, NODE_V4, NODE_V6, Node, ip, may_run, query};

/// Far longer than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn api() -> Client {
    let registry = Registry::new(store::Store::memory(), Clock::system(), Entropy::seeded(1), ServiceSettings::default());
    let server = ApiServer::new(Settings {
        registry,
        token_key: Arc::new(pki::token::TokenKey::generate().expect("a key")),
        issuer: "https://kubernetes.default.svc".into(),
        static_tokens: HashMap::new(),
        address: format!("{NODE_V4}:6443"),
        kubelet_tls: None,
    });
    server.bootstrap(&[ip(NODE_V4)], 6443).await.expect("bootstraps");
    let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
    Client::new(Arc::new(server.local(UserInfo { name: "admin".into(), groups, ..UserInfo::default() })))
}

async fn create(client: &Client, path: &str, api_version: &str, kind: &str, mut object: Value) -> Value {
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    client.create(path, &object).await.expect("the API server takes it")
}

/// The slice of `web` with these endpoints.
fn slice(addresses: &[IpAddr]) -> Value {
    let endpoints: Vec<Value> =
        addresses.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": "node-0"})).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}

fn config(folder: &Folder) -> Config {
    let cidr = |text: &str| text.parse().expect("a range");
    let resolv_conf = folder.0.join("resolv.conf");
    std::fs::write(&resolv_conf, "").expect("written");
    Config {
        cluster: "agent".to_owned(),
        node_name: "node-0".to_owned(),
        cluster_pod_cidrs: vec![cidr("10.244.0.0/16"), cidr("fd00:10:244::/56")],
        service_cidrs: vec![cidr("10.96.0.0/16"), cidr("fd00:10:96::/108")],
        dns_addresses: vec![ip("10.96.0.10"), ip("fd00:10:96::a")],
        cluster_domain: "cluster.local".to_owned(),
        resolv_conf,
        tunnels: Tunnels::WhereNeeded,
        vxlan_id: 1,
        vxlan_port: VXLAN_PORT,
    }
}

async fn with_node(client: &Client) {
    let node =
        json!({"metadata": {"name": "node-0"}, "spec": {"podCIDRs": ["10.244.0.0/24", "fd00:10:244::/64"], "podCIDR": "10.244.0.0/24"}});
    let mut node = create(client, "/api/v1/nodes", "v1", "Node", node).await;
    node["status"]["addresses"] = json!([{"type": "InternalIP", "address": NODE_V4}, {"type": "InternalIP", "address": NODE_V6}]);
    let _: Value = client.update("/api/v1/nodes/node-0/status", &node).await.expect("the status is taken");
}

/// Asks until the answer is right, and says how long that took.
fn until(what: &str, mut ask: impl FnMut() -> String, is_right: impl Fn(&str) -> bool) -> Duration {
    let start = Instant::now();
    loop {
        let answer = ask();
        if is_right(&answer) {
            return start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {answer}");
    }
}

const HEALTH_PORT: u16 = 31000;

fn asked_for_health(host: &str) -> String {
    let ask = || {
        let mut stream = std::net::TcpStream::connect(format!("{host}:{HEALTH_PORT}"))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    };
    ask().unwrap_or_else(|error| format!("{:?}", error.kind()))
}

async fn scenario(node: &Node, folder: &Folder) {
    let client = api().await;
    with_node(&client).await;
    let web = json!({"metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": "NodePort", "clusterIP": "10.96.0.20", "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}]}});
    create(&client, "/api/v1/namespaces/default/services", "v1", "Service", web).await;
    let [a, b] = ["a", "b"].map(|name| node.pods[name].addresses.ipv4.map(IpAddr::V4).expect("dual stack"));
    create(&client, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", "discovery.k8s.io/v1", "EndpointSlice", slice(&[a]))
        .await;

    let netd = Netd::start(config(folder), &Informers::new(client.clone()));
    tokio::time::timeout(PATIENCE, netd.ready()).await.expect("it is ready in time");
    assert!(node.pod_asks("client", "10.96.0.20", 80).starts_with("a sees"), "ready means that services work");
    assert!(node.pod_asks("client", NODE_V4, 30080).starts_with("a sees"));

    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/web-1";
    let mut times = Vec::new();
    for turn in 0..20 {
        let (address, name) = if turn % 2 == 0 { (b, "b sees") } else { (a, "a sees") };
        let _: Value = client.update(path, &slice(&[address])).await.expect("the slice is taken");
        times.push(until("the new endpoint", || node.pod_asks("client", "10.96.0.20", 80), |text| text.starts_with(name)));
    }
    times.sort();
    eprintln!("endpoint written until it answers: p50 {:?}, max {:?}", times[10], times[19]);

    // Names, at the cluster's DNS address, from a pod.
    let web_name = "web.default.svc.cluster.local.";
    until("the name", || query(&node.pods["client"].scratch, SocketAddr::new(ip("10.96.0.10"), 53), web_name), |text| text == "10.96.0.20");
    until(
        "over IPv6",
        || query(&node.pods["client"].scratch, SocketAddr::new(ip("fd00:10:96::a"), 53), web_name),
        |text| text == "10.96.0.20",
    );

    // A load balancer asks whether this node has an endpoint.
    let local = json!({"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": HEALTH_PORT}});
    let _: Value = client.patch("/api/v1/namespaces/default/services/web", PatchKind::Merge, &local).await.expect("the service is taken");
    until(
        "an endpoint",
        || asked_for_health(NODE_V4),
        |text| text.starts_with("HTTP/1.1 200 OK") && text.contains("\"localEndpoints\": 1"),
    );
    let _: Value = client.update(path, &slice(&[])).await.expect("the slice is taken");
    until(
        "no endpoint",
        || asked_for_health(NODE_V4),
        |text| text.starts_with("HTTP/1.1 503") && text.contains("x-load-balancing-endpoint-weight: 0"),
    );
    assert_eq!(asked_for_health(&format!("[{NODE_V6}]")), "ConnectionRefused", "the service has no IPv6");
    let _: Value = client.update(path, &slice(&[a])).await.expect("the slice is taken");

    // A firewall is restarted and flushes all rules.
    node.remove_table();
    until("the table is back", || node.pod_asks("client", "10.96.0.20", 80), |text| text.starts_with("a sees"));

    // A new process takes over; services work in between.
    netd.stop().await;
    assert!(node.pod_asks("client", "10.96.0.20", 80).ends_with("sees 10.244.0.1"));
    let netd = Netd::start(config(folder), &Informers::new(client.clone()));
    tokio::time::timeout(PATIENCE, netd.ready()).await.expect("it is ready in time");
    until("a health check port", || asked_for_health(NODE_V4), |text| text.starts_with("HTTP/1.1 200 OK"));
    client.delete("/api/v1/namespaces/default/services/web", &object::plan::DeleteOptions::default()).await.expect("it goes");
    until("the service is gone", || node.pod_asks("client", "10.96.0.20", 80), |text| text == "ConnectionRefused");
    until("the port is closed", || asked_for_health(NODE_V4), |text| text == "ConnectionRefused");
    netd.stop().await;
}

#[test]
fn what_the_api_server_says_reaches_the_kernel() {
    if !may_run("what_the_api_server_says_reaches_the_kernel") {
        return;
    }
    let mut node = Node::new("agent");
    for name in ["client", "a", "b"] {
        node.pod(name);
    }
    let node = Arc::new(node);
    let folder = Folder::new("agent");
    let on_host = Arc::clone(&node);
    // The loop's threads must be in the host's namespace: those that a thread starts are where it is.
    let thread = node.host.run(move || {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
            runtime.block_on(scenario(&on_host, &folder));
            let cidrs = ["10.244.0.0/16", "fd00:10:244::/56"].map(|text| text.parse().expect("a range"));
            reset("agent", &cidrs, &folder.0).expect("reset");
        })
    });
    thread.join().expect("the scenario holds");
    let routes = node.host.run(|| net_link::route::RouteSocket::open().and_then(|mut socket| socket.routes())).expect("routes");
    assert!(routes.iter().all(|row| row.protocol != net_link::route::ROUTE_PROTOCOL), "{routes:?}");
}
