//! The Node object of this node: what it says of itself. Plain functions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures, NodeSpec, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use object::quantity::Quantity;

use crate::config::Config;
use crate::seams::Image;

/// Upstream shows no more.
const IMAGES_SHOWN_MAX: usize = 50;
const NAMES_SHOWN_MAX: usize = 5;

/// How the node itself fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub has_memory_pressure: bool,
    pub has_disk_pressure: bool,
    pub has_pid_pressure: bool,
    /// Why no pod can run here now.
    pub not_ready: Option<String>,
}

pub fn node(config: &Config, status: NodeStatus) -> Node {
    let cidrs = (!config.pod_cidrs.is_empty()).then(|| config.pod_cidrs.clone());
    Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config)),
            annotations: Some(BTreeMap::from([("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: cidrs.as_ref().map(|c| c[0].clone()),
            pod_cidrs: cidrs,
            taints: (!config.taints.is_empty()).then(|| config.taints.clone()),
            ..NodeSpec::default()
        }),
        status: Some(status),
    }
}

pub fn labels(config: &Config) -> BTreeMap<String, String> {
    let arch = config.machine.architecture.as_str();
    let own = [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", arch),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    own.chain(config.labels.clone()).collect()
}

/// `before`: the conditions as they were, for their times.
pub fn status(config: &Config, health: &Health, images: &[std::sync::Arc<Image>], before: &[NodeCondition], now: Timestamp) -> NodeStatus {
    let machine = &config.machine;
    let internal = config.host_ips.iter().map(|ip| ("InternalIP", ip.to_string()));
    let addresses = internal.chain([("Hostname", config.node_name.clone())]);
    NodeStatus {
        addresses: Some(addresses.map(|(kind, address)| NodeAddress { type_: kind.to_owned(), address }).collect()),
        capacity: Some(amounts(&config.capacity())),
        allocatable: Some(amounts(&config.allocatable())),
        conditions: Some(conditions(health, before, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: config.port.into() }) }),
        features: Some(NodeFeatures { supplemental_groups_policy: Some(true) }),
        images: Some(shown_images(images)),
        node_info: Some(NodeSystemInfo {
            architecture: machine.architecture.clone(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: config.runtime_version.clone(),
            kernel_version: machine.kernel.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: config.kubernetes_version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

fn amounts(list: &BTreeMap<String, Quantity>) -> BTreeMap<String, resource::Quantity> {
    list.iter().map(|(name, amount)| (name.clone(), resource::Quantity(amount.to_string()))).collect()
}

fn shown_images(images: &[std::sync::Arc<Image>]) -> Vec<ContainerImage> {
    let mut images: Vec<_> = images.iter().collect();
    images.sort_by_key(|image| std::cmp::Reverse(image.size));
    let shown = images.into_iter().take(IMAGES_SHOWN_MAX).map(|image| {
        let by_digest = image.shown.contains('@').then(|| image.shown.clone());
        let names = by_digest.into_iter().chain(image.names.iter().cloned()).take(NAMES_SHOWN_MAX);
        ContainerImage { names: Some(names.collect()), size_bytes: i64::try_from(image.size).ok() }
    });
    shown.collect()
}

/// In upstream's order: `Ready` is the last.
fn conditions(health: &Health, before: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let pressure = |holds: bool, bad: (&'static str, &'static str), good: (&'static str, &'static str)| {
        if holds { ("True", bad.0, bad.1.to_owned()) } else { ("False", good.0, good.1.to_owned()) }
    };
    let memory = pressure(
        health.has_memory_pressure,
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    );
    let disk = pressure(
        health.has_disk_pressure,
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    );
    let pid = pressure(
        health.has_pid_pressure,
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    );
    let ready = match &health.not_ready {
        None => ("True", "KubeletReady", "kubelet is posting ready status".to_owned()),
        Some(why) => ("False", "KubeletNotReady", why.clone()),
    };
    let all = [("MemoryPressure", memory), ("DiskPressure", disk), ("PIDPressure", pid), ("Ready", ready)];
    let conditions = all.into_iter().map(|(type_, (status, reason, message))| {
        let same = before.iter().find(|c| c.type_ == type_ && c.status == status);
        let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
        NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: same.and_then(|c| c.last_transition_time.clone()).or(Some(now.clone())),
            last_heartbeat_time: Some(now),
        }
    });
    conditions.collect()
}

/// Is anything but the heartbeat news?
pub fn differs(old: &NodeStatus, new: &NodeStatus) -> bool {
    let without_heartbeat = |status: &NodeStatus| {
        let mut status = status.clone();
        status.conditions.iter_mut().flatten().for_each(|c| c.last_heartbeat_time = None);
        status
    };
    without_heartbeat(old) != without_heartbeat(new)
}
