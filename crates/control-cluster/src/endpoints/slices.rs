//! EndpointSlices: at most a hundred endpoints each, one family and one set of ports.
//!
//! An endpoint stays in the slice it is in, so that most changes rewrite one slice. New ones go first into slices that are written
//! anyway, then into one slice that has room for them all, then into new ones (upstream: `endpointslice/reconciler.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use control_workloads::pods;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use object::fresh::{Seed, fresh};
use object::plan::{Change, Plan};

use super::View;
use super::backends::{self, Port};

pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Upstream: `--max-endpoints-per-slice`.
const ENDPOINTS_MAX: usize = 100;

/// What all endpoints of a slice share.
pub(super) type Group = (&'static str, Vec<Port>);

pub fn plan(view: &View<'_, EndpointSlice>) -> Plan {
    let mut plan = Plan::nothing();
    let service = view.service;
    if service.metadata.deletion_timestamp.is_some() || super::selector(service).is_none() {
        return plan;
    }
    let mut packing = Packing { view, seed: seed(view), n_made: 0, changes: Vec::new() };
    let mut groups = wanted(view);
    for family in backends::families(service) {
        // Upstream: a family without endpoints has one empty slice, so that the service is known to have none.
        if !groups.keys().any(|(f, _)| *f == family) {
            groups.insert((family, Vec::new()), Vec::new());
        }
    }
    let mut kept: BTreeMap<Group, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in view.kept.iter().filter(|slice| slice.metadata.deletion_timestamp.is_none()) {
        match group_of(slice).filter(|group| groups.contains_key(group)) {
            Some(group) => kept.entry(group).or_default().push(Arc::clone(slice)),
            None => packing.changes.push(Change::delete(&**slice)),
        }
    }
    for (group, endpoints) in groups {
        let slices = kept.remove(&group).unwrap_or_default();
        packing.pack(&group, endpoints, slices);
    }
    plan.changes = packing.changes;
    plan
}

fn seed(view: &View<'_, EndpointSlice>) -> Seed {
    let metadata = &view.service.metadata;
    let mut seed = Seed::new().with(metadata.uid.as_deref().unwrap_or(""));
    for slice in view.kept {
        seed = seed.with(slice.metadata.uid.as_deref().unwrap_or("")).with(slice.metadata.resource_version.as_deref().unwrap_or(""));
    }
    for pod in view.pods {
        seed = seed.with(pod.metadata.uid.as_deref().unwrap_or(""));
    }
    seed
}

pub(super) fn group_of(slice: &EndpointSlice) -> Option<Group> {
    let family = match slice.address_type.as_str() {
        "IPv4" => "IPv4",
        "IPv6" => "IPv6",
        _ => return None,
    };
    let ports = slice.ports.iter().flatten().map(|port| Port {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_default(),
        port: port.port.unwrap_or(0),
        app_protocol: port.app_protocol.clone(),
    });
    let mut ports: Vec<Port> = ports.collect();
    ports.sort();
    Some((family, ports))
}

pub(super) fn slice_ports(ports: &[Port]) -> Vec<EndpointPort> {
    let ports = ports.iter().map(|port| EndpointPort {
        name: Some(port.name.clone()),
        protocol: Some(port.protocol.clone()),
        port: Some(port.port),
        app_protocol: port.app_protocol.clone(),
    });
    ports.collect()
}

fn wanted(view: &View<'_, EndpointSlice>) -> BTreeMap<Group, Vec<Endpoint>> {
    let mut groups: BTreeMap<Group, Vec<Endpoint>> = BTreeMap::new();
    for pod in view.pods.iter().filter(|pod| backends::is_counted(pod)) {
        let ports = backends::ports(view.service, pod);
        for family in backends::families(view.service) {
            let addresses = backends::addresses(pod).into_iter().filter(|a| backends::is_ipv6(a) == (family == "IPv6"));
            let addresses: Vec<String> = addresses.map(str::to_owned).collect();
            if !addresses.is_empty() {
                groups.entry((family, ports.clone())).or_default().push(endpoint(view, pod, addresses));
            }
        }
    }
    groups
}

fn endpoint(view: &View<'_, EndpointSlice>, pod: &Pod, addresses: Vec<String>) -> Endpoint {
    let is_serving = pods::is_ready(pod);
    let is_leaving = pods::is_leaving(pod);
    let is_ready = backends::publishes_not_ready(view.service) || (is_serving && !is_leaving);
    let node_name = Some(pods::node_name(pod).to_owned()).filter(|name| !name.is_empty());
    let zone = node_name.as_deref().and_then(view.zone_of);
    Endpoint {
        addresses,
        conditions: Some(EndpointConditions { ready: Some(is_ready), serving: Some(is_serving), terminating: Some(is_leaving) }),
        hints: hints(view.service, is_ready, node_name.as_deref(), zone.as_deref()),
        hostname: backends::hostname(view.service, pod),
        node_name,
        target_ref: Some(backends::target_ref(pod)),
        zone,
        deprecated_topology: None,
    }
}

/// Where this endpoint should be preferred (`spec.trafficDistribution`).
fn hints(service: &Service, is_ready: bool, node_name: Option<&str>, zone: Option<&str>) -> Option<EndpointHints> {
    let distribution = service.spec.as_ref()?.traffic_distribution.as_deref()?;
    let is_per_node = match distribution {
        "PreferSameNode" => true,
        "PreferClose" | "PreferSameZone" => false,
        _ => return None,
    };
    let for_zones = zone.map(|zone| vec![ForZone { name: zone.to_owned() }]);
    let for_nodes = node_name.filter(|_| is_per_node).map(|node| vec![ForNode { name: node.to_owned() }]);
    (is_ready && (for_zones.is_some() || for_nodes.is_some())).then_some(EndpointHints { for_nodes, for_zones })
}

struct Packing<'a> {
    view: &'a View<'a, EndpointSlice>,
    seed: Seed,
    n_made: usize,
    changes: Vec<Change>,
}

