//! Environment variables and where their values come from.

use object::names;

use crate::check::{At, Faults};
use crate::shapes;

const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
pub(super) const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: &[&str] =
    &["limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"];

pub(super) fn validate(list: &At<'_>, faults: &mut Faults) {
    for variable in list.items() {
        let name = variable.get("name");
        if faults.need_text(&name) {
            faults.each(&name, shapes::variable_name(name.text()));
        }
        let from = variable.get("valueFrom");
        if from.is_set() {
            validate_source(&from, variable.get("value").has_text(), faults);
        }
    }
}

fn validate_source(from: &At<'_>, has_value: bool, faults: &mut Faults) {
    let mut sources = 0;
    let mut source = |name: &'static str, faults: &mut Faults, check: fn(&At<'_>, &mut Faults)| {
        let at = from.get(name);
        if at.is_set() {
            sources += 1;
            check(&at, faults);
        }
    };
    source("fieldRef", faults, |at, faults| validate_field_ref(at, FIELDS, faults));
    source("resourceFieldRef", faults, |at, faults| validate_resource_ref(at, false, faults));
    source("configMapKeyRef", faults, validate_key_ref);
    source("secretKeyRef", faults, validate_key_ref);
    source("fileKeyRef", faults, validate_file_ref);
    if sources == 0 {
        faults.invalid_as(
            from,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        );
    } else if has_value {
        faults.invalid_as(from, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        faults.invalid_as(from, "", "may not have more than one field specified at a time");
    }
}

fn validate_key_ref(at: &At<'_>, faults: &mut Faults) {
    faults.subdomain(&at.get("name"));
    let key = at.get("key");
    if faults.need_text(&key) {
        faults.each(&key, shapes::config_key(key.text()));
    }
}

fn validate_file_ref(at: &At<'_>, faults: &mut Faults) {
    let (key, volume, path) = (at.get("key"), at.get("volumeName"), at.get("path"));
    if faults.need_text(&key) {
        faults.each(&key, shapes::variable_name(key.text()));
    }
    if faults.need_text(&volume) {
        faults.label(&volume);
    }
    if faults.need_text(&path) {
        shapes::path_without_backsteps(&path, faults);
    }
}

/// Splits `metadata.labels['key']`.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    let (name, rest) = path.strip_suffix("']")?.split_once("['")?;
    (!name.is_empty()).then_some((name, rest))
}

/// What the conversion of a field label knows, beyond what may be asked here.
const CONVERTIBLE: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn validate_field_ref(at: &At<'_>, supported: &[&str], faults: &mut Faults) {
    let (version, path) = (at.get("apiVersion"), at.get("fieldPath"));
    if !faults.need_text(&version) || !faults.need_text(&path) {
        return;
    }
    let subscript = subscripted(path.text());
    let is_known = match subscript {
        Some((name, _)) => matches!(name, "metadata.annotations" | "metadata.labels"),
        None => CONVERTIBLE.contains(&path.text()) || path == "spec.host",
    };
    if version != "v1" {
        faults.invalid_text(&path, format!("error converting fieldPath: unsupported pod version: {}", version.text()));
        return;
    }
    if !is_known {
        let what = if subscript.is_some() { "field label does not support subscript" } else { "field label not supported" };
        faults.invalid_text(&path, format!("error converting fieldPath: {what}: {}", path.text()));
        return;
    }
    match subscript {
        Some(("metadata.annotations", key)) => faults.each_as(at, &key.to_lowercase(), names::qualified_name_faults(&key.to_lowercase())),
        Some((_, key)) => faults.each_as(at, key, names::qualified_name_faults(key)),
        None => faults.one_of(&path, supported),
    }
}

pub(super) fn validate_resource_ref(at: &At<'_>, is_volume: bool, faults: &mut Faults) {
    let (container, resource) = (at.get("containerName"), at.get("resource"));
    let is_huge = ["requests.hugepages-", "limits.hugepages-"].iter().any(|prefix| resource.text().starts_with(prefix));
    if is_volume && !container.has_text() {
        faults.required(&container, "");
    } else if faults.need_text(&resource) && !is_huge {
        faults.one_of(&resource, RESOURCES);
    }
    validate_divisor(at, resource.text(), is_huge, faults);
}

fn validate_divisor(at: &At<'_>, resource: &str, is_huge: bool, faults: &mut Faults) {
    const SIZES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let divisor = at.get("divisor");
    if matches!(divisor.text(), "" | "0") {
        return;
    }
    let (is_fine, named) = match resource {
        "limits.cpu" | "requests.cpu" => {
            if !matches!(divisor.text(), "1" | "1m") {
                faults.invalid_as(&divisor, resource, "only divisor's values 1m and 1 are supported with the cpu resource");
            }
            return;
        }
        "limits.memory" | "requests.memory" => (SIZES.contains(&divisor.text()), "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (SIZES.contains(&divisor.text()), "local ephemeral storage"),
        _ if is_huge => (SIZES.contains(&divisor.text()), "hugepages"),
        _ => return,
    };
    if !is_fine {
        faults.invalid_as(
            &divisor,
            resource,
            format!("only divisor's values {} are supported with the {named} resource", SIZES.join(", ")),
        );
    }
}

/// `envFrom`. Upstream names the list, not the entry, when the number of sources is wrong.
pub(super) fn validate_from(list: &At<'_>, faults: &mut Faults) {
    for entry in list.items() {
        let prefix = entry.get("prefix");
        if prefix.has_text() {
            faults.each(&prefix, shapes::variable_name(prefix.text()));
        }
        let sources: Vec<At<'_>> = ["configMapRef", "secretRef"].into_iter().map(|name| entry.get(name)).filter(At::is_set).collect();
        for source in &sources {
            let name = source.get("name");
            if faults.need_text(&name) {
                faults.each(&name, prefix_faults(name.text()));
            }
        }
        match sources.len() {
            0 => faults.invalid_as(list, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => faults.invalid_as(list, "", "may not have more than one field specified at a time"),
        }
    }
}

/// Upstream checks these names as if more were to follow.
fn prefix_faults(name: &str) -> Vec<String> {
    crate::row::NameRule::Subdomain.prefix_faults(name)
}
