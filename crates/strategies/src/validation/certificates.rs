//! certificates.k8s.io, and the names of signers and bundles, which pods share.

mod pods;

use std::collections::HashSet;

use base64::Engine as _;
use object::names;
use serde_json::Value;
use x509::{certificate, pem, request};

use crate::check::{At, Faults};
use crate::metadata;
use crate::row::NameRule;

const DOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;

pub(crate) fn is_kubernetes_signer(name: &str) -> bool {
    let host = name.split('/').next().unwrap_or(name);
    host == "kubernetes.io" || host.ends_with(".kubernetes.io")
}

/// `domain/path`.
pub(crate) fn validate_signer_name(at: &At<'_>, faults: &mut Faults) {
    if !faults.need_text(at) {
        return;
    }
    let Some((domain, path)) = at.text().split_once('/').filter(|(_, path)| !path.contains('/')) else {
        faults.invalid_text(at, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    };
    if domain.len() > DOMAIN_MAX {
        faults.too_long(at, DOMAIN_MAX);
    }
    // One bad label is enough.
    let first_bad = |text: &str, rule: fn(&str) -> Vec<String>| {
        text.split('.').map(|label| (label.to_owned(), rule(label))).find(|(_, found)| !found.is_empty())
    };
    if let Some((label, found)) = first_bad(domain, names::label_faults) {
        faults.each_as(at, domain, found.into_iter().map(|fault| format!("validating label {label:?}: {fault}")).collect());
    }
    if !domain.contains('.') {
        faults.invalid_as(at, domain, "should be a domain with at least two segments separated by dots");
    }
    if let Some((label, found)) = first_bad(path, names::subdomain_faults) {
        faults.each_as(at, path, found.into_iter().map(|fault| format!("validating label {label:?}: {fault}")).collect());
    }
    let most = 2 * DOMAIN_MAX + LABEL_MAX + 2;
    if at.text().len() > most {
        faults.too_long(at, most);
    }
}

/// A bundle of a signer carries its name in front, with colons for slashes.
pub(crate) fn trust_bundle_name_faults(signer: &str, name: &str) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
        }
        return names::subdomain_faults(name);
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => names::subdomain_faults(rest),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")],
    }
}

pub(crate) fn validate_bundle(bundle: &At<'_>, faults: &mut Faults) {
    const BYTES_MAX: usize = 1 << 20;
    let spec = bundle.get("spec");
    let (name, signer, anchors) = (bundle.get("metadata").get("name"), spec.get("signerName"), spec.get("trustBundle"));
    if name.has_text() {
        faults.each(&name, trust_bundle_name_faults(signer.text(), name.text()));
    }
    let base = bundle.get("metadata").get("generateName");
    if base.has_text() {
        // More letters follow.
        let whole = format!("{}a", base.text());
        faults.each(&base, trust_bundle_name_faults(signer.text(), &whole));
    }
    if signer.has_text() {
        validate_signer_name(&signer, faults);
    }
    if anchors.text().len() > BYTES_MAX {
        faults.too_long(&anchors, BYTES_MAX);
    } else {
        faults.unless_kept(&anchors, |faults| validate_anchors(&anchors, faults));
    }
}

/// Certificates of authorities in PEM, each once.
fn validate_anchors(anchors: &At<'_>, faults: &mut Faults) {
    let mut seen: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
    let mut says = |text: String| faults.invalid_as(anchors, "<value omitted>", text);
    let mut has_bad = false;
    for (i, block) in pem::blocks(anchors.text().as_bytes()).enumerate() {
        let found = if block.label != pem::CERTIFICATE {
            format!("has bad block type: {}", block.label)
        } else if block.has_headers {
            "has PEM block headers".to_owned()
        } else {
            match certificate::parse(&block.bytes) {
                Err(_) => "does not parse as X.509".to_owned(),
                Ok(certificate) if !certificate.is_authority => "does not have the CA bit set".to_owned(),
                Ok(_) => {
                    match seen.iter_mut().find(|(bytes, _)| *bytes == block.bytes) {
                        Some((_, places)) => places.push(i),
                        None => seen.push((block.bytes, vec![i])),
                    }
                    continue;
                }
            }
        };
        has_bad = true;
        says(format!("entry {i} {found}"));
    }
    if has_bad {
        return;
    }
    if seen.is_empty() {
        says("at least one trust anchor must be provided".to_owned());
    }
    for (_, places) in seen.iter().filter(|(_, places)| places.len() > 1) {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        says(format!("duplicate trust anchor (indices [{}])", places.join(" ")));
    }
}

