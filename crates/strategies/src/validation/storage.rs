//! storage.k8s.io.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::core::volumes;
use super::pods::quantity;
use crate::check::{At, Faults, IMMUTABLE, NOT_NEGATIVE};
use crate::equality::is_semantically_equal;
use crate::metadata;
use crate::row::NameRule;
use crate::shapes;

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 << 10;

pub(crate) fn validate_class(class: &At<'_>, faults: &mut Faults) {
    validate_provisioner(&class.get("provisioner"), faults);
    validate_parameters(&class.get("parameters"), faults);
    let (reclaim, binding) = (class.get("reclaimPolicy"), class.get("volumeBindingMode"));
    if reclaim.has_text() {
        faults.one_of(&reclaim, &["Delete", "Retain"]);
    }
    if binding.is_set() {
        faults.one_of(&binding, &["Immediate", "WaitForFirstConsumer"]);
    } else {
        faults.required(&binding, "");
    }
    validate_topologies(&class.get("allowedTopologies"), faults);
}

pub(crate) fn validate_class_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, false, NameRule::Subdomain);
    if !new.get("provisioner").has_text() || old.value["provisioner"] == new.value["provisioner"] {
        validate_class(new, faults);
    } else {
        faults.only_written(|faults| validate_class(new, faults));
    }
    for field in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
        faults.immutable_later(&old.get(field), &new.get(field));
    }
}

fn validate_provisioner(at: &At<'_>, faults: &mut Faults) {
    if faults.need_text_later(at) {
        let lower = at.text().to_lowercase();
        faults.each_as(at, &lower, object::names::qualified_name_faults(&lower));
    }
}

fn validate_parameters(at: &At<'_>, faults: &mut Faults) {
    if at.len() > PARAMETERS_MAX {
        faults.too_long(at, PARAMETERS_MAX);
        return;
    }
    let mut bytes = 0;
    for (key, value) in at.entries() {
        if key.is_empty() {
            faults.invalid_as(at, key, "field can not be empty.");
        }
        bytes += key.len() + value.text().len();
    }
    if bytes > PARAMETERS_BYTES_MAX {
        faults.too_long(at, PARAMETERS_BYTES_MAX);
    }
}

/// A term as a map from keys to their values; the order of either says nothing.
fn validate_topologies(list: &At<'_>, faults: &mut Faults) {
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = Vec::new();
    for term in list.items() {
        let mut expressions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for expression in term.get("matchLabelExpressions").items() {
            let (key, values) = (expression.get("key"), expression.get("values"));
            let mut texts = BTreeSet::new();
            if values.is_empty() {
                faults.required(&values, "");
            }
            for value in values.items().filter(|value| !texts.insert(value.text())) {
                faults.duplicate_as(&value, value.text());
            }
            faults.0.extend(metadata::validate_label_name(key.text(), &key.path()));
            if expressions.insert(key.text(), texts).is_some() {
                faults.duplicate_as(&key, key.text());
            }
        }
        if seen.contains(&expressions) || (expressions.is_empty() && !list.is_empty()) {
            faults.duplicate_as(&term.get("matchLabelExpressions"), "");
        }
        seen.push(expressions);
    }
}

