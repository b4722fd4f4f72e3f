//! `fsGroup`: volumes belong to a group of the pod. Upstream: `pkg/volume/volume_linux.go`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

/// `path` and everything below it; symlinks are given away but not followed.
pub(super) fn give_to_group(path: &Path, group: u32, access: Access) -> Result<(), String> {
    let said = |e: std::io::Error| format!("set the group of {}: {e}", path.display());
    let metadata = fs::symlink_metadata(path).map_err(said)?;
    lchown(path, None, Some(group)).map_err(said)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mut mask = if access == Access::ReadWrite { 0o660 } else { 0o440 };
    if metadata.is_dir() {
        mask |= 0o2110;
    }
    let mode = metadata.permissions().mode() & 0o7777 | mask;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(said)?;
    if !metadata.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(said)? {
        give_to_group(&entry.map_err(said)?.path(), group, access)?;
    }
    Ok(())
}

/// The folder alone.
pub(super) fn give_root_to_group(path: &Path, group: u32) -> Result<(), String> {
    let said = |e: std::io::Error| format!("set the group of {}: {e}", path.display());
    lchown(path, None, Some(group)).map_err(said)?;
    let mode = fs::metadata(path).map_err(said)?.permissions().mode() & 0o7777;
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o2550)).map_err(said)
}
