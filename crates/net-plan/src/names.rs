//! Cluster names: what services, endpoints and pods are called in DNS, and the answer to a question about them.
//!
//! Upstream: the Kubernetes DNS specification 1.1.0, and CoreDNS's `kubernetes` plugin where that leaves room
//! (`pods insecure`, one TTL for all).
//! Not here: messages and sockets, and the names of the rest of the world.

mod question;
mod reverse;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use object::key::ObjectKey;

use crate::service::cluster_ips;
use question::Asked;

/// CoreDNS's default. Short, so that clients follow changes.
pub const TTL_SECONDS: u32 = 5;
const SPEC_VERSION: &str = "1.1.0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Aaaa,
    Srv,
    Ptr,
    Cname,
    Txt,
    Soa,
    Ns,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Address(IpAddr),
    Cname(String),
    Ptr(String),
    Srv { priority: u16, weight: u16, port: u16, target: String },
    Txt(String),
    Soa,
    Ns(String),
}

/// Names are without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Absent: the name that was asked for.
    pub name: Option<String>,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Records {
        answers: Vec<Record>,
        additional: Vec<Record>,
    },
    /// The name stands for another, which is to be asked for as well.
    Alias(String),
    /// The name exists, but has no record of that kind.
    NoData,
    NoSuchName,
    /// Somebody else's name.
    Elsewhere,
}

pub struct Names {
    domain: String,
    dns_addresses: Vec<IpAddr>,
    services: HashMap<ObjectKey, Named>,
    namespaces: HashSet<String>,
    by_ip: HashMap<IpAddr, ObjectKey>,
    /// Endpoints that have a hostname, by address.
    hosts_by_ip: HashMap<IpAddr, Vec<(ObjectKey, String)>>,
}

/// A service as names see it. The objects are shared with whoever watches them.
struct Named {
    service: Arc<Service>,
    slices: Vec<Arc<EndpointSlice>>,
    cluster_ips: Vec<IpAddr>,
    hosts: Vec<IpAddr>,
}

/// One address of a service, for one port.
struct Host {
    ip: IpAddr,
    port: Option<u16>,
    /// First label of the endpoint's own name; a cluster IP has none.
    label: Option<String>,
}

