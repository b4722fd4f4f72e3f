//! Making a volume: its folder, and the files in it where objects say what they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Volume;
use pod_plan::pod::BoundPod;
use pod_plan::volume_files::Files;

use super::place::{PodFolder, VolumeKind};
use super::{atomic, host_path, ownership, tmpfs};

/// Harmless when it is made already; files are brought up to date.
pub(super) fn set_up(
    folder: &PodFolder,
    pod: &BoundPod,
    volume: &Volume,
    kind: VolumeKind,
    files: Option<&Files>,
    memory_bytes_max: i64,
    now: Timestamp,
) -> Result<(), String> {
    if let Some(source) = &volume.host_path {
        return host_path::check(source);
    }
    if matches!(kind, VolumeKind::Image | VolumeKind::Claim) {
        return Ok(());
    }
    let path = folder.volume(kind, &volume.name);
    let is_new = !path.exists();
    make_folder(&path)?;
    if kind.is_in_memory() {
        tmpfs::mount(&path, memory_bytes_max)?;
        open_to_all(&path)?;
    }
    let fs_group = pod.spec.security_context.as_ref().and_then(|c| c.fs_group).and_then(|g| u32::try_from(g).ok());
    if let Some(files) = files {
        return atomic::write(&path, files, fs_group, now);
    }
    // What is in an emptyDir is the pod's own; only its root is ours to set.
    match fs_group {
        Some(group) if is_new => ownership::give_to_group(&path, group, ownership::Access::ReadWrite),
        _ => Ok(()),
    }
}

fn make_folder(path: &Path) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(|e| format!("mkdir {}: {e}", path.display()))?;
    open_to_all(path)
}

/// Whatever our umask is.
fn open_to_all(path: &Path) -> Result<(), String> {
    const MODE: u32 = 0o777;
    let is_open = fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o7777 & MODE == MODE);
    if is_open {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(|e| format!("chmod {}: {e}", path.display()))
}
