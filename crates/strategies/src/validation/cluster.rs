//! Small kinds that steer nodes and components: priority classes, runtime classes, leases, storage migrations, API services.

use std::collections::HashSet;

use object::field::Error;
use serde_json::Value;

use super::pods::{refuse_comparison, validate_overhead, validate_tolerations};
use crate::check::{At, Faults, IMMUTABLE};
use crate::go_json;
use crate::metadata;
use crate::row::NameRule;
use crate::shapes;

const PRIORITY_MAX: i64 = 1_000_000_000;
/// The names upstream keeps for itself, and their values.
const SYSTEM_CLASSES: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub(crate) fn validate_priority(class: &At<'_>, faults: &mut Faults) {
    let (name, value, preemption) = (class.get("metadata").get("name"), class.get("value"), class.get("preemptionPolicy"));
    if name.text().starts_with("system-") {
        let fault = match SYSTEM_CLASSES.iter().find(|(system, _)| name == *system) {
            None => Some(format!("{} is not a known system priority class", name.text())),
            Some((system, wanted)) if value.int() != *wanted => Some(format!("value of {system} PriorityClass must be {wanted}")),
            Some((system, _)) if class.get("globalDefault").is_true() => {
                Some(format!("globalDefault of {system} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(fault) = fault {
            faults.forbidden(&name, format!("priority class names with 'system-' prefix are reserved for system use only. error: {fault}"));
        }
    } else if value.int() > PRIORITY_MAX {
        faults.forbidden(&value, format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}"));
    }
    if preemption.is_set() {
        faults.need_one_of(&preemption, &["PreemptLowerPriority", "Never"]);
    }
}

pub(crate) fn validate_priority_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if old.get("value").int() != new.get("value").int() {
        faults.forbidden(&new.get("value"), "may not be changed in an update.");
    }
    faults.immutable(&old.get("preemptionPolicy"), &new.get("preemptionPolicy"));
}

pub(crate) fn validate_runtime(class: &At<'_>, faults: &mut Faults) {
    let handler = class.get("handler");
    if faults.need_text_later(&handler) {
        let found = object::names::label_faults(handler.text());
        faults.covered(|faults| faults.each(&handler, found.clone()));
        // Upstream's generated rule counts the same in other words.
        let found = found.into_iter().map(|fault| fault.replace("63 characters", "63 bytes")).collect();
        faults.later(|faults| faults.each(&handler, found));
    }
    let overhead = class.get("overhead");
    validate_overhead(&overhead.with(&overhead.value["podFixed"]), faults);
    faults.labels(&class.get("scheduling").get("nodeSelector"));
    let tolerations = class.get("scheduling").get("tolerations");
    validate_tolerations(&tolerations, refuse_comparison, faults);
    let mut seen = HashSet::new();
    for toleration in tolerations.items() {
        let key = ["key", "operator", "value", "effect"].map(|field| toleration.value[field].as_str().unwrap_or(""));
        if !seen.insert(key) {
            faults.0.push(Error::duplicate(&toleration.path(), Value::Null).showing(go_json::compact("Toleration", toleration.value)));
        }
    }
}

pub(crate) fn validate_runtime_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let handler = new.get("handler");
    let is_kept = faults.immutable_later(&old.get("handler"), &handler);
    if is_kept || !handler.has_text() {
        validate_runtime(new, faults);
    } else {
        faults.only_written(|faults| validate_runtime(new, faults));
    }
}

pub(crate) fn validate_lease(lease: &At<'_>, faults: &mut Faults) {
    let spec = lease.get("spec");
    let (seconds, changes) = (spec.get("leaseDurationSeconds"), spec.get("leaseTransitions"));
    if seconds.is_set() && seconds.int() <= 0 {
        faults.invalid_int(&seconds, "must be greater than 0");
    }
    faults.not_negative(&changes);
}

pub(crate) fn validate_lease_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_lease(new, faults);
}

pub(crate) fn validate_migration(migration: &At<'_>, faults: &mut Faults) {
    let (group, resource) = (migration.get("spec").get("resource").get("group"), migration.get("spec").get("resource").get("resource"));
    if resource.has_text() {
        joined(&resource, &object::names::dns1035_faults(resource.text()), faults);
    } else {
        faults.required(&resource, "resource is required to be set");
    }
    if group.has_text() {
        joined(&group, &object::names::subdomain_faults(group.text()), faults);
    }
}

