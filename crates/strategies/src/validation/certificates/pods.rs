//! What pods ask certificates with, and what they are answered.
//!
//! Upstream also wants an issued certificate to begin within five minutes of now, which no update here is told.

use jiff::{SignedDuration, Timestamp};
use object::field::Error;
use serde_json::Value;
use x509::key::{Curve, Key, Kind};
use x509::{certificate, pem, request};

use super::bytes_of;
use crate::check::{At, Faults};
use crate::{equality, metadata};

const BYTES_MAX: usize = 10 << 10;
const ENDS: &[&str] = &["Issued", "Denied", "Failed"];

pub(super) fn validate_stub(at: &At<'_>, faults: &mut Faults) {
    let bytes = bytes_of(at);
    if bytes.len() > BYTES_MAX {
        return faults.too_long(at, BYTES_MAX);
    }
    let Ok(request) = request::parse(&bytes) else { return faults.invalid_omitted(at, "must be a valid PKCS#10 CSR") };
    match validate_kind(at, &request.key, faults) {
        Some(true) if request.check_signature().is_err() => faults.invalid_omitted(at, "invalid signature"),
        Some(false) => faults.invalid_omitted(at, UNKNOWN_KEY),
        _ => {}
    }
}

const UNKNOWN_KEY: &str = "unknown public key type; supported types are Ed25519, ECDSA, and RSA";

/// Whether the key is of a kind that pods may have; none when it is, but not as it should be.
fn validate_kind(at: &At<'_>, key: &Key, faults: &mut Faults) -> Option<bool> {
    match key.kind {
        Kind::Ecdsa(Curve::P224) => {
            faults.invalid_as(at, "curve P-224", "elliptic public keys must use curve P256, P384, or P521");
            None
        }
        Kind::Rsa { bits } if bits != 3072 && bits != 4096 => {
            faults.invalid_as(at, format!("{bits}-bit modulus"), "RSA keys must have modulus size 3072 or 4096");
            None
        }
        Kind::Ecdsa(_) | Kind::Rsa { .. } | Kind::Ed25519 => Some(true),
        Kind::X25519 | Kind::Dsa | Kind::Unknown => Some(false),
    }
}

fn has_ended(request: &At<'_>, ends: &[&str]) -> bool {
    let conditions = request.get("status").get("conditions");
    conditions.list().iter().any(|one| one["status"] == "True" && one["type"].as_str().is_some_and(|kind| ends.contains(&kind)))
}

