//! Parts of `/proc` and `/sys` that tell or change too much about the host, hidden or made read-only.

use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::{mounts, root};
use crate::spec::{ContainerConfig, ProcMount};
use crate::sys;

/// Upstream: the kubelet's `ProcMount: Default`.
const HIDDEN: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub(super) fn apply(config: &ContainerConfig) -> Result<(), String> {
    if config.security.privileged || config.security.proc_mount == ProcMount::Unmasked {
        return Ok(());
    }
    let fail = |path: &str, error: std::io::Error| format!("guard {path}: {error}");
    let top = root::find(CWD, Path::new("/")).map_err(|error| fail("/", error.into()))?;
    for path in READ_ONLY {
        let place = match root::find(&top, Path::new(path)) {
            Err(Errno::NOENT) => continue,
            result => result.map_err(|error| fail(path, error.into()))?,
        };
        let tree = mounts::copy_of_fd(&place).map_err(|error| fail(path, error.into()))?;
        sys::mount_setattr(&tree, true, sys::MOUNT_ATTR_RDONLY, 0, 0).map_err(|error| fail(path, error))?;
        mounts::attach(&tree, &place).map_err(|error| fail(path, error.into()))?;
    }
    for path in HIDDEN {
        let place = match root::find(&top, Path::new(path)) {
            Err(Errno::NOENT) => continue,
            result => result.map_err(|error| fail(path, error.into()))?,
        };
        let tree = match root::is_directory(&place) {
            true => mounts::filesystem("tmpfs", &[("size", Some("0k")), ("nr_inodes", Some("1"))], MountAttrFlags::MOUNT_ATTR_RDONLY)?,
            false => {
                let null = root::find(&top, Path::new("/dev/null")).map_err(|error| fail(path, error.into()))?;
                mounts::copy_of_fd(&null).map_err(|error| fail(path, error.into()))?
            }
        };
        mounts::attach(&tree, &place).map_err(|error| fail(path, error.into()))?;
    }
    Ok(())
}
