//! Volume sources that pods and persistent volumes have in common: disks and servers of single vendors.

use crate::check::{At, Faults};
use crate::shapes;

/// Texts that must be there.
pub(crate) fn needs(at: &At<'_>, fields: &[&'static str], faults: &mut Faults) {
    for field in fields {
        faults.need_text(&at.get(field));
    }
}

fn needs_list(at: &At<'_>, field: &'static str, faults: &mut Faults) {
    if at.get(field).is_empty() {
        faults.required(&at.get(field), "");
    }
}

fn partition(at: &At<'_>, faults: &mut Faults) {
    if !(0..=255).contains(&at.int()) {
        faults.invalid_int(at, shapes::between(1, 255));
    }
}

pub(crate) fn gce(at: &At<'_>, faults: &mut Faults) {
    needs(at, &["pdName"], faults);
    partition(&at.get("partition"), faults);
}

pub(crate) fn aws(at: &At<'_>, faults: &mut Faults) {
    needs(at, &["volumeID"], faults);
    partition(&at.get("partition"), faults);
}

pub(crate) fn nfs(at: &At<'_>, faults: &mut Faults) {
    needs(at, &["server", "path"], faults);
    let path = at.get("path");
    if !path.text().starts_with('/') {
        faults.invalid_text(&path, "must be an absolute path");
    }
}

pub(crate) fn flocker(at: &At<'_>, faults: &mut Faults) {
    let (name, uuid) = (at.get("datasetName"), at.get("datasetUUID"));
    match (name.has_text(), uuid.has_text()) {
        (false, false) => faults.required(at, "one of datasetName and datasetUUID is required"),
        (true, true) => faults.invalid_as(at, "resource", "datasetName and datasetUUID can not be specified simultaneously"),
        _ => {}
    }
    if name.text().contains('/') {
        faults.invalid_text(&name, "must not contain '/'");
    }
}

pub(crate) fn rbd(at: &At<'_>, faults: &mut Faults) {
    needs_list(at, "monitors", faults);
    needs(at, &["image"], faults);
}

pub(crate) fn cephfs(at: &At<'_>, faults: &mut Faults) {
    needs_list(at, "monitors", faults);
}

/// A reference upstream names by a path with a dot in it; it reads the same.
fn secret_needs(at: &At<'_>, fields: &[&'static str], faults: &mut Faults) {
    let secret = at.get("secretRef");
    if secret.is_set() {
        needs(&secret, fields, faults);
    }
}

pub(crate) fn cinder(at: &At<'_>, faults: &mut Faults) {
    needs(at, &["volumeID"], faults);
    secret_needs(at, &["name"], faults);
}

pub(crate) fn cinder_volume(at: &At<'_>, faults: &mut Faults) {
    needs(at, &["volumeID"], faults);
    secret_needs(at, &["name", "namespace"], faults);
}

pub(crate) fn quobyte(at: &At<'_>, faults: &mut Faults) {
    const TENANT_MAX: usize = 64;
    const PAIR: &str = "must be a host:port pair or multiple pairs separated by commas";
    let (registry, tenant) = (at.get("registry"), at.get("tenant"));
    if !registry.has_text() {
        faults.required(&registry, PAIR);
    } else if tenant.text().len() > TENANT_MAX {
        faults.required(&tenant, "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in registry.text().split(',').filter(|pair| pair.matches(':').count() != 1) {
            faults.invalid_text(&registry, PAIR);
        }
    }
    needs(at, &["volume"], faults);
}

pub(crate) fn fc(at: &At<'_>, faults: &mut Faults) {
    let (names, ids, lun) = (at.get("targetWWNs"), at.get("wwids"), at.get("lun"));
    if names.is_empty() && ids.is_empty() {
        faults.required(&names, "must specify either targetWWNs or wwids, but not both");
    }
    if !names.is_empty() && !ids.is_empty() {
        faults.invalid(&names, "targetWWNs and wwids can not be specified simultaneously");
    }
    if !names.is_empty() && !lun.is_set() {
        faults.required(&lun, "lun is required if targetWWNs is specified");
    } else if !names.is_empty() && !(0..=255).contains(&lun.int()) {
        faults.invalid(&lun, shapes::between(0, 255));
    }
}

