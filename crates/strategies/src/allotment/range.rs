//! A range of addresses to give out, and the order in which free ones are looked for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Upstream looks at this many addresses of a large range; here a limit for a range that is full.
const CANDIDATES_MAX: u128 = 65_536;

/// Invariant: `base` has no bits below the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    base: IpAddr,
    prefix_len: u8,
}

impl IpRange {
    pub fn is_ipv4(&self) -> bool {
        self.base.is_ipv4()
    }

    pub fn family(&self) -> &'static str {
        if self.is_ipv4() { "IPv4" } else { "IPv6" }
    }

    fn width(&self) -> u8 {
        if self.is_ipv4() { 32 } else { 128 }
    }

    /// How many addresses; a full IPv6 space counts as one less.
    fn size(&self) -> u128 {
        let host_bits = u32::from(self.width() - self.prefix_len);
        1_u128.checked_shl(host_bits).unwrap_or(u128::MAX)
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.is_ipv4() && (bits(ip) ^ bits(self.base)) < self.size()
    }

    /// Upstream: neither the first address nor an IPv4 range's last one.
    pub(super) fn gives(&self, ip: IpAddr) -> bool {
        self.contains(ip) && ip != self.base && !(ip.is_ipv4() && bits(ip) == bits(self.base) + self.size() - 1)
    }

    pub fn nth(&self, n: u128) -> IpAddr {
        let bits = bits(self.base) + n;
        if self.is_ipv4() { IpAddr::V4(Ipv4Addr::from(bits as u32)) } else { IpAddr::V6(Ipv6Addr::from(bits)) }
    }

    /// Upstream: a lower band is left for addresses that users ask for by name, until the rest is used up.
    fn static_band(&self) -> u128 {
        (self.size() / 16).clamp(16, 256).min(self.size() / 2)
    }

    /// Usable addresses, from a random place on; those of the static band last. Network and broadcast are left out.
    pub fn candidates(&self, random: u64) -> impl Iterator<Item = IpAddr> + '_ {
        let first = self.static_band();
        let end = if self.is_ipv4() { self.size() - 1 } else { self.size() };
        let n_upper = end.saturating_sub(first);
        let n_shown = n_upper.min(CANDIDATES_MAX);
        let start = u128::from(random) % n_upper.max(1);
        let upper = (0..n_shown).map(move |i| first + (start + i) % n_upper);
        upper.chain(1..first).map(|n| self.nth(n))
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

impl FromStr for IpRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an address range such as 10.96.0.0/16");
        let (base, prefix_len) = text.split_once('/').ok_or_else(bad)?;
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let range = IpRange { base, prefix_len: prefix_len.parse().map_err(|_| bad())? };
        let has_room = range.prefix_len < range.width();
        if has_room && bits(base) & (range.size() - 1) == 0 { Ok(range) } else { Err(bad()) }
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_len)
    }
}
