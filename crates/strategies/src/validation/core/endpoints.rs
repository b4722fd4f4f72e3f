//! Endpoints, and the addresses that can be ends of traffic.

use std::net::IpAddr;

use crate::check::{At, Faults};
use crate::equality::is_semantically_equal;
use crate::row::NameRule;
use crate::shapes;

pub(crate) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

pub(crate) fn validate(endpoints: &At<'_>, faults: &mut Faults) {
    for subset in endpoints.get("subsets").items() {
        let lists = [subset.get("addresses"), subset.get("notReadyAddresses")];
        if lists.iter().all(At::is_empty) {
            faults.required(&subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for address in lists.iter().flat_map(At::items) {
            validate_address(&address, faults);
        }
        let ports = subset.get("ports");
        for port in ports.items() {
            validate_port(&port, ports.len() > 1, faults);
        }
    }
}

pub(crate) fn validate_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, true, NameRule::Subdomain);
    if !is_semantically_equal(&old.value["subsets"], &new.value["subsets"]) {
        validate(new, faults);
    }
}

fn validate_address(address: &At<'_>, faults: &mut Faults) {
    let (ip, host, node) = (address.get("ip"), address.get("hostname"), address.get("nodeName"));
    shapes::ip(&ip, faults);
    if host.has_text() {
        faults.label(&host);
    }
    if node.is_set() {
        faults.subdomain(&node);
    }
    validate_end(&ip, faults);
}

/// Not every address can be reached from elsewhere.
pub(crate) fn validate_end(at: &At<'_>, faults: &mut Faults) {
    let Some(address) = shapes::parse_sloppily(at.text()) else {
        faults.invalid_text(at, "must be a valid IP address");
        return;
    };
    if address.is_unspecified() {
        faults.invalid_text(at, format!("may not be unspecified ({})", at.text()));
    }
    if address.is_loopback() {
        faults.invalid_text(at, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (is_local, is_local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets().starts_with(&[224, 0, 0])),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    if is_local {
        faults.invalid_text(at, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if is_local_multicast {
        faults.invalid_text(at, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn validate_port(port: &At<'_>, needs_name: bool, faults: &mut Faults) {
    let (name, protocol) = (port.get("name"), port.get("appProtocol"));
    if needs_name && !name.has_text() {
        faults.required(&name, "");
    } else if name.has_text() {
        faults.label(&name);
    }
    shapes::port(&port.get("port"), faults);
    faults.need_one_of(&port.get("protocol"), PROTOCOLS);
    if protocol.is_set() {
        faults.qualified_name(&protocol);
    }
}
