//! discovery.k8s.io.

use std::collections::HashSet;

use super::core::endpoints::{PROTOCOLS, validate_end};
use crate::check::{At, Faults};
use crate::equality::is_semantically_equal;
use crate::row::NameRule;
use crate::shapes;

const ADDRESSES_MAX: usize = 100;
const ENDPOINTS_MAX: usize = 1000;
const HINTS_MAX: usize = 8;
const PORTS_MAX: usize = 20_000;
const TOPOLOGY_MAX: usize = 16;

pub(crate) fn validate(slice: &At<'_>, faults: &mut Faults) {
    validate_kind(&slice.get("addressType"), faults);
    validate_ports(&slice.get("ports"), faults);
    validate_endpoints(slice, faults);
}

pub(crate) fn validate_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, true, NameRule::Subdomain);
    validate_ports(&new.get("ports"), faults);
    if !is_semantically_equal(&old.value["endpoints"], &new.value["endpoints"]) {
        validate_endpoints(new, faults);
    }
    let (before, after) = (old.get("addressType"), new.get("addressType"));
    if before.value == after.value {
        validate_kind(&after, faults);
    } else if after.has_text() {
        faults.only_written(|faults| validate_kind(&after, faults));
    } else {
        validate_kind(&after, faults);
    }
    faults.immutable_later(&before, &after);
}

fn validate_kind(kind: &At<'_>, faults: &mut Faults) {
    faults.twice(|faults| faults.need_one_of(kind, &["FQDN", "IPv4", "IPv6"]));
}

fn validate_endpoints(slice: &At<'_>, faults: &mut Faults) {
    let list = slice.get("endpoints");
    if list.len() > ENDPOINTS_MAX {
        faults.too_many(&list, ENDPOINTS_MAX);
        return;
    }
    for endpoint in list.items() {
        let addresses = endpoint.get("addresses");
        if addresses.is_empty() {
            faults.twice(|faults| faults.required(&addresses, ""));
        } else if addresses.len() > ADDRESSES_MAX {
            faults.twice(|faults| faults.too_many(&addresses, ADDRESSES_MAX));
        }
        for address in addresses.items() {
            validate_address(&addresses, &address, slice.get("addressType").text(), faults);
        }
        faults.subdomain_if_set(&endpoint.get("nodeName"));
        let topology = endpoint.get("deprecatedTopology");
        if topology.len() > TOPOLOGY_MAX {
            faults.too_many(&topology, TOPOLOGY_MAX);
        }
        faults.labels(&topology);
        if endpoint.get("hostname").is_set() {
            faults.label(&endpoint.get("hostname"));
        }
        validate_hints(&endpoint.get("hints"), faults);
    }
}

fn validate_address(list: &At<'_>, address: &At<'_>, kind: &str, faults: &mut Faults) {
    let before = faults.0.len();
    match kind {
        "IPv4" => shapes::ip(address, faults),
        "IPv6" => shapes::canonical_ip(address, address.text(), faults),
        "FQDN" => return shapes::full_domain_name(address, faults),
        _ => return,
    }
    if faults.0.len() == before {
        // Upstream's path is the list's.
        if (kind == "IPv6") != shapes::is_ipv6(address.text()) {
            faults.invalid_as(list, address.text(), format!("must be an {kind} address"));
        }
        validate_end(address, faults);
    }
}

fn validate_hints(hints: &At<'_>, faults: &mut Faults) {
    for list in ["forZones", "forNodes"] {
        let hints = hints.get(list);
        if hints.len() > HINTS_MAX {
            faults.too_many(&hints, HINTS_MAX);
            return;
        }
        let mut seen = HashSet::new();
        for name in hints.items().map(|hint| hint.get("name")) {
            if !seen.insert(name.text()) {
                faults.duplicate_as(&name, name.text());
            }
            if list == "forZones" {
                faults.each(&name, object::names::label_value_faults(name.text()));
            } else {
                faults.subdomain(&name);
            }
        }
    }
}

fn validate_ports(list: &At<'_>, faults: &mut Faults) {
    if list.len() > PORTS_MAX {
        faults.too_many(list, PORTS_MAX);
        return;
    }
    let mut seen = HashSet::new();
    for port in list.items() {
        let (name, protocol, application) = (port.get("name"), port.get("protocol"), port.get("appProtocol"));
        if name.has_text() {
            faults.label(&name);
        }
        if !seen.insert(name.text()) {
            faults.duplicate_as(&name, name.text());
        }
        if protocol.is_set() {
            faults.one_of(&protocol, PROTOCOLS);
        } else {
            faults.required(&protocol, "");
        }
        if application.is_set() {
            faults.qualified_name(&application);
        }
    }
}
