//! Services, after the allocators have filled in addresses and ports.

use std::collections::HashSet;

use object::field::Error;
use serde_json::{Value, json};

use super::endpoints::{PROTOCOLS, validate_end};
use crate::check::{At, Faults};
use crate::go_json;
use crate::shapes;

const NONE: &str = "None";

/// The places of one service that many rules look at.
struct Service<'a> {
    root: At<'a>,
    spec: At<'a>,
    kind: &'a str,
    addresses: At<'a>,
}

impl<'a> Service<'a> {
    fn of(root: &At<'a>) -> Self {
        let spec = root.get("spec");
        Service { root: root.clone(), kind: spec.get("type").text(), addresses: spec.get("clusterIPs"), spec }
    }
    fn is_headless(&self) -> bool {
        matches!(self.addresses.list(), [only] if only == NONE)
    }
    fn is_external_name(&self) -> bool {
        self.kind == "ExternalName"
    }
    fn is_load_balancer(&self) -> bool {
        self.kind == "LoadBalancer"
    }
    /// Traffic from outside that must not go on to another node.
    fn needs_health_check(&self) -> bool {
        self.is_load_balancer() && self.spec.get("externalTrafficPolicy") == "Local"
    }
    fn is_reachable(&self) -> bool {
        self.is_load_balancer() || self.kind == "NodePort" || (self.kind == "ClusterIP" && !self.spec.get("externalIPs").is_empty())
    }
}

pub(crate) fn validate(root: &At<'_>, faults: &mut Faults) {
    validate_all(&Service::of(root), faults);
}

/// Upstream looks at addresses before it allots them, which is before all else: what is wrong there is all it says.
/// An address that was there before passes as it is.
pub(crate) fn address_faults(old: Option<&Value>, new: &Value) -> Vec<Error> {
    let known = old.and_then(|old| old["spec"]["clusterIPs"].as_array()).map_or(&[][..], Vec::as_slice);
    let mut faults = Faults::default();
    validate_addresses(&Service::of(&At::root(new)), known, &mut faults);
    faults.into_list()
}

fn validate_all(service: &Service<'_>, faults: &mut Faults) {
    let (root, spec) = (&service.root, &service.spec);
    validate_topology(root, faults);
    let ports = spec.get("ports");
    if ports.is_empty() && !service.is_headless() && !service.is_external_name() {
        faults.required(&ports, "");
    }
    validate_by_kind(service, faults);
    let mut names = HashSet::new();
    for port in ports.items() {
        validate_port(&port, ports.len() > 1, &mut names, faults);
    }
    faults.labels(&spec.get("selector"));
    validate_affinity(spec, faults);
    for ip in spec.get("externalIPs").items() {
        let before = faults.0.len();
        faults.tolerable_but(format!("externalIPs {}", ip.value), |faults| shapes::ip(&ip, faults), |faults| validate_end(&ip, faults));
        if faults.0.len() == before {
            validate_end(&ip, faults);
        }
    }
    faults.need_one_of(&spec.get("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    validate_node_ports(service, &ports, faults);
    validate_source_ranges(service, faults);
    validate_load_balancer(service, faults);
    validate_class(service, faults);
    validate_traffic(service, faults);
}

fn validate_topology(root: &At<'_>, faults: &mut Faults) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    let annotations = root.get("metadata").get("annotations");
    let (hints, mode) = (annotations.key(HINTS), annotations.key(MODE));
    if hints.is_set() && mode.is_set() && hints.text() != mode.text() {
        faults.invalid_text(&mode, format!("must match annotations[{HINTS}] when both are specified"));
    }
}

fn validate_by_kind(service: &Service<'_>, faults: &mut Faults) {
    let spec = &service.spec;
    match service.kind {
        "LoadBalancer" | "NodePort" if service.is_headless() => {
            faults.invalid_text(&service.addresses.at(0), format!("may not be set to 'None' for {} services", service.kind));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                let at = spec.get(field);
                if at.has_text() || !at.is_empty() {
                    faults.forbidden(&at, "may not be set for ExternalName services");
                }
            }
            let name = spec.get("externalName");
            let text = name.text().strip_suffix('.').unwrap_or(name.text());
            if text.is_empty() {
                faults.required(&name, "");
            } else {
                faults.each_as(&name, text, object::names::subdomain_faults(text));
            }
        }
        _ => {}
    }
}

fn validate_port<'a>(port: &At<'a>, needs_name: bool, names: &mut HashSet<&'a str>, faults: &mut Faults) {
    let (name, protocol) = (port.get("name"), port.get("appProtocol"));
    if needs_name && !name.has_text() {
        faults.required(&name, "");
    } else if name.has_text() {
        faults.label(&name);
        if !names.insert(name.text()) {
            faults.duplicate(&name);
        }
    }
    shapes::port(&port.get("port"), faults);
    faults.need_one_of(&port.get("protocol"), PROTOCOLS);
    shapes::port(&port.get("targetPort"), faults);
    if protocol.is_set() {
        faults.qualified_name(&protocol);
    }
}

