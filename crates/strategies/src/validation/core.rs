//! Kinds of the core group, beyond pods.

pub(crate) mod claims;
pub(crate) mod configs;
pub(crate) mod disks;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod nodes;
pub(crate) mod quotas;
pub(crate) mod services;
pub(crate) mod volumes;

use object::{meta, names};

use crate::check::{At, Faults};
use crate::row::NameRule;
use crate::validation::pods::{self, quantity};

pub(crate) const NOT_POSITIVE_QUANTITY: &str = "must be greater than zero";

pub(crate) fn validate_basic_amount(at: &At<'_>, faults: &mut Faults) {
    if quantity(at).value() < 0 {
        faults.invalid_as(at, quantity(at).value(), "must be a valid resource quantity");
    }
}

/// Upstream's own finalizers are well known or have a domain.
fn validate_finalizer(at: &At<'_>, name: &str, faults: &mut Faults) {
    let found = names::qualified_name_faults(name);
    faults.each_as(at, name, found);
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        faults.invalid_as(at, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

pub(crate) fn validate_namespace(namespace: &At<'_>, faults: &mut Faults) {
    let list = namespace.get("spec").get("finalizers");
    for finalizer in list.items() {
        validate_finalizer(&list, finalizer.text(), faults);
    }
}

pub(crate) fn validate_namespace_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let phase = new.get("status").get("phase").renamed("Phase");
    match subresource {
        "status" if meta::deletion_timestamp(new.value).is_none() && phase != "Active" => {
            faults.invalid_text(&phase, "may only be 'Active' if `deletionTimestamp` is empty");
        }
        "status" if meta::deletion_timestamp(new.value).is_some() && phase != "Terminating" => {
            faults.invalid_text(&phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
        }
        "" => validate_namespace(new, faults),
        "finalize" => {
            for finalizer in new.get("spec").get("finalizers").items() {
                validate_finalizer(&finalizer, finalizer.text(), faults);
            }
        }
        _ => {}
    }
}

pub(crate) fn validate_account_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, true, NameRule::Subdomain);
}

pub(crate) fn validate_template(object: &At<'_>, faults: &mut Faults) {
    pods::validate_template(&object.get("template"), faults);
}

pub(crate) fn validate_template_update(_: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    validate_template(new, faults);
}

pub(crate) fn validate_controller(controller: &At<'_>, faults: &mut Faults) {
    let spec = controller.get("spec");
    faults.twice(|faults| {
        faults.not_negative(&spec.get("replicas"));
        faults.not_negative(&spec.get("minReadySeconds"));
    });
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    if selector.is_empty() {
        faults.required(&selector, "");
    }
    if !template.is_set() {
        faults.required(&template, "");
        return;
    }
    let labels = template.get("metadata").get("labels");
    if selector.entries().any(|(key, value)| labels.value.get(key) != Some(value.value)) {
        faults.invalid(&labels, "`selector` does not match template `labels`");
    }
    pods::validate_template(&template, faults);
    let (policy, deadline) = (template.get("spec").get("restartPolicy"), template.get("spec").get("activeDeadlineSeconds"));
    if policy != "Always" {
        faults.not_supported(&policy, &["Always"]);
    }
    if deadline.is_set() {
        faults.forbidden(&deadline, "activeDeadlineSeconds in ReplicationController is not Supported");
    }
}

pub(crate) fn validate_controller_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource != "status" {
        validate_controller(new, faults);
        return;
    }
    validate_replica_counts(&new.get("status"), "cannot be greater than status.replicas", faults);
}

/// Counts of a ReplicationController or a ReplicaSet.
pub(crate) fn validate_replica_counts(status: &At<'_>, text: &str, faults: &mut Faults) {
    for field in ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas", "observedGeneration"] {
        faults.not_negative(&status.get(field));
    }
    let all = status.get("replicas").int();
    for at in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"].map(|field| status.get(field)) {
        if at.int() > all {
            faults.invalid_int(&at, text);
        }
    }
    let available = status.get("availableReplicas");
    if available.int() > status.get("readyReplicas").int() {
        faults.invalid_int(&available, "cannot be greater than readyReplicas");
    }
}
