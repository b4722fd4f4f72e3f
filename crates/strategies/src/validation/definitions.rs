//! apiextensions.k8s.io: definitions of custom resources, and the form of their schemas.
//!
//! Not asked here: whether expressions compile and what they cost, whether a pattern is a regular expression, whether defaults keep
//! to their own schema. Start with `validate`.

mod field_path;
mod schema;
mod structural;

use std::collections::HashSet;

use object::names;
use serde_json::{Value, json};

use super::webhooks;
use crate::check::{At, Faults};
use crate::equality::is_semantically_equal;

const APPROVAL: &str = "api-approved.kubernetes.io";

pub(crate) fn validate(definition: &At<'_>, faults: &mut Faults) {
    let names = definition.get("spec").get("names");
    let wanted = format!("{}.{}", names.get("plural").text(), definition.get("spec").get("group").text());
    for name in ["generateName", "name"].map(|field| definition.get("metadata").get(field)) {
        if name.has_text() && name != wanted.as_str() {
            faults.invalid_text(&name, "must be spec.names.plural+\".\"+spec.group");
        }
    }
    validate_spec(&folded(definition.value), faults);
    validate_status(definition, faults);
    validate_approval(definition, faults);
    validate_preserving(definition, faults);
}

pub(crate) fn validate_update(subresource: &str, old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource == "status" {
        return validate_names(&new.get("status").get("acceptedNames"), faults);
    }
    validate_spec(&folded(new.value), faults);
    let (before, after) = (old.get("spec"), new.get("spec"));
    let conditions = old.get("status").get("conditions");
    if conditions.list().iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True") {
        faults.immutable_text(&before.get("scope"), &after.get("scope"));
        faults.immutable_text(&before.get("names").get("kind"), &after.get("names").get("kind"));
    }
    faults.immutable_text(&before.get("group"), &after.get("group"));
    faults.immutable_text(&before.get("names").get("plural"), &after.get("names").get("plural"));
    validate_status(new, faults);
    let approval = |definition: &At<'_>| approval_fault(definition).map(|(fault, _)| fault);
    if approval(old) != approval(new) {
        validate_approval(new, faults);
    }
    if !before.get("preserveUnknownFields").is_true() {
        validate_preserving(new, faults);
    }
}

fn validate_status(definition: &At<'_>, faults: &mut Faults) {
    let (status, versions) = (definition.get("status"), definition.get("spec").get("versions"));
    validate_names(&status.get("acceptedNames"), faults);
    let stored = status.get("storedVersions");
    if stored.is_empty() {
        return faults.invalid(&stored, "must have at least one stored version");
    }
    for version in versions.list().iter().filter(|version| version["storage"] == true && !stored.list().contains(&version["name"])) {
        faults.invalid(&stored, format!("must have the storage version {}", version["name"].as_str().unwrap_or("")));
    }
    for version in stored.items().filter(|stored| !versions.list().iter().any(|version| version["name"] == *stored.value)) {
        let name = version.text();
        faults.invalid_text(&version, format!("missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"));
    }
}

/// Upstream looks at the form that definitions had first, and its paths are of that form: what all versions have alike stands once,
/// beside them.
fn folded(definition: &Value) -> Value {
    const ALIKE: [(&str, &str); 4] = [
        ("subresources", "subresources"),
        ("schema", "validation"),
        ("additionalPrinterColumns", "additionalPrinterColumns"),
        ("selectableFields", "selectableFields"),
    ];
    let mut spec = definition["spec"].clone();
    for (field, above) in ALIKE {
        let Some(versions) = spec["versions"].as_array_mut().filter(|versions| !versions.is_empty()) else { continue };
        let first = versions[0][field].clone();
        if first.is_null() || !versions.iter().all(|version| is_semantically_equal(&version[field], &first)) {
            continue;
        }
        for version in versions {
            version.as_object_mut().map(|version| version.remove(field));
        }
        spec[above] = first;
    }
    json!({"spec": spec})
}

fn validate_spec(folded: &Value, faults: &mut Faults) {
    let definition = At::root(folded);
    let spec = definition.get("spec");
    let (group, versions) = (spec.get("group"), spec.get("versions"));
    if faults.need_text(&group) {
        let found = names::subdomain_faults(group.text());
        if !found.is_empty() {
            faults.invalid_text(&group, found.join(","));
        } else if !group.text().contains('.') {
            faults.invalid_text(&group, "should be a domain with at least one dot");
        }
    }
    faults.need_one_of(&spec.get("scope"), &["Cluster", "Namespaced"]);
    if !spec.get("validation").get("openAPIV3Schema").is_set() {
        for schema in versions.items().map(|version| version.get("schema").get("openAPIV3Schema")).filter(|schema| !schema.is_set()) {
            faults.required(&schema, "");
        }
    }
    let preserves = spec.get("preserveUnknownFields");
    if preserves.is_true() && schema::have_defaults(&spec) {
        faults.invalid(&preserves, "must be false in order to use defaults in the schema");
    }
    validate_versions(&versions, has_status(&spec), faults);
    let first = spec.named("version").with(versions.at(0).get("name").value);
    if first.has_text() {
        invalid_names(&first, names::dns1035_faults(first.text()), faults);
    }
    for name in ["plural", "singular", "kind", "listKind"] {
        faults.need_text(&spec.get("names").get(name));
    }
    validate_names(&spec.get("names"), faults);
    let has_any_status = has_status(&spec) || versions.items().any(|version| has_status(&version));
    schema::validate(&spec.get("validation"), has_any_status, faults);
    validate_served(&spec, faults);
    validate_selectable(&spec, &spec.get("validation"), "may only be set when validations.schema is included", faults);
    validate_conversion(&spec.get("conversion"), preserves.is_true(), faults);
}

