//! From rows to the elements of the kernel's maps. Each part of a key begins at a multiple of four bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use net_plan::rows::{Action, Front, Mode, TargetId};
use net_plan::table::Row;
use object::cidr::Cidr;

use super::class::{Class, FAMILIES, Family};

/// An element of a map (or, with no value, of a set).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) map: &'static str,
    pub(super) ipv4: bool,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

pub(super) fn family(ipv4: bool) -> Family {
    FAMILIES[usize::from(!ipv4)]
}

pub(super) fn elements(row: &Row) -> Vec<Element> {
    let element = |map, ip: IpAddr, key, value| Element { map, ipv4: ip.is_ipv4(), key, value };
    match row {
        Row::Front(front, row) => {
            let key = front_bytes(front);
            let inside = row.inside.as_ref().filter(|action| matches!(action, Action::Pick { .. }));
            let of_action = |action: &Action, map| match action {
                Action::Pick { target, n, mode } => element(map, front.ip, key.clone(), picked_bytes(*target, *n, *mode)),
                Action::Reject => element("reject", front.ip, key.clone(), Vec::new()),
                Action::Drop => element("drop", front.ip, key.clone(), Vec::new()),
            };
            std::iter::once(of_action(&row.action, "front")).chain(inside.map(|action| of_action(action, "inside"))).collect()
        }
        Row::Slot { target, slot, backend } => {
            let key = [target.0.to_ne_bytes().as_slice(), &slot.to_ne_bytes()].concat();
            vec![element("slot", backend.ip(), key, backend_bytes(*backend))]
        }
        Row::Live { target, backend } => {
            let key = [target.0.to_ne_bytes().as_slice(), &backend_bytes(*backend)].concat();
            vec![element("live", backend.ip(), key, Vec::new())]
        }
        Row::Local(ip) => vec![element("hairpin", *ip, address_bytes(*ip).repeat(2), Vec::new())],
    }
}

/// Chains that the row leads to.
pub(super) fn classes(row: &Row) -> impl Iterator<Item = Class> {
    let front = if let Row::Front(front, row) = row { Some((front.ip.is_ipv4(), *row)) } else { None };
    let class = |ipv4, is_inside, action: Action| match action {
        Action::Pick { n, mode, .. } => {
            Some(Class { ipv4, is_inside, n, sticky_seconds: mode.sticky_seconds, masquerade: mode.masquerade })
        }
        Action::Reject | Action::Drop => None,
    };
    let both = front.map(|(ipv4, row)| [class(ipv4, false, row.action), row.inside.and_then(|action| class(ipv4, true, action))]);
    both.into_iter().flatten().flatten()
}

pub(super) fn address_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn port_bytes(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn front_bytes(front: &Front) -> Vec<u8> {
    [address_bytes(front.ip).as_slice(), &[front.protocol.number(), 0, 0, 0], &port_bytes(front.port)].concat()
}

fn backend_bytes(backend: SocketAddr) -> Vec<u8> {
    [address_bytes(backend.ip()).as_slice(), &port_bytes(backend.port())].concat()
}

fn picked_bytes(target: TargetId, n: u32, mode: Mode) -> Vec<u8> {
    [target.0.to_ne_bytes().as_slice(), &n.to_ne_bytes(), &mode.code().to_ne_bytes()].concat()
}

/// First address of each range, and the first after it (which ends the range). Ranges that touch are joined.
pub(super) fn range_elements(cidrs: &[Cidr]) -> Vec<(Vec<u8>, bool)> {
    let mut cidrs = cidrs.to_vec();
    cidrs.sort();
    let mut elements: Vec<(Vec<u8>, bool)> = Vec::new();
    for cidr in cidrs {
        let first = address_bytes(cidr.network());
        match elements.last() {
            // Lies within, or begins where, the one before ends.
            Some((end, true)) if *end > first => continue,
            Some((end, true)) if *end == first => {
                elements.pop();
            }
            // A range up to the last address has no end, and holds all that follow.
            Some((_, false)) => continue,
            _ => elements.push((first, false)),
        }
        elements.extend(next_after(cidr.last()).map(|end| (end, true)));
    }
    elements
}

fn next_after(ip: IpAddr) -> Option<Vec<u8>> {
    match ip {
        IpAddr::V4(ip) => Some(ip.to_bits().checked_add(1)?.to_be_bytes().to_vec()),
        IpAddr::V6(ip) => Some(ip.to_bits().checked_add(1)?.to_be_bytes().to_vec()),
    }
}

/// What `range_elements` made, read back: one without an end holds all addresses that follow.
pub(super) fn ranges(mut elements: Vec<(Vec<u8>, bool)>) -> Vec<RangeInclusive<IpAddr>> {
    elements.sort();
    let mut ranges = Vec::new();
    let mut elements = elements.iter().peekable();
    while let Some((first, ends_range)) = elements.next() {
        let end = elements.peek().filter(|(_, ends_range)| *ends_range);
        let (Some(first), false) = (address(first), *ends_range) else { continue };
        let last = end.and_then(|(key, _)| address(key)).map_or_else(|| last_of_family(first), before);
        ranges.push(first..=last);
    }
    ranges
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn last_of_family(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() { IpAddr::from([0xff; 4]) } else { IpAddr::from([0xff; 16]) }
}

fn before(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().saturating_sub(1)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().saturating_sub(1)).into(),
    }
}
