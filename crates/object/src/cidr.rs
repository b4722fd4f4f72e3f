//! Address ranges as the API writes them: `10.244.0.0/24`, `fd00:10:244::/64`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network. Host bits are cleared when it is read, so equal ranges are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// `None` when the prefix is longer than an address of that family.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        if prefix > width(address) {
            return None;
        }
        Some(Cidr { network: from_bits(address, bits(address) & mask(width(address), prefix)), prefix })
    }

    /// The range that holds this address alone.
    pub fn host(address: IpAddr) -> Self {
        Cidr { network: address, prefix: width(address) }
    }

    pub fn network(&self) -> IpAddr {
        self.network
    }
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
    pub fn is_ipv4(&self) -> bool {
        self.network.is_ipv4()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && bits(address) & mask(width(address), self.prefix) == bits(self.network)
    }

    pub fn overlaps(&self, other: &Cidr) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    /// How many addresses it holds; `u128::MAX` stands for 2^128 too.
    pub fn size(&self) -> u128 {
        1u128.checked_shl(u32::from(width(self.network) - self.prefix)).unwrap_or(u128::MAX)
    }

    /// The address at `index`, counted from the network's own.
    pub fn nth(&self, index: u128) -> Option<IpAddr> {
        (index < self.size()).then(|| from_bits(self.network, bits(self.network) + index))
    }

    /// Where in the range an address lies.
    pub fn index_of(&self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| bits(address) - bits(self.network))
    }
    pub fn last(&self) -> IpAddr {
        from_bits(self.network, bits(self.network) | !mask(width(self.network), self.prefix) & mask_of_width(width(self.network)))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;
    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let invalid = || InvalidCidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|c| c.is_ascii_digit()) {
            return Err(invalid());
        }
        Cidr::new(address.parse().map_err(|_| invalid())?, prefix.parse().map_err(|_| invalid())?).ok_or_else(invalid)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCidr(pub String);

/// The text of Go's `net.ParseCIDR`, which clients see.
impl fmt::Display for InvalidCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid CIDR address: {}", self.0)
    }
}
impl std::error::Error for InvalidCidr {}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn from_bits(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

fn mask_of_width(width: u8) -> u128 {
    if width == 128 { u128::MAX } else { (1 << width) - 1 }
}

fn mask(width: u8, prefix: u8) -> u128 {
    let host_bits = u32::from(width - prefix);
    let host = if host_bits == 128 { u128::MAX } else { (1u128 << host_bits) - 1 };
    mask_of_width(width) & !host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Cidr>() {
            Ok(cidr) => format!("{cidr} first={} last={}", cidr.nth(1).map_or("-".into(), |ip| ip.to_string()), cidr.last()),
            Err(fault) => fault.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn reads_both_families_and_refuses_the_rest() {
        check("10.244.3.7/24", "10.244.3.0/24 first=10.244.3.1 last=10.244.3.255");
        check("10.0.0.1/32", "10.0.0.1/32 first=- last=10.0.0.1");
        check("0.0.0.0/0", "0.0.0.0/0 first=0.0.0.1 last=255.255.255.255");
        check("fd00:10:244::5/64", "fd00:10:244::/64 first=fd00:10:244::1 last=fd00:10:244:0:ffff:ffff:ffff:ffff");
        check("::/0", "::/0 first=::1 last=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        check("10.0.0.0/33", "invalid CIDR address: 10.0.0.0/33");
        check("10.0.0.0", "invalid CIDR address: 10.0.0.0");
        check("10.0.0.0/+8", "invalid CIDR address: 10.0.0.0/+8");
    }

    #[test]
    fn contains_and_overlaps_stay_in_their_family() {
        let four: Cidr = "10.96.0.0/16".parse().expect("written above");
        let six: Cidr = "::/0".parse().expect("written above");
        assert!(four.contains("10.96.0.10".parse().expect("an address")) && !six.contains("10.96.0.10".parse().expect("an address")));
        assert!(four.overlaps(&"10.0.0.0/8".parse().expect("a range")) && !four.overlaps(&six));
        assert_eq!(four.index_of("10.96.1.0".parse().expect("an address")), Some(256));
    }
}
