//! Endpoints: one object a service, the primary family only, and at most a thousand addresses.

use std::collections::BTreeMap;

use control_workloads::pods;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::plan::{Change, Plan};

use super::View;
use super::backends::{self, Port};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Upstream: `maxCapacity`.
const ADDRESSES_MAX: usize = 1000;

pub fn plan(view: &View<'_, Endpoints>) -> Plan {
    let service = view.service;
    if service.metadata.deletion_timestamp.is_some() || super::selector(service).is_none() {
        return Plan::nothing();
    }
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    if backends::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let (subsets, is_cut) = subsets(view);
    let subsets = (!subsets.is_empty()).then_some(subsets);
    let mut plan = Plan::nothing();
    match view.kept.first() {
        None => {
            let metadata = ObjectMeta {
                name: service.metadata.name.clone(),
                namespace: service.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: is_cut.then(|| BTreeMap::from([(OVER_CAPACITY.to_owned(), "truncated".to_owned())])),
                ..ObjectMeta::default()
            };
            plan.changes.push(Change::create(&Endpoints { metadata, subsets }));
        }
        Some(kept) => {
            let mut wanted = Endpoints::clone(kept);
            wanted.metadata.labels = Some(labels);
            wanted.subsets = subsets;
            mark_cut(&mut wanted.metadata, is_cut);
            if wanted != **kept {
                plan.changes.push(Change::update(&wanted));
            }
        }
    }
    plan
}

/// Endpoints have no owner reference: those made here go with their service, and people's own stay.
pub fn plan_without_service(kept: Option<&Endpoints>) -> Plan {
    let mut plan = Plan::nothing();
    let is_ours =
        |endpoints: &&Endpoints| endpoints.metadata.labels.as_ref().and_then(|l| l.get(MANAGED_BY)).is_some_and(|by| by == MANAGER);
    plan.changes.extend(kept.filter(is_ours).map(Change::delete));
    plan
}

fn mark_cut(metadata: &mut ObjectMeta, is_cut: bool) {
    if is_cut {
        metadata.annotations.get_or_insert_default().insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(OVER_CAPACITY);
    }
}

/// Addresses by the ports they serve; ready ones first when there are too many.
fn subsets(view: &View<'_, Endpoints>) -> (Vec<EndpointSubset>, bool) {
    let family = backends::families(view.service)[0];
    let publishes = backends::publishes_not_ready(view.service);
    let mut groups: BTreeMap<Vec<Port>, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    let mut counted: Vec<_> = view.pods.iter().filter(|pod| backends::is_counted(pod) && (publishes || !pods::is_leaving(pod))).collect();
    counted.sort_by_key(|pod| !(publishes || pods::is_ready(pod)));
    let mut n_addresses = 0;
    for pod in counted {
        let ports = backends::ports(view.service, pod);
        let has_ports = !ports.is_empty() || backends::is_headless(view.service);
        let address = backends::addresses(pod).into_iter().find(|a| backends::is_ipv6(a) == (family == "IPv6"));
        let Some(ip) = address.filter(|_| has_ports) else { continue };
        n_addresses += 1;
        if n_addresses > ADDRESSES_MAX {
            continue;
        }
        let group = groups.entry(ports).or_default();
        let side = if publishes || pods::is_ready(pod) { &mut group.0 } else { &mut group.1 };
        side.push(address_of(view, pod, ip));
    }
    (groups.into_iter().map(|(ports, sides)| subset(ports, sides)).collect(), n_addresses > ADDRESSES_MAX)
}

fn subset(ports: Vec<Port>, (mut ready, mut not_ready): (Vec<EndpointAddress>, Vec<EndpointAddress>)) -> EndpointSubset {
    ready.sort_by(|a, b| a.ip.cmp(&b.ip));
    not_ready.sort_by(|a, b| a.ip.cmp(&b.ip));
    let ports = ports.into_iter().map(|port| EndpointPort {
        name: Some(port.name).filter(|name| !name.is_empty()),
        protocol: Some(port.protocol),
        port: port.port,
        app_protocol: port.app_protocol,
    });
    let ports: Vec<_> = ports.collect();
    let some = |addresses: Vec<EndpointAddress>| (!addresses.is_empty()).then_some(addresses);
    EndpointSubset { addresses: some(ready), not_ready_addresses: some(not_ready), ports: (!ports.is_empty()).then_some(ports) }
}

fn address_of(view: &View<'_, Endpoints>, pod: &Pod, ip: &str) -> EndpointAddress {
    EndpointAddress {
        ip: ip.to_owned(),
        hostname: backends::hostname(view.service, pod),
        node_name: Some(pods::node_name(pod).to_owned()).filter(|name| !name.is_empty()),
        target_ref: Some(backends::target_ref(pod)),
    }
}
