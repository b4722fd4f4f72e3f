//! Control groups, of either version, under paths that belong to us.
//!
//! Invariant: nothing is written, killed or removed at a path that the caller did not name, and never at a hierarchy's top:
//! [`CgroupPath`] cannot hold one. Version 1 costs a write a hierarchy; version 2 costs none (clone3 puts a process there).

mod device;
mod probe;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use serde::{Deserialize, Serialize};

pub(crate) use device::{DeviceKind, DeviceRule};

use crate::spec::Resources;
use crate::status::Stats;

/// An absolute path in each hierarchy, at least two levels deep, so that it cannot be anybody else's by mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupPath(String);

impl CgroupPath {
    pub(crate) fn parse(text: &str) -> Result<CgroupPath, String> {
        let parts: Vec<&str> = text.strip_prefix('/').unwrap_or("").split('/').collect();
        let is_plain = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
        match parts.len() >= 2 && parts.iter().all(is_plain) {
            true => Ok(CgroupPath(text.to_string())),
            false => Err(format!("`{text}` is not a cgroup path like /coracle/main/pods/uid")),
        }
    }

    /// `name` must be one of our own ids.
    pub(crate) fn child(&self, name: &str) -> CgroupPath {
        CgroupPath(format!("{}/{name}", self.0))
    }

    fn below(&self, mount: &Path) -> PathBuf {
        mount.join(&self.0[1..])
    }
}

/// Where the hierarchies are mounted on this host; found once, then kept with each sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cgroups {
    V1(v1::Hierarchies),
    V2(v2::Hierarchy),
}

/// What a group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// Holds containers' groups, no processes.
    Pod,
    /// `None` lets it use every device.
    Container { devices: Option<&'a [DeviceRule]> },
}

impl Cgroups {
    pub(crate) fn probe() -> Result<Cgroups, String> {
        probe::probe()
    }

    /// Makes the group and the ones above it, and sets its limits. May be repeated.
    pub(crate) fn make(&self, path: &CgroupPath, resources: &Resources, purpose: Purpose<'_>) -> Result<(), String> {
        match self {
            Cgroups::V1(hierarchies) => hierarchies.make(path, resources, purpose),
            Cgroups::V2(hierarchy) => hierarchy.make(path, resources, purpose),
        }
    }

    pub(crate) fn update(&self, path: &CgroupPath, resources: &Resources) -> Result<(), String> {
        match self {
            Cgroups::V1(hierarchies) => hierarchies.set(path, resources),
            Cgroups::V2(hierarchy) => hierarchy.set(path, resources),
        }
    }

    /// For clone3, where the kernel can start a process inside the group.
    pub(crate) fn door(&self, path: &CgroupPath) -> Result<Option<OwnedFd>, String> {
        match self {
            Cgroups::V1(_) => Ok(None),
            Cgroups::V2(hierarchy) => hierarchy.door(path).map(Some),
        }
    }

    /// Moves this (single-threaded) process there, where [`Cgroups::door`] gives none.
    pub(crate) fn enter_if_no_door(&self, path: &CgroupPath) -> Result<(), String> {
        match self {
            Cgroups::V1(hierarchies) => hierarchies.enter(path),
            Cgroups::V2(_) => Ok(()),
        }
    }

    /// Makes the group of the shims. A shim must not stay in the group of the process that started it: a service manager
    /// kills all of that group together.
    pub(crate) fn make_for_shims(&self, path: &CgroupPath) -> Result<(), String> {
        let make = || match self {
            Cgroups::V1(hierarchies) => hierarchies.make_for_shims(path),
            Cgroups::V2(hierarchy) => hierarchy.make(path, &Resources::default(), Purpose::Container { devices: None }),
        };
        // Once more, for a cluster that ended just now may have taken the top away (`leave_top`).
        make().or_else(|_| make())
    }

    pub(crate) fn enter_as_shim_if_no_door(&self, path: &CgroupPath) -> Result<(), String> {
        match self {
            Cgroups::V1(hierarchies) => hierarchies.enter_as_shim(path),
            Cgroups::V2(_) => Ok(()),
        }
    }

