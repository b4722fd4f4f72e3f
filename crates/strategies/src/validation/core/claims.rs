//! Claims for volumes, and templates of claims.

use object::field::Error;
use object::quantity::Quantity;

use super::NOT_POSITIVE_QUANTITY;
use crate::check::{At, Faults};
use crate::diff;
use crate::equality::is_semantically_equal;
use crate::row::NameRule;
use crate::validation::pods::{quantity, validate_amount};

pub(crate) const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(crate) const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

pub(crate) fn validate(claim: &At<'_>, faults: &mut Faults) {
    validate_spec(&claim.get("spec"), faults);
}

/// Only labels and annotations of the metadata count.
pub(crate) fn validate_template(template: &At<'_>, faults: &mut Faults) {
    validate_template_metadata(&template.get("metadata"), faults);
    validate_spec(&template.get("spec"), faults);
}

/// Of what is made from a template only labels and annotations can be chosen.
pub(crate) fn validate_template_metadata(metadata: &At<'_>, faults: &mut Faults) {
    faults.annotations(&metadata.get("annotations"));
    faults.labels(&metadata.get("labels"));
    let fields = [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ];
    for field in fields {
        // Upstream makes the path from its own name of the field.
        let at = metadata.get(field).renamed(if field == "uid" { "uID" } else { field });
        if at.is_set() {
            faults.forbidden(&at, "cannot be set");
        }
    }
}

/// The list of access modes of a claim or a volume.
pub(crate) fn validate_access(modes: &At<'_>, faults: &mut Faults) {
    for mode in modes.items().filter(|mode| !ACCESS_MODES.contains(&mode.text())) {
        faults.0.push(Error::not_supported(&modes.path(), mode.text(), ACCESS_MODES));
    }
    let is_single = |mode: &At<'_>| mode == "ReadWriteOncePod";
    let is_other = |mode: &At<'_>| !is_single(mode) && ACCESS_MODES.contains(&mode.text());
    if modes.items().any(|mode| is_single(&mode)) && modes.items().any(|mode| is_other(&mode)) {
        faults.forbidden(modes, "may not use ReadWriteOncePod with other access modes");
    }
}

pub(crate) fn validate_spec(spec: &At<'_>, faults: &mut Faults) {
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        faults.required(&modes, "at least 1 access mode is required");
    }
    faults.selector(&spec.get("selector"));
    validate_access(&modes, faults);
    let storage = spec.get("resources").key("storage").with(&spec.value["resources"]["requests"]["storage"]);
    if !storage.is_set() {
        faults.required(&storage, "");
    } else if quantity(&storage) <= Quantity::ZERO {
        faults.invalid_text(&storage, NOT_POSITIVE_QUANTITY);
    } else {
        validate_amount(&storage, "storage", faults);
    }
    if spec.get("storageClassName").has_text() {
        faults.subdomain(&spec.get("storageClassName"));
    }
    faults.one_of(&spec.get("volumeMode"), VOLUME_MODES);
    validate_sources(spec, faults);
    if spec.get("volumeAttributesClassName").has_text() {
        faults.subdomain(&spec.get("volumeAttributesClassName"));
    }
}