fn validate_affinity(spec: &At<'_>, faults: &mut Faults) {
    const SECONDS_MAX: i64 = 86_400;
    const NEEDED: &str = "when session affinity type is ClientIP";
    let (affinity, config) = (spec.get("sessionAffinity"), spec.get("sessionAffinityConfig"));
    faults.need_one_of(&affinity, &["ClientIP", "None"]);
    match affinity.text() {
        "ClientIP" => {
            let client = config.get("clientIP");
            let seconds = client.get("timeoutSeconds");
            if let Some(missing) = [&config, &client, &seconds].into_iter().find(|at| !at.is_set()) {
                faults.required(missing, NEEDED);
            } else if !(1..=SECONDS_MAX).contains(&seconds.int()) {
                faults.invalid_int(&seconds, format!("must be greater than 0 and less than {SECONDS_MAX}"));
            }
        }
        NONE if config.is_set() => faults.forbidden(&config, "must not be set when session affinity is None"),
        _ => {}
    }
}

fn validate_addresses(service: &Service<'_>, known: &[Value], faults: &mut Faults) {
    let (spec, all) = (&service.spec, &service.addresses);
    let one = spec.get("clusterIP");
    if one.has_text() {
        if all.is_empty() {
            faults.required(all, "");
        } else if all.at(0).text() != one.text() {
            faults.invalid(all, "first value must match `clusterIP`");
        }
    } else if !all.is_empty() {
        faults.invalid(all, "must be empty when `clusterIP` is not specified");
    }
    let families = spec.get("ipFamilies");
    let mut seen = HashSet::new();
    for family in families.items() {
        faults.one_of(&family, &["IPv4", "IPv6"]);
        if !seen.insert(family.text()) {
            faults.duplicate(&family);
        }
    }
    faults.one_of(&spec.get("ipFamilyPolicy"), &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    let before = faults.0.len();
    for (i, address) in all.items().enumerate() {
        if i == 0 && address == NONE {
            if all.len() > 1 {
                faults.invalid(all, "'None' must be the first and only value");
            }
        } else if !known.contains(address.value) {
            shapes::ip(&address, faults);
        }
    }
    let has_bad = faults.0.len() > before;
    if all.len() > 2 {
        faults.invalid(all, "may only hold up to 2 values");
    }
    if has_bad {
        return;
    }
    let stacks: HashSet<bool> = all.items().map(|address| shapes::is_ipv6(address.text())).collect();
    if all.len() > 1 && stacks.len() < 2 {
        faults.invalid(all, "may specify no more than one IP for each IP family");
    }
    if service.is_headless() {
        return;
    }
    for (i, (address, family)) in all.items().zip(families.items()).enumerate() {
        let is_v6 = shapes::is_ipv6(address.text());
        if (family == "IPv4" && is_v6) || (family == "IPv6" && !is_v6) {
            faults.invalid_text(&address, format!("expected an {} value as indicated by `ipFamilies[{i}]`", family.text()));
        }
    }
}

fn validate_node_ports(service: &Service<'_>, ports: &At<'_>, faults: &mut Faults) {
    if service.kind == "ClusterIP" {
        for port in ports.items().filter(|port| port.get("nodePort").int() != 0) {
            faults.forbidden(&port.get("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut taken = HashSet::new();
    for port in ports.items().filter(|port| port.get("nodePort").int() != 0) {
        let node_port = port.get("nodePort");
        if !taken.insert((port.get("protocol").text(), node_port.int())) {
            faults.duplicate(&node_port);
        }
    }
    taken.clear();
    for port in ports.items() {
        let (protocol, number) = (port.get("protocol").text(), port.get("port").int());
        if !taken.insert((protocol, number)) {
            let key = json!({"protocol": protocol, "port": number});
            faults.0.push(Error::duplicate(&port.path(), Value::Null).showing(go_json::compact("ServicePort", &key)));
        }
    }
}

fn validate_source_ranges(service: &Service<'_>, faults: &mut Faults) {
    const ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let ranges = service.spec.get("loadBalancerSourceRanges");
    let annotation = service.root.get("metadata").get("annotations").key(ANNOTATION);
    if !ranges.is_empty() {
        let shown = ranges.renamed("LoadBalancerSourceRanges");
        if !service.is_load_balancer() {
            faults.forbidden(&shown, ONLY);
        }
        for range in shown.items() {
            let trimmed = Value::from(range.text().trim());
            faults.tolerable(format!("source ranges {trimmed}"), |faults| shapes::cidr(&range.with(&trimmed), faults));
        }
    } else if annotation.is_set() {
        if !service.is_load_balancer() {
            faults.forbidden(&annotation, ONLY);
        }
        for range in annotation.text().split(',').map(str::trim).filter(|_| !annotation.text().trim().is_empty()) {
            let trimmed = Value::from(range);
            shapes::cidr(&annotation.with(&trimmed), faults);
        }
    }
}

fn validate_load_balancer(service: &Service<'_>, faults: &mut Faults) {
    let allocate = service.spec.get("allocateLoadBalancerNodePorts");
    if allocate.is_set() && !service.is_load_balancer() {
        faults.forbidden(&allocate, "may only be used when `type` is 'LoadBalancer'");
    }
    if !allocate.is_set() && service.is_load_balancer() {
        faults.required(&service.root.get("allocateLoadBalancerNodePorts"), "");
    }
}

fn validate_class(service: &Service<'_>, faults: &mut Faults) {
    let class = service.spec.get("loadBalancerClass");
    if !class.is_set() {
        return;
    }
    if service.is_load_balancer() {
        faults.qualified_name(&class);
    } else {
        faults.forbidden(&class, "may only be used when `type` is 'LoadBalancer'");
    }
}

fn validate_traffic(service: &Service<'_>, faults: &mut Faults) {
    let spec = &service.spec;
    let (external, internal, check) =
        (spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy"), spec.get("healthCheckNodePort"));
    if service.is_reachable() {
        faults.need_one_of(&external, &["Cluster", "Local"]);
    } else if external.has_text() {
        faults.invalid_text(&external, "may only be set for externally-accessible services");
    }
    if !service.needs_health_check() {
        if check.int() != 0 {
            faults.invalid_int(&check, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
        }
    } else {
        shapes::port(&check, faults);
    }
    if !internal.is_set() && matches!(service.kind, "NodePort" | "LoadBalancer" | "ClusterIP") {
        faults.required(&internal, "");
    }
    faults.one_of(&internal, &["Cluster", "Local"]);
    faults.one_of(&spec.get("trafficDistribution"), &["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

pub(crate) fn validate_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (before, after) = (Service::of(old), Service::of(new));
    if subresource == "status" {
        let status = new.get("status").get("loadBalancer");
        if !after.is_load_balancer() && !status.get("ingress").is_empty() {
            faults.forbidden(&status.get("ingress"), "may only be used when `spec.type` is 'LoadBalancer'");
        } else {
            validate_ingress_points(&status, faults);
        }
        return;
    }
    if !before.is_external_name() && !after.is_external_name() {
        validate_address_change(&before, &after, faults);
        validate_family_change(&before, &after, faults);
    }
    let (was, is) = (before.spec.get("loadBalancerClass"), after.spec.get("loadBalancerClass"));
    if before.is_load_balancer() && after.is_load_balancer() && was.value != is.value {
        faults.invalid(&is, "may not change once set");
    }
    validate_class(&after, faults);
    let (was, is) = (before.spec.get("healthCheckNodePort"), after.spec.get("healthCheckNodePort"));
    if before.needs_health_check() && after.needs_health_check() && was.int() != is.int() {
        faults.forbidden(&is, crate::check::IMMUTABLE);
    }
    validate_all(&after, faults);
}

const ONCE_SET: &str = "may not change once set";

fn validate_address_change(before: &Service<'_>, after: &Service<'_>, faults: &mut Faults) {
    if before.is_headless() && after.is_headless() {
        return;
    }
    let (old, new) = (before.addresses.list(), &after.addresses);
    let first_changed = || !old.is_empty() && !new.is_empty() && old[0] != new.list()[0];
    if old.len() == new.len() {
        for (i, _) in old.iter().zip(new.list()).enumerate().filter(|(_, (old, new))| old != new) {
            faults.invalid_as(&new.at(i), new.value.clone(), ONCE_SET);
        }
        return;
    }
    if old.len() > new.len() && new.is_empty() {
        faults.invalid_as(&new.at(0), new.value.clone(), "primary clusterIP can not be unset");
    }
    if first_changed() {
        faults.invalid_as(&new.at(0), new.value.clone(), ONCE_SET);
    }
    if old.len() > new.len() && new.len() == 1 {
        needs_single_stack(after, "clusterIP", faults);
    }
}

fn needs_single_stack(after: &Service<'_>, what: &str, faults: &mut Faults) {
    let policy = after.spec.get("ipFamilyPolicy");
    if policy != "SingleStack" {
        faults.invalid(&policy, format!("must be set to 'SingleStack' when releasing the secondary {what}"));
    }
}

fn validate_family_change(before: &Service<'_>, after: &Service<'_>, faults: &mut Faults) {
    if before.is_headless() || after.is_headless() {
        return;
    }
    let (old, new) = (before.spec.get("ipFamilies"), after.spec.get("ipFamilies"));
    let first = new.at(0);
    if old.len() == new.len() {
        for _ in old.list().iter().zip(new.list()).filter(|(old, new)| old != new) {
            faults.invalid_as(&first, new.value.clone(), ONCE_SET);
        }
        return;
    }
    if old.len() > new.len() && after.addresses.is_empty() {
        faults.invalid_as(&first, new.value.clone(), "primary ipFamily can not be unset");
    }
    if !old.is_empty() && !new.is_empty() && old.list()[0] != new.list()[0] {
        faults.invalid_as(&first, after.addresses.value.clone(), ONCE_SET);
    }
    if old.len() > new.len() && new.len() == 1 {
        needs_single_stack(after, "ipFamily", faults);
    }
}

/// `status.loadBalancer` of services.
fn validate_ingress_points(status: &At<'_>, faults: &mut Faults) {
    for point in status.get("ingress").items() {
        let (ip, mode, host) = (point.get("ip"), point.get("ipMode"), point.get("hostname"));
        if ip.has_text() {
            faults.tolerable(format!("ingress points {}", ip.value), |faults| shapes::ip(&ip, faults));
        }
        match (mode.is_set(), ip.has_text()) {
            (false, true) => faults.required(&mode, "must be specified when `ip` is set"),
            (true, false) => faults.forbidden(&mode, "may not be specified when `ip` is not set"),
            _ => faults.one_of(&mode, &["Proxy", "VIP"]),
        }
        validate_host(&host, faults);
    }
}

pub(crate) fn validate_host(host: &At<'_>, faults: &mut Faults) {
    if !host.has_text() {
        return;
    }
    faults.subdomain(host);
    if shapes::is_ip(host.text()) {
        faults.invalid_text(host, "must be a DNS name, not an IP address");
    }
}
