//! What the whole host uses, from `/proc`.

use jiff::{SignedDuration, Timestamp};

use crate::machine::meminfo_kib;

/// The kernel counts CPU time in hundredths of a second, whatever its own clock.
const NS_PER_TICK: u64 = 10_000_000;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// All but idle time and waiting for disks.
pub(crate) fn cpu_usage_ns() -> u64 {
    busy_ticks(&read("/proc/stat")) * NS_PER_TICK
}

fn busy_ticks(stat: &str) -> u64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guests are in user already.
    [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum()
}

pub(crate) struct Memory {
    pub(crate) available: i64,
    pub(crate) usage: i64,
    pub(crate) working_set: i64,
    pub(crate) rss: i64,
}

pub(crate) fn memory() -> Memory {
    let text = read("/proc/meminfo");
    let bytes = |field: &str| meminfo_kib(&text, field).unwrap_or(0) * 1024;
    let (total, available) = (bytes("MemTotal:"), bytes("MemAvailable:"));
    Memory { available, usage: total - bytes("MemFree:"), working_set: total - available, rss: bytes("AnonPages:") }
}

pub(crate) fn booted_at(now: Timestamp) -> Timestamp {
    let up: f64 = read("/proc/uptime").split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    now - SignedDuration::from_secs(up as i64)
}

pub(crate) fn n_processes() -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))).count()
}

#[derive(Debug, PartialEq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) received: u64,
    pub(crate) receive_errors: u64,
    pub(crate) sent: u64,
    pub(crate) send_errors: u64,
}

/// In the network of a process, or our own; the way out comes first.
pub(crate) fn interfaces(pid: Option<u32>) -> Vec<Interface> {
    let mut found = parse(&read(&format!("/proc/{}/net/dev", pid.map_or("self".to_owned(), |pid| pid.to_string()))));
    found.sort_by_key(|i| !(i.name == "eth0" || i.name.starts_with("en")));
    found
}

fn parse(dev: &str) -> Vec<Interface> {
    let rows = dev.lines().filter_map(|line| line.split_once(':'));
    let rows = rows.filter_map(|(name, numbers)| {
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [received, _, receive_errors, _, _, _, _, _, sent, _, send_errors, ..] = numbers[..] else { return None };
        Some(Interface { name: name.trim().to_owned(), received, receive_errors, sent, send_errors })
    });
    rows.filter(|i| i.name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(busy_ticks("cpu  10 20 30 1000 500 1 2 3 0 0\ncpu0 1 1 1 1\n"), 66);
        let dev = "Inter-| Receive | Transmit\n face |bytes packets\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 5 1 2 0 0 0 0 0 7 1 3 0 0 0 0 0\n";
        let eth0 = Interface { name: "eth0".to_owned(), received: 5, receive_errors: 2, sent: 7, send_errors: 3 };
        assert_eq!(parse(dev), [eth0]);
    }
}
