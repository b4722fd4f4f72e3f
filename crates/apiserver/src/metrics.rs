//! Request metrics under upstream's names, in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::request_info::RequestInfo;

/// Upstream's buckets of `apiserver_request_duration_seconds`.
const BUCKETS: [f64; 20] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0];

/// What upstream tells requests apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

impl Label {
    pub(crate) fn of(info: &RequestInfo) -> Self {
        let scope = match (info.is_resource, info.name.is_empty(), info.namespace.is_empty()) {
            (false, ..) => "",
            (true, false, _) => "resource",
            (true, true, false) => "namespace",
            (true, true, true) => "cluster",
        };
        let verb = match info.verb {
            "get" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "create" | "post" => "POST",
            "update" | "put" => "PUT",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            _ => "other",
        };
        // A path that no resource has must not make a series of its own.
        let known = |text: &str| if info.is_resource { text.to_owned() } else { String::new() };
        Label {
            verb,
            group: known(&info.group),
            version: known(&info.version),
            resource: known(&info.resource),
            subresource: known(&info.subresource),
            scope,
        }
    }

    fn write(&self, out: &mut String) {
        let Label { verb, group, version, resource, subresource, scope } = self;
        write!(out, "component=\"apiserver\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\"")
            .expect("memory takes all bytes");
    }
}

#[derive(Default)]
struct Series {
    by_code: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    n: u64,
    seconds: f64,
}

#[derive(Default)]
pub(crate) struct Metrics {
    series: Mutex<BTreeMap<Label, Series>>,
    short: AtomicI64,
    long: AtomicI64,
}

/// A request under way.
pub(crate) struct InFlight<'a>(&'a AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Series beyond this are not begun: paths that nobody serves could otherwise fill memory.
const N_SERIES_MAX: usize = 5_000;

impl Metrics {
    pub(crate) fn begin(&self, is_long: bool) -> InFlight<'_> {
        let counter = if is_long { &self.long } else { &self.short };
        counter.fetch_add(1, Ordering::Relaxed);
        InFlight(counter)
    }

    pub(crate) fn record(&self, label: Label, code: u16, took: Duration) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if series.len() >= N_SERIES_MAX && !series.contains_key(&label) {
            return;
        }
        let seconds = took.as_secs_f64();
        let one = series.entry(label).or_default();
        *one.by_code.entry(code).or_default() += 1;
        one.n += 1;
        one.seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|limit| seconds <= *limit) {
            one.buckets[bucket] += 1;
        }
    }

    pub(crate) fn text(&self) -> String {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        let fine = "memory takes all bytes";
        out.push_str("# HELP apiserver_request_total [STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.\n# TYPE apiserver_request_total counter\n");
        for (label, one) in series.iter() {
            for (code, n) in &one.by_code {
                write!(out, "apiserver_request_total{{code=\"{code}\",dry_run=\"\",").expect(fine);
                label.write(&mut out);
                writeln!(out, "}} {n}").expect(fine);
            }
        }
        out.push_str("# HELP apiserver_request_duration_seconds [STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.\n# TYPE apiserver_request_duration_seconds histogram\n");
        for (label, one) in series.iter().filter(|(label, _)| label.verb != "WATCH") {
            let mut n_below = 0;
            for (limit, n) in BUCKETS.iter().zip(one.buckets) {
                n_below += n;
                out.push_str("apiserver_request_duration_seconds_bucket{dry_run=\"\",");
                label.write(&mut out);
                writeln!(out, ",le=\"{limit}\"}} {n_below}").expect(fine);
            }
            for (suffix, value) in [("bucket", one.n.to_string()), ("sum", one.seconds.to_string()), ("count", one.n.to_string())] {
                write!(out, "apiserver_request_duration_seconds_{suffix}{{dry_run=\"\",").expect(fine);
                label.write(&mut out);
                let le = if suffix == "bucket" { ",le=\"+Inf\"" } else { "" };
                writeln!(out, "{le}}} {value}").expect(fine);
            }
        }
        out.push_str("# HELP apiserver_current_inflight_requests [STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.\n# TYPE apiserver_current_inflight_requests gauge\n");
        writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"short\"}} {}", self.short.load(Ordering::Relaxed)).expect(fine);
        writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"long\"}} {}", self.long.load(Ordering::Relaxed)).expect(fine);
        out
    }
}

/// The store's own figures; upstream's stand at etcd.
pub(crate) fn store_text(status: &store::Status) -> String {
    let Some(log) = &status.log else { return String::new() };
    format!(
        "# HELP coracle_store_syncs_total Times the store's files were synced to disk.\n# TYPE coracle_store_syncs_total counter\ncoracle_store_syncs_total {}\n\
         # HELP coracle_store_keys Objects in the store.\n# TYPE coracle_store_keys gauge\ncoracle_store_keys {}\n",
        log.n_syncs, status.n_keys
    )
}