pub(crate) fn flex(at: &At<'_>, faults: &mut Faults) {
    needs(at, &["driver"], faults);
    for (key, option) in at.get("options").entries() {
        let namespace = format!(".{}", key.split('/').next().unwrap_or(key).to_lowercase());
        if [".kubernetes.io", ".k8s.io"].iter().any(|reserved| namespace.ends_with(reserved)) {
            faults.invalid_as(&option, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

pub(crate) fn azure_disk(at: &At<'_>, faults: &mut Faults) {
    needs(at, &["diskName", "diskURI"], faults);
    let (kind, uri) = (at.get("kind"), at.get("diskURI"));
    faults.one_of(&at.get("cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
    faults.one_of(&kind, &["Dedicated", "Managed", "Shared"]);
    if kind == "Managed" && !uri.text().starts_with("/subscriptions/") {
        let form = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
        faults.not_supported(&uri, &[form]);
    } else if kind.is_set() && kind != "Managed" && !uri.text().starts_with("https://") {
        faults.not_supported(&uri, &["https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"]);
    }
}

pub(crate) fn storage_os(at: &At<'_>, faults: &mut Faults) {
    storage_os_with(at, &["name"], faults);
}

pub(crate) fn storage_os_volume(at: &At<'_>, faults: &mut Faults) {
    storage_os_with(at, &["name", "namespace"], faults);
}

fn storage_os_with(at: &At<'_>, secret: &[&'static str], faults: &mut Faults) {
    let (name, namespace) = (at.get("volumeName"), at.get("volumeNamespace"));
    if faults.need_text(&name) {
        faults.label(&name);
    }
    if namespace.has_text() {
        faults.label(&namespace);
    }
    secret_needs(at, secret, faults);
}

/// `iqn.2001-04.com.example:disk`, `eui.` and 16, `naa.` and 16 or 32 hexadecimal digits.
fn is_initiator(text: &str) -> bool {
    let is_hex = |digits: &str, lens: &[usize]| lens.contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
    if let Some(rest) = text.strip_prefix("iqn.") {
        let date = |date: &str| {
            let bytes = date.as_bytes();
            bytes.len() == 8 && bytes[4] == b'-' && bytes[7] == b'.' && [0, 1, 2, 3, 5, 6].iter().all(|i| bytes[*i].is_ascii_digit())
        };
        let tail = rest.get(8..).unwrap_or("");
        let is_tail = |c: u8| c.is_ascii_alphanumeric() || b"._:-".contains(&c);
        return rest.get(..8).is_some_and(date)
            && tail.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && tail.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric)
            && tail.bytes().all(is_tail);
    }
    text.strip_prefix("eui.").is_some_and(|digits| is_hex(digits, &[16]))
        || text.strip_prefix("naa.").is_some_and(|digits| is_hex(digits, &[16, 32]))
}

fn initiator(at: &At<'_>, is_of_pod: bool, faults: &mut Faults) {
    let has_prefix = ["iqn", "eui", "naa"].iter().any(|prefix| at.text().starts_with(prefix));
    if !has_prefix && is_of_pod {
        faults.invalid_text(at, "must be valid format starting with iqn, eui, or naa");
    } else if !is_initiator(at.text()) {
        faults.invalid_text(at, "must be valid format");
    }
}

pub(crate) fn iscsi(at: &At<'_>, faults: &mut Faults) {
    iscsi_with(at, true, faults);
}

pub(crate) fn iscsi_volume(at: &At<'_>, faults: &mut Faults) {
    iscsi_with(at, false, faults);
}

fn iscsi_with(at: &At<'_>, is_of_pod: bool, faults: &mut Faults) {
    let (iqn, lun) = (at.get("iqn"), at.get("lun"));
    needs(at, &["targetPortal"], faults);
    if faults.need_text(&iqn) {
        initiator(&iqn, is_of_pod, faults);
    }
    if !(0..=255).contains(&lun.int()) {
        faults.invalid_int(&lun, shapes::between(0, 255));
    }
    let secret = at.get("secretRef");
    if (at.get("chapAuthDiscovery").is_true() || at.get("chapAuthSession").is_true()) && !secret.is_set() {
        faults.required(&secret, "");
    }
    if !is_of_pod {
        secret_needs(at, &["name"], faults);
    }
    let own = at.get("initiatorName");
    if own.is_set() {
        // Upstream writes the field in small letters.
        initiator(&at.named("initiatorname").with(own.value), is_of_pod, faults);
    }
}

const SESSION_MAX: usize = 64;
const SESSION_TEXT: &str =
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";

/// The name of the session is made of two names and has a limit.
fn is_session_too_long(at: &At<'_>, name: &str) -> bool {
    at.get("initiatorName").is_set() && name.len() + 1 + at.get("targetPortal").text().len() > SESSION_MAX
}

pub(crate) fn iscsi_length(at: &At<'_>, name: &At<'_>, faults: &mut Faults) {
    if is_session_too_long(at, name.text()) {
        faults.invalid_text(name, SESSION_TEXT);
    }
}

pub(crate) fn iscsi_volume_length(at: &At<'_>, name: &str, faults: &mut Faults) {
    if is_session_too_long(at, name) {
        faults.invalid_text(&at.named("targetportal").with(&at.value["targetPortal"]), SESSION_TEXT);
    }
}