fn has_status(above: &At<'_>) -> bool {
    above.get("subresources").get("status").is_set()
}

fn validate_versions(versions: &At<'_>, has_status_above: bool, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for version in versions.items() {
        let name = version.get("name");
        invalid_names(&name, names::dns1035_faults(name.text()), faults);
        validate_deprecation(&version, faults);
        let schema = version.get("schema");
        schema::validate(&schema, has_status_above || has_status(&version), faults);
        validate_served(&version, faults);
        validate_selectable(&version, &schema, "may only be set when `version.schema.openAPIV3Schema` is not included", faults);
        seen.insert(name.text());
    }
    let show = |faults: &mut Faults, detail: &str| faults.invalid_go_list(versions, "CustomResourceDefinitionVersion", detail);
    if seen.len() < versions.len() {
        show(faults, "must contain unique version names");
    }
    if versions.list().iter().filter(|version| version["storage"] == true).count() != 1 {
        show(faults, "must have exactly one version marked as storage version");
    }
}

fn validate_deprecation(version: &At<'_>, faults: &mut Faults) {
    const LEN_MAX: usize = 256;
    let warning = version.get("deprecationWarning");
    if !warning.is_set() {
        return;
    }
    if !version.get("deprecated").is_true() {
        return faults.invalid_text(&warning, "can only be set for deprecated versions");
    }
    if warning.text().len() > LEN_MAX {
        faults.invalid_text(&warning, format!("must be <= {LEN_MAX} characters long"));
    }
    if !warning.has_text() {
        faults.invalid_text(&warning, "must not be an empty string");
    }
    if let Some((at, _)) = warning.text().char_indices().find(|(_, c)| c.is_control() || c.is_whitespace() && *c != ' ') {
        let text = format!("must only contain printable UTF-8 characters; non-printable character found at index {at}");
        faults.invalid_text(&warning, text);
    }
}

/// Faults of one text as one.
fn invalid_names(at: &At<'_>, found: Vec<String>, faults: &mut Faults) {
    if !found.is_empty() {
        faults.invalid_text(at, found.join(","));
    }
}

fn validate_names(at: &At<'_>, faults: &mut Faults) {
    for name in ["plural", "singular"].map(|field| at.get(field)).iter().filter(|name| name.has_text()) {
        invalid_names(name, names::dns1035_faults(name.text()), faults);
    }
    let (kind, list_kind) = (at.get("kind"), at.get("listKind"));
    for name in [&kind, &list_kind].into_iter().filter(|name| name.has_text()) {
        let found = names::dns1035_faults(&name.text().to_lowercase());
        if !found.is_empty() {
            faults.invalid_text(name, format!("may have mixed case, but should otherwise match: {}", found.join(",")));
        }
    }
    for name in at.get("shortNames").items() {
        invalid_names(&name, names::dns1035_faults(name.text()), faults);
    }
    if kind.has_text() && kind.text() == list_kind.text() {
        faults.invalid_text(&list_kind, "kind and listKind may not be the same");
    }
    for name in at.get("categories").items() {
        invalid_names(&name, names::dns1035_faults(name.text()), faults);
    }
}

/// Subresources and columns, of a version or of all.
fn validate_served(above: &At<'_>, faults: &mut Faults) {
    let scale = above.get("subresources").get("scale");
    if scale.is_set() {
        for (field, roots, text, is_needed) in [
            ("specReplicasPath", &[".spec."][..], "should be a json path under .spec", true),
            ("statusReplicasPath", &[".status."], "should be a json path under .status", true),
            ("labelSelectorPath", &[".spec.", ".status."], "should be a json path under either .spec or .status", false),
        ] {
            let path = scale.get(field);
            if !path.has_text() {
                if is_needed {
                    faults.required(&path, "");
                }
            } else if is_simple_path(&path, faults) && !roots.iter().any(|root| path.text().starts_with(root)) {
                faults.invalid_text(&path, text);
            }
        }
    }
    for column in above.get("additionalPrinterColumns").items() {
        validate_column(&column, faults);
    }
}

fn is_simple_path(path: &At<'_>, faults: &mut Faults) -> bool {
    let is_simple = path.text().starts_with('.');
    if !is_simple {
        faults.invalid_text(path, "must be a simple json path starting with .");
    }
    is_simple
}

