//! Which endpoints of a service answer on this node.
//!
//! Upstream: `pkg/proxy/topology.go`, `CategorizeEndpoints`.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::rows::{NodeView, Protocol};

/// A service port as endpoints name it.
#[derive(Clone, Copy, Debug)]
pub struct PortName<'a> {
    pub name: &'a str,
    pub protocol: Protocol,
    pub ipv4: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backends {
    /// For policy `Cluster`.
    pub cluster: Vec<SocketAddr>,
    /// For policy `Local`.
    pub local: Vec<SocketAddr>,
    /// All on this node.
    pub on_this_node: Vec<IpAddr>,
}

struct Candidate<'a> {
    address: SocketAddr,
    endpoint: &'a Endpoint,
    is_local: bool,
}

impl Candidate<'_> {
    fn is_ready(&self) -> bool {
        self.endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true)
    }
    fn is_serving_though_terminating(&self) -> bool {
        let conditions = self.endpoint.conditions.as_ref();
        conditions.and_then(|c| c.terminating) == Some(true) && conditions.and_then(|c| c.serving).unwrap_or(self.is_ready())
    }
}

/// Endpoints that go are used only when no other are left; hints count only when every ready endpoint has one.
pub fn choose(slices: &[&EndpointSlice], port: PortName<'_>, node: &NodeView) -> Backends {
    let candidates = candidates(slices, port, node);
    let preferred = preference(&candidates, node);
    let ready = |c: &&Candidate<'_>| c.is_ready();
    let going = |c: &&Candidate<'_>| c.is_serving_though_terminating();
    let cluster = first_filled([
        candidates.iter().filter(ready).filter(|c| preferred(c)).map(|c| c.address).collect(),
        candidates.iter().filter(going).map(|c| c.address).collect(),
    ]);
    let local = first_filled([
        candidates.iter().filter(ready).filter(|c| c.is_local).map(|c| c.address).collect(),
        candidates.iter().filter(going).filter(|c| c.is_local).map(|c| c.address).collect(),
    ]);
    let mut on_this_node: Vec<IpAddr> = candidates.iter().filter(|c| c.is_local).map(|c| c.address.ip()).collect();
    on_this_node.sort();
    on_this_node.dedup();
    Backends { cluster, local, on_this_node }
}

fn first_filled(lists: [Vec<SocketAddr>; 2]) -> Vec<SocketAddr> {
    let mut list = lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default();
    list.sort();
    list.dedup();
    list
}

fn candidates<'a>(slices: &[&'a EndpointSlice], port: PortName<'_>, node: &NodeView) -> Vec<Candidate<'a>> {
    let family = if port.ipv4 { "IPv4" } else { "IPv6" };
    let mut candidates = Vec::new();
    for slice in slices.iter().filter(|slice| slice.address_type == family) {
        let named = slice.ports.iter().flatten().find(|candidate| {
            candidate.name.as_deref().unwrap_or("") == port.name
                && Protocol::from_name(candidate.protocol.as_deref()) == Some(port.protocol)
        });
        let Some(number) = named.and_then(|port| port.port).and_then(|number| u16::try_from(number).ok()) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            // Upstream: the addresses of one endpoint are the same pod; only the first is used.
            let Some(ip) = endpoint.addresses.first().and_then(|text| text.parse::<IpAddr>().ok()) else { continue };
            let is_local = endpoint.node_name.as_deref() == Some(node.name.as_str());
            candidates.push(Candidate { address: SocketAddr::new(ip, number), endpoint, is_local });
        }
    }
    candidates
}

/// Upstream: `topologyModeFromHints`. The node's own hint goes before its zone's.
fn preference<'a>(candidates: &[Candidate<'_>], node: &'a NodeView) -> Box<dyn Fn(&&Candidate<'_>) -> bool + 'a> {
    let for_node = |c: &&Candidate<'_>| is_hinted_for_node(c.endpoint, &node.name);
    let for_zone = |c: &&Candidate<'_>| node.zone.as_ref().is_some_and(|zone| is_hinted_for_zone(c.endpoint, zone));
    let mut ready = candidates.iter().filter(|c| c.is_ready()).peekable();
    if ready.peek().is_none() {
        return Box::new(|_| true);
    }
    let ready: Vec<_> = ready.collect();
    let hints = |c: &&Candidate<'_>| c.endpoint.hints.clone().unwrap_or_default();
    let all_for_nodes = ready.iter().all(|c| hints(c).for_nodes.is_some_and(|list| !list.is_empty()));
    let all_for_zones = ready.iter().all(|c| hints(c).for_zones.is_some_and(|list| !list.is_empty()));
    if all_for_nodes && ready.iter().any(for_node) {
        Box::new(for_node)
    } else if all_for_zones && ready.iter().any(for_zone) {
        Box::new(for_zone)
    } else {
        Box::new(|_| true)
    }
}

fn is_hinted_for_node(endpoint: &Endpoint, node: &str) -> bool {
    endpoint.hints.as_ref().and_then(|hints| hints.for_nodes.as_ref()).is_some_and(|list| list.iter().any(|hint| hint.name == node))
}

fn is_hinted_for_zone(endpoint: &Endpoint, zone: &str) -> bool {
    endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_ref()).is_some_and(|list| list.iter().any(|hint| hint.name == zone))
}
