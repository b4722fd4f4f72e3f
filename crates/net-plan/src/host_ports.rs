//! From a pod's `hostPort`s to rows: the node's port leads to the one pod.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use crate::rows::{Action, Front, FrontRow, LOOPBACK, Mode, NodeView, Protocol, Rank, Rows, Target, TargetId};

/// `addresses` are the pod's own. A pod in the host's network needs no rows: its ports are the node's already.
pub fn rows(pod: &Pod, addresses: &[IpAddr], node: &NodeView) -> Rows {
    let mut rows = Rows::default();
    let Some(spec) = pod.spec.as_ref().filter(|spec| spec.host_network != Some(true)) else { return rows };
    let sidecars = spec.init_containers.iter().flatten().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = sidecars.chain(&spec.containers).flat_map(|container| container.ports.iter().flatten());
    for port in ports.filter(|port| port.host_port.is_some_and(|number| number > 0)) {
        for address in addresses {
            add(&mut rows, pod.metadata.uid.as_deref().unwrap_or(""), port, *address, node);
        }
    }
    rows.fronts.sort_by_key(|(front, _)| *front);
    rows.fronts.dedup_by_key(|(front, _)| *front);
    rows.targets.sort_by_key(|target| target.id);
    rows.targets.dedup_by_key(|target| target.id);
    if !rows.fronts.is_empty() {
        rows.local_backends = addresses.to_vec();
    }
    rows
}

fn add(rows: &mut Rows, uid: &str, port: &ContainerPort, address: IpAddr, node: &NodeView) {
    let number = |number: Option<i32>| number.and_then(|number| u16::try_from(number).ok());
    let (Some(protocol), Some(host_port), Some(container_port)) =
        (Protocol::from_name(port.protocol.as_deref()), number(port.host_port), number(Some(port.container_port)))
    else {
        return;
    };
    let id = TargetId::of(&["pod", uid, protocol.name(), &container_port.to_string(), if address.is_ipv4() { "4" } else { "6" }]);
    let action = Action::Pick { target: id, n: 1, mode: Mode::default() };
    let host_ip = port.host_ip.as_deref().and_then(|text| text.parse::<IpAddr>().ok()).filter(|ip| !ip.is_unspecified());
    let fronts: Vec<IpAddr> = match host_ip {
        Some(ip) => vec![ip],
        None => node.addresses.iter().copied().chain([LOOPBACK]).collect(),
    };
    for ip in fronts.into_iter().filter(|ip| ip.is_ipv4() == address.is_ipv4()) {
        rows.fronts.push((Front { ip, protocol, port: host_port }, FrontRow { rank: Rank::HostPort, action, inside: None }));
    }
    rows.targets.push(Target { id, is_sticky: false, backends: vec![SocketAddr::new(address, container_port)] });
}
