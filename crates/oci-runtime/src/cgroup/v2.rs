//! cgroup version 2: one tree, controllers switched on level by level.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{CgroupPath, Purpose, device, field, kill_processes, make_dir, read, read_number, write};
use crate::spec::Resources;
use crate::status::Stats;

const CONTROLLERS: [&str; 5] = ["cpu", "memory", "pids", "cpuset", "io"];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    pub(super) mount: PathBuf,
}

impl Hierarchy {
    pub(super) fn directory(&self, path: &CgroupPath) -> PathBuf {
        path.below(&self.mount)
    }

    pub(super) fn make(&self, path: &CgroupPath, resources: &Resources, purpose: Purpose<'_>) -> Result<(), String> {
        let dir = self.directory(path);
        if !dir.exists() {
            let levels: Vec<&Path> = dir.ancestors().skip(1).take_while(|level| level.starts_with(&self.mount)).collect();
            for level in levels.into_iter().rev() {
                if level != self.mount {
                    make_dir(level)?;
                }
                switch_on_controllers(level)?;
            }
            make_dir(&dir)?;
        }
        self.set(path, resources)?;
        if let Purpose::Container { devices } = purpose {
            // One process killed for memory takes the whole container along, as the kubelet wants it on version 2.
            // Groups without the memory controller (a shim's on a hybrid host) have no such file.
            if dir.join("memory.oom.group").exists() {
                write(&dir, "memory.oom.group", "1")?;
            }
            if let Some(rules) = devices {
                device::attach(&dir, rules)?;
            }
        }
        Ok(())
    }

    pub(super) fn set(&self, path: &CgroupPath, resources: &Resources) -> Result<(), String> {
        let dir = self.directory(path);
        for (file, value) in limits(resources) {
            write(&dir, file, &value)?;
        }
        // Absent without swap support in the kernel, and then there is none to limit.
        if resources.memory_limit_bytes.is_some() && dir.join("memory.swap.max").exists() {
            write(&dir, "memory.swap.max", "0")?;
        }
        Ok(())
    }

    pub(super) fn door(&self, path: &CgroupPath) -> Result<OwnedFd, String> {
        let dir = self.directory(path);
        fs::File::open(&dir).map(OwnedFd::from).map_err(|error| format!("open cgroup {}: {error}", dir.display()))
    }

    pub(super) fn kill(&self, path: &CgroupPath) {
        let dir = self.directory(path);
        if write(&dir, "cgroup.kill", "1").is_err() {
            kill_processes(&dir);
        }
    }

    pub(super) fn oom_kills(&self, path: &CgroupPath) -> u64 {
        read(&self.directory(path), "memory.events").and_then(|text| field(&text, "oom_kill")).unwrap_or(0)
    }

    pub(super) fn stats(&self, path: &CgroupPath) -> Option<Stats> {
        let dir = self.directory(path);
        let usage = read_number(&dir, "memory.current")?;
        let details = read(&dir, "memory.stat")?;
        let count = |key| field(&details, key).unwrap_or(0);
        Some(Stats {
            cpu_usage_ns: read(&dir, "cpu.stat").and_then(|text| field(&text, "usage_usec")).unwrap_or(0) * 1000,
            memory_usage_bytes: usage,
            memory_working_set_bytes: usage.saturating_sub(count("inactive_file")),
            memory_rss_bytes: count("anon"),
            page_faults: count("pgfault"),
            major_page_faults: count("pgmajfault"),
            pids: read_number(&dir, "pids.current").unwrap_or(0),
        })
    }
}

fn switch_on_controllers(dir: &Path) -> Result<(), String> {
    let offered = read(dir, "cgroup.controllers").unwrap_or_default();
    let enabled = read(dir, "cgroup.subtree_control").unwrap_or_default();
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let missing: Vec<String> =
        CONTROLLERS.iter().filter(|name| has(&offered, name) && !has(&enabled, name)).map(|name| format!("+{name}")).collect();
    if missing.is_empty() { Ok(()) } else { write(dir, "cgroup.subtree_control", &missing.join(" ")) }
}

pub(super) fn limits(resources: &Resources) -> Vec<(&'static str, String)> {
    let mut writes = Vec::new();
    let mut add = |file, value: Option<String>| writes.extend(value.map(|value| (file, value)));
    add("cpu.weight", resources.cpu_shares.map(|shares| weight(shares).to_string()));
    add("cpu.max", cpu_max(resources));
    add("memory.max", resources.memory_limit_bytes.map(|bytes| bytes.to_string()));
    add("memory.min", resources.memory_min_bytes.map(|bytes| bytes.to_string()));
    add("memory.high", resources.memory_high_bytes.map(|bytes| bytes.to_string()));
    add("pids.max", resources.pids_limit.map(|limit| limit.to_string()));
    add("cpuset.cpus", Some(resources.cpuset_cpus.clone()).filter(|list| !list.is_empty()));
    add("cpuset.mems", Some(resources.cpuset_mems.clone()).filter(|list| !list.is_empty()));
    writes
}

fn cpu_max(resources: &Resources) -> Option<String> {
    let period = resources.cpu_period_us.unwrap_or(100_000);
    resources.cpu_quota_us.map(|quota| if quota < 0 { format!("max {period}") } else { format!("{quota} {period}") })
}

/// Upstream: runc turns shares (2, 1024, 262144) into weights (1, 100, 10000) along a curve through these three points,
/// so that a container with one CPU requested weighs as much as a group of the host that nobody touched.
pub(super) fn weight(shares: u64) -> u64 {
    let log = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10f64.powf(exponent).ceil().clamp(1.0, 10_000.0) as u64
}
