//! What one object costs, by the names that quotas know.

use control_workloads::pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use object::key::GroupResource;
use object::quantity::{Format, Quantity};

use super::amounts::{self, Amounts, count};

const COMPUTE: &[&str] = &["cpu", "memory", "ephemeral-storage"];
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// Resources that were counted before `count/` was.
const OLD_COUNTS: &[&str] = &["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];

pub fn is_of_pods(name: &str) -> bool {
    let bare = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    matches!(name, "count/pods" | "pods")
        || COMPUTE.contains(&bare)
        || name.starts_with("hugepages-")
        || name.strip_prefix("requests.").is_some_and(|rest| rest.starts_with("hugepages-") || is_extended(rest))
}

/// A vendor's own, such as `example.com/gpu`.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") || name.starts_with("deviceclass.resource.kubernetes.io/")
}

pub fn is_of_services(name: &str) -> bool {
    matches!(name, "count/services" | "services" | "services.nodeports" | "services.loadbalancers")
}

pub fn is_of_claims(name: &str) -> bool {
    let own = |name: &str| matches!(name, "persistentvolumeclaims" | "requests.storage");
    name == "count/persistentvolumeclaims" || own(name) || name.split_once(OF_CLASS).is_some_and(|(_, resource)| own(resource))
}

/// The kind whose objects a name counts.
pub fn counted_kind(name: &str) -> Option<GroupResource> {
    if OLD_COUNTS.contains(&name) {
        return Some(GroupResource { group: String::new(), resource: name.to_owned() });
    }
    let (resource, group) = name.strip_prefix("count/").map(|rest| rest.split_once('.').unwrap_or((rest, "")))?;
    Some(GroupResource { group: group.to_owned(), resource: resource.to_owned() })
}

/// One, under every name that counts the kind.
pub fn of_other(resource: &GroupResource) -> Amounts {
    let dot = if resource.group.is_empty() { "" } else { "." };
    let mut cost = Amounts::from([(format!("count/{}{dot}{}", resource.resource, resource.group), count(1))]);
    if resource.group.is_empty() && OLD_COUNTS.contains(&resource.resource.as_str()) {
        cost.insert(resource.resource.clone(), count(1));
    }
    cost
}

/// A pod that has ended, or should have gone by now, costs nothing but its place in the store.
pub fn of_pod(pod: &Pod, now: Timestamp) -> Amounts {
    let mut cost = Amounts::from([("count/pods".to_owned(), count(1))]);
    if pods::is_finished(pod) || free_at(pod).is_some_and(|at| at < now) {
        return cost;
    }
    cost.insert("pods".to_owned(), count(1));
    for (name, amount) in amounts::requests(pod) {
        let is_native = COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-");
        cost.insert(format!("requests.{name}"), amount);
        if is_native {
            cost.insert(name, amount);
        }
    }
    let limits = amounts::limits(pod).into_iter().filter(|(name, _)| COMPUTE.contains(&name.as_str()));
    cost.extend(limits.map(|(name, amount)| (format!("limits.{name}"), amount)));
    cost
}

/// When a leaving pod should be gone: one that is stuck, on a lost node say, is not charged any longer.
pub fn free_at(pod: &Pod) -> Option<Timestamp> {
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds?);
    pod.metadata.deletion_timestamp.as_ref()?.0.checked_add(grace).ok()
}

pub fn of_service(service: &Service) -> Amounts {
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
    let n_node_ports = match kind {
        "NodePort" => ports.len(),
        // Node ports are not allotted yet when admission asks, so the wish counts.
        "LoadBalancer" if spec.allocate_load_balancer_node_ports == Some(false) => {
            ports.iter().filter(|port| port.node_port.unwrap_or(0) != 0).count()
        }
        "LoadBalancer" => ports.len(),
        _ => 0,
    };
    let one = |name: &str, n: usize| (name.to_owned(), count(n as i64));
    Amounts::from([
        one("count/services", 1),
        one("services", 1),
        one("services.nodeports", n_node_ports),
        one("services.loadbalancers", usize::from(kind == "LoadBalancer")),
    ])
}

pub fn of_claim(claim: &PersistentVolumeClaim) -> Amounts {
    let mut cost = Amounts::from([("count/persistentvolumeclaims".to_owned(), count(1)), ("persistentvolumeclaims".to_owned(), count(1))]);
    if let Some(storage) = storage_of(claim) {
        cost.insert("requests.storage".to_owned(), storage);
    }
    let annotation = claim.metadata.annotations.as_ref().and_then(|a| a.get(CLASS_ANNOTATION));
    let class = annotation.or(claim.spec.as_ref().and_then(|s| s.storage_class_name.as_ref())).filter(|class| !class.is_empty());
    if let Some(class) = class {
        for name in ["persistentvolumeclaims", "requests.storage"] {
            if let Some(amount) = cost.get(name).copied() {
                cost.insert(format!("{class}{OF_CLASS}{name}"), amount);
            }
        }
    }
    cost
}

/// The larger of what is asked for and what is allotted, in whole bytes.
fn storage_of(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let asked = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref();
    let allotted = claim.status.as_ref().and_then(|s| s.allocated_resources.as_ref());
    let storage = |texts| amounts::parsed(texts).get("storage").copied();
    let asked = storage(asked)?;
    let larger = storage(allotted).map_or(asked, |allotted| asked.max(allotted));
    let whole = Quantity::from_units(larger.value(), Format::DecimalSi);
    Some(if whole == larger { larger } else { whole })
}
