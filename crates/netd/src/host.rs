//! The node's own links and routes: the way to service addresses, and to the pods of other nodes.
//!
//! ```text
//!   cor….-svc0   DNS addresses; 10.96.0.0/16 and fd00:10:96::/112 lead here, so that the node itself finds a way to a service.
//!                The table turns such packets round before they leave; nothing is at the other end of the pair.
//!   cor….-vx0    tunnel to nodes on other links (VXLAN over UDP); the node's pod ranges' first addresses are its own
//! ```
//! Why not routes on `lo`: IPv6 refuses them, and IPv4 drops the ICMP answer that tells a client "nobody listens".
//! Why not addresses for the whole range: the node would answer for all of it on every network it is on.
//!
//! Invariant: only links with this cluster's names and routes that carry our protocol number and lead over those links, or to
//! a pod range of the cluster, are changed.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path as FilePath;

use net_link::netlink::Result;
use net_link::pod::link_prefix;
use net_link::route::{Changes, Link, LinkSettings, ROUTE_PROTOCOL, Route, RouteSocket, TunnelEnd, VethEnd, Via, Vxlan};
use net_plan::node_routes::{Hop, Path, Peer, Tunnels, paths, tunnel_mac};
use object::cidr::Cidr;

/// UDP port that tunnels listen on (IANA's for VXLAN). Nodes must reach each other's.
pub const VXLAN_PORT: u16 = 4789;
/// What the tunnel adds to a packet: outer IP, UDP and VXLAN headers, and the inner Ethernet header.
const VXLAN_OVERHEAD_V4: u32 = 50;
const VXLAN_OVERHEAD_V6: u32 = 70;
const SERVICE_LINK_MTU: u32 = 1500;

#[derive(Clone, Debug)]
pub struct HostSettings {
    pub cluster: String,
    pub node_name: String,
    /// This node's addresses; the first is where tunnels start.
    pub addresses: Vec<IpAddr>,
    pub pod_cidrs: Vec<Cidr>,
    /// All nodes' pod ranges lie in these.
    pub cluster_pod_cidrs: Vec<Cidr>,
    pub service_cidrs: Vec<Cidr>,
    pub dns_addresses: Vec<IpAddr>,
    pub tunnels: Tunnels,
    /// Tells tunnels of clusters on the same hosts apart; all nodes of a cluster have the same.
    pub vxlan_id: u32,
    pub vxlan_port: u16,
}

pub fn service_link(cluster: &str) -> String {
    format!("{}-svc0", link_prefix(cluster))
}
fn service_link_end(cluster: &str) -> String {
    format!("{}-svc1", link_prefix(cluster))
}
pub fn tunnel_link(cluster: &str) -> String {
    format!("{}-vx0", link_prefix(cluster))
}

/// Makes the way to services. Harmless when it is there.
pub fn set_up_services(settings: &HostSettings) -> Result<()> {
    let mut socket = RouteSocket::open()?;
    let name = service_link(&settings.cluster);
    let link = match socket.link(&name) {
        Ok(link) => link,
        Err(error) if error.is_absent() => make_service_link(&mut socket, &settings.cluster, &name)?,
        Err(error) => return Err(error),
    };
    let mut changes = Changes::default();
    for address in &settings.dns_addresses {
        changes.add_address(link.index, *address, Cidr::host(*address).prefix());
    }
    let wanted: Vec<Route> = settings.service_cidrs.iter().map(|to| service_route(settings, *to, link.index)).collect();
    for route in &wanted {
        changes.add_route(route);
    }
    let stale_addresses =
        socket.addresses()?.into_iter().filter(|row| row.link == link.index && !settings.dns_addresses.contains(&row.address));
    for row in stale_addresses {
        changes.delete_address(link.index, row.address, row.prefix);
    }
    for row in socket.routes()? {
        if row.protocol == ROUTE_PROTOCOL && row.route.via == Via::Link(link.index) && !wanted.iter().any(|route| route.to == row.route.to)
        {
            changes.delete_route(&row.route);
        }
    }
    socket.commit(&mut changes)
}

