//! Cluster addresses and node ports of Services.
//!
//! An address is taken by an `IPAddress` object and a port by a key of its own, written in the same transaction as the Service,
//! each on the condition that it is not there yet. So nothing is taken twice and nothing leaks, with one server or with several,
//! and no repair loop is needed. Not here: what is chosen and refused (`strategies::allotment`).

use std::net::IpAddr;
use std::sync::Arc;

use object::status::Status;
use object::{Value, meta, time};
use serde_json::json;
use store::{Expect, Op, Write};
use strategies::allotment::{self, Pool, Refusal};

use crate::request::Request;
use crate::{Registry, address, form, rows};
pub use strategies::allotment::{IpRange, ServiceSettings};

/// Fills in what the server allots, before anything is looked at. Answers what it chose itself, which somebody else may take first.
pub(crate) fn allot(
    registry: &Registry,
    request: &Request,
    is_dry_run: bool,
    old: Option<&Value>,
    new: &mut Value,
) -> Result<Holdings, Status> {
    if !is_whole(request) {
        return Ok(Holdings::default());
    }
    let asked = Holdings::of(Some(new));
    let pool = Pool {
        settings: &registry.services,
        is_dry_run,
        random: &|| registry.entropy.next(),
        is_address_taken: &|ip| registry.store.get(&address_key(ip)).is_some(),
        is_port_taken: &|port| registry.store.get(&port_key(port)).is_some(),
    };
    allotment::allot(&pool, old, new).map_err(|refusal| match refusal {
        Refusal::Invalid(faults) => Status::invalid(&request.resource.gvk(), meta::name(new), &faults),
        Refusal::Internal(text) => Status::internal(text),
        Refusal::Unnamed(text) => Status::new(500, "", text),
    })?;
    let mut chosen = Holdings::of(Some(new));
    chosen.addresses.retain(|ip| !asked.addresses.contains(ip));
    chosen.ports.retain(|port| !asked.ports.contains(port));
    Ok(chosen)
}

/// Somebody else was faster: chooses again what was chosen.
pub(crate) fn allot_again(
    registry: &Registry,
    request: &Request,
    chosen: &Holdings,
    old: Option<&Value>,
    new: &mut Value,
) -> Result<Holdings, Status> {
    if is_whole(request) {
        chosen.take_out_of(new);
    }
    allot(registry, request, false, old, new)
}

fn is_whole(request: &Request) -> bool {
    rows::is_service(&request.resource) && request.subresource.is_empty()
}

/// The writes that take what a Service has, and that give back what the old one had. A write of its status may be its end, too.
pub(crate) fn companions(registry: &Registry, request: &Request, old: Option<&Value>, new: Option<&Value>) -> Vec<Write> {
    let is_end = new.is_none() && rows::is_service(&request.resource);
    if !is_end && !is_whole(request) {
        return Vec::new();
    }
    registry.holding_writes(request, new.map_or(&request.name, meta::name), &Holdings::of(old), &Holdings::of(new))
}

/// Addresses and ports a Service has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
}

impl Holdings {
    fn of(service: Option<&Value>) -> Self {
        let Some(service) = service else {
            return Holdings::default();
        };
        let addresses = texts(&service["spec"]["clusterIPs"]).filter_map(|t| t.parse().ok()).collect();
        let ports = service["spec"]["ports"].as_array().into_iter().flatten().map(|p| &p["nodePort"]);
        let all = ports.chain([&service["spec"]["healthCheckNodePort"]]);
        let mut ports: Vec<u16> = all.filter_map(Value::as_u64).filter_map(|p| u16::try_from(p).ok()).filter(|p| *p != 0).collect();
        ports.sort_unstable();
        ports.dedup();
        Holdings { addresses, ports }
    }

    fn take_out_of(&self, service: &mut Value) {
        let is_own = |port: Option<&Value>| port.and_then(Value::as_u64).is_some_and(|n| self.ports.iter().any(|own| u64::from(*own) == n));
        let Some(spec) = service["spec"].as_object_mut() else { return };
        if let Some(held) = spec.get_mut("clusterIPs").and_then(Value::as_array_mut) {
            held.retain(|ip| !self.addresses.iter().any(|own| ip.as_str().is_some_and(|ip| ip == own.to_string())));
            if held.is_empty() {
                spec.remove("clusterIP");
            }
        }
        if is_own(spec.get("healthCheckNodePort")) {
            spec.remove("healthCheckNodePort");
        }
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
            if is_own(port.get("nodePort")) {
                port.remove("nodePort");
            }
        }
    }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

impl Registry {
    fn holding_writes(&self, request: &Request, name: &str, before: &Holdings, after: &Holdings) -> Vec<Write> {
        let mut writes = Vec::new();
        for ip in before.addresses.iter().filter(|ip| !after.addresses.contains(ip)) {
            writes.push(Write { key: address_key(*ip), expect: Expect::Any, op: Op::Delete });
        }
        for port in before.ports.iter().filter(|p| !after.ports.contains(p)) {
            writes.push(Write { key: port_key(*port), expect: Expect::Any, op: Op::Delete });
        }
        for ip in after.addresses.iter().filter(|ip| !before.addresses.contains(ip)) {
            let value = form::encode(&self.ip_address(request, name, *ip));
            writes.push(Write { key: address_key(*ip), expect: Expect::Absent, op: Op::Put { value, lease: None } });
        }
        for port in after.ports.iter().filter(|p| !before.ports.contains(p)) {
            let value = bytes::Bytes::from(format!("{}/{name}", request.namespace));
            writes.push(Write { key: port_key(*port), expect: Expect::Absent, op: Op::Put { value, lease: None } });
        }
        writes
    }

    fn ip_address(&self, request: &Request, name: &str, ip: IpAddr) -> Value {
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        json!({
            "metadata": {
                "name": ip.to_string(),
                "uid": self.entropy.uid(),
                "creationTimestamp": time::seconds(self.clock.now()),
                "labels": {"ipaddress.kubernetes.io/ip-family": family, "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"},
            },
            "spec": {"parentRef": {"resource": "services", "namespace": request.namespace, "name": name}},
        })
    }
}

fn address_key(ip: IpAddr) -> Arc<str> {
    address::plain_key("networking.k8s.io", "ipaddresses", &ip.to_string())
}

/// Outside of any served resource.
fn port_key(port: u16) -> Arc<str> {
    address::plain_key("internal", "nodeports", &port.to_string())
}
