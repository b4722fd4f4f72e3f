//! Addresses written as names: `5.0.244.10.in-addr.arpa`, and 32 hexadecimal digits below `ip6.arpa`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) fn address(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<u8> = rest.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [d, c, b, a] = parts.try_into().ok()?;
        return Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
    }
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.split('.').collect();
    if digits.len() != 32 || digits.iter().any(|digit| digit.len() != 1) {
        return None;
    }
    let bits = digits.iter().rev().try_fold(0u128, |bits, digit| Some((bits << 4) | u128::from(digit.chars().next()?.to_digit(16)?)))?;
    Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
}