fn make_service_link(socket: &mut RouteSocket, cluster: &str, name: &str) -> Result<Link> {
    let here = net_link::namespace::open(FilePath::new("/proc/thread-self/ns/net"))?;
    let other = service_link_end(cluster);
    let ends = [(name, 0), (other.as_str(), 1)].map(|(name, last)| VethEnd { name, mac: [0x02, 0, 0, 0, 0, last], mtu: SERVICE_LINK_MTU });
    let mut changes = Changes::default();
    changes.add_veth(&ends[0], &ends[1], std::os::fd::AsFd::as_fd(&here));
    for name in [name, &other] {
        changes.set_link(name, &LinkSettings { up: true, no_generated_ipv6: net_link::forwarding::has_ipv6(), ..LinkSettings::default() });
    }
    socket.commit(&mut changes)?;
    socket.link(name)
}

fn service_route(settings: &HostSettings, to: Cidr, link: u32) -> Route {
    let source = settings.addresses.iter().find(|address| address.is_ipv4() == to.is_ipv4()).copied();
    Route { to, via: Via::Link(link), source }
}

/// Brings the routes to other nodes' pods to what these peers need, and makes or removes the tunnel.
pub fn set_routes(settings: &HostSettings, peers: &[Peer]) -> Result<()> {
    let mut socket = RouteSocket::open()?;
    let own = [service_link(&settings.cluster), tunnel_link(&settings.cluster)];
    let own: HashSet<u32> = socket.links()?.into_iter().filter(|link| own.contains(&link.name)).map(|link| link.index).collect();
    let mut hops = std::collections::HashMap::new();
    for address in peers.iter().flat_map(|peer| &peer.addresses) {
        let hop = match socket.next_hop(*address) {
            Ok(hop) if hop.gateway.is_none() && !hop.is_local && !own.contains(&hop.link) => Hop::SameLink(hop.link),
            _ => Hop::Routed,
        };
        hops.insert(*address, hop);
    }
    let local = settings.addresses.first().copied();
    let paths = paths(peers, local, settings.tunnels, |address| hops.get(&address).copied().unwrap_or(Hop::Routed));
    let needs_tunnel = paths.iter().any(|path| matches!(path, Path::Tunnel { .. }));
    let tunnel = match local.filter(|_| needs_tunnel) {
        Some(local) => Some(set_up_tunnel(&mut socket, settings, local)?),
        None => {
            socket.commit_if_present(Changes::default().delete_link(&tunnel_link(&settings.cluster)))?;
            None
        }
    };
    write_paths(&mut socket, settings, &paths, tunnel)
}

fn write_paths(socket: &mut RouteSocket, settings: &HostSettings, paths: &[Path], tunnel: Option<u32>) -> Result<()> {
    let mut changes = Changes::default();
    let (mut wanted, mut entries, mut neighbours) = (Vec::new(), HashSet::new(), HashSet::new());
    for path in paths {
        match path {
            Path::Direct { to, gateway, link } => wanted.push(Route { to: *to, via: Via::Gateway(*link, *gateway), source: None }),
            Path::Tunnel { to, gateway, mac, host } => {
                let Some(link) = tunnel else { continue };
                changes.add_forwarding_entry(link, *mac, *host);
                changes.add_neighbour(link, *gateway, *mac);
                entries.insert(*mac);
                neighbours.insert(*gateway);
                wanted.push(Route { to: *to, via: Via::Gateway(link, *gateway), source: None });
            }
        }
    }
    let found: Vec<Route> = socket.routes()?.into_iter().filter(|row| is_pod_route(settings, row)).map(|row| row.route).collect();
    for route in found.iter().filter(|route| !wanted.contains(route)) {
        changes.delete_route(route);
    }
    for route in wanted.iter().filter(|route| !found.contains(route)) {
        changes.add_route(route);
    }
    if let Some(link) = tunnel {
        // Nodes that are gone, or are reached in another way now.
        for (mac, host) in socket.forwarding_entries(link)?.into_iter().filter(|(mac, _)| !entries.contains(mac)) {
            changes.delete_forwarding_entry(link, mac, host);
        }
        for (gateway, _) in socket.neighbours(link)?.into_iter().filter(|(gateway, _)| !neighbours.contains(gateway)) {
            changes.delete_neighbour(link, gateway);
        }
    }
    socket.commit(&mut changes)
}

