//! Cluster addresses and node ports of Services.
//!
//! An address is taken by an `IPAddress` object and a port by a key of its own, written in the same transaction as the Service,
//! each on the condition that it is not there yet. So nothing is taken twice and nothing leaks, with one server or with several,
//! and no repair loop is needed. Not here: validation of the fields (`strategies`).

mod families;
mod ports;
pub mod range;

use std::net::IpAddr;
use std::sync::Arc;

use object::field::{self, Path};
use object::status::Status;
use object::{Value, meta, time};
use serde_json::json;
use store::{Expect, Op, Write};

use crate::request::Request;
use crate::{Registry, address, form, rows};
pub use range::IpRange;

/// What the cluster has to give.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// One range a family, the primary one first.
    pub ranges: Vec<IpRange>,
    pub node_ports: std::ops::RangeInclusive<u16>,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        let ranges = ["10.96.0.0/16", "fd00:10:96::/108"].iter().filter_map(|r| r.parse().ok()).collect();
        ServiceSettings { ranges, node_ports: 30_000..=32_767 }
    }
}

/// Fills in what the server allots and answers the writes that take it, and that give back what the old object had.
pub(crate) fn companions(
    registry: &Registry,
    request: &Request,
    old: Option<&Value>,
    new: Option<&mut Value>,
) -> Result<Vec<Write>, Status> {
    if !rows::is_service(&request.resource) || !matches!(request.subresource.as_str(), "") {
        return Ok(Vec::new());
    }
    let Some(new) = new else {
        return registry.address_writes(request, &request.name, &Holdings::of(old), &Holdings::default());
    };
    families::settle(&registry.services, old, new).map_err(|faults| invalid(request, new, &faults))?;
    let before = Holdings::of(old);
    registry.allot_addresses(request, &before, new)?;
    registry.allot_ports(request, old.is_none(), &before, new)?;
    let after = Holdings::of(Some(new));
    registry.address_writes(request, meta::name(new), &before, &after)
}

/// Given before anything is validated, for validation wants it.
pub(crate) fn allot_health(registry: &Registry, request: &Request, old: Option<&Value>, new: &mut Value) {
    if rows::is_service(&request.resource) && request.subresource.is_empty() {
        let before = Holdings::of(old);
        let is_taken = |port| registry.is_port_taken(&before, port);
        ports::allot_health(new, &registry.services.node_ports, registry.entropy.next(), &is_taken);
    }
}

/// Addresses and ports a Service has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ports: Vec<u16>,
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
}

pub(crate) fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn invalid(request: &Request, service: &Value, faults: &[field::Error]) -> Status {
    Status::invalid(&request.resource.gvk(), meta::name(service), faults)
}

impl Registry {
    fn allot_addresses(&self, request: &Request, before: &Holdings, service: &mut Value) -> Result<(), Status> {
        if !families::has_addresses(service) {
            return Ok(());
        }
        let wanted: Vec<String> = texts(&service["spec"]["ipFamilies"]).map(str::to_owned).collect();
        let mut held: Vec<String> = texts(&service["spec"]["clusterIPs"]).map(str::to_owned).collect();
        let path = Path::new("spec").child("clusterIPs");
        for (i, family) in wanted.iter().enumerate() {
            match held.get(i).map(|text| text.parse::<IpAddr>()) {
                Some(Ok(asked)) if before.addresses.contains(&asked) => {}
                Some(Ok(asked)) => {
                    let cause = self.address_refusal(asked);
                    if let Some(cause) = cause {
                        let shown = Value::from(held.clone());
                        let text = format!("failed to allocate IP {asked}: {cause}");
                        return Err(invalid(request, service, &[field::Error::invalid(&path, shown, text)]));
                    }
                }
                _ => {
                    let address =
                        self.free_address(family).ok_or_else(|| Status::internal("failed to allocate a serviceIP: range is full"))?;
                    held.truncate(i);
                    held.push(address.to_string());
                }
            }
        }
        service["spec"]["clusterIP"] = Value::from(held.first().cloned().unwrap_or_default());
        service["spec"]["clusterIPs"] = Value::from(held);
        Ok(())
    }

    fn address_refusal(&self, asked: IpAddr) -> Option<String> {
        let Some(range) = self.services.ranges.iter().find(|r| r.is_ipv4() == asked.is_ipv4()) else {
            return Some("no range of this family is configured".to_owned());
        };
        if !range.contains(asked) {
            return Some("the provided network does not match the current range".to_owned());
        }
        self.is_address_taken(asked).then(|| "provided IP is already allocated".to_owned())
    }

    fn is_address_taken(&self, ip: IpAddr) -> bool {
        self.store.get(&address_key(ip)).is_some()
    }

    fn free_address(&self, family: &str) -> Option<IpAddr> {
        let range = self.services.ranges.iter().find(|r| r.family() == family)?;
        range.candidates(self.entropy.next()).find(|ip| !self.is_address_taken(*ip))
    }

    fn allot_ports(&self, request: &Request, is_new: bool, before: &Holdings, service: &mut Value) -> Result<(), Status> {
        let range = &self.services.node_ports;
        let is_taken = |port| self.is_port_taken(before, port);
        ports::allot(service, is_new, range, self.entropy.next(), &is_taken).map_err(|faults| invalid(request, service, &faults))
    }

    fn is_port_taken(&self, before: &Holdings, port: u16) -> bool {
        !before.ports.contains(&port) && self.store.get(&port_key(port)).is_some()
    }

    fn address_writes(&self, request: &Request, name: &str, before: &Holdings, after: &Holdings) -> Result<Vec<Write>, Status> {
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
        Ok(writes)
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
