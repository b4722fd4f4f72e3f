//! What is pure about cgroups: paths, tables, the device program.

use super::device::{self, Instruction};
use super::{CgroupPath, DeviceRule, probe, v1, v2};
use crate::spec::Resources;

#[test]
fn only_paths_of_our_own_are_paths() {
    assert!(CgroupPath::parse("/coracle/main").is_ok());
    for bad in ["", "/", "/coracle", "coracle/main", "/coracle//main", "/coracle/../etc", "/coracle/.", "/coracle/main/"] {
        assert!(CgroupPath::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn limits_are_written_in_each_versions_words() {
    let resources = Resources {
        cpu_shares: Some(1024),
        cpu_quota_us: Some(50_000),
        cpu_period_us: Some(100_000),
        memory_limit_bytes: Some(64 << 20),
        pids_limit: Some(100),
        ..Resources::default()
    };
    let text: Vec<String> = v1::limits(&resources).into_iter().map(|(_, file, value)| format!("{file}={value}")).collect();
    assert_eq!(text.join(" "), "cpu.shares=1024 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000 pids.max=100");
    let text: Vec<String> = v2::limits(&resources).into_iter().map(|(file, value)| format!("{file}={value}")).collect();
    assert_eq!(text.join(" "), "cpu.weight=100 cpu.max=50000 100000 memory.max=67108864 pids.max=100");
    assert!(v1::limits(&Resources::default()).is_empty());
    for (shares, weight) in [(0, 1), (2, 1), (102, 17), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)] {
        assert_eq!(v2::weight(shares), weight, "{shares}");
    }
}

#[test]
fn the_mount_table_names_the_hierarchies() {
    let table = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    let found = probe::mounts(table, "cgroup");
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].1, ["rw", "cpu", "cpuacct"]);
    let hierarchies = v1::Hierarchies::from_mounts(found, None);
    assert!(!hierarchies.has_needed(), "pids is missing");
    assert_eq!(probe::mounts(table, "cgroup2")[0].0.to_str(), Some("/sys/fs/cgroup/unified"));
}

/// Runs the device program as the kernel would.
fn is_allowed(program: &[Instruction], block: bool, access: u32, major: u32, minor: u32) -> bool {
    let context = [access << 16 | if block { 1 } else { 2 }, major, minor];
    let mut registers = [0u32; 8];
    let mut at = 0;
    loop {
        let step = program[at];
        let (to, from) = ((step.registers & 15) as usize, (step.registers >> 4) as usize);
        at += 1;
        match step.code {
            device::LOAD_WORD => registers[to] = context[step.offset as usize / 4],
            device::AND_VALUE => registers[to] &= step.value as u32,
            device::SHIFT_RIGHT_VALUE => registers[to] >>= step.value,
            device::MOVE => registers[to] = registers[from],
            device::MOVE_VALUE => registers[to] = step.value as u32,
            device::JUMP_IF_NOT if registers[to] != step.value as u32 => at += step.offset as usize,
            device::JUMP_IF_NOT_REGISTER if registers[to] != registers[from] => at += step.offset as usize,
            device::JUMP_IF_NOT | device::JUMP_IF_NOT_REGISTER => {}
            device::EXIT => return registers[0] == 1,
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}

#[test]
fn the_device_program_follows_its_rules() {
    let program = device::program(&DeviceRule::defaults());
    const MKNOD: u32 = 1;
    const READ: u32 = 2;
    const WRITE: u32 = 4;
    for (block, access, major, minor, expected) in [
        (false, READ | WRITE, 1, 3, true),
        (false, READ, 1, 1, false),
        (false, READ | WRITE, 136, 7, true),
        (true, READ, 254, 0, false),
        (true, MKNOD, 254, 0, true),
        (true, MKNOD | READ, 254, 0, false),
        (false, WRITE, 10, 200, false),
    ] {
        assert_eq!(is_allowed(&program, block, access, major, minor), expected, "{block} {access} {major}:{minor}");
    }
    assert_eq!(DeviceRule::defaults()[0].to_v1(), "c *:* m");
    assert_eq!(DeviceRule::char(136, None).to_v1(), "c 136:* rwm");
}