fn validate_sources(spec: &At<'_>, faults: &mut Faults) {
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    for at in [&source, &reference].into_iter().filter(|at| at.is_set()) {
        let (kind, group) = (at.get("kind"), at.get("apiGroup"));
        faults.need_text(&at.get("name"));
        faults.need_text(&kind);
        if group.has_text() {
            faults.subdomain(&group);
        } else if kind != "PersistentVolumeClaim" {
            faults.invalid_as(at, kind.text(), "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
        }
        if at.get("namespace").has_text() {
            faults.label(&at.get("namespace"));
        }
    }
    if !source.is_set() || !reference.is_set() {
        return;
    }
    // Upstream shows a path where the value should be: an empty object.
    let shown = serde_json::json!({});
    if reference.get("namespace").has_text() {
        faults.invalid_as(spec, shown, "may not be specified when dataSourceRef.namespace is specified");
    } else if ["apiGroup", "kind", "name"].iter().any(|field| source.value[field] != reference.value[field]) {
        faults.invalid_as(spec, shown, "must match dataSourceRef");
    }
}

pub(crate) fn validate_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    match subresource {
        "" => validate_change(old, new, faults),
        "status" => {
            if new.get("spec").get("accessModes").is_empty() {
                faults.required(&new.get("spec").renamed("Spec").get("accessModes"), "");
            }
            validate_status(new, faults);
        }
        _ => {}
    }
}

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn validate_change(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    faults.metadata(new, true, NameRule::Subdomain);
    validate(new, faults);
    let (before, after) = (old.get("spec"), new.get("spec"));
    let (mut was, mut is) = (before.value.clone(), after.value.clone());
    let take = crate::reset::take;
    if !before.get("volumeName").has_text() {
        take(&mut was, "volumeName", &is);
    }
    let annotation = |claim: &At<'_>| claim.value["metadata"]["annotations"][BETA_CLASS].as_str().map(str::to_owned);
    let (old_class, new_class) = (annotation(old), annotation(new));
    let (had, has) = (before.get("storageClassName"), after.get("storageClassName"));
    let moved = old_class.is_some() && !had.is_set() && has.value.as_str() == old_class.as_deref();
    if moved && (new_class.is_none() || new_class == old_class) {
        take(&mut is, "storageClassName", before.value);
    } else {
        if old_class != new_class {
            let at = new.get("metadata").get("annotations").get(BETA_CLASS).with(&new.value["metadata"]["annotations"][BETA_CLASS]);
            faults.invalid_text(&at, crate::check::IMMUTABLE);
        }
        if has.is_set() && !had.is_set() && (old_class.is_none() || has.value.as_str() == old_class.as_deref()) {
            take(&mut is, "storageClassName", before.value);
        }
    }
    let is_bound = new.value["status"]["phase"] == "Bound";
    if is_bound && is["resources"]["requests"].is_object() {
        take(&mut is["resources"]["requests"], "storage", &before.value["resources"]["requests"]);
    }
    if is_bound {
        take(&mut is, "volumeAttributesClassName", before.value);
    }
    if !is_semantically_equal(&was, &is) {
        let shown = diff::unified("PersistentVolumeClaimSpec", &was, &is);
        let text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        faults.forbidden(&after, format!("{text}\n{shown}"));
    }
    let size = |spec: &At<'_>| quantity(&spec.get("resources").get("requests").get("storage"));
    if size(&after) < size(&before) && size(&after) <= quantity(&old.get("status").get("capacity").get("storage")) {
        let at = after.get("resources").get("requests").get("storage");
        faults.forbidden(&at, "field can not be less than status.capacity");
    }
    let mode = At::root(&after.value["volumeMode"]).named("volumeMode");
    faults.immutable(&before.get("volumeMode"), &mode);
    validate_attributes(old, &before, &after, faults);
}

fn validate_attributes(old: &At<'_>, before: &At<'_>, after: &At<'_>, faults: &mut Faults) {
    let name = after.get("volumeAttributesClassName");
    let is_in_use = !old.value["status"]["currentVolumeAttributesClassName"].is_null();
    if name.value == &before.value["volumeAttributesClassName"] || !is_in_use {
        return;
    }
    if !name.is_set() {
        faults.forbidden(&name, "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil");
    } else if !name.has_text() {
        faults.forbidden(&name, "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil");
    }
}

const RESIZE_STATUSES: &[&str] =
    &["ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"];

fn validate_status(new: &At<'_>, faults: &mut Faults) {
    let status = new.get("status");
    for (_, amount) in status.get("capacity").entries() {
        super::validate_basic_amount(&amount, faults);
    }
    let statuses = status.get("allocatedResourceStatuses");
    for (name, state) in statuses.entries() {
        validate_resource(&statuses, name, faults);
        if !RESIZE_STATUSES.contains(&state.text()) {
            let mut sorted = RESIZE_STATUSES.to_vec();
            sorted.sort_unstable();
            faults.0.push(Error::not_supported(&statuses.path(), name, &sorted));
        }
    }
    let allocated = status.get("allocatedResources");
    for (name, amount) in allocated.entries() {
        let before = faults.0.len();
        validate_resource(&allocated, name, faults);
        super::validate_basic_amount(&amount, faults);
        if faults.0.len() == before {
            validate_amount(&amount, "storage", faults);
        }
    }
}

fn validate_resource(at: &At<'_>, name: &str, faults: &mut Faults) {
    let found = object::names::qualified_name_faults(name);
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    if found.is_empty() && is_native && name != "storage" {
        faults.0.push(Error::not_supported(&at.path(), name, &["storage"]));
    }
    faults.each_as(at, name, found);
}