pub(crate) fn validate_driver(driver: &At<'_>, faults: &mut Faults) {
    let spec = driver.get("spec");
    // Upstream's path of the first is not the field's name.
    for at in [spec.named("attachedRequired").with(&spec.value["attachRequired"]), spec.get("podInfoOnMount"), spec.get("storageCapacity")]
    {
        if !at.is_set() {
            faults.required(&at, "");
        }
    }
    faults.one_of(&spec.get("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]);
    validate_tokens(&spec.get("tokenRequests"), faults);
    let modes = spec.get("volumeLifecycleModes");
    for mode in modes.list().iter().filter(|mode| !matches!(mode.as_str(), Some("Persistent" | "Ephemeral"))) {
        faults.not_supported(&modes.with(mode), &["Persistent", "Ephemeral"]);
    }
    if !spec.get("seLinuxMount").is_set() {
        faults.required(&spec.get("seLinuxMount"), "");
    }
    let (period, in_secrets) = (spec.get("nodeAllocatableUpdatePeriodSeconds"), spec.get("serviceAccountTokenInSecrets"));
    if period.is_set() && period.int() < 10 {
        faults.invalid_int(&period, "must be greater than or equal to 10 seconds");
    }
    if in_secrets.is_set() && spec.get("tokenRequests").is_empty() {
        faults.invalid(&in_secrets, "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
}

fn validate_tokens(list: &At<'_>, faults: &mut Faults) {
    const SECONDS_MIN: i64 = 600;
    const SECONDS_MAX: i64 = 1 << 32;
    let mut seen = HashSet::new();
    for token in list.items() {
        let (audience, seconds) = (token.get("audience"), token.get("expirationSeconds"));
        if !seen.insert(audience.text()) {
            faults.duplicate_as(&audience, audience.text());
            continue;
        }
        if seconds.is_set() && seconds.int() < SECONDS_MIN {
            faults.invalid_int(&seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds.int() > SECONDS_MAX {
            faults.invalid_int(&seconds, "may not specify a duration larger than 2^32 seconds");
        }
    }
}

pub(crate) fn validate_driver_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let (before, after) = (old.get("spec"), new.get("spec"));
    validate_driver(new, faults);
    let attaches = after.named("attachedRequired").with(&after.value["attachRequired"]);
    faults.immutable(&before.get("attachRequired"), &attaches);
    faults.immutable(&before.get("volumeLifecycleModes"), &after.get("volumeLifecycleModes"));
}

pub(crate) fn validate_node(node: &At<'_>, faults: &mut Faults) {
    const NODE_ID_LEN_MAX: usize = 256;
    let mut names = HashSet::new();
    for driver in node.get("spec").get("drivers").items() {
        let (name, id) = (driver.get("name"), driver.get("nodeID"));
        shapes::csi_driver_name(&name, faults);
        faults.need_text(&id);
        if id.text().len() > NODE_ID_LEN_MAX {
            faults.invalid_text(&id, format!("must be {NODE_ID_LEN_MAX} characters or less"));
        }
        faults.not_negative(&driver.get("allocatable").get("count"));
        if !names.insert(name.text()) {
            faults.duplicate_as(&name, name.text());
        }
        let mut keys = HashSet::new();
        for key in driver.get("topologyKeys").list().iter().filter_map(Value::as_str) {
            if key.is_empty() {
                faults.required(&driver, key);
            }
            if !keys.insert(key) {
                faults.duplicate_as(&driver, key);
            }
            faults.each_as(&driver, key, object::names::qualified_name_faults(key));
        }
    }
}

pub(crate) fn validate_node_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return;
    }
    faults.metadata_first(new, false, NameRule::Subdomain);
    validate_node(new, faults);
    let (before, after) = (old.get("spec").get("drivers"), new.get("spec").get("drivers"));
    let without_counts = |driver: &Value| {
        let mut driver = driver.clone();
        crate::reset::unset(&mut driver, "allocatable");
        driver
    };
    for old in before.list() {
        for new in after.list().iter().filter(|new| new["name"] == old["name"]) {
            let (old, new) = (without_counts(old), without_counts(new));
            if !is_semantically_equal(&old, &new) {
                faults.invalid_go(&after, "CSINodeDriver", &new, IMMUTABLE);
            }
        }
    }
}

pub(crate) fn validate_capacity(capacity: &At<'_>, faults: &mut Faults) {
    faults.selector(&capacity.get("nodeTopology"));
    faults.subdomain(&capacity.get("storageClassName"));
    let amount = capacity.get("capacity");
    if quantity(&amount).is_negative() {
        faults.invalid(&amount, NOT_NEGATIVE);
    }
}

pub(crate) fn validate_capacity_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, true, NameRule::Subdomain);
    validate_capacity(new, faults);
    faults.immutable_go(&old.get("nodeTopology"), &new.get("nodeTopology"), "LabelSelector");
    faults.immutable_text(&old.get("storageClassName"), &new.get("storageClassName"));
}

pub(crate) fn validate_attachment(attachment: &At<'_>, faults: &mut Faults) {
    let spec = attachment.get("spec");
    shapes::csi_driver_name_later(&spec.get("attacher"), faults);
    validate_source(&spec.get("source"), faults);
    faults.subdomain(&spec.get("nodeName"));
    validate_attachment_status(&attachment.get("status"), faults);
    let volume = spec.get("source").get("persistentVolumeName");
    faults.subdomain_if_set(&volume);
}

fn validate_source(source: &At<'_>, faults: &mut Faults) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let (inline, name) = (source.get("inlineVolumeSpec"), source.get("persistentVolumeName"));
    match (inline.is_set(), name.is_set()) {
        (false, false) => faults.required(source, ONE),
        (true, true) => faults.forbidden(source, ONE),
        (false, true) if !name.has_text() => faults.required(&name, "must specify non empty persistentVolumeName"),
        (false, true) => {}
        (true, false) => volumes::validate_spec(&inline, "", true, faults),
    }
}

fn validate_attachment_status(status: &At<'_>, faults: &mut Faults) {
    const BYTES_MAX: usize = 256 << 10;
    const MESSAGE_LEN_MAX: usize = 1024;
    let metadata = status.get("attachmentMetadata");
    if metadata.entries().map(|(key, value)| key.len() + value.text().len()).sum::<usize>() > BYTES_MAX {
        faults.too_long(&metadata, BYTES_MAX);
    }
    for error in ["attachError", "detachError"].map(|field| status.get(field)) {
        let (message, code) = (error.get("message"), error.get("errorCode"));
        if message.text().len() > MESSAGE_LEN_MAX {
            faults.too_long(&message, MESSAGE_LEN_MAX);
        }
        if code.int() < 0 {
            faults.invalid_int(&code, shapes::between(0, i64::from(i32::MAX)));
        }
    }
}

pub(crate) fn validate_attachment_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata_first(new, false, NameRule::Subdomain);
    if subresource == "status" {
        return validate_attachment(new, faults);
    }
    if faults.immutable_later(&old.get("spec"), &new.get("spec")) {
        validate_attachment(new, faults);
    } else {
        faults.only_written(|faults| validate_attachment(new, faults));
    }
}

pub(crate) fn validate_attributes(class: &At<'_>, faults: &mut Faults) {
    let (driver, parameters) = (class.get("driverName"), class.get("parameters"));
    if faults.need_text(&driver) {
        let lower = driver.text().to_lowercase();
        faults.each_as(&driver, &lower, object::names::qualified_name_faults(&lower));
    }
    validate_parameters(&parameters, faults);
    if parameters.is_empty() {
        faults.required(&parameters, "must contain at least one key/value pair");
    }
}

pub(crate) fn validate_attributes_update(_: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if old.get("driverName").text() != new.get("driverName").text() {
        faults.forbidden(&new.get("driverName"), "updates to driverName are forbidden.");
    }
    if !is_semantically_equal(old.get("parameters").value, new.get("parameters").value) {
        faults.forbidden(&new.get("parameters"), "updates to parameters are forbidden.");
    }
    faults.metadata(new, false, NameRule::Subdomain);
    validate_attributes(new, faults);
}
