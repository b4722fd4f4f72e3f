//! Claims, volumes and volume attributes classes go only when nobody uses them: a finalizer each, put on by admission, taken away here.
//!
//! A claim says besides whether pods use it (condition `Unused`), so that forgotten storage is found.

use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimCondition, Pod, Volume};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::plan::{Change, Plan};
use serde_json::json;

use control_workloads::pods;

const OF_CLAIMS: &str = "kubernetes.io/pvc-protection";
const OF_VOLUMES: &str = "kubernetes.io/pv-protection";
const OF_CLASSES: &str = "kubernetes.io/vac-protection";
const UNUSED: &str = "Unused";

/// `pods` are those that name the claim. A plan that lets the claim go wants them from the server, not from a cache.
pub fn plan_claim<'a>(claim: &PersistentVolumeClaim, pods: impl Iterator<Item = &'a Pod> + Clone, now: Timestamp) -> Plan {
    let is_used = pods.clone().any(|pod| !pods::node_name(pod).is_empty() && holds(pod, claim));
    let mut changes: Vec<Change> = finalizer_change(claim, OF_CLAIMS, is_used).into_iter().collect();
    if changes.is_empty() && claim.metadata.deletion_timestamp.is_none() {
        let is_named = pods.clone().any(|pod| !pods::is_finished(pod) && names(pod, claim));
        changes.extend(unused_change(claim, !is_named, now));
    }
    Plan { changes, ..Plan::nothing() }
}

pub fn plan_volume(volume: &PersistentVolume) -> Plan {
    let is_bound = volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
    Plan { changes: finalizer_change(volume, OF_VOLUMES, is_bound).into_iter().collect(), ..Plan::nothing() }
}

pub fn plan_class(class: &VolumeAttributesClass, is_used: bool) -> Plan {
    Plan { changes: finalizer_change(class, OF_CLASSES, is_used).into_iter().collect(), ..Plan::nothing() }
}

/// The classes a claim has, wants, or is on its way to.
pub fn classes_of_claim(claim: &PersistentVolumeClaim) -> impl Iterator<Item = &str> {
    let status = claim.status.as_ref();
    let wanted = claim.spec.as_ref().and_then(|s| s.volume_attributes_class_name.as_deref());
    let current = status.and_then(|s| s.current_volume_attributes_class_name.as_deref());
    let target = status.and_then(|s| s.modify_volume_status.as_ref()).and_then(|m| m.target_volume_attributes_class_name.as_deref());
    [wanted, current, target].into_iter().flatten().filter(|name| !name.is_empty())
}

pub fn class_of_volume(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.volume_attributes_class_name.as_deref().filter(|name| !name.is_empty())
}

/// The claims that a pod's volumes name, its own ephemeral ones among them.
pub fn claims_of_pod(pod: &Pod) -> impl Iterator<Item = String> {
    pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()).filter_map(|volume| claim_of(pod, volume))
}

fn claim_of(pod: &Pod, volume: &Volume) -> Option<String> {
    match &volume.persistent_volume_claim {
        Some(source) => Some(source.claim_name.clone()),
        None => volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.metadata.name.as_deref().unwrap_or(""), volume.name)),
    }
}

fn names(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    volumes_of(pod, claim).next().is_some()
}

/// Upstream: a pod that is all but gone lets go of its own ephemeral claims, for it may be waiting for them in turn.
fn holds(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let is_shut_down = pods::is_leaving(pod) && pod.metadata.deletion_grace_period_seconds == Some(0);
    volumes_of(pod, claim).any(|volume| !is_shut_down || volume.persistent_volume_claim.is_some())
}

fn volumes_of<'a>(pod: &'a Pod, claim: &'a PersistentVolumeClaim) -> impl Iterator<Item = &'a Volume> {
    let is_own =
        claim.metadata.owner_references.iter().flatten().any(|o| o.controller == Some(true) && Some(&o.uid) == pod.metadata.uid.as_ref());
    let all = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    all.filter(move |volume| {
        claim_of(pod, volume).as_ref() == claim.metadata.name.as_ref() && (volume.persistent_volume_claim.is_some() || is_own)
    })
}

/// Every living object has the finalizer; a leaving one that nobody uses loses it.
fn finalizer_change<K: Metadata<Ty = ObjectMeta>>(object: &K, finalizer: &str, is_used: bool) -> Option<Change> {
    let metadata = object.metadata();
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    let is_protected = finalizers.iter().any(|name| name == finalizer);
    match metadata.deletion_timestamp {
        Some(_) if is_protected && !is_used => finalizers.retain(|name| name != finalizer),
        None if !is_protected => finalizers.push(finalizer.to_owned()),
        _ => return None,
    }
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": metadata.resource_version}});
    Some(Change::merge(object, "", patch))
}

