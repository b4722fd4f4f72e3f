//! What one input costs: this thread's time on a processor, which a busy machine does not change, and the process' peak of memory.

use std::time::Duration;

/// Far above what any input takes unoptimised; what grows exponentially is beyond it at once.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Above the largest input by three orders of magnitude. Other tests of the same program count too.
const KIB_MAX: u64 = 256 * 1024;

pub(crate) struct Cost {
    on_cpu: Duration,
    peak_kib: u64,
}

impl Cost {
    /// Zero where the kernel does not say.
    pub(crate) fn so_far() -> Self {
        let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanos = times.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        Cost { on_cpu: Duration::from_nanos(nanos), peak_kib: peak.unwrap_or(0) }
    }

    pub(crate) fn excess_over(&self, before: &Cost) -> Option<String> {
        let (time, kib) = (self.on_cpu.saturating_sub(before.on_cpu), self.peak_kib.saturating_sub(before.peak_kib));
        (time > TIME_MAX || kib > KIB_MAX).then(|| format!("{time:?} and {kib} KiB"))
    }
}