fn validate_column(column: &At<'_>, faults: &mut Faults) {
    const TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
    const FORMATS: &[&str] = &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    let (kind, format) = (column.get("type"), column.get("format"));
    faults.need_text(&column.get("name"));
    let one_of = |list: &[&str]| format!("must be one of {}", list.join(","));
    if !kind.has_text() {
        faults.required(&kind, one_of(TYPES));
    } else if !TYPES.contains(&kind.text()) {
        faults.invalid_text(&kind, one_of(TYPES));
    }
    if format.has_text() && !FORMATS.contains(&format.text()) {
        faults.invalid_text(&format, one_of(FORMATS));
    }
    let path = column.named("JSONPath").with(&column.value["jsonPath"]);
    if faults.need_text(&path) {
        is_simple_path(&path, faults);
    }
}

fn validate_selectable(above: &At<'_>, validation: &At<'_>, without_schema: &str, faults: &mut Faults) {
    const MAX: usize = 8;
    let fields = above.get("selectableFields");
    let root = validation.get("openAPIV3Schema");
    if fields.is_empty() {
        return;
    }
    if !root.is_set() {
        return faults.invalid_as(&fields, "", without_schema);
    }
    if let Some(text) = structural::unsupported(root.value) {
        faults.invalid_as(&above.get("schema").get("openAPIV3Schema"), "", text);
    }
    let mut seen = HashSet::new();
    for path in fields.items().map(|field| field.get("jsonPath")) {
        if !faults.need_text(&path) {
            continue;
        }
        let found = match field_path::find(root.value, path.text(), field_path::Brackets::Refused) {
            Ok(found) => found,
            Err(cause) => {
                faults.invalid_text(&path, format!("is an invalid path: {cause}"));
                continue;
            }
        };
        if path.text().starts_with(".metadata") {
            faults.invalid_text(&path, "must not point to fields in metadata");
        }
        if !matches!(found["type"].as_str(), Some("string" | "boolean" | "integer")) {
            faults.invalid_text(
                &path,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            );
        }
        if !seen.insert(path.text()) {
            faults.duplicate_as(&path, path.text());
        }
    }
    if seen.len() > MAX {
        faults.too_many(&fields, MAX);
    }
}

fn validate_conversion(conversion: &At<'_>, preserves_unknown: bool, faults: &mut Faults) {
    const STRAY: &str = "should not be set when strategy is not set to Webhook";
    if !conversion.is_set() {
        return;
    }
    let (strategy, webhook) = (conversion.get("strategy"), conversion.get("webhook"));
    if strategy != "None" && preserves_unknown {
        faults.invalid_text(&strategy, "must be None if spec.preserveUnknownFields is true");
    }
    faults.need_one_of(&strategy, &["None", "Webhook"]);
    let client = conversion.named("webhookClientConfig").with(&webhook.value["clientConfig"]);
    let versions = conversion.named("conversionReviewVersions").with(&webhook.value["conversionReviewVersions"]);
    if strategy != "Webhook" {
        if client.is_set() {
            faults.forbidden(&client, STRAY);
        }
        if !versions.is_empty() {
            faults.forbidden(&versions, STRAY);
        }
        return;
    }
    if client.is_set() {
        webhooks::validate_client(&client, faults);
    } else {
        faults.required(&client, "required when strategy is set to Webhook");
    }
    if versions.is_empty() {
        faults.required(&versions, "");
    } else {
        webhooks::validate_versions(&versions, faults);
    }
}

#[derive(PartialEq, Eq)]
enum Approval {
    Missing,
    Wrong,
}

/// Groups of the community need somebody's approval.
fn approval_fault(definition: &At<'_>) -> Option<(Approval, String)> {
    const MORE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let text = definition.value["metadata"]["annotations"][APPROVAL].as_str().unwrap_or("");
    let (scheme, rest) = text.split_once("://").unwrap_or(("", ""));
    if text.is_empty() {
        Some((Approval::Missing, format!("protected groups must have approval annotation {APPROVAL:?}, {MORE}")))
    } else if text.starts_with("unapproved") || !scheme.is_empty() && !rest.split('/').next().unwrap_or("").is_empty() {
        None
    } else {
        let text = format!(
            "protected groups must have approval annotation {APPROVAL:?} with either a URL or a reason starting with \"unapproved\", {MORE}"
        );
        Some((Approval::Wrong, text))
    }
}

fn validate_approval(definition: &At<'_>, faults: &mut Faults) {
    let group = definition.get("spec").get("group").text();
    let is_protected =
        ["k8s.io", "kubernetes.io"].iter().any(|ours| group.strip_suffix(ours).is_some_and(|r| r.is_empty() || r.ends_with('.')));
    let at = definition.get("metadata").get("annotations").key(APPROVAL);
    match approval_fault(definition).filter(|_| is_protected) {
        Some((Approval::Missing, text)) => faults.required(&at, text),
        Some((Approval::Wrong, text)) => faults.invalid_text(&at, text),
        None => {}
    }
}

fn validate_preserving(definition: &At<'_>, faults: &mut Faults) {
    let preserves = definition.get("spec").get("preserveUnknownFields");
    if preserves.is_true() {
        faults
            .invalid(&preserves, "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead");
    }
}