/// Upstream: only bound claims tell, for until then the binder writes their status.
fn unused_change(claim: &PersistentVolumeClaim, is_unused: bool, now: Timestamp) -> Option<Change> {
    let status = claim.status.as_ref().filter(|s| s.phase.as_deref() == Some("Bound"))?;
    let mut conditions = status.conditions.clone().unwrap_or_default();
    let (word, reason, message) = match is_unused {
        true => ("True", "NoPodsUsingPVC", "No pods are currently referencing this PVC"),
        false => ("False", "PodUsingPVC", "A pod is currently referencing this PVC"),
    };
    if conditions.iter().any(|c| c.type_ == UNUSED && (c.status == "True") == is_unused) {
        return None;
    }
    conditions.retain(|c| c.type_ != UNUSED);
    conditions.push(PersistentVolumeClaimCondition {
        type_: UNUSED.to_owned(),
        status: word.to_owned(),
        last_transition_time: Some(pods::whole_seconds(now)),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        ..PersistentVolumeClaimCondition::default()
    });
    let mut updated = claim.clone();
    updated.status.as_mut().expect("its phase was read above").conditions = Some(conditions);
    Some(Change::update_status(&updated))
}

#[cfg(test)]
mod tests {
    use object::plan::Write;
    use serde_json::Value;

    use super::*;

    fn claim(phase: &str, is_leaving: bool, condition: Value) -> PersistentVolumeClaim {
        let mut tree = json!({
            "metadata": {"name": "data", "uid": "c1", "resourceVersion": "7", "finalizers": [OF_CLAIMS]},
            "status": {"phase": phase, "conditions": condition},
        });
        if is_leaving {
            tree["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(tree).unwrap()
    }

    fn pod(node: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "p1"}, "status": {"phase": phase},
            "spec": {"nodeName": node, "containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
        }))
        .unwrap()
    }

    fn check(claim: &PersistentVolumeClaim, pods: &[Pod], wanted: Value) {
        let plan = plan_claim(claim, pods.iter(), "2026-01-01T00:00:00Z".parse().unwrap());
        let told = plan.changes.first().map_or(Value::Null, |change| match &change.write {
            Write::Patch { patch, .. } => patch["metadata"]["finalizers"].clone(),
            Write::UpdateStatus { object, .. } => object["status"]["conditions"][0]["status"].clone(),
            _ => Value::from("something else"),
        });
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_leaving_claim_waits_for_the_pods_that_use_it() {
        let leaving = claim("Pending", true, json!([]));
        check(&leaving, &[pod("n1", "Running")], Value::Null);
        check(&leaving, &[pod("", "Pending")], json!([]));
        check(&leaving, &[], json!([]));
        let mut bare = claim("Pending", false, json!([]));
        check(&bare, &[], Value::Null);
        bare.metadata.finalizers = None;
        check(&bare, &[], json!([OF_CLAIMS]));
    }

    #[test]
    fn a_pod_that_is_all_but_gone_holds_only_claims_that_are_not_its_own() {
        let mut owned = claim("Pending", true, json!([]));
        owned.metadata.name = Some("p-v".to_owned());
        owned.metadata.owner_references =
            serde_json::from_value(json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p1", "controller": true}])).unwrap();
        let mut going = pod("n1", "Running");
        going.spec.as_mut().unwrap().volumes = serde_json::from_value(json!([{"name": "v", "ephemeral": {}}])).unwrap();
        check(&owned, &[going.clone()], Value::Null);
        going.metadata.deletion_timestamp = owned.metadata.deletion_timestamp.clone();
        going.metadata.deletion_grace_period_seconds = Some(0);
        check(&owned, &[going], json!([]));
    }

    #[test]
    fn bound_claims_tell_whether_they_are_used() {
        let unused = json!([{"type": UNUSED, "status": "True"}]);
        check(&claim("Bound", false, json!([])), &[], json!("True"));
        check(&claim("Bound", false, unused.clone()), &[], Value::Null);
        check(&claim("Bound", false, unused), &[pod("", "Pending")], json!("False"));
        check(&claim("Pending", false, json!([])), &[], Value::Null);
        check(&claim("Bound", false, json!([])), &[pod("n1", "Succeeded")], json!("True"));
    }

    #[test]
    fn volumes_and_classes_wait_too() {
        let volume = |phase: &str| -> PersistentVolume {
            serde_json::from_value(json!({"metadata": {"name": "v", "finalizers": [OF_VOLUMES], "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": phase}})).unwrap()
        };
        assert_eq!(plan_volume(&volume("Bound")), Plan::nothing());
        assert_eq!(plan_volume(&volume("Available")).changes.len(), 1);
        let class: VolumeAttributesClass = serde_json::from_value(
            json!({"metadata": {"name": "v", "finalizers": [OF_CLASSES], "deletionTimestamp": "2026-01-01T00:00:00Z"}, "driverName": "d"}),
        )
        .unwrap();
        assert_eq!(plan_class(&class, true), Plan::nothing());
        assert_eq!(plan_class(&class, false).changes.len(), 1);
    }
}
