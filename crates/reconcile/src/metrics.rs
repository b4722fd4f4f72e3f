//! What the driver counts, under upstream's names where upstream has one.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::queue::Queue;

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) n_plans: AtomicU64,
    pub(crate) n_changes: AtomicU64,
    pub(crate) n_retries: AtomicU64,
    pub(crate) n_panics: AtomicU64,
    pub(crate) busy_micros: AtomicU64,
}

type Row<'a> = (&'static str, &'a Counters, &'a Queue);

/// name, type, help, value.
type Metric = (&'static str, &'static str, &'static str, fn(&Row<'_>) -> f64);

fn count(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

const METRICS: &[Metric] = &[
    ("workqueue_adds_total", "counter", "Total number of adds handled by workqueue", |r| count(&r.2.n_adds)),
    ("workqueue_depth", "gauge", "Current depth of workqueue", |r| r.2.depth() as f64),
    ("workqueue_retries_total", "counter", "Total number of retries handled by workqueue", |r| count(&r.1.n_retries)),
    ("coracle_controller_plans_total", "counter", "Total number of plans made", |r| count(&r.1.n_plans)),
    ("coracle_controller_changes_total", "counter", "Total number of writes planned", |r| count(&r.1.n_changes)),
    ("coracle_controller_panics_total", "counter", "Total number of plans that panicked", |r| count(&r.1.n_panics)),
    ("coracle_controller_busy_seconds_total", "counter", "Total time spent planning and writing", |r| count(&r.1.busy_micros) / 1e6),
];

pub(crate) fn render(rows: &[Row<'_>]) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in METRICS {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for row in rows {
            let _ = writeln!(text, "{name}{{name=\"{}\"}} {}", row.0, value(row));
        }
    }
    text
}