/// What base64 text stands for; nothing if it is none.
fn bytes_of(at: &At<'_>) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(at.text()).unwrap_or_default()
}

/// That it is a request, signed by its own key.
fn check_request(pem_text: &[u8]) -> Result<(), String> {
    let block = pem::blocks(pem_text).next().filter(|block| block.label == "CERTIFICATE REQUEST");
    let block = block.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    request::parse(&block.bytes)?.check_signature()
}

/// That there is nothing but certificates in it.
fn check_certificates(pem_text: &[u8]) -> Result<(), String> {
    let mut n_blocks = 0;
    for block in pem::blocks(pem_text) {
        if block.label != pem::CERTIFICATE {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        if block.has_headers {
            return Err("no PEM block headers are permitted".to_owned());
        }
        if block.bytes.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        certificate::parse(&block.bytes)?;
        n_blocks += 1;
    }
    if n_blocks == 0 { Err("must contain at least one CERTIFICATE PEM block".to_owned()) } else { Ok(()) }
}

pub(crate) fn validate_bundle_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, false, NameRule::TrustBundle);
    validate_bundle(new, faults);
    faults.immutable_text(&old.get("spec").get("signerName"), &new.get("spec").get("signerName"));
}

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub(crate) fn validate_request(request: &At<'_>, faults: &mut Faults) {
    const SECONDS_MIN: i64 = 600;
    const LEGACY: &str = "kubernetes.io/legacy-unknown";
    let spec = request.get("spec");
    let (body, usages, signer, seconds) = (spec.get("request"), spec.get("usages"), spec.get("signerName"), spec.get("expirationSeconds"));
    if let Err(fault) = check_request(&bytes_of(&body)) {
        faults.invalid(&body, fault);
    }
    if usages.is_empty() {
        faults.required(&usages, "");
    }
    for usage in usages.items().filter(|usage| !USAGES.contains(&usage.text())) {
        faults.tolerable("unknown usages", |faults| faults.not_supported(&usage, USAGES));
    }
    let mut seen = HashSet::new();
    for usage in usages.items().filter(|usage| !seen.insert(usage.text())) {
        faults.tolerable("usages twice", |faults| faults.duplicate_as(&usage, usage.text()));
    }
    if signer == LEGACY {
        const TEXT: &str = "the legacy signerName is not allowed via this API version";
        faults.tolerable("legacy signers", |faults| faults.invalid_text(&signer, TEXT));
    } else {
        validate_signer_name(&signer, faults);
    }
    if seconds.is_set() && seconds.int() < SECONDS_MIN {
        faults.invalid_int(&seconds, "may not specify a duration less than 600 seconds (10 minutes)");
    }
    validate_conditions(&request.get("status").get("conditions"), faults);
    let certificate = request.get("status").get("certificate");
    if certificate.has_text()
        && let Err(fault) = check_certificates(&bytes_of(&certificate))
    {
        faults.tolerable("certificates", |faults| faults.invalid_as(&certificate, "<certificate data>", fault));
    }
}

fn validate_conditions(list: &At<'_>, faults: &mut Faults) {
    let mut seen: HashSet<&str> = HashSet::new();
    for condition in list.items() {
        let (kind, status) = (condition.get("type"), condition.get("status"));
        faults.tolerable("conditions without a type", |faults| _ = faults.need_text(&kind));
        let allowed: &[&str] =
            if matches!(kind.text(), "Approved" | "Denied" | "Failed") { &["True"] } else { &["False", "True", "Unknown"] };
        faults.need_one_of(&status, allowed);
        let other = match kind.text() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "\0",
        };
        if seen.contains(other) {
            const TEXT: &str = "Approved and Denied conditions are mutually exclusive";
            faults.covered(|faults| faults.tolerable("approved and denied", |faults| faults.invalid_as(list, kind.text(), TEXT)));
        }
        if !seen.insert(kind.text()) {
            faults.tolerable("conditions twice", |faults| faults.duplicate_as(&kind, kind.text()));
        }
    }
    if seen.contains("Approved") && seen.contains("Denied") {
        const APPROVED: &str = r#"conditions[{"type": "Approved"}]"#;
        const DENIED: &str = r#"conditions[{"type": "Denied"}]"#;
        let text = format!("must specify at most one of: `{APPROVED}`, `{DENIED}`");
        faults.later(|faults| faults.invalid_as(list, format!("{{{APPROVED}, {DENIED}}}"), text));
    }
}

