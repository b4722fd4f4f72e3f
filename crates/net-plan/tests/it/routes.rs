use std::net::IpAddr;

use expect_test::{Expect, expect};
use net_plan::node_routes::{Hop, Path, Peer, Tunnels, paths};

fn check(local: Option<&str>, tunnels: Tunnels, peers: &[(&str, &[&str], &[&str])], expected: Expect) {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let peers: Vec<Peer> = peers
        .iter()
        .map(|(name, addresses, cidrs)| Peer {
            name: (*name).to_owned(),
            addresses: addresses.iter().map(|text| ip(text)).collect(),
            pod_cidrs: cidrs.iter().map(|text| text.parse().expect("a range")).collect(),
        })
        .collect();
    // 192.0.2.0/24 and 2001:db8:2::/48 are this link.
    let near = |address: IpAddr| address.to_string().starts_with("192.0.2.") || address.to_string().starts_with("2001:db8:2:");
    let hop = |address| if near(address) { Hop::SameLink(3) } else { Hop::Routed };
    let lines = paths(&peers, local.map(ip), tunnels, hop).into_iter().map(|path| match path {
        Path::Direct { to, gateway, link } => format!("{to} via {gateway} on {link}\n"),
        Path::Tunnel { to, gateway, host, .. } => format!("{to} via {gateway} in the tunnel to {host}\n"),
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn near_nodes_directly_and_far_ones_through_the_tunnel() {
    let near: (&str, &[&str], &[&str]) = ("near", &["192.0.2.2", "2001:db8:2::2"], &["10.244.1.0/24", "fd00:1::/64"]);
    let far: (&str, &[&str], &[&str]) = ("far", &["198.51.100.2"], &["10.244.2.0/24", "fd00:2::/64"]);
    let near_v4: (&str, &[&str], &[&str]) = ("near-v4", &["192.0.2.3"], &["10.244.3.0/24", "fd00:3::/64"]);
    let new: (&str, &[&str], &[&str]) = ("new", &["192.0.2.4"], &[]);
    check(
        Some("192.0.2.1"),
        Tunnels::WhereNeeded,
        &[near, far, near_v4, new],
        expect![[r#"
        10.244.1.0/24 via 192.0.2.2 on 3
        10.244.3.0/24 via 192.0.2.3 on 3
        fd00:1::/64 via 2001:db8:2::2 on 3
        10.244.2.0/24 via 10.244.2.0 in the tunnel to 198.51.100.2
        fd00:2::/64 via fd00:2:: in the tunnel to 198.51.100.2
        fd00:3::/64 via fd00:3:: in the tunnel to 192.0.2.3
    "#]],
    );
    check(
        Some("192.0.2.1"),
        Tunnels::Always,
        &[near],
        expect![[r#"
        10.244.1.0/24 via 10.244.1.0 in the tunnel to 192.0.2.2
        fd00:1::/64 via fd00:1:: in the tunnel to 192.0.2.2
    "#]],
    );
    check(
        None,
        Tunnels::WhereNeeded,
        &[near, far],
        expect![[r#"
        10.244.1.0/24 via 192.0.2.2 on 3
        fd00:1::/64 via 2001:db8:2::2 on 3
    "#]],
    );
}
