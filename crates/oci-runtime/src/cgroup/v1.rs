//! cgroup version 1: one tree a controller (or a mounted-together pair).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{CgroupPath, Purpose, field, make_dir, read, read_number, write};
use crate::spec::Resources;
use crate::status::Stats;

/// Controllers in which every pod and container has a group. The others are left alone: each one more is a move at every start.
const ALWAYS: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "devices"];
/// Only for a group whose limits name it.
const CPUSET: &str = "cpuset";
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchies {
    /// Mount point by controller.
    controllers: BTreeMap<String, PathBuf>,
    /// Every hierarchy: its names as in `/proc/self/cgroup`, and its mount point.
    all: Vec<(String, PathBuf)>,
}

impl Hierarchies {
    pub(super) fn from_mounts(mounts: Vec<(PathBuf, Vec<String>)>, unified: Option<PathBuf>) -> Hierarchies {
        let mut controllers = BTreeMap::new();
        let mut all: Vec<(String, PathBuf)> = unified.map(|path| (String::new(), path)).into_iter().collect();
        for (path, options) in mounts {
            let is_name = |option: &&String| !["rw", "ro", "xattr", "clone_children", "noprefix"].contains(&option.as_str());
            let names: Vec<&String> = options.iter().filter(is_name).filter(|name| !name.starts_with("release_agent")).collect();
            names.iter().for_each(|name| _ = controllers.entry(name.to_string()).or_insert_with(|| path.clone()));
            all.push((names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(","), path));
        }
        Hierarchies { controllers, all }
    }

    pub(super) fn has_needed(&self) -> bool {
        NEEDED.iter().all(|name| self.controllers.contains_key(*name))
    }

    /// Mount points with a group for everybody, each once.
    fn mounts(&self) -> Vec<&PathBuf> {
        let mut mounts: Vec<&PathBuf> = ALWAYS.iter().filter_map(|name| self.controllers.get(*name)).collect();
        mounts.dedup();
        mounts
    }

    pub(super) fn directories(&self, path: &CgroupPath) -> Vec<PathBuf> {
        let cpuset = self.controllers.get(CPUSET);
        let mounts = self.mounts().into_iter().chain(cpuset);
        mounts.map(|mount| path.below(mount)).filter(|dir| dir.exists()).collect()
    }

    fn dir(&self, controller: &str, path: &CgroupPath) -> Option<PathBuf> {
        self.controllers.get(controller).map(|mount| path.below(mount))
    }

    pub(super) fn make(&self, path: &CgroupPath, resources: &Resources, purpose: Purpose<'_>) -> Result<(), String> {
        for mount in self.mounts() {
            make_path(mount, path)?;
        }
        self.set(path, resources)?;
        if let (Purpose::Container { devices: Some(rules) }, Some(dir)) = (purpose, self.dir("devices", path)) {
            write(&dir, "devices.deny", "a")?;
            for rule in rules {
                write(&dir, "devices.allow", &rule.to_v1())?;
            }
        }
        Ok(())
    }

    pub(super) fn set(&self, path: &CgroupPath, resources: &Resources) -> Result<(), String> {
        for (controller, file, value) in limits(resources) {
            let Some(dir) = self.dir(controller, path) else {
                return Err(format!("the kernel has no `{controller}` cgroup controller for `{file}`"));
            };
            write(&dir, file, &value)?;
        }
        if let Some(bytes) = resources.memory_limit_bytes {
            self.set_memory(path, bytes)?;
        }
        if !resources.cpuset_cpus.is_empty() || !resources.cpuset_mems.is_empty() {
            self.set_cpuset(path, resources)?;
        }
        Ok(())
    }

    /// Memory and swap together may not be below memory alone, so growing and shrinking need opposite orders.
    fn set_memory(&self, path: &CgroupPath, bytes: u64) -> Result<(), String> {
        let dir = self.dir("memory", path).expect("probed as needed");
        let value = bytes.to_string();
        let has_swap = dir.join("memory.memsw.limit_in_bytes").exists();
        if has_swap && read_number(&dir, "memory.limit_in_bytes").is_some_and(|now| now < bytes) {
            write(&dir, "memory.memsw.limit_in_bytes", &value)?;
        }
        write(&dir, "memory.limit_in_bytes", &value)?;
        if has_swap { write(&dir, "memory.memsw.limit_in_bytes", &value) } else { Ok(()) }
    }

