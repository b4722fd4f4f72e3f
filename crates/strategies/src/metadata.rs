//! Validation of `metadata` for every kind, and of the selectors and conditions that many kinds share.
//!
//! Upstream: `apimachinery/pkg/api/validation/objectmeta.go`, `apis/meta/v1/validation`.

use object::field::{Error, Path};
use object::names;
use object::{Map, Value, meta};

use crate::equality::is_semantically_equal;
use crate::go_json;
use crate::row::NameRule;

/// Upstream: `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// Upstream: `FieldManagerMaxLength`.
const MANAGER_LEN_MAX: usize = 128;
const SUBRESOURCE_LEN_MAX: usize = 256;
const IMMUTABLE: &str = "field is immutable";

pub(crate) fn validate(object: &Value, is_namespaced: bool, name_rule: NameRule, path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    let text = |field: &str| meta::text(object, field);
    if !text("generateName").is_empty() {
        let found = name_rule.prefix_faults(text("generateName"));
        faults.extend(found.into_iter().map(|fault| Error::invalid(&path.child("generateName"), text("generateName"), fault)));
    }
    if text("name").is_empty() {
        faults.push(Error::required(&path.child("name"), "name or generateName is required"));
    } else {
        let found = name_rule.faults(text("name"));
        faults.extend(found.into_iter().map(|fault| Error::invalid(&path.child("name"), text("name"), fault)));
    }
    let namespace = text("namespace");
    let namespace_path = path.child("namespace");
    match (is_namespaced, namespace.is_empty()) {
        (true, true) => faults.push(Error::required(&namespace_path, "")),
        (true, false) => {
            faults.extend(names::label_faults(namespace).into_iter().map(|fault| Error::invalid(&namespace_path, namespace, fault)));
        }
        (false, true) => {}
        (false, false) => faults.push(Error::forbidden(&namespace_path, "not allowed on this type")),
    }
    faults.extend(validate_always(object, path));
    faults.extend(validate_finalizers(&object["metadata"]["finalizers"], &path.child("finalizers")));
    faults
}

/// What create and update check alike.
fn validate_always(object: &Value, path: &Path) -> Vec<Error> {
    let metadata = &object["metadata"];
    let mut faults = Vec::new();
    if meta::generation(object) < 0 {
        faults.push(Error::invalid(&path.child("generation"), meta::generation(object), "must be greater than or equal to 0"));
    }
    faults.extend(validate_labels(&metadata["labels"], &path.child("labels")));
    faults.extend(validate_annotations(&metadata["annotations"], &path.child("annotations")));
    faults.extend(validate_owners(&metadata["ownerReferences"], &path.child("ownerReferences")));
    faults.extend(validate_managed_fields(&metadata["managedFields"], &path.child("managedFields")));
    faults
}

pub(crate) fn validate_update(old: &Value, new: &Value, path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    if meta::deletion_timestamp(old).is_some() {
        let mut added: Vec<&str> = meta::finalizers(new).filter(|f| meta::finalizers(old).all(|o| o != *f)).collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            faults.push(Error::forbidden(
                &path.child("finalizers"),
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    shown.join(", ")
                ),
            ));
        }
    }
    if meta::resource_version(new).is_empty() {
        faults.push(Error::invalid(&path.child("resourceVersion"), "", "must be specified for an update"));
    }
    if meta::generation(new) < meta::generation(old) {
        faults.push(Error::invalid(&path.child("generation"), meta::generation(new), "must not be decremented"));
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (before, after) = (&old["metadata"][field], &new["metadata"][field]);
        faults.extend(validate_immutable(before, after, &path.child(field)));
    }
    faults.extend(validate_always(new, path));
    faults
}

pub(crate) fn validate_immutable(old: &Value, new: &Value, path: &Path) -> Option<Error> {
    (!is_semantically_equal(old, new)).then(|| Error::invalid(path, new.clone(), IMMUTABLE))
}

pub(crate) fn validate_label_name(name: &str, path: &Path) -> Vec<Error> {
    names::qualified_name_faults(name).into_iter().map(|fault| Error::invalid(path, name, fault)).collect()
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &str)> {
    map.as_object().into_iter().flatten().map(|(key, value)| (key, value.as_str().unwrap_or("")))
}

