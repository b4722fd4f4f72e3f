//! Addresses of LoadBalancer services: those of the nodes, which forward from any of their addresses.
//!
//! The role of a cloud's controller (upstream: `cloud-provider/controllers/service`); a class other than ours is left to others.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Node, Service, ServiceStatus};
use object::plan::{Change, Plan};

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// A client tries one or two; a thousand nodes need not all be listed.
const ADDRESSES_MAX: usize = 32;

pub struct View<'a> {
    pub service: &'a Service,
    pub nodes: &'a [Arc<Node>],
    /// For `externalTrafficPolicy: Local`: whether the node has a ready endpoint.
    pub has_endpoint: &'a dyn Fn(&str) -> bool,
}

pub fn plan(view: &View<'_>) -> Plan {
    let service = view.service;
    let Some(spec) = &service.spec else { return Plan::nothing() };
    if spec.load_balancer_class.is_some() || service.metadata.deletion_timestamp.is_some() {
        return Plan::nothing();
    }
    let is_wanted = spec.type_.as_deref() == Some("LoadBalancer");
    let wanted = if is_wanted { addresses(view) } else { Vec::new() };
    let wanted = (!wanted.is_empty()).then_some(wanted);
    let known = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|l| l.ingress.as_ref());
    let known = known.filter(|ingress| !ingress.is_empty());
    if known == wanted.as_ref() {
        return Plan::nothing();
    }
    let status =
        ServiceStatus { load_balancer: Some(LoadBalancerStatus { ingress: wanted }), ..service.status.clone().unwrap_or_default() };
    Plan { changes: vec![Change::update_status(&Service { status: Some(status), ..service.clone() })], ..Plan::nothing() }
}

fn addresses(view: &View<'_>) -> Vec<LoadBalancerIngress> {
    let spec = view.service.spec.as_ref();
    let is_local = spec.and_then(|s| s.external_traffic_policy.as_deref()) == Some("Local");
    let families = spec.and_then(|s| s.ip_families.clone()).unwrap_or_else(|| vec!["IPv4".to_owned()]);
    let nodes: Vec<&Arc<Node>> =
        view.nodes.iter().filter(|node| takes_traffic(node) && (!is_local || (view.has_endpoint)(name(node)))).collect();
    let mut found = Vec::new();
    for family in &families {
        for node in &nodes {
            found.extend(address(node, family == "IPv6"));
        }
    }
    found.truncate(ADDRESSES_MAX);
    let ip_mode = Some("VIP".to_owned());
    found.into_iter().map(|ip| LoadBalancerIngress { ip: Some(ip), ip_mode: ip_mode.clone(), ..LoadBalancerIngress::default() }).collect()
}

fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or("")
}

fn takes_traffic(node: &Node) -> bool {
    let is_excluded = node.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(EXCLUDED));
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let is_ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    is_ready && !is_excluded && node.metadata.deletion_timestamp.is_none()
}

/// An address the world knows, or else the internal one.
fn address(node: &Node, is_ipv6: bool) -> Option<String> {
    let all: Vec<_> =
        node.status.iter().flat_map(|s| s.addresses.iter().flatten()).filter(|a| a.address.contains(':') == is_ipv6).collect();
    let of_kind = |kind: &str| all.iter().find(|a| a.type_ == kind).map(|a| a.address.clone());
    of_kind("ExternalIP").or_else(|| of_kind("InternalIP"))
}
