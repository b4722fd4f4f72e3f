//! Where things of a pod lie.

use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Volume;

use super::tmpfs;

/// The volumes this node can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolumeKind {
    EmptyDir,
    EmptyDirInMemory,
    HostPath,
    ConfigMap,
    Secret,
    DownwardApi,
    Projected,
    /// The content of an image, which the runtime mounts.
    Image,
    /// A persistent volume that is a path of this host.
    Claim,
}

impl VolumeKind {
    /// Upstream: a volume without a source is an emptyDir, but defaulting has written that out.
    pub(super) fn of(volume: &Volume) -> Option<Self> {
        if let Some(empty_dir) = &volume.empty_dir {
            return match empty_dir.medium.as_deref() {
                None | Some("") => Some(VolumeKind::EmptyDir),
                Some("Memory") => Some(VolumeKind::EmptyDirInMemory),
                Some(_) => None,
            };
        }
        let kinds = [
            (volume.host_path.is_some(), VolumeKind::HostPath),
            (volume.config_map.is_some(), VolumeKind::ConfigMap),
            (volume.secret.is_some(), VolumeKind::Secret),
            (volume.downward_api.is_some(), VolumeKind::DownwardApi),
            (volume.projected.is_some(), VolumeKind::Projected),
            (volume.image.is_some(), VolumeKind::Image),
            (volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some(), VolumeKind::Claim),
        ];
        kinds.into_iter().find(|(is, _)| *is).map(|(_, kind)| kind)
    }

    fn folder(self) -> &'static str {
        match self {
            VolumeKind::EmptyDir | VolumeKind::EmptyDirInMemory => "kubernetes.io~empty-dir",
            VolumeKind::HostPath => "kubernetes.io~host-path",
            VolumeKind::ConfigMap => "kubernetes.io~configmap",
            VolumeKind::Secret => "kubernetes.io~secret",
            VolumeKind::DownwardApi => "kubernetes.io~downward-api",
            VolumeKind::Projected => "kubernetes.io~projected",
            VolumeKind::Image => "kubernetes.io~image",
            VolumeKind::Claim => "kubernetes.io~local-volume",
        }
    }

    /// What must not reach a disk.
    pub(super) fn is_in_memory(self) -> bool {
        matches!(self, VolumeKind::EmptyDirInMemory | VolumeKind::Secret | VolumeKind::Projected)
    }
    /// Pods may not change what objects say.
    pub(super) fn is_read_only(self) -> bool {
        matches!(self, VolumeKind::ConfigMap | VolumeKind::Secret | VolumeKind::DownwardApi | VolumeKind::Projected | VolumeKind::Image)
    }
}

/// Of what lies in a folder.
pub(super) fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok())
}

#[derive(Clone, Debug)]
pub(super) struct PodFolder(PathBuf);

impl PodFolder {
    pub(super) fn new(root_dir: &Path, pod_uid: &str) -> Self {
        PodFolder(root_dir.join("pods").join(pod_uid))
    }

    pub(super) fn make(&self) -> io::Result<()> {
        for part in ["volumes", "containers"] {
            std::fs::create_dir_all(self.0.join(part))?;
        }
        Ok(())
    }

    pub(super) fn volume(&self, kind: VolumeKind, name: &str) -> PathBuf {
        self.0.join("volumes").join(kind.folder()).join(name)
    }

    pub(super) fn termination_message(&self, container: &str, attempt: u32) -> PathBuf {
        self.0.join("containers").join(container).join(attempt.to_string())
    }

    pub(super) fn hosts_file(&self) -> PathBuf {
        self.0.join("etc-hosts")
    }

    /// All of it, mounts first.
    pub(super) fn remove(&self) -> Result<(), String> {
        tmpfs::unmount_below(&self.0)?;
        match std::fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(format!("remove {}: {e}", self.0.display())),
            _ => Ok(()),
        }
    }
}
