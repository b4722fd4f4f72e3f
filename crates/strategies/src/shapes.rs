//! Shapes of texts beyond names (`object::names`): ports, keys, variables, paths, addresses. Each function lists what is wrong.
//!
//! Upstream: `apimachinery/pkg/util/validation`.

use std::net::IpAddr;

use object::field::Error;

use crate::check::{At, Faults};

const MAX_NAME: usize = 253;
const MAX_PORT_NAME: usize = 15;

fn longer_than(text: &str, max: usize) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} characters"))
}

pub(crate) fn between(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

pub(crate) fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec![between(1, 65535)] }
}

pub(crate) fn port_name(name: &str) -> Vec<String> {
    let mut faults: Vec<String> = longer_than(name, MAX_PORT_NAME).into_iter().collect();
    let mut add = |is_wrong: bool, text: &str| faults.extend(is_wrong.then(|| text.to_owned()));
    let is_charset = !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    add(!is_charset, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    add(!name.bytes().any(|c| c.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    add(name.contains("--"), "must not contain consecutive hyphens");
    add(name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen");
    faults
}

fn climbs(text: &str) -> Option<String> {
    match text {
        "." | ".." => Some(format!("must not be '{text}'")),
        _ => text.starts_with("..").then(|| "must not start with '..'".to_owned()),
    }
}

/// Keys of ConfigMaps and Secrets.
pub(crate) fn config_key(key: &str) -> Vec<String> {
    const TEXT: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    let mut faults: Vec<String> = longer_than(key, MAX_NAME).into_iter().collect();
    if key.is_empty() || !key.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)) {
        faults.push(TEXT.to_owned());
    }
    faults.extend(climbs(key));
    faults
}

pub(crate) fn variable_name(name: &str) -> Vec<String> {
    const TEXT: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";
    let mut faults = Vec::new();
    if name.is_empty() {
        faults.push("environment variable name must be non-empty".to_owned());
    }
    if !name.bytes().all(|c| (b' '..=b'~').contains(&c) && c != b'=') {
        faults.push(TEXT.to_owned());
    }
    faults
}

pub(crate) fn header_name(name: &str) -> Vec<String> {
    const TEXT: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
    let is_fine = !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    if is_fine { Vec::new() } else { vec![TEXT.to_owned()] }
}

pub(crate) fn percent(text: &str) -> Vec<String> {
    const TEXT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
    let digits = text.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) { Vec::new() } else { vec![TEXT.to_owned()] }
}

fn is_subdomain_edge(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// DNS search paths may have underscores.
pub(crate) fn subdomain_with_underscore(text: &str) -> Vec<String> {
    const TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
    let is_label = |label: &str| {
        let bytes = label.strip_prefix('_').unwrap_or(label).as_bytes();
        let inner = |c: &u8| is_subdomain_edge(*c) || b"-_".contains(c);
        bytes.first().copied().is_some_and(is_subdomain_edge)
            && bytes.last().copied().is_some_and(is_subdomain_edge)
            && bytes.iter().all(inner)
    };
    let mut faults: Vec<String> = longer_than(text, MAX_NAME).into_iter().collect();
    if !text.split('.').all(is_label) {
        faults.push(TEXT.to_owned());
    }
    faults
}

pub(crate) fn wildcard_subdomain(text: &str) -> Vec<String> {
    const TEXT: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let mut faults: Vec<String> = longer_than(text, MAX_NAME).into_iter().collect();
    if !text.strip_prefix("*.").is_some_and(|rest| object::names::subdomain_faults(rest).iter().all(|f| f.starts_with("must be no more"))) {
        faults.push(TEXT.to_owned());
    }
    faults
}

/// Reads an address as Go's old parser did: leading zeros are decimal. `None` when it is none.
pub(crate) fn parse_sloppily(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse().ok();
    }
    let trimmed: Vec<&str> = text
        .split('.')
        .map(|part| {
            let rest = part.trim_start_matches('0');
            if rest.is_empty() && !part.is_empty() { "0" } else { rest }
        })
        .collect();
    trimmed.join(".").parse().ok()
}

/// An address in a field that once took more than the strict forms.
pub(crate) fn ip(at: &At<'_>, faults: &mut Faults) {
    ip_named(at, at.text(), faults);
}

fn ip_named(at: &At<'_>, text: &str, faults: &mut Faults) {
    match parse_sloppily(text) {
        None => faults.invalid_as(at, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        Some(_) if text.parse::<IpAddr>().is_err() => faults.invalid_as(at, text, "must not have leading 0s"),
        Some(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            faults.invalid_as(at, text, "must not be an IPv4-mapped IPv6 address");
        }
        Some(_) => {}
    }
}

/// An address that must be written in the one canonical way.
pub(crate) fn canonical_ip(at: &At<'_>, text: &str, faults: &mut Faults) {
    let before = faults.0.len();
    ip_named(at, text, faults);
    if let Ok(address) = text.parse::<IpAddr>()
        && faults.0.len() == before
        && address.to_string() != text
    {
        faults.invalid_as(at, text, format!("must be in canonical form ({:?})", address.to_string()));
    }
}

pub(crate) fn is_ip(text: &str) -> bool {
    parse_sloppily(text).is_some()
}

/// Whether the text is an IPv6 address; false also for what is no address.
pub(crate) fn is_ipv6(text: &str) -> bool {
    matches!(parse_sloppily(text), Some(IpAddr::V6(_)))
}

fn range_parts(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length) = (parse_sloppily(address)?, length.parse::<u8>().ok()?);
    (length <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, length))
}

