//! Whose object is whose: owner references, adoption and release (upstream: `controller_ref_manager`).

use std::collections::BTreeMap;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector as Selector, ObjectMeta, OwnerReference};
use object::plan::Change;
use object::selector::LabelSelector;
use serde_json::json;

pub(crate) fn controller_of(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

pub(crate) fn owner_reference<K: Metadata<Ty = ObjectMeta>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: owner.metadata().name.clone().unwrap_or_default(),
        uid: owner.metadata().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A selector that cannot be read selects nothing: validation keeps such objects out.
pub(crate) fn selector(typed: Option<&Selector>) -> LabelSelector {
    let tree = serde_json::to_value(typed).expect("a selector is plain data");
    LabelSelector::from_object(&tree).unwrap_or_else(|_| LabelSelector::nothing())
}

pub(crate) fn matches(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    selector.matches_with(&|key| labels.and_then(|l| l.get(key)).map(String::as_str))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Kept,
    Adopted,
    Released,
    Foreign,
}

/// What becomes of one candidate. An owner that is being deleted neither adopts nor releases.
pub(crate) fn claim(owner: &ObjectMeta, selector: &LabelSelector, candidate: &ObjectMeta) -> Claim {
    let is_selected = matches(selector, candidate.labels.as_ref());
    let is_owner_leaving = owner.deletion_timestamp.is_some();
    match controller_of(candidate) {
        Some(controller) if Some(&controller.uid) != owner.uid.as_ref() => Claim::Foreign,
        Some(_) if is_selected => Claim::Kept,
        Some(_) if is_owner_leaving => Claim::Foreign,
        Some(_) => Claim::Released,
        None if is_selected && !is_owner_leaving && candidate.deletion_timestamp.is_none() => Claim::Adopted,
        None => Claim::Foreign,
    }
}

pub(crate) fn adopt<O: Metadata<Ty = ObjectMeta>, K: Metadata<Ty = ObjectMeta>>(owner: &O, candidate: &K) -> Change {
    own(candidate, with_owner(owner, candidate), json!({}))
}

pub(crate) fn release<O: Metadata<Ty = ObjectMeta>, K: Metadata<Ty = ObjectMeta>>(owner: &O, candidate: &K) -> Change {
    own(candidate, without_owner(owner, candidate), json!({}))
}

/// Adopts and puts a finalizer on.
pub(crate) fn adopt_with<O: Metadata<Ty = ObjectMeta>, K: Metadata<Ty = ObjectMeta>>(owner: &O, candidate: &K, finalizer: &str) -> Change {
    let mut finalizers = candidate.metadata().finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|name| name == finalizer) {
        finalizers.push(finalizer.to_owned());
    }
    own(candidate, with_owner(owner, candidate), json!({"finalizers": finalizers}))
}

/// Releases and takes a finalizer away.
pub(crate) fn release_with<O: Metadata<Ty = ObjectMeta>, K: Metadata<Ty = ObjectMeta>>(
    owner: &O,
    candidate: &K,
    finalizer: &str,
) -> Change {
    let mut finalizers = candidate.metadata().finalizers.clone().unwrap_or_default();
    finalizers.retain(|name| name != finalizer);
    own(candidate, without_owner(owner, candidate), json!({"finalizers": finalizers}))
}

fn with_owner<O: Metadata<Ty = ObjectMeta>, K: Metadata<Ty = ObjectMeta>>(owner: &O, candidate: &K) -> Vec<OwnerReference> {
    let mut owners = candidate.metadata().owner_references.clone().unwrap_or_default();
    owners.push(owner_reference(owner));
    owners
}

fn without_owner<O: Metadata<Ty = ObjectMeta>, K: Metadata<Ty = ObjectMeta>>(owner: &O, candidate: &K) -> Vec<OwnerReference> {
    let mut owners = candidate.metadata().owner_references.clone().unwrap_or_default();
    owners.retain(|o| Some(&o.uid) != owner.metadata().uid.as_ref());
    owners
}

fn own<K: Metadata<Ty = ObjectMeta>>(candidate: &K, owners: Vec<OwnerReference>, mut metadata: serde_json::Value) -> Change {
    metadata["ownerReferences"] = if owners.is_empty() { json!(null) } else { json!(owners) };
    metadata["resourceVersion"] = json!(candidate.metadata().resource_version);
    Change::merge(candidate, "", json!({"metadata": metadata}))
}
