//! Rows of services: slices, endpoints, addresses.

use std::sync::Arc;

use control_cluster::endpoints::mirror;
use control_cluster::{endpoints, service_address};
use control_workloads::pods;
use k8s_openapi::api::core::v1::{Node, Pod, PodStatus, Service};
use object::key::ObjectKey;
use object::plan::{Plan, key_of};
use object::selector::LabelSelector;
use reconcile::{Changed, Controller};

use crate::caches::{Caches, label_entries, selector_entry};

const ZONE: &str = "topology.kubernetes.io/zone";

pub(crate) fn endpoint_slices(caches: &Arc<Caches>) -> Controller {
    let (planning, from_pods, from_nodes) = (Arc::clone(caches), Arc::clone(caches), Arc::clone(caches));
    Controller::new("endpointslice", "endpoint-slice-controller", move |ask| {
        let caches = &planning;
        let Some(service) = caches.services.get(&ask.key) else { return Plan::nothing() };
        let view = endpoints::View {
            service: &service,
            pods: &pods_of(caches, &service),
            zone_of: &|node| zone(&*caches.nodes.get(&ObjectKey::cluster(node))?),
            kept: &caches.slices_by_service.get(&ask.key.to_string()),
            is_name_taken: &|name| caches.slices.get(&ObjectKey::new(ask.key.namespace.as_str(), name)).is_some(),
        };
        endpoints::slices::plan(&view)
    })
    .watches(&caches.services)
    .maps(&caches.slices, |changed| changed.sides().filter_map(|slice| service_of(&slice.metadata)).collect())
    .maps(&caches.pods, move |changed| services_of(&from_pods, changed))
    .maps(&caches.nodes, move |changed| {
        // Only a node that moved to another zone concerns services.
        if changed.old.as_ref().and_then(|n| zone(n)) == changed.new.as_ref().and_then(|n| zone(n)) {
            return Vec::new();
        }
        let on_node = from_nodes.pods_by_node.get(&changed.key.name);
        on_node.iter().flat_map(|pod| services_selecting(&from_nodes, pod)).collect()
    })
}

pub(crate) fn endpoints(caches: &Arc<Caches>) -> Controller {
    let (planning, from_pods) = (Arc::clone(caches), Arc::clone(caches));
    Controller::new("endpoint", "endpoint-controller", move |ask| {
        let caches = &planning;
        let kept = caches.endpoints.get(&ask.key);
        let Some(service) = caches.services.get(&ask.key) else { return endpoints::legacy::plan_without_service(kept.as_deref()) };
        let view = endpoints::View {
            service: &service,
            pods: &pods_of(caches, &service),
            zone_of: &|_| None,
            kept: kept.as_slice(),
            is_name_taken: &|_| false,
        };
        endpoints::legacy::plan(&view)
    })
    .watches(&caches.services)
    .watches(&caches.endpoints)
    .maps(&caches.pods, move |changed| services_of(&from_pods, changed))
}

pub(crate) fn mirrors(caches: &Arc<Caches>) -> Controller {
    let planning = Arc::clone(caches);
    Controller::new("endpointslice-mirroring", "endpoint-slice-mirroring-controller", move |ask| {
        let caches = &planning;
        let (endpoints, service) = (caches.endpoints.get(&ask.key), caches.services.get(&ask.key));
        let view = mirror::View {
            endpoints: endpoints.as_deref(),
            service: service.as_deref(),
            kept: &caches.mirrors_by_service.get(&ask.key.to_string()),
            is_name_taken: &|name| caches.slices.get(&ObjectKey::new(ask.key.namespace.as_str(), name)).is_some(),
        };
        mirror::plan(&view)
    })
    .watches(&caches.services)
    .watches(&caches.endpoints)
    .maps(&caches.slices, |changed| changed.sides().filter_map(|slice| service_of(&slice.metadata)).collect())
}

