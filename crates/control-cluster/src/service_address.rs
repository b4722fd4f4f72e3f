//! Addresses of LoadBalancer services: those of the nodes, which forward from any of their addresses.
//!
//! The role of a cloud's controller (upstream: `cloud-provider/controllers/service`); a class other than ours is left to others.
//! All services share the nodes' addresses, so a port belongs to the oldest service that asks for it; others wait without an address.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Node, Service, ServiceStatus};
use object::plan::{Change, Note, Plan, Reference, key_of};

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// A client tries one or two; a thousand nodes need not all be listed.
const ADDRESSES_MAX: usize = 32;

pub struct View<'a> {
    pub service: &'a Service,
    pub nodes: &'a [Arc<Node>],
    /// For `externalTrafficPolicy: Local`: whether the node has a ready endpoint.
    pub has_endpoint: &'a dyn Fn(&str) -> bool,
    /// All services that are balanced here (`is_balanced`), this one among them or not.
    pub balanced: &'a dyn Fn() -> Vec<Arc<Service>>,
}

/// Whether the nodes' addresses are to lead to this service.
pub fn is_balanced(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
        && service.metadata.deletion_timestamp.is_none()
}

pub fn plan(view: &View<'_>) -> Plan {
    let service = view.service;
    let Some(spec) = &service.spec else { return Plan::nothing() };
    if spec.load_balancer_class.is_some() || service.metadata.deletion_timestamp.is_some() {
        return Plan::nothing();
    }
    let rival = if is_balanced(service) { rival(service, &(view.balanced)()) } else { None };
    let wanted = if is_balanced(service) && rival.is_none() { addresses(view) } else { Vec::new() };
    let wanted = (!wanted.is_empty()).then_some(wanted);
    let notes: Vec<Note> = rival.map(|text| Note::warning(Reference::of(service), "SyncLoadBalancerFailed", text)).into_iter().collect();
    let known = service.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|l| l.ingress.as_ref());
    let known = known.filter(|ingress| !ingress.is_empty());
    if known == wanted.as_ref() {
        return Plan { notes, ..Plan::nothing() };
    }
    let status =
        ServiceStatus { load_balancer: Some(LoadBalancerStatus { ingress: wanted }), ..service.status.clone().unwrap_or_default() };
    let changes = vec![Change::update_status(&Service { status: Some(status), ..service.clone() })];
    Plan { changes, notes, ..Plan::nothing() }
}

/// What an older service has that this one asks for too.
fn rival(service: &Service, balanced: &[Arc<Service>]) -> Option<String> {
    let age = |service: &Service| (service.metadata.creation_timestamp.clone(), key_of(&service.metadata).to_string());
    let older = balanced.iter().filter(|other| age(other) < age(service) && (shares_family(other, service)));
    let (other, (number, protocol)) =
        older.flat_map(|other| ports(other).map(move |port| (other, port))).find(|(_, port)| ports(service).any(|own| own == *port))?;
    let other = key_of(&other.metadata);
    Some(format!(
        "Error syncing load balancer: failed to ensure load balancer: port {number}/{protocol} of the nodes is taken by the service {other}"
    ))
}

fn ports(service: &Service) -> impl Iterator<Item = (i32, &str)> {
    let listed = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    listed.map(|port| (port.port, port.protocol.as_deref().unwrap_or("TCP")))
}

fn shares_family(one: &Service, other: &Service) -> bool {
    families(one).iter().any(|family| families(other).contains(family))
}

fn families(service: &Service) -> Vec<String> {
    service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).unwrap_or_else(|| vec!["IPv4".to_owned()])
}

fn addresses(view: &View<'_>) -> Vec<LoadBalancerIngress> {
    let spec = view.service.spec.as_ref();
    let is_local = spec.and_then(|s| s.external_traffic_policy.as_deref()) == Some("Local");
    let nodes: Vec<&Arc<Node>> =
        view.nodes.iter().filter(|node| takes_traffic(node) && (!is_local || (view.has_endpoint)(name(node)))).collect();
    let mut found = Vec::new();
    for family in families(view.service) {
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

#[cfg(test)]
mod tests {
    use object::plan::Write;
    use serde_json::{Value, json};

    use super::*;

    fn service(name: &str, age: u32, families: &[&str], port: u16) -> Arc<Service> {
        let service = json!({
            "metadata": {"namespace": "default", "name": name, "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", 59 - age)},
            "spec": {"type": "LoadBalancer", "ipFamilies": families, "ports": [{"port": port, "protocol": "TCP"}]},
        });
        Arc::new(serde_json::from_value(service).unwrap())
    }

    fn node(name: &str, addresses: &[&str]) -> Arc<Node> {
        let addresses: Vec<Value> = addresses.iter().map(|a| json!({"type": "InternalIP", "address": a})).collect();
        let node =
            json!({"metadata": {"name": name}, "status": {"addresses": addresses, "conditions": [{"type": "Ready", "status": "True"}]}});
        Arc::new(serde_json::from_value(node).unwrap())
    }

    /// The addresses of the last service, and what was told.
    fn check(services: &[Arc<Service>], expected: &str) {
        let nodes = [node("a", &["192.0.2.1", "2001:db8::1"]), node("b", &["192.0.2.2"])];
        let all = || services.to_vec();
        let view = View { service: services.last().unwrap(), nodes: &nodes, has_endpoint: &|_| true, balanced: &all };
        let plan = plan(&view);
        let written = match plan.changes.first().map(|change| &change.write) {
            Some(Write::UpdateStatus { object, .. }) => object.clone(),
            _ => Value::Null,
        };
        let ingress = written["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
        let mut told: Vec<String> = ingress.iter().map(|i| i["ip"].as_str().unwrap_or("").to_owned()).collect();
        told.extend(plan.notes.iter().map(|note| note.message.rsplit("balancer: ").next().unwrap_or("").to_owned()));
        assert_eq!(told.join(" "), expected);
    }

    #[test]
    fn a_port_belongs_to_the_oldest_service() {
        let both = ["IPv4", "IPv6"];
        let web = service("web", 5, &["IPv4"], 80);
        check(&[service("one", 0, &both, 80)], "192.0.2.1 192.0.2.2 2001:db8::1");
        check(&[web.clone(), service("two", 0, &both, 81)], "192.0.2.1 192.0.2.2 2001:db8::1");
        check(&[web.clone(), service("two", 0, &["IPv6"], 80)], "2001:db8::1");
        check(&[web.clone(), service("two", 0, &both, 80)], "port 80/TCP of the nodes is taken by the service default/web");
        check(&[service("two", 0, &both, 80), web], "192.0.2.1 192.0.2.2");
    }
}
