//! Projected volumes: several sources laid out in one directory.

use std::collections::HashSet;

use super::volumes;
use crate::check::{At, Faults};
use crate::shapes;
use crate::validation::certificates::{is_kubernetes_signer, trust_bundle_name_faults, validate_signer_name, validate_user_annotations};

/// Paths taken so far in the one directory.
type Taken<'a> = HashSet<&'a str>;

const KINDS: &[&str] = &["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];

pub(super) fn validate(volume: &At<'_>, faults: &mut Faults) {
    shapes::file_mode(&volume.get("defaultMode"), faults);
    let mut taken = Taken::new();
    for source in volume.get("sources").items() {
        let mut count = 0;
        for kind in KINDS {
            let at = source.get(kind);
            if !at.is_set() {
                continue;
            }
            count += 1;
            match *kind {
                "secret" | "configMap" => validate_files(&at, volume, &mut taken, faults),
                "downwardAPI" => validate_downward(&at, volume, &mut taken, faults),
                "serviceAccountToken" => validate_token(&at, volume, faults),
                "clusterTrustBundle" => validate_bundle(&at, volume, &mut taken, faults),
                _ => validate_certificate(&at, volume, &mut taken, faults),
            }
        }
        if count > 1 {
            faults.forbidden(&source, "may not specify more than 1 volume type per source");
        }
    }
}

fn take<'a>(taken: &mut Taken<'a>, path: &'a str, volume: &At<'_>, shown: &str, faults: &mut Faults) {
    if !taken.insert(path) {
        faults.invalid_as(volume, shown, "conflicting duplicate paths");
    }
}

fn validate_files<'a>(at: &At<'a>, volume: &At<'_>, taken: &mut Taken<'a>, faults: &mut Faults) {
    let name = at.get("name");
    faults.need_text(&name);
    for item in at.get("items").items() {
        volumes::validate_item(&item, faults);
        if item.get("path").has_text() {
            take(taken, item.get("path").text(), volume, name.text(), faults);
        }
    }
}

fn validate_downward<'a>(at: &At<'a>, volume: &At<'_>, taken: &mut Taken<'a>, faults: &mut Faults) {
    for item in at.get("items").items() {
        volumes::validate_downward_file(&at.with(item.value), faults);
        let path = item.get("path").text();
        if !path.is_empty() {
            take(taken, path, volume, path, faults);
        }
    }
}

fn validate_token(at: &At<'_>, volume: &At<'_>, faults: &mut Faults) {
    const SECONDS_MIN: i64 = 600;
    const SECONDS_MAX: i64 = 1 << 32;
    let seconds = at.get("expirationSeconds");
    if !seconds.is_set() {
        faults.required(&seconds, "");
    } else if seconds.int() < SECONDS_MIN {
        faults.invalid_int(&seconds, "may not specify a duration less than 10 minutes");
    } else if seconds.int() > SECONDS_MAX {
        faults.invalid_int(&seconds, "may not specify a duration larger than 2^32 seconds");
    }
    // Upstream's path is the volume's.
    let path = volume.named("path").with(&at.value["path"]);
    if faults.need_text(&path) {
        shapes::local_path(&path, faults);
    }
}

fn validate_bundle<'a>(at: &At<'a>, volume: &At<'_>, taken: &mut Taken<'a>, faults: &mut Faults) {
    let (name, signer, selector, path) = (at.get("name"), at.get("signerName"), at.get("labelSelector"), at.get("path"));
    match (name.is_set(), signer.is_set()) {
        (true, true) => faults.invalid(at, "only one of name and signerName may be used"),
        (true, false) => {
            if !name.has_text() {
                faults.required(&name, "must be a valid object name");
            }
            let signer_in_name = name.text().rsplit_once(':').map_or(String::new(), |(signer, _)| signer.replace(':', "/"));
            for fault in trust_bundle_name_faults(&signer_in_name, name.text()) {
                faults.invalid_text(&name, format!("not a valid clustertrustbundlename: {fault}"));
            }
            if selector.is_set() {
                faults.invalid(&selector, "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if !signer.has_text() {
                faults.required(&signer, "must be a valid signer name");
            }
            validate_signer_name(&signer, faults);
            faults.selector(&selector);
        }
        (false, false) => faults.required(at, "either name or signerName must be specified"),
    }
    faults.need_text(&path);
    shapes::local_path(&path, faults);
    take(taken, path.text(), volume, path.text(), faults);
}

const KEY_TYPES: &[&str] = &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
const HOUR: i64 = 3600;

fn validate_certificate<'a>(at: &At<'a>, volume: &At<'_>, taken: &mut Taken<'a>, faults: &mut Faults) {
    let (signer, seconds) = (at.get("signerName"), at.get("maxExpirationSeconds"));
    validate_signer_name(&signer, faults);
    validate_user_annotations(&at.get("userAnnotations"), faults);
    let kind = at.get("keyType");
    if !KEY_TYPES.contains(&kind.text()) {
        faults.not_supported(&kind, KEY_TYPES);
    }
    let most = if is_kubernetes_signer(signer.text()) { 24 * HOUR } else { 91 * 24 * HOUR };
    if seconds.is_set() && seconds.int() < HOUR {
        faults.invalid_int(&seconds, format!("if provided, maxExpirationSeconds must be >= {HOUR}"));
    }
    if seconds.int() > most {
        faults.invalid_int(&seconds, format!("if provided, maxExpirationSeconds must be <= {most}"));
    }
    let mut paths = 0;
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = at.get(field);
        if path.has_text() {
            paths += 1;
            shapes::local_path(&path, faults);
            take(taken, path.text(), volume, path.text(), faults);
        }
    }
    if paths == 0 {
        faults.required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}

/// Tokens are for pods with an account.
pub(super) fn forbid_tokens(spec: &At<'_>, faults: &mut Faults) {
    for volume in spec.get("volumes").items() {
        for source in volume.get("projected").get("sources").items() {
            let token = source.get("serviceAccountToken");
            if token.is_set() {
                faults.forbidden(&token, "must not be specified when serviceAccountName is not set");
            }
        }
    }
}