pub(crate) fn addresses(caches: &Arc<Caches>) -> Controller {
    let (planning, from_services, from_nodes) = (Arc::clone(caches), Arc::clone(caches), Arc::clone(caches));
    Controller::new("service-address", "service-controller", move |ask| {
        let caches = &planning;
        let Some(service) = caches.services.get(&ask.key) else { return Plan::nothing() };
        let slices = caches.slices_by_service.get(&ask.key.to_string());
        let has_endpoint = |node: &str| {
            let mut all = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
            all.any(|e| e.node_name.as_deref() == Some(node) && e.conditions.as_ref().is_none_or(|c| c.ready != Some(false)))
        };
        let balanced = || balanced(caches);
        let view =
            service_address::View { service: &service, nodes: &caches.nodes.list(), has_endpoint: &has_endpoint, balanced: &balanced };
        service_address::plan(&view)
    })
    .watches(&caches.services)
    .maps(&caches.services, move |changed| {
        // Ports that one service takes or gives up concern the others.
        let is_same = changed.old.as_deref().map(claims) == changed.new.as_deref().map(claims);
        let others = if is_same { Vec::new() } else { balanced(&from_services) };
        others.iter().map(|service| key_of(&service.metadata)).filter(|key| *key != changed.key).collect()
    })
    .maps(&caches.slices, |changed| changed.sides().filter_map(|slice| service_of(&slice.metadata)).collect())
    .maps(&caches.nodes, move |changed| {
        let is_same = changed.old.as_ref().zip(changed.new.as_ref()).is_some_and(|(old, new)| reach(old) == reach(new));
        let services = if is_same { Vec::new() } else { balanced(&from_nodes) };
        services.iter().map(|service| key_of(&service.metadata)).collect()
    })
}

fn balanced(caches: &Caches) -> Vec<Arc<Service>> {
    let mut services = caches.services.list();
    services.retain(|service| service_address::is_balanced(service));
    services
}

/// What a service takes from the others that are balanced.
fn claims(service: &Service) -> impl PartialEq {
    let spec = service.spec.clone().unwrap_or_default();
    service_address::is_balanced(service).then_some((spec.ports, spec.ip_families))
}

/// What of a node decides whether and where it takes traffic.
fn reach(node: &Node) -> impl PartialEq {
    let status = node.status.clone().unwrap_or_default();
    let ready = status.conditions.into_iter().flatten().find(|c| c.type_ == "Ready").map(|c| c.status);
    (status.addresses, ready, node.metadata.labels.clone(), node.metadata.deletion_timestamp.is_some())
}

fn zone(node: &Node) -> Option<String> {
    node.metadata.labels.as_ref()?.get(ZONE).cloned()
}

fn service_of(slice: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Option<ObjectKey> {
    let service = slice.labels.as_ref()?.get(endpoints::slices::SERVICE_NAME)?;
    Some(ObjectKey::new(slice.namespace.as_deref().unwrap_or(""), service.as_str()))
}

/// The pods a service selects, found by one of its pairs.
fn pods_of(caches: &Caches, service: &Service) -> Vec<Arc<Pod>> {
    let Some(selector) = endpoints::selector(service) else { return Vec::new() };
    let Some(entry) = selector_entry(service) else { return Vec::new() };
    let mut found = caches.pods_by_label.get(&entry);
    found.retain(|pod| matches(&selector, pod));
    found
}

fn matches(selector: &LabelSelector, pod: &Pod) -> bool {
    selector.matches_with(&|key| pod.metadata.labels.as_ref().and_then(|l| l.get(key)).map(String::as_str))
}

fn services_selecting(caches: &Caches, pod: &Pod) -> Vec<ObjectKey> {
    let candidates = label_entries(&pod.metadata).into_iter().flat_map(|entry| caches.services_by_selector.get(&entry));
    candidates.filter(|service| endpoints::selects(service, pod)).map(|service| key_of(&service.metadata)).collect()
}

/// The services a pod's change concerns: none when nothing changed that endpoints show.
fn services_of(caches: &Caches, changed: &Changed<Pod>) -> Vec<ObjectKey> {
    let is_same = changed.old.as_ref().zip(changed.new.as_ref()).is_some_and(|(old, new)| shown(old) == shown(new));
    if is_same {
        return Vec::new();
    }
    changed.sides().flat_map(|pod| services_selecting(caches, pod)).collect()
}

fn shown(pod: &Pod) -> impl PartialEq {
    let status: Option<&PodStatus> = pod.status.as_ref();
    let spec = pod.spec.as_ref();
    (
        pod.metadata.uid.clone(),
        pod.metadata.labels.clone(),
        (pods::is_ready(pod), pods::is_leaving(pod), pods::is_finished(pod)),
        status.map(|s| (s.pod_ip.clone(), s.pod_ips.clone())),
        spec.map(|s| (s.node_name.clone(), s.hostname.clone(), s.subdomain.clone())),
    )
}