fn joined(at: &At<'_>, found: &[String], faults: &mut Faults) {
    if !found.is_empty() {
        faults.invalid_text(at, found.join(","));
    }
}

pub(crate) fn validate_migration_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return validate_migration_status(&old.get("status"), &new.get("status"), faults);
    }
    faults.metadata_first(new, false, NameRule::Subdomain);
    validate_migration(new, faults);
    faults.immutable_go(&old.get("spec"), &new.get("spec"), "StorageVersionMigrationSpec");
}

fn validate_migration_status(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (before, after, conditions) = (old.get("resourceVersion"), new.get("resourceVersion"), new.get("conditions"));
    if after.has_text() && !after.text().bytes().all(|c| c.is_ascii_digit()) {
        faults.invalid_text(&after, format!("resource version is not well formed: {}", after.text()));
    }
    faults.0.extend(metadata::validate_condition_list(conditions.value, &conditions.path()));
    if before.has_text() && before.text() != after.text() {
        faults.invalid_text(&after, IMMUTABLE);
    }
    let is_true = |status: &At<'_>, kind: &str| status.get("conditions").list().iter().any(|c| c["type"] == kind && c["status"] == "True");
    let mut refuse = |text: &str| faults.invalid_go_list(&conditions, "Condition", text);
    if is_true(new, "Succeeded") && is_true(new, "Failed") {
        refuse("Both success and failed conditions cannot be true at the same time");
    }
    if is_true(old, "Succeeded") && !is_true(new, "Succeeded") {
        refuse("Success condition cannot be set to false once it is true");
    }
    if is_true(old, "Failed") && !is_true(new, "Failed") {
        refuse("Failed condition cannot be set to false once it is true");
    }
}

pub(crate) fn validate_service(service: &At<'_>, faults: &mut Faults) {
    const GROUP_MAX: i64 = 20_000;
    const VERSION_MAX: i64 = 1000;
    let (name, spec) = (service.get("metadata").get("name"), service.get("spec"));
    let (group, version) = (spec.get("group"), spec.get("version"));
    let wanted = format!("{}.{}", version.text(), group.text());
    for name in [service.get("metadata").get("generateName"), name] {
        if name.has_text() && name != wanted.as_str() && object::names::path_segment_faults(name.text()).is_empty() {
            faults.invalid_text(&name, format!("must be `spec.version+\".\"+spec.group`: {wanted:?}"));
        }
    }
    if !group.has_text() && version != "v1" {
        faults.required(&group, "only v1 may have an empty group and it better be legacy kube");
    }
    if group.has_text() {
        faults.subdomain(&group);
    }
    faults.each(&version, object::names::dns1035_faults(version.text()));
    for (field, most) in [("groupPriorityMinimum", GROUP_MAX), ("versionPriority", VERSION_MAX)] {
        let rank = spec.get(field);
        if rank.int() <= 0 || rank.int() > most {
            faults.invalid_int(&rank, format!("must be positive and less than {most}"));
        }
    }
    validate_service_backend(&spec, faults);
}

fn validate_service_backend(spec: &At<'_>, faults: &mut Faults) {
    let (backend, bundle, skips) = (spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify"));
    if !backend.is_set() {
        if bundle.has_text() {
            faults.invalid_as(
                &bundle,
                format!("{} bytes", shapes::decoded_len(bundle.text())),
                "local APIServices may not have a caBundle",
            );
        }
        if skips.is_true() {
            faults.invalid(&skips, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    faults.need_text(&backend.get("namespace"));
    faults.need_text(&backend.get("name"));
    let port = backend.get("port");
    let found = shapes::port_number(port.int());
    if !found.is_empty() {
        faults.invalid_int(&port, format!("port is not valid: {}", found.join(", ")));
    }
    if skips.is_true() && bundle.has_text() {
        faults.invalid(&skips, "may not be true if caBundle is present");
    }
}

pub(crate) fn validate_service_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        for status in new.get("status").get("conditions").items().map(|condition| condition.get("status")) {
            if !matches!(status.text(), "True" | "False" | "Unknown") {
                faults.not_supported(&status, &["True", "False", "Unknown"]);
            }
        }
        return;
    }
    faults.0.extend(metadata::validate(new.value, false, NameRule::PathSegment, &object::field::Path::new("metadata")));
    validate_service(new, faults);
}