impl Names {
    pub fn new(domain: &str, dns_addresses: Vec<IpAddr>) -> Self {
        Names {
            domain: domain.trim_matches('.').to_ascii_lowercase(),
            dns_addresses,
            services: HashMap::new(),
            namespaces: HashSet::new(),
            by_ip: HashMap::new(),
            hosts_by_ip: HashMap::new(),
        }
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    pub fn set_namespace(&mut self, name: &str, exists: bool) {
        if exists {
            self.namespaces.insert(name.to_owned());
        } else {
            self.namespaces.remove(name);
        }
    }

    pub fn set_service(&mut self, key: &ObjectKey, service: Option<Arc<Service>>, slices: Vec<Arc<EndpointSlice>>) {
        if let Some(former) = self.services.remove(key) {
            for ip in &former.cluster_ips {
                if self.by_ip.get(ip) == Some(key) {
                    self.by_ip.remove(ip);
                }
            }
            for ip in &former.hosts {
                self.hosts_by_ip.entry(*ip).and_modify(|hosts| hosts.retain(|(of, _)| of != key));
                if self.hosts_by_ip.get(ip).is_some_and(Vec::is_empty) {
                    self.hosts_by_ip.remove(ip);
                }
            }
        }
        let Some(service) = service else { return };
        let cluster_ips = service.spec.as_ref().map(cluster_ips).unwrap_or_default();
        self.by_ip.extend(cluster_ips.iter().map(|ip| (*ip, key.clone())));
        let mut hosts = Vec::new();
        for endpoint in ready_endpoints(&slices).filter(|endpoint| endpoint.hostname.is_some()) {
            for ip in endpoint.addresses.iter().filter_map(|text| text.parse().ok()) {
                hosts.push(ip);
                self.hosts_by_ip.entry(ip).or_default().push((key.clone(), label_of(endpoint, ip)));
            }
        }
        self.services.insert(key.clone(), Named { service, slices, cluster_ips, hosts });
    }

    /// `name` without the final dot, in lower case.
    pub fn answer(&self, name: &str, kind: Kind) -> Answer {
        if let Some(ip) = reverse::address(name) {
            return self.reverse(ip, kind);
        }
        let Some(rest) = name.strip_suffix(&self.domain).map(|rest| rest.strip_suffix('.').unwrap_or(rest)) else {
            return Answer::Elsewhere;
        };
        if !rest.is_empty() && !name[rest.len()..].starts_with('.') {
            return Answer::Elsewhere;
        }
        match Asked::parse(rest) {
            Asked::Domain => self.domain_records(kind),
            Asked::NameServer => self.addresses(&self.dns_addresses, kind),
            Asked::Version if kind == Kind::Txt => answers(vec![Data::Txt(SPEC_VERSION.to_owned())]),
            Asked::Version | Asked::Branch => Answer::NoData,
            Asked::Namespace(namespace) => self.if_namespace(namespace, Answer::NoData),
            Asked::Pod { ip, namespace } => match question::dashed(ip) {
                Some(ip) => self.if_namespace(namespace, self.addresses(&[ip], kind)),
                None => Answer::NoSuchName,
            },
            Asked::Service { namespace, service, endpoint, port } => {
                let key = ObjectKey::new(namespace, service);
                self.services.get(&key).map_or(Answer::NoSuchName, |named| self.service_records(named, &key, endpoint, port, kind))
            }
            Asked::Nothing => Answer::NoSuchName,
        }
    }

    fn if_namespace(&self, namespace: &str, answer: Answer) -> Answer {
        if self.namespaces.contains(namespace) { answer } else { Answer::NoSuchName }
    }

    fn name_server(&self) -> String {
        format!("ns.dns.{}", self.domain)
    }

    fn domain_records(&self, kind: Kind) -> Answer {
        match kind {
            Kind::Soa => answers(vec![Data::Soa]),
            Kind::Ns => {
                let name = Some(self.name_server());
                let additional = self.dns_addresses.iter().map(|ip| Record { name: name.clone(), data: Data::Address(*ip) }).collect();
                Answer::Records { answers: vec![Record { name: None, data: Data::Ns(self.name_server()) }], additional }
            }
            _ => Answer::NoData,
        }
    }

    fn addresses(&self, ips: &[IpAddr], kind: Kind) -> Answer {
        let ips: Vec<Data> = ips.iter().filter(|ip| is_of_kind(**ip, kind)).map(|ip| Data::Address(*ip)).collect();
        if ips.is_empty() { Answer::NoData } else { answers(ips) }
    }

    fn service_records(&self, named: &Named, key: &ObjectKey, endpoint: Option<&str>, port: Option<(&str, &str)>, kind: Kind) -> Answer {
        let Some(spec) = &named.service.spec else { return Answer::NoSuchName };
        if spec.type_.as_deref() == Some("ExternalName") {
            return match &spec.external_name {
                Some(target) if endpoint.is_none() => Answer::Alias(target.trim_end_matches('.').to_owned()),
                _ => Answer::NoSuchName,
            };
        }
        let hosts =
            if endpoint.is_some() || named.cluster_ips.is_empty() { endpoint_hosts(named, endpoint, port) } else { ip_hosts(named, port) };
        if hosts.is_empty() {
            return Answer::NoSuchName;
        }
        if kind == Kind::Srv {
            return self.srv_records(key, &hosts);
        }
        let mut ips: Vec<IpAddr> = hosts.iter().map(|host| host.ip).collect();
        ips.sort();
        ips.dedup();
        self.addresses(&ips, kind)
    }

    fn srv_records(&self, key: &ObjectKey, hosts: &[Host]) -> Answer {
        let mut answers: Vec<Record> = Vec::new();
        let mut additional: Vec<Record> = Vec::new();
        let service = format!("{}.{}.svc.{}", key.name, key.namespace, self.domain);
        for host in hosts {
            let target = host.label.as_ref().map_or_else(|| service.clone(), |label| format!("{label}.{service}"));
            if let Some(port) = host.port {
                let srv = Record { name: None, data: Data::Srv { priority: 0, weight: 0, port, target: target.clone() } };
                if !answers.contains(&srv) {
                    answers.push(srv);
                }
            }
            let address = Record { name: Some(target), data: Data::Address(host.ip) };
            if !additional.contains(&address) {
                additional.push(address);
            }
        }
        let share = (100 / answers.len().max(1)).max(1) as u16;
        for record in &mut answers {
            if let Data::Srv { weight, .. } = &mut record.data {
                *weight = share;
            }
        }
        if answers.is_empty() { Answer::NoData } else { Answer::Records { answers, additional } }
    }

    fn reverse(&self, ip: IpAddr, kind: Kind) -> Answer {
        let service = |key: &ObjectKey| format!("{}.{}.svc.{}", key.name, key.namespace, self.domain);
        let names: Vec<Data> = match (self.by_ip.get(&ip), self.hosts_by_ip.get(&ip)) {
            (Some(key), _) => vec![Data::Ptr(service(key))],
            (None, Some(hosts)) => hosts.iter().map(|(key, label)| Data::Ptr(format!("{label}.{}", service(key)))).collect(),
            (None, None) => return Answer::Elsewhere,
        };
        if kind == Kind::Ptr { answers(names) } else { Answer::NoData }
    }
}

fn answers(data: Vec<Data>) -> Answer {
    Answer::Records { answers: data.into_iter().map(|data| Record { name: None, data }).collect(), additional: Vec::new() }
}

fn is_of_kind(ip: IpAddr, kind: Kind) -> bool {
    matches!((ip, kind), (IpAddr::V4(_), Kind::A) | (IpAddr::V6(_), Kind::Aaaa))
}

fn ready_endpoints(slices: &[Arc<EndpointSlice>]) -> impl Iterator<Item = &Endpoint> {
    let endpoints = slices.iter().filter(|slice| slice.address_type != "FQDN").flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true))
}

