//! What is counted: numbers that many requests add to at once, found again by their labels without a copy of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Series beyond this are not begun: custom resources come and go, and each may leave some behind.
const N_SERIES_MAX: usize = 5_000;

/// What upstream tells requests apart by; what a family has no label for stays empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Labels<'a> {
    pub(super) component: &'static str,
    pub(super) dry_run: &'static str,
    pub(super) group: Cow<'a, str>,
    pub(super) resource: Cow<'a, str>,
    pub(super) scope: &'static str,
    pub(super) subresource: Cow<'a, str>,
    pub(super) verb: &'static str,
    pub(super) version: Cow<'a, str>,
}

impl Labels<'_> {
    pub(super) fn into_owned(self) -> Labels<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Labels {
            group: own(self.group),
            resource: own(self.resource),
            subresource: own(self.subresource),
            version: own(self.version),
            ..Labels { component: self.component, dry_run: self.dry_run, scope: self.scope, verb: self.verb, ..Labels::default() }
        }
    }

    /// As `name="value"` pairs, `names` in the order they are to stand in.
    pub(super) fn text(&self, names: &[&str]) -> String {
        let mut text = String::new();
        for name in names {
            let value = match *name {
                "component" => self.component,
                "dry_run" => self.dry_run,
                "group" => &self.group,
                "resource" => &self.resource,
                "scope" => self.scope,
                "subresource" => &self.subresource,
                "verb" => self.verb,
                "version" => &self.version,
                // Upstream names the release that drops an API where one is planned; none here is.
                _ => "",
            };
            let comma = if text.is_empty() { "" } else { "," };
            write!(text, "{comma}{name}=\"{value}\"").expect("memory takes all bytes");
        }
        text
    }
}

/// Series by their labels.
pub(super) struct Family<T>(RwLock<HashMap<Labels<'static>, Arc<T>>>);

impl<T> Default for Family<T> {
    fn default() -> Self {
        Family(RwLock::default())
    }
}

impl<T: Default> Family<T> {
    /// The series of these labels. A new one is begun only for what `is_served`: any other path is a client's own invention.
    pub(super) fn find(&self, labels: Labels<'_>, is_served: impl FnOnce() -> bool) -> Option<Arc<T>> {
        if let Some(found) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return Some(Arc::clone(found));
        }
        if !is_served() {
            return None;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= N_SERIES_MAX {
            return None;
        }
        Some(Arc::clone(all.entry(labels.into_owned()).or_default()))
    }

    pub(super) fn sorted(&self) -> BTreeMap<Labels<'static>, Arc<T>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(labels, series)| (labels.clone(), Arc::clone(series))).collect()
    }
}

/// Upstream's buckets: in whole units (nanoseconds, bytes) and as they are written.
pub(super) type Limits = &'static [(u64, &'static str)];

const fn ms(n: u64) -> u64 {
    n * 1_000_000
}

#[rustfmt::skip]
const SECONDS: Limits = &[
    (ms(5), "0.005"), (ms(25), "0.025"), (ms(50), "0.05"), (ms(100), "0.1"), (ms(200), "0.2"), (ms(400), "0.4"), (ms(600), "0.6"),
    (ms(800), "0.8"), (ms(1_000), "1"), (ms(1_250), "1.25"), (ms(1_500), "1.5"), (ms(2_000), "2"), (ms(3_000), "3"), (ms(4_000), "4"),
    (ms(5_000), "5"), (ms(6_000), "6"), (ms(8_000), "8"), (ms(10_000), "10"), (ms(15_000), "15"), (ms(20_000), "20"),
    (ms(30_000), "30"), (ms(45_000), "45"), (ms(60_000), "60"),
];
#[rustfmt::skip]
const ANSWER_BYTES: Limits = &[
    (1_000, "1000"), (10_000, "10000"), (100_000, "100000"), (1_000_000, "1e+06"), (10_000_000, "1e+07"), (100_000_000, "1e+08"),
    (1_000_000_000, "1e+09"),
];
#[rustfmt::skip]
const EVENT_BYTES: Limits = &[
    (1 << 10, "1024"), (1 << 11, "2048"), (1 << 12, "4096"), (1 << 13, "8192"), (1 << 14, "16384"), (1 << 15, "32768"),
    (1 << 16, "65536"), (1 << 17, "131072"),
];

pub(super) struct Histogram {
    limits: Limits,
    /// One more than there are limits.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(limits: Limits) -> Self {
        Histogram { limits, counts: (0..=limits.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, value: u64) {
        let bucket = self.limits.partition_point(|(limit, _)| *limit < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(super) fn n(&self) -> u64 {
        self.counts.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }

    /// `n_in_one` is how many of the whole units make one of those written.
    pub(super) fn write(&self, out: &mut String, name: &str, labels: &str, n_in_one: f64) {
        let fine = "memory takes all bytes";
        let mut n = 0;
        for (count, limit) in self.counts.iter().zip(self.limits.iter().map(|(_, text)| *text).chain(["+Inf"])) {
            n += count.load(Ordering::Relaxed);
            writeln!(out, "{name}_bucket{{{labels},le=\"{limit}\"}} {n}").expect(fine);
        }
        let sum = self.sum.load(Ordering::Relaxed) as f64 / n_in_one;
        writeln!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {n}").expect(fine);
    }
}

/// Requests of one kind that were answered.
pub(super) struct Answered {
    by_code: Mutex<BTreeMap<u16, u64>>,
    pub(super) nanoseconds: Histogram,
    pub(super) bytes: Histogram,
}

impl Default for Answered {
    fn default() -> Self {
        Answered { by_code: Mutex::default(), nanoseconds: Histogram::new(SECONDS), bytes: Histogram::new(ANSWER_BYTES) }
    }
}

impl Answered {
    pub(super) fn count(&self, code: u16) {
        *self.by_code.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    pub(super) fn observe(&self, took: Duration) {
        self.nanoseconds.observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn by_code(&self) -> BTreeMap<u16, u64> {
        self.by_code.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Events of one resource that were sent to watchers.
pub(crate) struct Events {
    pub(super) bytes: Histogram,
}

impl Default for Events {
    fn default() -> Self {
        Events { bytes: Histogram::new(EVENT_BYTES) }
    }
}

impl Events {
    pub(crate) fn sent(&self, len: usize) {
        self.bytes.observe(len as u64);
    }
}