    /// A new cpuset group is empty, and so unusable, until it has both; each level may only have what the one above has.
    fn set_cpuset(&self, path: &CgroupPath, resources: &Resources) -> Result<(), String> {
        let Some(mount) = self.controllers.get(CPUSET) else {
            return Err("the kernel has no `cpuset` cgroup controller".to_string());
        };
        make_path(mount, path)?;
        let dir = path.below(mount);
        let ancestors: Vec<&Path> = dir.ancestors().take_while(|above| *above != mount).collect();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let mut inherited = read(mount, file).unwrap_or_default();
            for level in ancestors.iter().rev() {
                match read(level, file) {
                    Some(own) if !own.trim().is_empty() => inherited = own,
                    _ => write(level, file, inherited.trim())?,
                }
            }
        }
        for (file, value) in [("cpuset.cpus", &resources.cpuset_cpus), ("cpuset.mems", &resources.cpuset_mems)] {
            if !value.is_empty() {
                write(&dir, file, value)?;
            }
        }
        Ok(())
    }

    /// Writing `0` to `tasks` moves the calling thread alone, which spares the kernel its global lock of thread groups
    /// (waiting for it takes milliseconds); the process has but one thread.
    pub(super) fn enter(&self, path: &CgroupPath) -> Result<(), String> {
        let cpuset = self.controllers.get(CPUSET).filter(|mount| path.below(mount).exists());
        self.mounts().into_iter().chain(cpuset).try_for_each(|mount| write(&path.below(mount), "tasks", "0"))
    }

    /// The hierarchies in which this process is not at the top.
    fn confining(&self) -> Vec<&PathBuf> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let is_confined = |names: &str| {
            own.lines().any(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                parts.next().is_some_and(|own_names| same_names(own_names, names)) && parts.next().is_some_and(|path| path != "/")
            })
        };
        self.all.iter().filter(|(names, _)| is_confined(names)).map(|(_, mount)| mount).collect()
    }

    pub(super) fn make_for_shims(&self, path: &CgroupPath) -> Result<(), String> {
        self.confining().into_iter().try_for_each(|mount| make_path(mount, path))
    }

    pub(super) fn enter_as_shim(&self, path: &CgroupPath) -> Result<(), String> {
        self.confining().into_iter().try_for_each(|mount| {
            let dir = path.below(mount);
            // The unified hierarchy has no `tasks`.
            let file = if dir.join("tasks").exists() { "tasks" } else { "cgroup.procs" };
            write(&dir, file, "0")
        })
    }

    pub(super) fn oom_kills(&self, path: &CgroupPath) -> u64 {
        let text = self.dir("memory", path).and_then(|dir| read(&dir, "memory.oom_control"));
        text.and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
    }

    pub(super) fn stats(&self, path: &CgroupPath) -> Option<Stats> {
        let memory = self.dir("memory", path)?;
        let usage = read_number(&memory, "memory.usage_in_bytes")?;
        let details = read(&memory, "memory.stat")?;
        let count = |key| field(&details, key).unwrap_or(0);
        Some(Stats {
            cpu_usage_ns: self.dir("cpuacct", path).and_then(|dir| read_number(&dir, "cpuacct.usage")).unwrap_or(0),
            memory_usage_bytes: usage,
            memory_working_set_bytes: usage.saturating_sub(count("total_inactive_file")),
            memory_rss_bytes: count("total_rss"),
            page_faults: count("total_pgfault"),
            major_page_faults: count("total_pgmajfault"),
            pids: self.dir("pids", path).and_then(|dir| read_number(&dir, "pids.current")).unwrap_or(0),
        })
    }

    /// Mount options and folder name of each hierarchy, for a read-only view inside a container.
    pub(crate) fn visible(&self) -> Vec<(Vec<&str>, String)> {
        let is_ours = |names: &&str| names.split(',').any(|name| ALWAYS.contains(&name));
        let names = self.all.iter().map(|(names, _)| names.as_str()).filter(is_ours);
        names.map(|names| (names.split(',').collect(), names.to_string())).collect()
    }
}

/// `cpu,cpuacct` is the same hierarchy as `cpuacct,cpu`.
fn same_names(left: &str, right: &str) -> bool {
    let sorted = |names: &str| {
        let mut names: Vec<String> = names.split(',').map(str::to_string).collect();
        names.sort();
        names
    };
    sorted(left) == sorted(right)
}

fn make_path(mount: &Path, path: &CgroupPath) -> Result<(), String> {
    let dir = path.below(mount);
    if dir.exists() {
        return Ok(());
    }
    let levels: Vec<&Path> = dir.ancestors().take_while(|level| *level != mount).collect();
    levels.into_iter().rev().try_for_each(make_dir)
}

/// Controller, file and value of each limit that is one plain write.
pub(super) fn limits(resources: &Resources) -> Vec<(&'static str, &'static str, String)> {
    let mut writes = Vec::new();
    let mut add = |controller, file, value: Option<String>| writes.extend(value.map(|value| (controller, file, value)));
    add("cpu", "cpu.shares", resources.cpu_shares.map(|shares| shares.clamp(2, 262_144).to_string()));
    add("cpu", "cpu.cfs_period_us", resources.cpu_period_us.map(|period| period.to_string()));
    add("cpu", "cpu.cfs_quota_us", resources.cpu_quota_us.map(|quota| quota.to_string()));
    add("pids", "pids.max", resources.pids_limit.map(|limit| limit.to_string()));
    writes
}