pub(crate) fn validate_labels(labels: &Value, path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    for (key, value) in entries(labels) {
        faults.extend(validate_label_name(key, path));
        faults.extend(names::label_value_faults(value).into_iter().map(|fault| Error::invalid(path, value, fault)));
    }
    faults
}

pub(crate) fn validate_annotations(annotations: &Value, path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut bytes = 0;
    for (key, value) in entries(annotations) {
        let found = names::qualified_name_faults(&key.to_lowercase());
        faults.extend(found.into_iter().map(|fault| Error::invalid(path, key.as_str(), fault)));
        bytes += key.len() + value.len();
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        faults.push(Error::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
    faults
}

fn validate_owners(owners: &Value, path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut controller: Option<String> = None;
    for (i, owner) in owners.as_array().into_iter().flatten().enumerate() {
        let at = path.index(i);
        let text = |field: &str| owner[field].as_str().unwrap_or("");
        let parts: Vec<&str> = text("apiVersion").split('/').collect();
        match parts.as_slice() {
            [""] => faults.push(Error::required(&at.child("apiVersion"), "must not be empty")),
            [version] | [_, version] if !version.is_empty() => {}
            _ => faults.push(Error::invalid(&at.child("apiVersion"), text("apiVersion"), "must be <group>/<version> or <version>")),
        }
        for field in ["kind", "name", "uid"] {
            if text(field).is_empty() {
                faults.push(Error::required(&at.child(field), "must not be empty"));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            let fault = Error::invalid(&at, Value::Null, "/v1, Kind=Event is disallowed from being an owner");
            faults.push(fault.showing(go_json::compact("OwnerReference", owner)));
        }
        if owner["controller"] == true {
            let name = format!("{}/{}", text("kind"), text("name"));
            match &controller {
                Some(first) => {
                    let text =
                        format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}");
                    let shown: Vec<String> =
                        owners.as_array().into_iter().flatten().map(|o| go_json::compact("OwnerReference", o)).collect();
                    faults.push(Error::invalid(path, Value::Null, text).showing(format!("[{}]", shown.join(","))));
                }
                None => controller = Some(name),
            }
        }
    }
    faults
}

fn validate_finalizers(finalizers: &Value, path: &Path) -> Vec<Error> {
    let texts: Vec<&str> = finalizers.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut faults: Vec<Error> = texts.iter().flat_map(|text| validate_label_name(text, path)).collect();
    if texts.contains(&"orphan") && texts.contains(&"foregroundDeletion") {
        faults.push(Error::invalid(path, finalizers.clone(), "finalizer orphan and foregroundDeletion cannot be both set"));
    }
    faults
}

/// Upstream's own kinds, but for a few groups, want finalizers that are well known or have a domain.
pub(crate) fn validate_finalizer_domains(object: &Value, path: &Path) -> Vec<Error> {
    const TEXT: &str = "name is neither a standard finalizer name nor is it fully qualified";
    let is_bare = |text: &str| !text.contains('/') && !matches!(text, "kubernetes" | "orphan" | "foregroundDeletion");
    let found = meta::finalizers(object).enumerate().filter(|(_, text)| is_bare(text));
    found.map(|(i, text)| Error::invalid(&path.child("finalizers").index(i), text, TEXT)).collect()
}

fn validate_managed_fields(entries: &Value, path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, entry) in entries.as_array().into_iter().flatten().enumerate() {
        let at = path.index(i);
        let text = |field: &str| entry[field].as_str().unwrap_or("");
        match text("operation") {
            "" => faults.push(Error::required(&at.child("operation"), "must not be empty")),
            "Apply" | "Update" => {}
            other => faults.push(Error::not_supported(&at.child("operation"), other, &["Apply", "Update"])),
        }
        if !matches!(text("fieldsType"), "" | "FieldsV1") {
            faults.push(Error::invalid(&at.child("fieldsType"), text("fieldsType"), "must be `FieldsV1`"));
        }
        if text("manager").len() > MANAGER_LEN_MAX {
            faults.push(Error::too_long(&at.child("manager"), MANAGER_LEN_MAX));
        }
        if text("subresource").len() > SUBRESOURCE_LEN_MAX {
            faults.push(Error::too_long(&at.child("subresource"), SUBRESOURCE_LEN_MAX));
        }
    }
    faults
}

/// A `LabelSelector` object; null has no faults. `checks_values` is upstream's `AllowInvalidLabelValueInSelector` turned round.
pub fn validate_label_selector(selector: &Value, checks_values: bool, path: &Path) -> Vec<Error> {
    let mut faults = validate_labels(&selector["matchLabels"], &path.child("matchLabels"));
    for (i, requirement) in selector["matchExpressions"].as_array().into_iter().flatten().enumerate() {
        let at = path.child("matchExpressions").index(i);
        let operator = requirement["operator"].as_str().unwrap_or("");
        faults.extend(validate_n_values(requirement, &at));
        if !matches!(operator, "In" | "NotIn" | "Exists" | "DoesNotExist") {
            faults.push(Error::invalid(&at.child("operator"), operator, "not a valid selector operator"));
        }
        let of_values = validate_requirement_labels(requirement, &at).into_iter();
        faults.extend(of_values.filter(|fault| checks_values || !fault.path.ends_with(']')));
    }
    faults
}

/// Whether a selector's expression has the values that its operator wants.
pub(crate) fn validate_n_values(requirement: &Value, at: &Path) -> Option<Error> {
    let has_values = requirement["values"].as_array().is_some_and(|values| !values.is_empty());
    let values = at.child("values");
    match requirement["operator"].as_str().unwrap_or("") {
        "In" | "NotIn" if !has_values => Some(Error::required(&values, "must be specified when `operator` is 'In' or 'NotIn'")),
        "Exists" | "DoesNotExist" if has_values => {
            Some(Error::forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
        }
        _ => None,
    }
}

/// The key and the values of a label selector's expression.
pub(crate) fn validate_requirement_labels(requirement: &Value, at: &Path) -> Vec<Error> {
    let mut faults = validate_label_name(requirement["key"].as_str().unwrap_or(""), &at.child("key"));
    for (j, value) in requirement["values"].as_array().into_iter().flatten().enumerate() {
        let value = value.as_str().unwrap_or("");
        let found = names::label_value_faults(value);
        faults.extend(found.into_iter().map(|fault| Error::invalid(&at.child("values").index(j), value, fault)));
    }
    faults
}

const REASON_TEXT: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
const REASON_LEN_MAX: usize = 1 << 10;
const MESSAGE_LEN_MAX: usize = 32 << 10;

/// A list of `metav1.Condition`.
pub fn validate_condition_list(conditions: &Value, path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut seen = Map::new();
    for (i, condition) in conditions.as_array().into_iter().flatten().enumerate() {
        let at = path.index(i);
        let text = |field: &str| condition[field].as_str().unwrap_or("");
        if seen.insert(text("type").to_owned(), Value::Null).is_some() {
            faults.push(Error::duplicate(&at, text("type")));
        }
        if text("type").is_empty() {
            faults.push(Error::required(&at.child("type"), "is required"));
        } else {
            faults.extend(validate_label_name(text("type"), &at.child("type")));
        }
        match text("status") {
            "" => faults.push(Error::required(&at.child("status"), "")),
            "True" | "False" | "Unknown" => {}
            other => faults.push(Error::not_supported(&at.child("status"), other, &["False", "True", "Unknown"])),
        }
        if let Some(generation) = condition["observedGeneration"].as_i64().filter(|g| *g < 0) {
            faults.push(Error::invalid(&at.child("observedGeneration"), generation, "must be greater than or equal to zero"));
        }
        if text("lastTransitionTime").is_empty() {
            faults.push(Error::required(&at.child("lastTransitionTime"), ""));
        }
        let reason = text("reason");
        if reason.is_empty() {
            faults.push(Error::required(&at.child("reason"), ""));
        } else {
            if !is_reason(reason) {
                faults.push(Error::invalid(&at.child("reason"), reason, REASON_TEXT));
            }
            if reason.len() > REASON_LEN_MAX {
                faults.push(Error::too_long(&at.child("reason"), REASON_LEN_MAX));
            }
        }
        if text("message").len() > MESSAGE_LEN_MAX {
            faults.push(Error::too_long(&at.child("message"), MESSAGE_LEN_MAX));
        }
    }
    faults
}

fn is_reason(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    bytes[0].is_ascii_alphabetic() && is_end(bytes[bytes.len() - 1]) && bytes.iter().all(|c| is_end(*c) || matches!(c, b',' | b':'))
}
