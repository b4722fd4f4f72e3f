//! Certificates, as far as validation asks: in the order in which Go reads them, so that the first fault is the same.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::der::{self, Reader, Value};
use crate::key::{self, Key};

#[derive(Debug)]
pub struct Certificate {
    pub key: Key,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub is_authority: bool,
    pub dns_names: Vec<String>,
    pub emails: Vec<String>,
}

const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BOOLEAN: u8 = 0x01;
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;

/// One certificate and nothing after it.
pub fn parse(der: &[u8]) -> Result<Certificate, String> {
    let mut outer = Reader::new(der);
    let mut whole = outer.want(der::SEQUENCE, "malformed certificate")?.reader();
    if !outer.is_empty() {
        return Err("x509: trailing data".to_owned());
    }
    let mut inner = whole.want(der::SEQUENCE, "malformed tbs certificate")?.reader();
    let version = version(&mut inner)?;
    let serial = inner.want(der::INTEGER, "malformed serial number")?;
    if serial.inner.first().is_some_and(|first| first & 0x80 != 0) {
        return fault("negative serial number");
    }
    let own = inner.want(der::SEQUENCE, "malformed signature algorithm identifier")?;
    if whole.want(der::SEQUENCE, "malformed algorithm identifier")?.inner != own.inner {
        return fault("inner and outer signature algorithm identifiers don't match");
    }
    check_algorithm(&own)?;
    check_name(&inner.want(der::SEQUENCE, "malformed issuer")?)?;
    let mut validity = inner.want(der::SEQUENCE, "malformed validity")?.reader();
    let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
    check_name(&inner.want(der::SEQUENCE, "malformed issuer")?)?;
    let info = inner.want(der::SEQUENCE, "malformed spki")?;
    let mut parts = info.reader();
    check_algorithm(&parts.want(der::SEQUENCE, "malformed public key algorithm identifier")?)?;
    parts.want(der::BIT_STRING, "malformed subjectPublicKey")?;
    let key = key::parse_info(&info)?;
    let mut found = Certificate { key, not_before, not_after, is_authority: false, dns_names: Vec::new(), emails: Vec::new() };
    if version > 1 {
        for unique_id in [0x81, 0x82] {
            inner.optional(unique_id)?;
        }
        if let Some(extensions) = inner.optional(EXTENSIONS).map_err(|_| "x509: malformed extensions")?.filter(|_| version == 3) {
            found.read_extensions(&extensions)?;
        }
    }
    whole.want(der::BIT_STRING, "malformed signature")?;
    Ok(found)
}

fn fault<T>(text: &str) -> Result<T, String> {
    Err(format!("x509: {text}"))
}

fn version(inner: &mut Reader<'_>) -> Result<u8, String> {
    let Some(version) = inner.optional(VERSION).map_err(|_| "x509: malformed version")? else { return Ok(1) };
    match version.reader().want(der::INTEGER, "malformed version")?.inner {
        [number @ 0..=2] => Ok(number + 1),
        [0..0x80, ..] => fault("invalid version"),
        _ => fault("malformed version"),
    }
}

fn check_algorithm(sequence: &Value<'_>) -> Result<(), String> {
    let mut inner = sequence.reader();
    inner.want(der::OID, "malformed OID")?;
    if !inner.is_empty() {
        inner.any().map_err(|_| "x509: malformed parameters")?;
    }
    Ok(())
}

fn check_name(name: &Value<'_>) -> Result<(), String> {
    let mut sets = name.reader();
    while !sets.is_empty() {
        let mut set = sets.want(der::SET, "invalid RDNSequence")?.reader();
        while !set.is_empty() {
            let mut pair = set.want(der::SEQUENCE, "invalid RDNSequence: invalid attribute")?.reader();
            pair.want(der::OID, "invalid RDNSequence: invalid attribute type")?;
            pair.any().map_err(|_| "x509: invalid RDNSequence: invalid attribute value")?;
        }
    }
    Ok(())
}

/// Two digits of a year, or four.
fn time(validity: &mut Reader<'_>) -> Result<Timestamp, String> {
    const UTC: u8 = 0x17;
    const GENERALIZED: u8 = 0x18;
    let value = validity.any().map_err(|_| "x509: malformed validity")?;
    let text = String::from_utf8_lossy(value.inner).into_owned();
    let (text, what) = match value.identifier {
        UTC => (format!("{}{text}", if text.as_str() < "50" { "20" } else { "19" }), "UTCTime"),
        GENERALIZED => (text, "GeneralizedTime"),
        _ => return fault("unsupported time format"),
    };
    let read = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok().and_then(|time| time.to_zoned(TimeZone::UTC).ok());
    read.map(|time| time.timestamp()).ok_or_else(|| format!("x509: malformed {what}"))
}

impl Certificate {
    fn read_extensions(&mut self, extensions: &Value<'_>) -> Result<(), String> {
        let mut list = extensions.reader().want(der::SEQUENCE, "malformed extensions")?.reader();
        let mut seen = HashSet::new();
        let mut read = Vec::new();
        while !list.is_empty() {
            let mut extension = list.want(der::SEQUENCE, "malformed extension")?.reader();
            let oid = extension.want(der::OID, "malformed extension OID field")?.inner;
            extension.optional(BOOLEAN).map_err(|_| "x509: malformed extension critical field")?;
            let value = extension.want(der::OCTET_STRING, "malformed extension value field")?;
            if !seen.insert(oid) {
                return Err(format!("x509: certificate contains duplicate extension with OID {:?}", dotted(oid)));
            }
            read.push((oid, value));
        }
        for (oid, value) in read {
            match oid {
                BASIC_CONSTRAINTS => {
                    let mut inner = value.reader().want(der::SEQUENCE, "invalid basic constraints")?.reader();
                    let flag = inner.optional(BOOLEAN).map_err(|_| "x509: invalid basic constraints")?;
                    self.is_authority = flag.is_some_and(|flag| flag.inner == [0xff]);
                }
                ALTERNATIVE_NAMES => self.read_names(&value)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_names(&mut self, value: &Value<'_>) -> Result<(), String> {
        const BAD: &str = "invalid subject alternative names";
        let mut names = value.reader().want(der::SEQUENCE, BAD)?.reader();
        while !names.is_empty() {
            let name = names.any().map_err(|_| format!("x509: {BAD}"))?;
            let text = || String::from_utf8_lossy(name.inner).into_owned();
            match name.identifier {
                EMAIL if !name.inner.is_ascii() => return fault("SAN rfc822Name is malformed"),
                DNS if !name.inner.is_ascii() => return fault("SAN dNSName is malformed"),
                EMAIL => self.emails.push(text()),
                DNS => self.dns_names.push(text()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// `2.5.29.19`
fn dotted(oid: &[u8]) -> String {
    let mut numbers: Vec<u128> = Vec::new();
    let mut number: u128 = 0;
    for byte in oid {
        number = number.wrapping_mul(128) | u128::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(std::mem::take(&mut number));
        }
    }
    let Some((first, rest)) = numbers.split_first() else { return String::new() };
    let top = (first / 40).min(2);
    let all = [top, first - 40 * top].into_iter().chain(rest.iter().copied());
    all.map(|number| number.to_string()).collect::<Vec<_>>().join(".")
}
