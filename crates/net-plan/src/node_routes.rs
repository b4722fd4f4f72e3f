//! Which way a node's packets take to the pods of the other nodes.
//!
//! A node on the same link is its own gateway; to all others a tunnel leads, which carries both families.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use object::cidr::Cidr;

use crate::rows::TargetId;

/// A node as routes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: String,
    /// Internal addresses, in the order of the Node object.
    pub addresses: Vec<IpAddr>,
    pub pod_cidrs: Vec<Cidr>,
}

impl Peer {
    pub fn from_node(node: &Node) -> Self {
        let spec = node.spec.as_ref();
        let listed = spec.and_then(|spec| spec.pod_cidrs.clone()).unwrap_or_default();
        let single = spec.and_then(|spec| spec.pod_cidr.clone());
        let mut pod_cidrs: Vec<Cidr> = listed.iter().chain(&single).filter_map(|text| text.parse().ok()).collect();
        pod_cidrs.sort();
        pod_cidrs.dedup();
        Peer { name: node.metadata.name.clone().unwrap_or_default(), addresses: internal_addresses(node), pod_cidrs }
    }
}

/// `InternalIP`s of a node.
pub fn internal_addresses(node: &Node) -> Vec<IpAddr> {
    let listed = node.status.as_ref().and_then(|status| status.addresses.as_ref()).into_iter().flatten();
    listed.filter(|address| address.type_ == "InternalIP").filter_map(|address| address.address.parse().ok()).collect()
}

/// What this host knows of the way to another's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// On the link with this index, with no router between.
    SameLink(u32),
    Routed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tunnels {
    /// Only to nodes that are not on the same link.
    #[default]
    WhereNeeded,
    /// To all nodes: for networks that drop packets whose addresses they do not know, as clouds do.
    Always,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Path {
    Direct {
        to: Cidr,
        gateway: IpAddr,
        link: u32,
    },
    /// `gateway` stands for the other end within the tunnel; `host` is where its packets are sent.
    Tunnel {
        to: Cidr,
        gateway: IpAddr,
        mac: [u8; 6],
        host: IpAddr,
    },
}

/// Paths to all pod ranges of the peers, ordered. `local` is this node's address that tunnels start from, if it has one.
pub fn paths(peers: &[Peer], local: Option<IpAddr>, tunnels: Tunnels, hop: impl Fn(IpAddr) -> Hop) -> Vec<Path> {
    let mut paths = Vec::new();
    for peer in peers {
        for to in &peer.pod_cidrs {
            let direct =
                peer.addresses.iter().filter(|address| address.is_ipv4() == to.is_ipv4()).find_map(|address| match hop(*address) {
                    Hop::SameLink(link) if tunnels == Tunnels::WhereNeeded => Some(Path::Direct { to: *to, gateway: *address, link }),
                    Hop::SameLink(_) | Hop::Routed => None,
                });
            let host = peer.addresses.iter().find(|address| local.is_some_and(|local| local.is_ipv4() == address.is_ipv4()));
            let tunnel = host.map(|host| Path::Tunnel { to: *to, gateway: to.network(), mac: tunnel_mac(&peer.name), host: *host });
            paths.extend(direct.or(tunnel));
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Link-layer address of a node's tunnel: every node knows every other's from its name alone.
pub fn tunnel_mac(node: &str) -> [u8; 6] {
    let [a, b, c, d, e, ..] = TargetId::of(&["tunnel", node]).0.to_le_bytes();
    // Locally administered, and of one host.
    [0x02, a, b, c, d, e]
}
