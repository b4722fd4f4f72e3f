//! Two nodes on hosts of their own: on one link, and with a router between.

use std::net::IpAddr;

use net_link::namespace;
use net_link::route::{Changes, LinkSettings, Route, RouteSocket, VethEnd, Via, link_local_of};
use net_link::scratch::Scratch;
use net_plan::node_routes::Tunnels;
use netd::host;
use serde_json::json;

use crate::node::{Node, ip, may_run};

struct End<'a> {
    host: &'a Scratch,
    link: &'static str,
    addresses: &'static [(&'static str, u8)],
}

/// A cable.
fn connect(ends: [End<'_>; 2]) {
    let [a, b] = &ends;
    let (other, names) = (b.host.path().to_owned(), (a.link, b.link));
    let made = a.host.run(move || {
        let namespace = namespace::open(&other)?;
        let mac = |name: &str| [2, 1, name.as_bytes()[name.len() - 1], name.as_bytes()[0], name.len() as u8, name.as_bytes()[1]];
        let [one, two] = [names.0, names.1].map(|name| VethEnd { name, mac: mac(name), mtu: 1500 });
        RouteSocket::open()?.commit(Changes::default().add_veth(&one, &two, std::os::fd::AsFd::as_fd(&namespace)))
    });
    made.expect("the cable is there");
    for end in &ends {
        let (name, addresses) = (end.link, end.addresses);
        let set = end.host.run(move || {
            let mut socket = RouteSocket::open()?;
            let mut changes = Changes::default();
            // Addresses that are in use at once: real links have settled long before.
            changes.set_link(name, &LinkSettings { up: true, no_generated_ipv6: true, ..LinkSettings::default() });
            let link = socket.link(name)?;
            changes.add_address(link.index, link_local_of(link.mac.unwrap_or_default()).into(), 64);
            for (address, prefix) in addresses {
                changes.add_address(link.index, ip(address), *prefix);
            }
            socket.commit(&mut changes)
        });
        set.expect("the link is up");
    }
}

fn default_route(host: &Scratch, link: &'static str, gateway: &'static str) {
    let to: object::cidr::Cidr = if gateway.contains(':') { "::/0" } else { "0.0.0.0/0" }.parse().expect("a range");
    let set = host.run(move || {
        let mut socket = RouteSocket::open()?;
        let link = socket.link(link)?.index;
        socket.commit(Changes::default().add_route(&Route { to, via: Via::Gateway(link, ip(gateway)), source: None }))
    });
    set.expect("the route is set");
}

/// Pods reach pods and services over both families, and so does the other node.
fn check(nodes: &mut [Node; 2], tunnels: Tunnels) {
    let [a, b] = nodes;
    a.pod("client");
    b.pod("server");
    a.set_routes(tunnels, &[b]);
    b.set_routes(tunnels, &[a]);
    a.set_up_services();
    let addresses = b.pods["server"].addresses;
    let client = a.pods["client"].addresses;
    for (address, client) in addresses.iter().zip(client.iter()) {
        assert_eq!(a.pod_asks("client", &address.to_string(), 8080), format!("server sees {client}"));
        assert!(a.host_asks(&address.to_string(), 8080).starts_with("server sees"), "{}", a.host_asks(&address.to_string(), 8080));
    }
    let spec = json!({"clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20", "fd00:10:96::20"], "type": "NodePort",
        "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}]});
    let service = json!({"metadata": {"namespace": "default", "name": "web"}, "spec": spec});
    a.service(service, &[b.slice(true, &["server"]), b.slice(false, &["server"])]);
    for (address, client) in ["10.96.0.20", "fd00:10:96::20"].iter().zip(client.iter()) {
        assert_eq!(a.pod_asks("client", address, 80), format!("server sees {client}"));
        assert!(a.host_asks(address, 80).starts_with("server sees"), "the node to {address}: {}", a.host_asks(address, 80));
    }
    // A client outside the cluster, at the port of a node that has no endpoint.
    let node_address = a.view.addresses[0].to_string();
    assert!(b.host_asks(&node_address, 30080).starts_with("server sees"), "{}", b.host_asks(&node_address, 30080));
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

fn on_one_link() -> [Scratch; 2] {
    let hosts = [Scratch::new().expect("a host"), Scratch::new().expect("a host")];
    connect([
        End { host: &hosts[0], link: "up0", addresses: &[("192.0.2.1", 24), ("2001:db8::1", 64)] },
        End { host: &hosts[1], link: "up1", addresses: &[("192.0.2.2", 24), ("2001:db8::2", 64)] },
    ]);
    hosts
}

#[test]
fn nodes_on_one_link_are_each_others_gateway() {
    if !may_run("nodes_on_one_link_are_each_others_gateway") {
        return;
    }
    let [a, b] = on_one_link();
    let a = Node::on(a, "one-link", 0, &addresses(&["192.0.2.1", "2001:db8::1"]));
    let b = Node::on(b, "one-link", 1, &addresses(&["192.0.2.2", "2001:db8::2"]));
    let mut nodes = [a, b];
    check(&mut nodes, Tunnels::WhereNeeded);
    for node in &nodes {
        node.reset();
        let routes = node.host.run(|| RouteSocket::open().and_then(|mut socket| socket.routes())).expect("routes");
        assert_eq!(routes.iter().filter(|row| row.protocol == net_link::route::ROUTE_PROTOCOL).count(), 0, "{routes:?}");
    }
}

#[test]
fn a_node_without_ipv6_carries_it_in_the_tunnel() {
    if !may_run("a_node_without_ipv6_carries_it_in_the_tunnel") {
        return;
    }
    let [a, b] = on_one_link();
    let a = Node::on(a, "v4-only", 0, &addresses(&["192.0.2.1"]));
    let b = Node::on(b, "v4-only", 1, &addresses(&["192.0.2.2"]));
    check(&mut [a, b], Tunnels::WhereNeeded);
}

#[test]
fn a_tunnel_leads_past_a_router() {
    if !may_run("a_tunnel_leads_past_a_router") {
        return;
    }
    let hosts = [Scratch::new().expect("a host"), Scratch::new().expect("a host")];
    let router = Scratch::new().expect("a router");
    router.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).expect("it forwards");
    connect([
        End { host: &hosts[0], link: "up0", addresses: &[("192.0.2.1", 24)] },
        End { host: &router, link: "left", addresses: &[("192.0.2.254", 24)] },
    ]);
    connect([
        End { host: &hosts[1], link: "up1", addresses: &[("198.51.100.1", 24)] },
        End { host: &router, link: "right", addresses: &[("198.51.100.254", 24)] },
    ]);
    default_route(&hosts[0], "up0", "192.0.2.254");
    default_route(&hosts[1], "up1", "198.51.100.254");
    let [a, b] = hosts;
    let a = Node::on(a, "tunnel", 0, &addresses(&["192.0.2.1"]));
    let b = Node::on(b, "tunnel", 1, &addresses(&["198.51.100.1"]));
    let mut nodes = [a, b];
    check(&mut nodes, Tunnels::WhereNeeded);
    a_node_that_is_gone_leaves_no_trace(&nodes[0], &nodes[1]);
    for node in &nodes {
        node.reset();
        let links = node.host.run(|| RouteSocket::open().and_then(|mut socket| socket.links())).expect("links");
        assert_eq!(links.iter().filter(|link| link.name.starts_with("cor")).count(), 0);
    }
}

/// `gone` moves to another address, and then leaves.
fn a_node_that_is_gone_leaves_no_trace(node: &Node, gone: &Node) {
    let tunnel = || {
        let name = host::tunnel_link(&node.cluster);
        let found = node.host.run(move || {
            let mut socket = RouteSocket::open()?;
            let link = socket.link(&name)?.index;
            Ok::<_, net_link::netlink::Error>((socket.forwarding_entries(link)?, socket.neighbours(link)?))
        });
        found.map(|(entries, neighbours)| (entries.into_iter().map(|(_, host)| host).collect::<Vec<_>>(), neighbours.len()))
    };
    assert_eq!(tunnel().expect("a tunnel"), (addresses(&["198.51.100.1"]), 2));
    let mut moved = gone.as_peer();
    moved.addresses = addresses(&["203.0.113.7"]);
    node.set_routes_to(Tunnels::WhereNeeded, vec![moved.clone()]);
    assert_eq!(tunnel().expect("a tunnel"), (addresses(&["203.0.113.7"]), 2));
    moved.name = "another".to_owned();
    moved.pod_cidrs = vec!["10.244.9.0/24".parse().expect("a range")];
    node.set_routes_to(Tunnels::WhereNeeded, vec![moved]);
    assert_eq!(tunnel().expect("a tunnel"), (addresses(&["203.0.113.7"]), 1));
    node.set_routes_to(Tunnels::WhereNeeded, Vec::new());
    assert!(tunnel().is_err_and(|error| error.is_absent()));
}