/// Reads a range as Go's old parser did.
pub(crate) fn parse_range_sloppily(text: &str) -> Option<object::cidr::Cidr> {
    range_parts(text).and_then(|(address, length)| object::cidr::Cidr::new(address, length))
}

pub(crate) fn cidr(at: &At<'_>, faults: &mut Faults) {
    let text = at.text();
    let Some((address, length)) = range_parts(text) else {
        faults.invalid_text(at, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        return;
    };
    let Some((host, shown_length)) = text.split_once('/') else { return };
    if host.parse::<IpAddr>().is_err() || shown_length != length.to_string() {
        faults.invalid_text(at, "must not have leading 0s in IP or prefix length");
    } else if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        faults.invalid_text(at, "must not have an IPv4-mapped IPv6 address");
    } else if object::cidr::Cidr::new(address, length).is_some_and(|range| range.network() != address) {
        faults.invalid_text(at, "must not have bits set beyond the prefix length");
    }
}

/// A range that must be written in the one canonical way.
pub(crate) fn canonical_cidr(at: &At<'_>, faults: &mut Faults) {
    let before = faults.0.len();
    cidr(at, faults);
    if let Ok(range) = at.text().parse::<object::cidr::Cidr>()
        && faults.0.len() == before
        && range.to_string() != at.text()
    {
        faults.invalid_text(at, format!("must be in canonical form ({:?})", range.to_string()));
    }
}

/// A domain, a slash and more (`acme.io/foo`).
pub(crate) fn domain_prefixed_path(at: &At<'_>, faults: &mut Faults) {
    const PATH: &str = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
    if !faults.need_text(at) {
        return;
    }
    let Some((host, path)) = at.text().split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty()) else {
        faults.invalid_text(at, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    };
    faults.each_as(at, host, object::names::subdomain_faults(host));
    if !path.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c)) {
        faults.invalid_as(at, path, PATH);
    }
}

/// A name of at least three parts.
pub(crate) fn qualified_domain_name(at: &At<'_>, faults: &mut Faults) {
    if !faults.need_text(at) {
        return;
    }
    let found = object::names::subdomain_faults(at.text());
    if !found.is_empty() {
        faults.invalid_text(at, found.join(","));
    } else if at.text().split('.').count() < 3 {
        faults.invalid_text(at, "should be a domain with at least three segments separated by dots");
    }
}

/// A name of at least two parts, a last dot allowed.
pub(crate) fn full_domain_name(at: &At<'_>, faults: &mut Faults) {
    use object::names::{label_faults, subdomain_faults};
    if !faults.need_text(at) {
        return;
    }
    let name = at.text().strip_suffix('.').unwrap_or(at.text());
    let found = subdomain_faults(name);
    if !found.is_empty() {
        faults.invalid_as(at, name, found.join(","));
    } else if !name.contains('.') {
        faults.invalid_as(at, name, "should be a domain with at least two segments separated by dots");
    } else {
        for label in name.split('.') {
            let found = label_faults(label);
            if !found.is_empty() {
                faults.invalid_as(at, label, found.join(","));
            }
        }
    }
}

