//! What kind of host this is, for the Node object.

use std::path::Path;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machine {
    pub n_cpus: u32,
    pub memory_bytes: i64,
    /// Of the file system pods' data lies on.
    pub storage_bytes: i64,
    pub pid_max: i64,
    /// As Go names it: `amd64`, `arm64`.
    pub architecture: String,
    pub kernel: String,
    pub os_image: String,
    pub machine_id: String,
    pub boot_id: String,
    pub system_uuid: String,
}

impl Machine {
    /// What cannot be read is left empty: no pod depends on it.
    pub fn read(root_dir: &Path) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default();
        let machine_id = text("/etc/machine-id");
        let system_uuid = text("/sys/class/dmi/id/product_uuid");
        let system = rustix::system::uname();
        Machine {
            n_cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
            memory_bytes: memory_bytes(&text("/proc/meminfo")),
            storage_bytes: storage(root_dir).map_or(0, |(total, _)| total),
            pid_max: text("/proc/sys/kernel/pid_max").parse().unwrap_or(0),
            architecture: architecture(&system.machine().to_string_lossy()),
            kernel: system.release().to_string_lossy().into_owned(),
            os_image: os_image(&text("/etc/os-release")),
            system_uuid: if system_uuid.is_empty() { machine_id.clone() } else { system_uuid },
            machine_id,
            boot_id: text("/proc/sys/kernel/random/boot_id"),
        }
    }
}

/// Total and available bytes of the file system `path` or its nearest parent lies on.
pub(crate) fn storage(path: &Path) -> Option<(i64, i64)> {
    let stat = path.ancestors().find_map(|p| rustix::fs::statvfs(p).ok())?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX);
    Some((bytes(stat.f_blocks), bytes(stat.f_bavail)))
}

fn memory_bytes(meminfo: &str) -> i64 {
    meminfo_kib(meminfo, "MemTotal:").unwrap_or(0) * 1024
}

pub(crate) fn meminfo_kib(meminfo: &str, field: &str) -> Option<i64> {
    meminfo.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
}

fn architecture(machine: &str) -> String {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
    .to_owned()
}

fn os_image(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or("Linux", |n| n.trim_matches('"')).to_owned()
}
