//! A pod's number, and what follows from it: its name, its labels, its place in DNS, its volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, Volume};
use object::plan::Change;
use serde_json::json;

use super::storage;
use crate::revisions::REVISION_LABEL;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

pub(super) fn start(set: &StatefulSet) -> i32 {
    set.spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0)
}

pub(super) fn name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.metadata.name.as_deref().unwrap_or(""))
}

/// The number in a pod's name, when the name is one of this set's.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let (parent, number) = pod.metadata.name.as_deref()?.rsplit_once('-')?;
    let ordinal: i32 = number.parse().ok()?;
    (Some(parent) == set.metadata.name.as_deref() && number == ordinal.to_string()).then_some(ordinal)
}

pub(super) fn give(set: &StatefulSet, ordinal: i32, revision: &str, pod: &mut Pod) {
    pod.metadata.name = Some(name(set, ordinal));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.extend(own_labels(set, ordinal));
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name(set, ordinal));
    spec.subdomain = set.spec.service_name.clone().filter(|name| !name.is_empty());
    let claimed: Vec<Volume> = storage::claim_names(set, ordinal).map(|(volume, claim_name)| claimed(volume, claim_name)).collect();
    let volumes = spec.volumes.get_or_insert_default();
    volumes.retain(|volume| !claimed.iter().any(|c| c.name == volume.name));
    volumes.splice(0..0, claimed);
    if volumes.is_empty() {
        spec.volumes = None;
    }
}

fn claimed(volume: &str, claim_name: String) -> Volume {
    let source = PersistentVolumeClaimVolumeSource { claim_name, read_only: None };
    Volume { name: volume.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }
}

fn own_labels(set: &StatefulSet, ordinal: i32) -> BTreeMap<String, String> {
    BTreeMap::from([(POD_NAME.to_owned(), name(set, ordinal)), (POD_INDEX.to_owned(), ordinal.to_string())])
}

/// Brings back labels that somebody took from a pod.
pub(super) fn mended(set: &StatefulSet, ordinal: i32, pod: &Pod) -> Option<Change> {
    let wanted = own_labels(set, ordinal);
    let has_all = wanted.iter().all(|(key, value)| pod.metadata.labels.as_ref().is_some_and(|labels| labels.get(key) == Some(value)));
    (!has_all).then(|| Change::merge(pod, "", json!({"metadata": {"labels": wanted}})))
}