pub(crate) fn validate_request_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.0.extend(metadata::validate(new.value, false, NameRule::PathSegment, &object::field::Path::new("metadata")));
    validate_request(new, faults);
    let (before, after) = (old.get("status"), new.get("status"));
    let at = after.get("conditions");
    let of_kind = |status: &At<'_>, kind: &str| -> Vec<Value> {
        status.get("conditions").list().iter().filter(|condition| condition["type"] == kind).cloned().collect()
    };
    for kind in ["Approved", "Denied", "Failed"] {
        if of_kind(&after, kind).len() < of_kind(&before, kind).len() {
            faults.forbidden(&at, format!("updates may not remove a condition of type {kind:?}"));
        }
    }
    for kind in ["Approved", "Denied"].into_iter().filter(|_| subresource != "approval") {
        let (was, is) = (of_kind(&before, kind), of_kind(&after, kind));
        if is.len() > was.len() {
            faults.forbidden(&at, format!("updates may not add a condition of type {kind:?}"));
        } else if is.len() == was.len() && is != was {
            faults.forbidden(&at, format!("updates may not modify a condition of type {kind:?}"));
        }
    }
    let (was, is) = (before.get("certificate"), after.get("certificate"));
    if was.text() != is.text() {
        if subresource != "status" {
            faults.forbidden(&is, "updates may not set certificate content");
        } else if was.has_text() {
            faults.forbidden(&is, "updates may not modify existing certificate content");
        }
    }
}

/// What a pod's request says of the pod and of itself.
pub(crate) fn validate_pod_request(request: &At<'_>, faults: &mut Faults) {
    const UID_LEN_MAX: usize = 128;
    const HOUR: i64 = 3600;
    let spec = request.get("spec");
    let (signer, seconds) = (spec.get("signerName"), spec.get("maxExpirationSeconds"));
    validate_signer_name(&signer, faults);
    validate_user_annotations(&spec.get("unverifiedUserAnnotations"), faults);
    for (name, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        let uid = spec.get(uid);
        faults.subdomain(&spec.get(name));
        if !uid.has_text() {
            faults.invalid_text(&uid, "must not be empty");
        }
        if uid.text().len() > UID_LEN_MAX {
            faults.too_long(&uid, UID_LEN_MAX);
        }
    }
    if !seconds.is_set() {
        faults.required(&seconds, "must be set");
        return;
    }
    let most = if is_kubernetes_signer(signer.text()) { 24 * HOUR } else { 91 * 24 * HOUR };
    if !(HOUR..=most).contains(&seconds.int()) {
        faults.invalid_int(&seconds, format!("must be in the range [{HOUR}, {most}]"));
    }
    let stub = spec.get("stubPKCS10Request");
    if stub.has_text() {
        pods::validate_stub(&stub, faults);
    } else {
        // Upstream still names what only an older version had.
        faults.invalid_omitted(&spec, "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set");
    }
}

pub(crate) fn validate_pod_request_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource != "status" {
        faults.immutable_go(&old.get("spec"), &new.get("spec"), "PodCertificateRequestSpec");
        return;
    }
    pods::validate_status(old, new, faults);
}

/// Keys that begin with a domain.
pub(crate) fn validate_user_annotations(at: &At<'_>, faults: &mut Faults) {
    const BYTES_MAX: usize = 256 << 10;
    let mut bytes = 0;
    for (key, value) in at.entries() {
        let lower = key.to_lowercase();
        let found = names::qualified_name_faults(&lower);
        if found.is_empty() && !lower.contains('/') {
            faults.invalid_as(at, lower.as_str(), "must be a domain-prefixed key (such as \"acme.io/foo\")");
        }
        faults.each_as(at, &lower, found);
        bytes += key.len() + value.text().len();
    }
    if bytes > BYTES_MAX {
        faults.too_long(at, BYTES_MAX);
    }
}
