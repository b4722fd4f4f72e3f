//! Families, and the chains that pick a backend: what they are called, and which keys lead to them.

use net_link::nft::Part;
use net_link::nft::expr::{Expr, Header, Meta, Register};

/// Registers and offsets of a family. A front's key begins at register 0.
#[derive(Clone, Copy)]
pub(super) struct Family {
    pub(super) ipv4: bool,
    /// Registers of an address.
    pub(super) width: u32,
}

pub(super) const FAMILIES: [Family; 2] = [Family { ipv4: true, width: 1 }, Family { ipv4: false, width: 4 }];

impl Family {
    pub(super) fn named(self, map: &str) -> String {
        format!("{map}{}", if self.ipv4 { 4 } else { 6 })
    }
    pub(super) fn address_part(self) -> Part {
        if self.ipv4 { Part::Ipv4 } else { Part::Ipv6 }
    }
    pub(super) fn source(self, to: Register) -> Expr<'static> {
        Expr::Payload { to, header: Header::Network, offset: if self.ipv4 { 12 } else { 8 }, len: self.width * 4 }
    }
    pub(super) fn destination(self, to: Register) -> Expr<'static> {
        Expr::Payload { to, header: Header::Network, offset: if self.ipv4 { 16 } else { 24 }, len: self.width * 4 }
    }
    /// Loads address, protocol and port of the packet's destination.
    pub(super) fn front_key(self) -> [Expr<'static>; 3] {
        [
            self.destination(0),
            Expr::Meta { to: self.width, key: Meta::TransportProtocol },
            Expr::Payload { to: self.width + 1, header: Header::Transport, offset: 2, len: 2 },
        ]
    }
    /// Where the value of a front is loaded: two registers of id, then n, then mode.
    pub(super) fn id(self) -> Register {
        self.width + 2
    }
    pub(super) fn n(self) -> Register {
        self.id() + 2
    }
}

/// A chain that picks one of `n` backends in one mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Class {
    pub(super) ipv4: bool,
    pub(super) is_inside: bool,
    pub(super) n: u32,
    pub(super) sticky_seconds: Option<u32>,
    pub(super) masquerade: bool,
}

impl Class {
    pub(super) fn family(self) -> Family {
        FAMILIES[usize::from(!self.ipv4)]
    }
    pub(super) fn key(self) -> [u8; 8] {
        let mode = net_plan::rows::Mode { sticky_seconds: self.sticky_seconds, masquerade: self.masquerade }.code();
        let mut key = [0; 8];
        key[..4].copy_from_slice(&self.n.to_ne_bytes());
        key[4..].copy_from_slice(&mode.to_ne_bytes());
        key
    }
    pub(super) fn from_key(ipv4: bool, is_inside: bool, key: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.try_into().ok()?));
        let (n, mode) = (number(key.get(..4)?)?, number(key.get(4..8)?)?);
        let sticky_seconds = (mode > 1).then_some(mode >> 1);
        Some(Class { ipv4, is_inside, n, sticky_seconds, masquerade: mode & 1 == 1 })
    }
    pub(super) fn map(self) -> String {
        self.family().named(if self.is_inside { "inclass" } else { "class" })
    }
    pub(super) fn chain(self) -> String {
        let sticky = self.sticky_seconds.map_or(String::new(), |seconds| format!("-sticky{seconds}"));
        let masquerade = if self.masquerade { "-masq" } else { "" };
        format!("{}-{}{sticky}{masquerade}", self.family().named(if self.is_inside { "inside" } else { "pick" }), self.n)
    }
}

/// Chains that are made with the table. One that is made later has the kernel walk the maps it looks into: 13 ms where there
/// are 50,000 backends, for a service that grows to a size not seen before. Most services are smaller than this.
const COMMON_BACKENDS_MAX: u32 = 20;

pub(super) fn common_classes() -> impl Iterator<Item = Class> {
    let sizes = (1..=COMMON_BACKENDS_MAX).flat_map(|n| [true, false].map(|ipv4| (n, ipv4)));
    sizes.flat_map(|(n, ipv4)| [true, false].map(|masquerade| Class { ipv4, is_inside: false, n, sticky_seconds: None, masquerade }))
}
