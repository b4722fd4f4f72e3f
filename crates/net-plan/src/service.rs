//! From a Service and its EndpointSlices to the rows that make it work on this node.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::backends::{Backends, PortName, choose};
use crate::rows::{Action, Front, FrontRow, LOOPBACK, Mode, NodeView, Protocol, Rank, Rows, Target, TargetId};

/// Says which service an EndpointSlice belongs to.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// A service with this label is another proxy's.
const OTHER_PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Upstream's default, three hours.
const STICKY_SECONDS_DEFAULT: u32 = 10_800;

/// No rows for a headless or `ExternalName` service: DNS alone serves those.
pub fn rows(service: &Service, slices: &[&EndpointSlice], node: &NodeView) -> Rows {
    let mut rows = Rows::default();
    let Some(spec) = &service.spec else { return rows };
    let is_others = service.metadata.labels.iter().flatten().any(|(key, _)| key == OTHER_PROXY_LABEL);
    let cluster_ips = cluster_ips(spec);
    if is_others || cluster_ips.is_empty() || spec.type_.as_deref() == Some("ExternalName") {
        return rows;
    }
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = Protocol::from_name(port.protocol.as_deref()) else { continue };
        for ipv4 in [true, false] {
            // A service without an address of a family is not reachable over it at all.
            if cluster_ips.iter().any(|ip| ip.is_ipv4() == ipv4) {
                let name = PortName { name: port.name.as_deref().unwrap_or(""), protocol, ipv4 };
                let port = PortPlan::new(service, spec, port, name, choose(slices, name, node));
                port.add_to(&mut rows, &cluster_ips, node);
            }
        }
    }
    rows.local_backends.sort();
    rows.local_backends.dedup();
    rows.fronts.sort_by_key(|(front, row)| (*front, row.rank));
    rows.fronts.dedup_by_key(|(front, _)| *front);
    rows.targets.sort_by_key(|target| target.id);
    rows
}

/// The addresses of a service that has some (not headless).
pub fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    let listed = spec.cluster_ips.iter().flatten().chain(spec.cluster_ip.iter());
    let mut ips: Vec<IpAddr> = listed.filter_map(|text| text.parse().ok()).collect();
    ips.sort();
    ips.dedup();
    ips
}

/// Addresses that clients outside the cluster use, other than the node's own.
fn outside_ips(service: &Service, spec: &ServiceSpec) -> Vec<(IpAddr, Rank)> {
    let mut ips: Vec<(IpAddr, Rank)> = Vec::new();
    if spec.type_.as_deref() == Some("LoadBalancer") {
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        for ingress in status.and_then(|status| status.ingress.as_ref()).into_iter().flatten() {
            // `Proxy` means that the load balancer wants its packets to come to itself.
            if ingress.ip_mode.as_deref() != Some("Proxy") {
                ips.extend(ingress.ip.as_ref().and_then(|text| text.parse().ok()).map(|ip| (ip, Rank::LoadBalancer)));
            }
        }
    }
    ips.extend(spec.external_ips.iter().flatten().filter_map(|text| text.parse().ok()).map(|ip| (ip, Rank::ExternalIp)));
    ips
}

/// One port of a service over one family.
struct PortPlan<'a> {
    service: &'a Service,
    spec: &'a ServiceSpec,
    port: &'a ServicePort,
    name: PortName<'a>,
    backends: Backends,
    sticky_seconds: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Cluster,
    Local,
}

