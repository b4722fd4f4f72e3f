//! Memory file systems of volumes.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

pub(super) fn mount(path: &Path, bytes_max: i64) -> Result<(), String> {
    if is_mount_point(path) {
        return Ok(());
    }
    let options = std::ffi::CString::new(format!("size={bytes_max},mode=0777")).map_err(|e| e.to_string())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str()).map_err(|e| format!("mount tmpfs on {}: {e}", path.display()))
}

/// A folder on another device than its parent.
pub(super) fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|m| m.dev()).ok();
    path.parent().is_some_and(|parent| device(path).is_some() && device(path) != device(parent))
}

/// Unmounts everything at or below `folder`, the innermost first.
pub(super) fn unmount_below(folder: &Path) -> Result<(), String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").map_err(|e| format!("read the mount table: {e}"))?;
    let mut points: Vec<PathBuf> = table.lines().filter_map(mount_point).filter(|p| p.starts_with(folder)).collect();
    points.sort_by_key(|p| std::cmp::Reverse(p.components().count()));
    for point in points {
        match rustix::mount::unmount(&point, UnmountFlags::empty()) {
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            // Something still looks at it; it goes when that lets go.
            Err(Errno::BUSY) => {
                rustix::mount::unmount(&point, UnmountFlags::DETACH).map_err(|e| format!("unmount {}: {e}", point.display()))?;
            }
            Err(e) => return Err(format!("unmount {}: {e}", point.display())),
        }
    }
    Ok(())
}

/// The fifth field; spaces and the like are written as `\040`.
fn mount_point(line: &str) -> Option<PathBuf> {
    let field = line.split(' ').nth(4)?;
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code =
            (*first == b'\\').then(|| std::str::from_utf8(after.get(..3)?).ok().and_then(|o| u8::from_str_radix(o, 8).ok())).flatten();
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    use std::os::unix::ffi::OsStringExt;
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}
