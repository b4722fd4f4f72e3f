//! What a load balancer is told that asks this node's health check port of a service. Upstream: `pkg/proxy/healthcheck`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::rows::NodeView;

/// A service that wants to be asked about here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub port: u16,
    /// Ready endpoints on this node, by family; none where the service does not have it.
    pub n_local_ipv4: Option<usize>,
    pub n_local_ipv6: Option<usize>,
}

/// Only load balancers that must find the nodes with endpoints ask.
pub fn check(service: &Service, slices: &[&EndpointSlice], node: &NodeView) -> Option<HealthCheck> {
    let spec = service.spec.as_ref()?;
    let is_local = spec.type_.as_deref() == Some("LoadBalancer") && spec.external_traffic_policy.as_deref() == Some("Local");
    let port = u16::try_from(spec.health_check_node_port?).ok().filter(|port| *port > 0 && is_local)?;
    let n_local = |family: &str| {
        let has_family = spec.ip_families.iter().flatten().any(|own| own == family);
        has_family.then(|| n_local(slices.iter().copied().filter(|slice| slice.address_type == family), node))
    };
    Some(HealthCheck { port, n_local_ipv4: n_local("IPv4"), n_local_ipv6: n_local("IPv6") })
}

/// An endpoint of several ports counts once.
fn n_local<'a>(slices: impl Iterator<Item = &'a EndpointSlice>, node: &NodeView) -> usize {
    let endpoints = slices.flat_map(|slice| &slice.endpoints).flatten();
    let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
    let local =
        endpoints.filter(|e| e.node_name.as_deref() == Some(node.name.as_str()) && is_ready(e.conditions.as_ref().and_then(|c| c.ready)));
    local.filter_map(|endpoint| endpoint.addresses.first()).collect::<BTreeSet<_>>().len()
}

/// Upstream's text, to the byte.
pub fn body(namespace: &str, name: &str, n_local: usize, is_proxy_healthy: bool) -> String {
    let (namespace, name) = (object::field::quoted(namespace), object::field::quoted(name));
    format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": {namespace},\n\t\t\"name\": {name}\n\t}},\n\t\"localEndpoints\": {n_local},\n\t\"serviceProxyHealthy\": {is_proxy_healthy}\n}}"
    )
}