pub(super) fn validate_status(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (was, status) = (old.get("status"), new.get("status"));
    let n_before = faults.0.len();
    validate_conditions(&status.get("conditions"), faults);
    if faults.0.len() > n_before {
        return;
    }
    let mut must_be = |wanted: &Value, text: &str| {
        if !equality::is_semantically_equal(status.value, wanted) {
            faults.invalid_omitted(&status, text);
        }
    };
    if has_ended(old, ENDS) {
        must_be(was.value, "immutable after PodCertificateRequest is issued, denied, or failed");
    } else if has_ended(new, &["Denied", "Failed"]) {
        let bare = serde_json::json!({"conditions": status.value["conditions"]});
        must_be(&bare, "non-condition status fields must be empty when denying or failing the PodCertificateRequest");
    } else if has_ended(new, &["Issued"]) {
        validate_issued(&new.get("spec"), &status, faults);
    } else {
        must_be(was.value, "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"");
    }
}

fn validate_conditions(list: &At<'_>, faults: &mut Faults) {
    let mut n_ends = 0;
    for (i, condition) in list.items().enumerate() {
        // Upstream writes the place as a field.
        let at = list.path().child(&format!("[{i}]"));
        let (kind, status) = (condition.get("type").text(), condition.get("status").text());
        if !ENDS.contains(&kind) {
            faults.0.push(Error::not_supported(&at.child("type"), kind, ENDS));
            continue;
        }
        n_ends += 1;
        if n_ends > 1 {
            let text = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            faults.0.push(Error::invalid(&at.child("type"), kind, text));
        }
        if status != "True" {
            faults.0.push(Error::not_supported(&at.child("status"), status, &["True"]));
        }
    }
    faults.0.extend(metadata::validate_condition_list(list.value, &list.path()));
}

/// A chain in PEM whose first certificate is for the key that was asked for, and times that agree with it.
fn validate_issued(spec: &At<'_>, status: &At<'_>, faults: &mut Faults) {
    const CHAIN_BYTES_MAX: usize = 100 << 10;
    let chain = status.get("certificateChain");
    if chain.text().len() > CHAIN_BYTES_MAX {
        return faults.too_long(&chain, CHAIN_BYTES_MAX);
    }
    let mut blocks = pem::blocks(chain.text().as_bytes());
    let Some(first) = blocks.next() else {
        return faults.invalid_text(&chain, "issued certificate chain must contain at least one certificate");
    };
    if first.label != pem::CERTIFICATE {
        return faults.invalid_text(&chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Ok(leaf) = certificate::parse(&first.bytes) else {
        return faults.invalid_text(&chain, "leaf certificate does not parse as valid X.509");
    };
    for name in &leaf.dns_names {
        let bad = [
            (name.is_empty(), "leaf certificate should not contain empty DNSName"),
            (name.contains(".."), "leaf certificate's DNSName should not contain '..'"),
            (name.starts_with('.') || name.ends_with('.'), "leaf certificate's DNSName should not start or end with '.'"),
        ];
        for (_, text) in bad.into_iter().filter(|(is_bad, _)| *is_bad) {
            faults.invalid_as(&chain, name.as_str(), text);
        }
    }
    for email in leaf.emails.iter().filter(|email| email.split('@').filter(|part| !part.is_empty()).count() != 2) {
        faults.invalid_as(&chain, email.as_str(), "leaf certificate should not contain invalid EmailAddress");
    }
    let stub = spec.get("stubPKCS10Request");
    let Ok(request) = request::parse(&bytes_of(&stub)) else { return faults.invalid_omitted(&stub, "must be a valid PKCS#10 CSR") };
    if request.key != leaf.key {
        return faults.invalid_text(&chain, "leaf certificate was not issued to the requested public key");
    }
    validate_times(spec, status, &leaf, faults);
    let rest = |block: pem::Block| {
        if block.label == pem::CERTIFICATE {
            certificate::parse(&block.bytes).err().map(|_| "intermediate certificate does not parse as valid X.509")
        } else {
            // Upstream's spelling.
            Some("issued certificate chain must consist entirely of CERTFICATE PEM blocks")
        }
    };
    if faults.0.is_empty()
        && let Some(text) = blocks.find_map(rest)
    {
        faults.invalid_text(&chain, text);
    }
}

fn validate_times(spec: &At<'_>, status: &At<'_>, leaf: &certificate::Certificate, faults: &mut Faults) {
    const MARGIN: SignedDuration = SignedDuration::from_mins(10);
    const SET: &str = "must be present and consistent with the issued certificate";
    let n_before = faults.0.len();
    let (before, after, refresh) = (status.get("notBefore"), status.get("notAfter"), status.get("beginRefreshAt"));
    let texts = [(&before, SET), (&after, SET), (&refresh, "must be present and in the range [notbefore+10min, notafter-10min]")];
    for (at, text) in texts.into_iter().filter(|(at, _)| !at.has_text()) {
        faults.required(at, text);
    }
    if faults.0.len() > n_before {
        return;
    }
    let time = |at: &At<'_>| at.text().parse::<Timestamp>().unwrap_or_default();
    if time(&before) != leaf.not_before {
        return faults.invalid(&before, "must be set to the NotBefore time encoded in the leaf certificate");
    }
    if time(&after) != leaf.not_after {
        return faults.invalid(&after, "must be set to the NotAfter time encoded in the leaf certificate");
    }
    let (lifetime, most) = (leaf.not_after.duration_since(leaf.not_before), spec.get("maxExpirationSeconds").int());
    let chain = status.get("certificateChain");
    if lifetime < SignedDuration::from_hours(1) {
        return faults.invalid_as(&chain, nanos(lifetime), "leaf certificate lifetime must be >= 1 hour");
    }
    if lifetime > SignedDuration::from_secs(most) {
        let text = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})");
        return faults.invalid_as(&chain, nanos(lifetime), text);
    }
    if time(&refresh) < leaf.not_before + MARGIN {
        return faults.invalid(&refresh, "must be at least 10 minutes after status.notBefore");
    }
    if time(&refresh) > leaf.not_after - MARGIN {
        faults.invalid(&refresh, "must be at least 10 minutes before status.notAfter");
    }
}

/// How Go writes a duration as JSON.
fn nanos(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
