//! Names of signers and bundles, which pods and certificate kinds share.

use object::names;

use crate::check::{At, Faults};

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
    let (name, signer) = (bundle.get("metadata").get("name"), bundle.get("spec").get("signerName"));
    faults.each(&name, trust_bundle_name_faults(signer.text(), name.text()));
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