/// No `..` as a part.
pub(crate) fn path_without_backsteps(at: &At<'_>, faults: &mut Faults) {
    if at.text().split('/').any(|part| part == "..") {
        faults.invalid_text(at, "must not contain '..'");
    }
}

pub(crate) fn relative_path(at: &At<'_>, faults: &mut Faults) {
    if at.text().starts_with('/') {
        faults.invalid_text(at, "must be a relative path");
    }
    path_without_backsteps(at, faults);
}

/// A relative path whose first letters are not those the kubelet keeps for itself.
pub(crate) fn local_path(at: &At<'_>, faults: &mut Faults) {
    relative_path(at, faults);
    if at.text().starts_with("..") && !at.text().starts_with("../") {
        faults.invalid_text(at, "must not start with '..'");
    }
}

/// The length of what base64 text stands for, without decoding it.
pub(crate) fn decoded_len(text: &str) -> usize {
    text.len() / 4 * 3 - text.bytes().rev().take_while(|c| *c == b'=').count()
}

/// Whether base64 text holds a PEM block.
pub(crate) fn is_pem(base64: &str) -> bool {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default();
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

/// A port, as number or as name.
pub(crate) fn port(at: &At<'_>, faults: &mut Faults) {
    if at.value.is_string() {
        faults.each(at, port_name(at.text()));
    } else {
        for fault in port_number(at.int()) {
            faults.invalid_int(at, fault);
        }
    }
}

/// A numeric id of a user or group.
pub(crate) fn id(at: &At<'_>, faults: &mut Faults) {
    if at.is_set() && !(0..=i64::from(i32::MAX)).contains(&at.int()) {
        faults.invalid_int(at, between(0, i64::from(i32::MAX)));
    }
}

/// Permission bits of a file.
pub(crate) fn file_mode(at: &At<'_>, faults: &mut Faults) {
    if at.is_set() && !(0..=0o777).contains(&at.int()) {
        faults.invalid_int(at, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

pub(crate) fn csi_driver_name(at: &At<'_>, faults: &mut Faults) {
    const MAX: usize = 63;
    if !faults.need_text(at) {
        return;
    }
    if at.text().len() > MAX {
        faults.too_long(at, MAX);
    }
    faults.each(at, object::names::subdomain_faults(&at.text().to_lowercase()));
}

/// The same where upstream generates the rule too, which says it in other words.
pub(crate) fn csi_driver_name_later(at: &At<'_>, faults: &mut Faults) {
    const MAX: usize = 63;
    faults.covered(|faults| csi_driver_name(at, faults));
    faults.later(|faults| {
        if !faults.need_text(at) {
            return;
        }
        faults.each(at, object::names::subdomain_faults_of_any_case(at.text()));
        if at.text().len() > MAX {
            faults.0.push(Error::too_long_characters(&at.path(), MAX));
        }
    });
}

/// `1.2.3-pre.1+build` as semver.org has it.
pub(crate) fn is_semantic_version(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let has_no_zeros = |part: &str| part == "0" || !part.starts_with('0');
    let is_number = |part: &str| is_digits(part) && has_no_zeros(part);
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && pre.is_none_or(|pre| pre.split('.').all(|part| is_word(part) && (!is_digits(part) || has_no_zeros(part))))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[track_caller]
    fn check(rule: fn(&At<'_>, &mut Faults), text: &str, wanted: &str) {
        let value = Value::from(text);
        let mut faults = Faults::default();
        rule(&At::root(&value), &mut faults);
        let got: Vec<String> = faults.0.iter().map(|f| f.detail.clone()).collect();
        assert!(if wanted.is_empty() { got.is_empty() } else { got.join("; ").contains(wanted) }, "{text}: {got:?}");
    }

    #[test]
    fn addresses_are_strict_where_upstream_is() {
        check(ip, "10.0.0.1", "");
        check(ip, "10.0.0.01", "leading 0s");
        check(ip, "::ffff:1.2.3.4", "IPv4-mapped");
        check(ip, "10.0.0", "valid IP");
        check(cidr, "10.0.0.0/8", "");
        check(cidr, "10.0.0.1/8", "bits set");
        check(cidr, "10.0.0.0/08", "leading 0s");
        check(cidr, "10.0.0.0/33", "valid CIDR");
    }

    #[test]
    fn paths_do_not_climb() {
        check(local_path, "a/b", "");
        check(local_path, "..data", "must not start with");
        check(local_path, "a/../b", "must not contain");
        check(local_path, "/a", "relative");
    }
}