impl<'a> PortPlan<'a> {
    fn new(service: &'a Service, spec: &'a ServiceSpec, port: &'a ServicePort, name: PortName<'a>, backends: Backends) -> Self {
        let sticky_seconds = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
            let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
            config
                .and_then(|config| config.timeout_seconds)
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or(STICKY_SECONDS_DEFAULT)
        });
        PortPlan { service, spec, port, name, backends, sticky_seconds }
    }

    fn add_to(&self, rows: &mut Rows, cluster_ips: &[IpAddr], node: &NodeView) {
        let inside_scope = scope(self.spec.internal_traffic_policy.as_deref());
        let outside_scope = scope(self.spec.external_traffic_policy.as_deref());
        let internal = FrontRow { rank: Rank::ClusterIp, action: self.action(inside_scope, false), inside: None };
        for ip in cluster_ips {
            self.add_front(rows, *ip, self.port.port, internal, node);
        }
        let external = |rank| match outside_scope {
            Scope::Cluster => FrontRow { rank, action: self.action(Scope::Cluster, true), inside: None },
            // The cluster's own traffic need not leave and come back to find a local endpoint.
            Scope::Local => FrontRow { rank, action: self.action(Scope::Local, false), inside: Some(self.action(Scope::Cluster, false)) },
        };
        for (ip, rank) in outside_ips(self.service, self.spec) {
            self.add_front(rows, ip, self.port.port, external(rank), node);
        }
        if matches!(self.spec.type_.as_deref(), Some("NodePort" | "LoadBalancer")) {
            for ip in &node.addresses {
                self.add_front(rows, *ip, self.port.node_port.unwrap_or(0), external(Rank::NodePort), node);
            }
            // `curl localhost:30080`: a packet from there can only reach this node's own pods.
            let local = self.action(Scope::Local, false);
            if matches!(local, Action::Pick { .. }) {
                let row = FrontRow { rank: Rank::NodePort, action: local, inside: None };
                self.add_front(rows, LOOPBACK, self.port.node_port.unwrap_or(0), row, node);
            }
        }
        for scope in [Scope::Cluster, Scope::Local] {
            let (id, backends) = (self.target(scope), self.of(scope));
            let is_used = |action: &Action| matches!(action, Action::Pick { target, .. } if *target == id);
            let mut actions = rows.fronts.iter().flat_map(|(_, row)| std::iter::once(&row.action).chain(&row.inside));
            if actions.any(is_used) {
                rows.targets.push(Target { id, is_sticky: self.sticky_seconds.is_some(), backends: backends.clone() });
            }
        }
        rows.local_backends.extend(&self.backends.on_this_node);
    }

    fn add_front(&self, rows: &mut Rows, ip: IpAddr, port: i32, row: FrontRow, node: &NodeView) {
        let Ok(port @ 1..) = u16::try_from(port) else { return };
        let is_answered_by_us = row.action == Action::Reject && node.dns_addresses.contains(&ip);
        if ip.is_ipv4() == self.name.ipv4 && !is_answered_by_us {
            rows.fronts.push((Front { ip, protocol: self.name.protocol, port }, row));
        }
    }

    fn action(&self, scope: Scope, masquerade: bool) -> Action {
        match u32::try_from(self.of(scope).len()).unwrap_or(u32::MAX) {
            0 if scope == Scope::Local && !self.backends.cluster.is_empty() => Action::Drop,
            0 => Action::Reject,
            n => Action::Pick { target: self.target(scope), n, mode: Mode { sticky_seconds: self.sticky_seconds, masquerade } },
        }
    }

    fn of(&self, scope: Scope) -> &Vec<std::net::SocketAddr> {
        if scope == Scope::Cluster { &self.backends.cluster } else { &self.backends.local }
    }

    fn target(&self, scope: Scope) -> TargetId {
        let text = |part: &'a Option<String>| part.as_deref().unwrap_or("");
        TargetId::of(&[
            text(&self.service.metadata.namespace),
            text(&self.service.metadata.name),
            self.name.name,
            self.name.protocol.name(),
            &self.port.port.to_string(),
            if self.name.ipv4 { "4" } else { "6" },
            if scope == Scope::Cluster { "cluster" } else { "local" },
        ])
    }
}

fn scope(policy: Option<&str>) -> Scope {
    if policy == Some("Local") { Scope::Local } else { Scope::Cluster }
}