/// A slice with what it will hold.
struct Filled {
    slice: EndpointSlice,
    is_changed: bool,
}

impl Filled {
    fn endpoints(&mut self) -> &mut Vec<Endpoint> {
        self.slice.endpoints.get_or_insert_default()
    }
    fn room(&self) -> usize {
        ENDPOINTS_MAX.saturating_sub(self.slice.endpoints.as_ref().map_or(0, Vec::len))
    }
}

impl Packing<'_> {
    fn pack(&mut self, group: &Group, endpoints: Vec<Endpoint>, slices: Vec<Arc<EndpointSlice>>) {
        let mut left: BTreeMap<String, Endpoint> = endpoints.into_iter().map(|e| (uid_of(&e), e)).collect();
        let mut filled: Vec<Filled> = slices.iter().map(|slice| self.keep(slice, &mut left)).collect();
        let mut left: Vec<Endpoint> = left.into_values().collect();
        fill_changed(&mut filled, &mut left);
        fill_one(&mut filled, &mut left);
        let n_made_before = self.n_made;
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(ENDPOINTS_MAX));
            let slice = self.new_slice(group, std::mem::replace(&mut left, rest));
            self.changes.push(Change::create(&slice));
        }
        self.write(group, filled, self.n_made > n_made_before);
    }

    /// What of a slice is still wanted; takes it from `left`.
    fn keep(&self, slice: &EndpointSlice, left: &mut BTreeMap<String, Endpoint>) -> Filled {
        let labels = labels(self.view.service);
        let old = slice.endpoints.as_deref().unwrap_or_default();
        let kept: Vec<Endpoint> = old.iter().filter_map(|endpoint| left.remove(&uid_of(endpoint))).collect();
        let mut filled = Filled { slice: slice.clone(), is_changed: kept != old || slice.metadata.labels.as_ref() != Some(&labels) };
        filled.slice.metadata.labels = Some(labels);
        filled.slice.endpoints = Some(kept);
        filled
    }

    /// Empty slices go, but the last one of a family stays as a placeholder.
    fn write(&mut self, group: &Group, filled: Vec<Filled>, mut has_kept: bool) {
        let is_placeholder_wanted = group.1.is_empty();
        if filled.is_empty() && is_placeholder_wanted && !has_kept {
            let slice = self.new_slice(group, Vec::new());
            self.changes.push(Change::create(&slice));
        }
        for one in filled {
            let is_empty = one.slice.endpoints.as_ref().is_none_or(Vec::is_empty);
            if is_empty && (!is_placeholder_wanted || has_kept) {
                self.changes.push(Change::delete(&one.slice));
            } else {
                has_kept = true;
                if one.is_changed {
                    self.changes.push(Change::update(&one.slice));
                }
            }
        }
    }

    fn new_slice(&mut self, group: &Group, endpoints: Vec<Endpoint>) -> EndpointSlice {
        let service = self.view.service;
        let base = format!("{}-", service.metadata.name.as_deref().unwrap_or(""));
        let name = fresh(&base, self.seed, self.view.is_name_taken).nth(self.n_made);
        self.n_made += 1;
        EndpointSlice {
            metadata: ObjectMeta {
                name,
                generate_name: Some(base.clone()),
                namespace: service.metadata.namespace.clone(),
                labels: Some(labels(service)),
                owner_references: Some(vec![owner(service)]),
                ..ObjectMeta::default()
            },
            address_type: group.0.to_owned(),
            endpoints: Some(endpoints),
            ports: Some(slice_ports(&group.1)),
        }
    }
}

/// New endpoints go first where something is written anyway.
fn fill_changed(filled: &mut [Filled], left: &mut Vec<Endpoint>) {
    let mut changed: Vec<&mut Filled> = filled.iter_mut().filter(|f| f.is_changed).collect();
    changed.sort_by_key(|f| f.room());
    for one in changed {
        let n = one.room().min(left.len());
        one.endpoints().extend(left.drain(..n));
    }
}

/// Then into the fullest slice that has room for all that is left (but a full batch is worth a slice of its own).
fn fill_one(filled: &mut [Filled], left: &mut Vec<Endpoint>) {
    if left.is_empty() {
        return;
    }
    let n_last = left.len() % ENDPOINTS_MAX;
    let fitting = filled.iter_mut().filter(|f| !f.is_changed && n_last > 0 && f.room() >= n_last).min_by_key(|f| f.room());
    if let Some(one) = fitting {
        let last = left.split_off(left.len() - n_last);
        one.endpoints().extend(last);
        one.is_changed = true;
    }
}

fn uid_of(endpoint: &Endpoint) -> String {
    endpoint.target_ref.as_ref().and_then(|r| r.uid.clone()).unwrap_or_default()
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if backends::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn owner(service: &Service) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: service.metadata.name.clone().unwrap_or_default(),
        uid: service.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
