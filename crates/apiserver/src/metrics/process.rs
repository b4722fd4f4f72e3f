//! What the kernel says of this process, under the names Prometheus' clients give it.

use std::fmt::Write;

/// Of the times in `/proc`: Linux tells every program this one, whatever it counts in itself.
const TICKS_PER_SECOND: f64 = 100.0;

/// Empty where there is no `/proc`.
pub(super) fn text() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (stat, status, limits) = (read("/proc/self/stat"), read("/proc/self/status"), read("/proc/self/limits"));
    let boot_time: Option<f64> = after(&read("/proc/stat"), "btime").and_then(|word| word.parse().ok());
    // The program's name, in brackets, may hold spaces; the third field is the first behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |n: usize| fields.get(n - 3).and_then(|word| word.parse::<f64>().ok()).map(|n| n / TICKS_PER_SECOND);
    let bytes = |name: &str| after(&status, name).and_then(|word| word.parse::<f64>().ok()).map(|kib| kib * 1024.0);
    let limit = |name: &str| after(&limits, name).map(|word| word.parse().unwrap_or(u64::MAX as f64));
    let n_open = std::fs::read_dir("/proc/self/fd").map(|all| all.count() as f64).ok();
    let values = [
        (
            "cpu_seconds_total",
            "counter",
            "Processor time spent, in user and kernel mode together.",
            ticks(14).zip(ticks(15)).map(|(a, b)| a + b),
        ),
        ("max_fds", "gauge", "Limit of open file descriptors.", limit("Max open files")),
        ("open_fds", "gauge", "Open file descriptors.", n_open),
        ("resident_memory_bytes", "gauge", "Memory that is in RAM.", bytes("VmRSS:")),
        (
            "start_time_seconds",
            "gauge",
            "When the process began, since the epoch.",
            boot_time.zip(ticks(22)).map(|(boot, since)| boot + since),
        ),
        ("virtual_memory_bytes", "gauge", "Address space in use.", bytes("VmSize:")),
        ("virtual_memory_max_bytes", "gauge", "Limit of the address space.", limit("Max address space")),
    ];
    let mut out = String::new();
    for (name, kind, help, value) in values {
        if let Some(value) = value {
            writeln!(out, "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}")
                .expect("memory takes all bytes");
        }
    }
    out
}

/// The first word behind a name that begins a line.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}