    /// How many processes the kernel killed there for memory.
    pub(crate) fn oom_kills(&self, path: &CgroupPath) -> u64 {
        match self {
            Cgroups::V1(hierarchies) => hierarchies.oom_kills(path),
            Cgroups::V2(hierarchy) => hierarchy.oom_kills(path),
        }
    }

    pub(crate) fn stats(&self, path: &CgroupPath) -> Option<Stats> {
        match self {
            Cgroups::V1(hierarchies) => hierarchies.stats(path),
            Cgroups::V2(hierarchy) => hierarchy.stats(path),
        }
    }

    /// Kills what is in the group and below, without waiting.
    pub(crate) fn kill(&self, path: &CgroupPath) {
        match self {
            Cgroups::V1(hierarchies) => hierarchies.directories(path).iter().for_each(|dir| kill_processes(dir)),
            Cgroups::V2(hierarchy) => hierarchy.kill(path),
        }
    }

    fn directories(&self, path: &CgroupPath) -> Vec<PathBuf> {
        match self {
            Cgroups::V1(hierarchies) => hierarchies.directories(path),
            Cgroups::V2(hierarchy) => vec![hierarchy.directory(path)],
        }
    }

    /// Removes the empty group and those below; says whether it is gone.
    pub(crate) fn remove_if_empty(&self, path: &CgroupPath) -> bool {
        // All are tried, also after one that stays.
        let n_left = self.directories(path).iter().filter(|dir| !remove_tree(dir)).count();
        n_left == 0
    }

    /// Removes the group itself if nothing is in or below it; others may be using it, so nothing is done to them.
    pub(crate) fn leave(&self, path: &CgroupPath) {
        self.directories(path).iter().for_each(|dir| _ = fs::remove_dir(dir));
    }

    /// Removes what all clusters of the host share, if there is none any more.
    pub(crate) fn leave_top(&self, path: &CgroupPath) {
        // Asked for by its own name: of what is below, nothing may be left to find it by.
        let top = path.0.split('/').nth(1).unwrap_or_default();
        self.leave(&CgroupPath(format!("/{top}")));
    }

    /// Kills what is there, waits until it has ended, removes the group. Blocks.
    pub(crate) fn destroy(&self, path: &CgroupPath, patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(200);
        // A killed process leaves its group only when it is reaped by somebody else, of which nothing tells us on version 1.
        while !self.remove_if_empty(path) {
            if Instant::now() > deadline {
                return Err(format!("cgroup `{}` still has processes after they were killed", path.0));
            }
            self.kill(path);
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn write(dir: &Path, file: &str, value: &str) -> Result<(), String> {
    // No create flag: a file that is not there is a kernel without it, and no place to make one.
    let path = dir.join(file);
    let result = fs::OpenOptions::new().write(true).open(&path).and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    result.map_err(|error| format!("write `{value}` to {}: {error}", path.display()))
}

fn read(dir: &Path, file: &str) -> Option<String> {
    fs::read_to_string(dir.join(file)).ok()
}

fn read_number(dir: &Path, file: &str) -> Option<u64> {
    read(dir, file)?.trim().parse().ok()
}

/// A number in a file of `key value` lines.
fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn make_dir(dir: &Path) -> Result<(), String> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(format!("make cgroup {}: {error}", dir.display())),
        _ => Ok(()),
    }
}

fn kill_processes(dir: &Path) {
    children(dir).iter().for_each(|child| kill_processes(child));
    for pid in read(dir, "cgroup.procs").unwrap_or_default().lines().filter_map(|line| line.parse::<i32>().ok()) {
        // Zero would be a process outside our pid namespace, and would mean our own process group to kill(2).
        if pid > 0 {
            let _ = crate::sys::kill(pid, libc::SIGKILL);
        }
    }
}

fn remove_tree(dir: &Path) -> bool {
    match fs::remove_dir(dir) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(_) => {
            children(dir).iter().for_each(|child| _ = remove_tree(child));
            fs::remove_dir(dir).is_ok()
        }
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
