//! Which pods serve which ports of a service, and in what condition.

use control_workloads::pods;
use k8s_openapi::api::core::v1::{ContainerPort, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// One port of a service as one pod serves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) port: i32,
    pub(super) app_protocol: Option<String>,
}

/// A pod that counts for endpoints at all: it has addresses and has not ended.
pub(super) fn is_counted(pod: &Pod) -> bool {
    !addresses(pod).is_empty() && !pods::is_finished(pod)
}

/// All its addresses, the primary one first.
pub(super) fn addresses(pod: &Pod) -> Vec<&str> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all: Vec<&str> = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).filter(|ip| !ip.is_empty()).collect();
    if all.is_empty() { status.pod_ip.as_deref().filter(|ip| !ip.is_empty()).into_iter().collect() } else { all }
}

pub(super) fn is_ipv6(address: &str) -> bool {
    address.contains(':')
}

/// The service's families, the primary one first.
pub(super) fn families(service: &Service) -> Vec<&'static str> {
    let spec = service.spec.as_ref();
    let listed = spec.and_then(|s| s.ip_families.as_ref()).into_iter().flatten();
    let listed: Vec<&'static str> = listed.map(|family| if family == "IPv6" { "IPv6" } else { "IPv4" }).collect();
    if !listed.is_empty() {
        return listed;
    }
    match spec.and_then(|s| s.cluster_ip.as_deref()) {
        Some(ip) if is_ipv6(ip) => vec!["IPv6"],
        _ => vec!["IPv4"],
    }
}

/// The ports this pod serves. A named port that the pod does not have is left out.
pub(super) fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let wanted = service.spec.as_ref().and_then(|s| s.ports.as_ref()).into_iter().flatten();
    let mut ports: Vec<Port> = wanted
        .filter_map(|port| {
            Some(Port {
                name: port.name.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: target(port, pod)?,
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort();
    ports
}

fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) if name.is_empty() => Some(port.port),
        Some(IntOrString::String(name)) => {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let is_it = |p: &&ContainerPort| p.name.as_deref() == Some(name.as_str()) && p.protocol.as_deref().unwrap_or("TCP") == protocol;
            let spec = pod.spec.as_ref()?;
            let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let mut containers = spec.containers.iter().chain(sidecars);
            containers.find_map(|c| c.ports.iter().flatten().find(is_it)).map(|p| p.container_port)
        }
    }
}

pub(super) fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None")
}

pub(super) fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false)
}

/// The name DNS gives the pod below a headless service.
pub(super) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.as_ref().filter(|name| !name.is_empty())?;
    (spec.subdomain == service.metadata.name).then(|| hostname.clone())
}

pub(super) fn target_ref(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}
