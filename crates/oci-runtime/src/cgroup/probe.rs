//! Finds out which hierarchies there are, from the mount table and the kernel's own words.

use std::fs;
use std::path::PathBuf;

use super::{Cgroups, v1, v2};

pub(super) fn probe() -> Result<Cgroups, String> {
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|error| format!("read /proc/self/mountinfo: {error}"))?;
    let unified = mounts(&table, "cgroup2").into_iter().next();
    // A hybrid host mounts the unified hierarchy too, but its controllers are bound to version 1.
    if let Some((path, _)) = &unified {
        let offered = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        if offered.split_whitespace().any(|name| name == "memory") {
            return Ok(Cgroups::V2(v2::Hierarchy { mount: path.clone() }));
        }
    }
    let hierarchies = v1::Hierarchies::from_mounts(mounts(&table, "cgroup"), unified.map(|(path, _)| path));
    match hierarchies.has_needed() {
        true => Ok(Cgroups::V1(hierarchies)),
        false => Err("no cgroup hierarchy with cpu, memory and pids is mounted under /sys/fs/cgroup".to_string()),
    }
}

/// Mount point and super block options of each mount of one type. The options follow the ` - ` of a line, see proc(5).
pub(super) fn mounts(table: &str, fs_type: &str) -> Vec<(PathBuf, Vec<String>)> {
    table
        .lines()
        .filter_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let mut source = source.split(' ');
            (source.next()? == fs_type).then_some(())?;
            let options = source.nth(1)?.split(',').map(str::to_string).collect();
            Some((PathBuf::from(mount.split(' ').nth(4)?), options))
        })
        .collect()
}