/// A route to another node's pods that this crate made (a pod's own route leads to one address over a link, with no gateway).
fn is_pod_route(settings: &HostSettings, row: &net_link::route::RouteRow) -> bool {
    row.protocol == ROUTE_PROTOCOL
        && matches!(row.route.via, Via::Gateway(..))
        && settings.cluster_pod_cidrs.iter().any(|cidr| cidr.contains(row.route.to.network()))
}

fn set_up_tunnel(socket: &mut RouteSocket, settings: &HostSettings, local: IpAddr) -> Result<u32> {
    let name = tunnel_link(&settings.cluster);
    let end = TunnelEnd { id: settings.vxlan_id, port: settings.vxlan_port, local };
    let link = match socket.link(&name) {
        Ok(link) if link.tunnel == Some(end) => link,
        // The node's address is another one now.
        Ok(_) => {
            socket.commit_if_present(Changes::default().delete_link(&name))?;
            make_tunnel(socket, settings, &name, end)?
        }
        Err(error) if error.is_absent() => make_tunnel(socket, settings, &name, end)?,
        Err(error) => return Err(error),
    };
    let mut changes = Changes::default();
    for cidr in &settings.pod_cidrs {
        changes.add_address(link.index, cidr.network(), Cidr::host(cidr.network()).prefix());
    }
    socket.commit(&mut changes)?;
    Ok(link.index)
}

fn make_tunnel(socket: &mut RouteSocket, settings: &HostSettings, name: &str, end: TunnelEnd) -> Result<Link> {
    let underlay = link_of_address(socket, end.local)?;
    let overhead = if end.local.is_ipv4() { VXLAN_OVERHEAD_V4 } else { VXLAN_OVERHEAD_V6 };
    let mtu = underlay.mtu.saturating_sub(overhead);
    let vxlan = Vxlan { name, mac: tunnel_mac(&settings.node_name), mtu, end, underlay_link: underlay.index };
    let mut changes = Changes::default();
    changes.add_vxlan(&vxlan);
    let no_generated_ipv6 = net_link::forwarding::has_ipv6();
    changes.set_link(name, &LinkSettings { up: true, no_generated_ipv6, ..LinkSettings::default() });
    socket.commit(&mut changes)?;
    socket.link(name)
}

fn link_of_address(socket: &mut RouteSocket, address: IpAddr) -> Result<Link> {
    let found = socket.addresses()?.into_iter().find(|row| row.address == address);
    let link = found.and_then(|row| socket.links().ok()?.into_iter().find(|link| link.index == row.link));
    link.ok_or_else(|| {
        net_link::netlink::Error::new(format!("find the link of this node's address {address}"), rustix::io::Errno::ADDRNOTAVAIL)
    })
}

/// Removes the links (their addresses and routes go with them) and the routes to other nodes.
pub fn remove(cluster: &str, cluster_pod_cidrs: &[Cidr]) -> Result<()> {
    let mut socket = RouteSocket::open()?;
    for name in [service_link(cluster), tunnel_link(cluster)] {
        socket.commit_if_present(Changes::default().delete_link(&name))?;
    }
    let mut changes = Changes::default();
    for row in socket.routes()? {
        let is_in_range = cluster_pod_cidrs.iter().any(|cidr| cidr.contains(row.route.to.network()));
        if row.protocol == ROUTE_PROTOCOL && matches!(row.route.via, Via::Gateway(..)) && is_in_range {
            changes.delete_route(&row.route);
        }
    }
    socket.commit(&mut changes)
}
