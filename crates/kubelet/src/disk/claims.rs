//! Claimed persistent volumes that are paths of this host: `hostPath` and `local`.

use std::path::PathBuf;

use client::{Api, Client};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Volume};
use object::key::ObjectKey;
use pod_plan::pod::BoundPod;

use super::{host_path, ownership};

pub(super) struct Claim {
    name: String,
    is_read_only: bool,
    is_ephemeral: bool,
}

/// An ephemeral volume has a claim named for the pod and itself.
pub(super) fn of_volume(pod: &BoundPod, volume: &Volume) -> Option<Claim> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(Claim { name: source.claim_name.clone(), is_read_only: source.read_only == Some(true), is_ephemeral: false });
    }
    volume.ephemeral.as_ref()?;
    Some(Claim { name: format!("{}-{}", pod.name, volume.name), is_read_only: false, is_ephemeral: true })
}

/// Where it lies, once it is bound. Upstream's texts.
pub(super) async fn path(client: &Client, pod: &BoundPod, claim: &Claim) -> Result<PathBuf, String> {
    let (namespace, name) = (&pod.namespace, &claim.name);
    let failed = |why: String| format!("error processing PVC {namespace}/{name}: {why}");
    let found = Api::<PersistentVolumeClaim>::new(client).get(&ObjectKey::new(namespace, name)).await;
    let found = found.map_err(|e| failed(format!("failed to fetch PVC from API server: {e}")))?;
    if found.metadata.deletion_timestamp.is_some() {
        return Err(failed("can't start pod because PVC is being deleted".to_owned()));
    }
    let is_owner = |o: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| o.uid == pod.uid && o.controller == Some(true);
    if claim.is_ephemeral && !found.metadata.owner_references.iter().flatten().any(is_owner) {
        return Err(failed(format!("PVC {namespace}/{name} was not created for pod {namespace}/{} (pod is not owner)", pod.name)));
    }
    let phase = found.status.and_then(|s| s.phase).unwrap_or_default();
    let volume_name = found.spec.and_then(|s| s.volume_name).unwrap_or_default();
    if phase != "Bound" || volume_name.is_empty() {
        return Err(failed(format!(
            "PVC {namespace}/{name} has non-bound phase ({phase:?}) or empty pvc.Spec.VolumeName ({volume_name:?})"
        )));
    }
    let volume = Api::<PersistentVolume>::new(client).get(&ObjectKey::cluster(&volume_name)).await;
    let volume = volume.map_err(|e| failed(format!("failed to fetch PV {volume_name} from API server: {e}")))?;
    let spec = volume.spec.unwrap_or_default();
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err("block volumes are not supported by this node".to_owned());
    }
    if let Some(source) = &spec.host_path {
        host_path::check(source)?;
        return Ok(PathBuf::from(&source.path));
    }
    let Some(source) = &spec.local else { return Err("this kind of persistent volume is not supported by this node".to_owned()) };
    let path = PathBuf::from(&source.path);
    if !path.exists() {
        return Err(format!("path {:?} does not exist", source.path));
    }
    let group = pod.spec.security_context.as_ref().and_then(|c| c.fs_group).and_then(|g| u32::try_from(g).ok());
    if let Some(group) = group.filter(|_| !claim.is_read_only) {
        ownership::give_to_group(&path, group, ownership::Access::ReadWrite)?;
    }
    Ok(path)
}