/// The endpoint's hostname, or its address with dashes.
fn label_of(endpoint: &Endpoint, ip: IpAddr) -> String {
    endpoint.hostname.clone().unwrap_or_else(|| ip.to_string().replace(['.', ':'], "-"))
}

fn fits(wanted: Option<(&str, &str)>, name: Option<&str>, protocol: Option<&str>) -> bool {
    let Some((wanted_name, wanted_protocol)) = wanted else { return true };
    name.unwrap_or("").eq_ignore_ascii_case(wanted_name) && protocol.unwrap_or("TCP").eq_ignore_ascii_case(wanted_protocol)
}

fn ip_hosts(named: &Named, wanted: Option<(&str, &str)>) -> Vec<Host> {
    let ports = named.service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or(&[]);
    let fitting = ports.iter().filter(|port| fits(wanted, port.name.as_deref(), port.protocol.as_deref()));
    let numbers: Vec<Option<u16>> =
        if ports.is_empty() && wanted.is_none() { vec![None] } else { fitting.map(|port| u16::try_from(port.port).ok()).collect() };
    numbers.iter().flat_map(|port| named.cluster_ips.iter().map(|ip| Host { ip: *ip, port: *port, label: None })).collect()
}

fn endpoint_hosts(named: &Named, label: Option<&str>, wanted: Option<(&str, &str)>) -> Vec<Host> {
    let mut hosts = Vec::new();
    for slice in &named.slices {
        let ports = slice.ports.as_deref().unwrap_or(&[]);
        let fitting = ports.iter().filter(|port| fits(wanted, port.name.as_deref(), port.protocol.as_deref()));
        let numbers: Vec<Option<u16>> = if ports.is_empty() && wanted.is_none() {
            vec![None]
        } else {
            fitting.map(|port| port.port.and_then(|number| u16::try_from(number).ok())).collect()
        };
        for endpoint in ready_endpoints(std::slice::from_ref(slice)) {
            for ip in endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
                let own = label_of(endpoint, ip);
                if label.is_none_or(|label| label.eq_ignore_ascii_case(&own)) {
                    hosts.extend(numbers.iter().map(|port| Host { ip, port: *port, label: Some(own.clone()) }));
                }
            }
        }
    }
    hosts
}
