//! What this host lacks for running pods, each lack with what it means and a way out. Nothing is changed by looking.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{FsOpenFlags, fsopen};

use crate::capability::Capability;
use crate::cgroup::Cgroups;
use crate::status::{Lack, Severity};
use crate::sys;

/// `root` is the directory where sandboxes are to be kept; it need not exist yet.
pub fn probe(root: &Path) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if !has_capability(Capability::SysAdmin) {
        lacks.push(fatal(
            "root",
            "this process is not root on its host, so it cannot make namespaces and mounts",
            "run coracle as root (with sudo)",
        ));
        // Everything else would only be a consequence.
        return lacks;
    }
    lacks.extend(kernel_calls());
    lacks.extend(cgroups());
    lacks.extend(overlay(root));
    lacks.extend(smaller_lacks());
    lacks
}

fn fatal(what: &'static str, meaning: &str, way_out: &str) -> Lack {
    Lack { what, severity: Severity::Fatal, meaning: meaning.to_string(), way_out: way_out.to_string() }
}

fn degraded(what: &'static str, meaning: &str, way_out: &str) -> Lack {
    Lack { severity: Severity::Degraded, ..fatal(what, meaning, way_out) }
}

fn has_capability(capability: Capability) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:")).and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> capability as u32 & 1 == 1)
}

/// cgroup.kill came with 5.14 and recursive mount flags with 5.12; the latter can be asked for without doing anything.
fn kernel_calls() -> Option<Lack> {
    let place = fs::File::open("/").ok()?;
    // A file that is no mount is refused by a kernel that knows the call, and nothing has happened.
    let is_known = sys::mount_setattr(&place, false, 0, 0, 0).err().and_then(|error| error.raw_os_error()) != Some(libc::ENOSYS);
    (!is_known).then(|| fatal("kernel 5.15", "this kernel is too old to set up containers safely", "use a host with Linux 5.15 or newer"))
}

fn cgroups() -> Vec<Lack> {
    if let Some(missing) = missing_controllers() {
        let meaning = format!("this kernel gives cgroups no {missing} controller, so pods cannot be limited");
        let way_out = "start the kernel with `cgroup_enable=memory` and without `cgroup_disable=` on its command line";
        return vec![fatal("cgroup controllers", &meaning, way_out)];
    }
    match Cgroups::probe() {
        Err(_) => vec![fatal(
            "cgroups",
            "no cgroup hierarchy with the cpu, memory and pids controllers is mounted, so pods cannot be limited",
            "mount one: `mount -t cgroup2 none /sys/fs/cgroup`",
        )],
        Ok(Cgroups::V1(_)) => vec![degraded(
            "cgroup v2",
            "this host uses cgroup version 1, which has no memory requests and, when a container is out of memory, kills one process of it and not all",
            "boot with `systemd.unified_cgroup_hierarchy=1`",
        )],
        Ok(Cgroups::V2(_)) => crowded_root().into_iter().collect(),
    }
}

/// The controllers that the kernel itself lacks or has switched off, whatever is mounted: some distributions for small computers
/// leave memory off.
fn missing_controllers() -> Option<String> {
    let table = fs::read_to_string("/proc/cgroups").ok()?;
    let is_enabled = |line: &str, name: &str| line.split_whitespace().next() == Some(name) && line.trim_end().ends_with('1');
    let missing: Vec<&str> =
        ["cpu", "memory", "pids"].into_iter().filter(|name| !table.lines().any(|line| is_enabled(line, name))).collect();
    (!missing.is_empty()).then(|| missing.join(" and no "))
}

/// Inside another container the top of the tree we see is a group like any other, and one with processes of its own cannot
/// hand controllers to groups below. The host's real top has no `cgroup.type`.
fn crowded_root() -> Option<Lack> {
    let read = |file: &str| fs::read_to_string(Path::new("/sys/fs/cgroup").join(file));
    let has_memory = read("cgroup.subtree_control").is_ok_and(|text| text.contains("memory"));
    let is_crowded = read("cgroup.type").is_ok() && read("cgroup.procs").is_ok_and(|text| !text.is_empty());
    (is_crowded && !has_memory).then(|| {
        let meaning = "the cgroup that this container sees as the top has processes in it, so no limits can be set below it";
        let way_out =
            "move them first: `mkdir /sys/fs/cgroup/init && echo 0 > /sys/fs/cgroup/init/cgroup.procs` in the shell that starts coracle";
        fatal("cgroup delegation", meaning, way_out)
    })
}

fn overlay(root: &Path) -> Option<Lack> {
    // Asking loads the module where that is possible.
    if fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).is_err() {
        return Some(fatal("overlayfs", "this kernel has no overlayfs, so images cannot be mounted", "load it: `modprobe overlay`"));
    }
    let existing: PathBuf = root.ancestors().find(|path| path.exists())?.to_path_buf();
    const OVERLAY_MAGIC: i64 = 0x794c_7630;
    let is_overlay = rustix::fs::statfs(&existing).is_ok_and(|found| found.f_type == OVERLAY_MAGIC);
    is_overlay.then(|| {
        let meaning = format!("`{}` is on an overlay file system, which cannot hold the writable layers of containers", root.display());
        fatal("data directory", &meaning, "choose a directory on ext4, xfs, btrfs or tmpfs with --data-dir")
    })
}

fn smaller_lacks() -> Vec<Lack> {
    let has = |path: &str| Path::new(path).exists();
    let mut lacks = Vec::new();
    if !has("/proc/sys/kernel/seccomp/actions_avail") {
        lacks.push(degraded(
            "seccomp",
            "this kernel has no system call filters; pods that ask for one do not start",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ));
    }
    if !has_capability(Capability::SysResource) {
        let meaning = "this process may not raise limits; rlimits and negative OOM scores of pods are cut to what it may give";
        lacks.push(degraded("CAP_SYS_RESOURCE", meaning, "run coracle with that capability"));
    }
    if !has("/proc/sys/fs/mqueue") {
        lacks.push(degraded("POSIX message queues", "containers have no /dev/mqueue", "use a kernel with CONFIG_POSIX_MQUEUE"));
    }
    if !fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y')) {
        lacks.push(degraded(
            "AppArmor",
            "AppArmor profiles of pods have no effect",
            "boot with `apparmor=1 security=apparmor` if pods rely on them",
        ));
    }
    lacks
}
