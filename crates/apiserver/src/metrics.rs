//! Request metrics under upstream's names, in Prometheus' text form: a request is counted once it is known who sent it and that
//! they may, when the last byte of its answer is sent.
//!
//! Of upstream's stable and beta ones these are not there:
//! - `apiserver_admission_controller_admission_duration_seconds`, `apiserver_admission_step_admission_duration_seconds` and
//!   `apiserver_cel_*`: admission is pure and reads no clock;
//! - `apiserver_flowcontrol_*`: there are no priority levels, `limits` has one pool of seats;
//! - `apiserver_storage_size_bytes` and `apiserver_storage_events_received_total`: there is no etcd; the store has figures of its own;
//! - `apiserver_watch_list_duration_seconds`: initial events are not told apart from later ones once they are sent;
//! - `apiserver_validation_declarative_*`, `apiserver_webhooks_x509_*` and `kubernetes_feature_enabled`: there is one validation, no
//!   such webhook client, and no gates;
//! - `serviceaccount_*_tokens_total`, `workqueue_*` and `*_metrics_total`: not counted.
//!
//! `apiserver_current_inflight_requests` is how many there are now, not the most of the last second.

mod process;
mod series;
mod under_way;

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use http::{HeaderMap, Method, header};
use kinds::{Catalog, Resource};
use registry::Registry;

use crate::query::Query;
use crate::request_info::RequestInfo;
use crate::{deprecated, version};
use series::{Answered, Family, Labels};

pub(crate) use series::Events;
pub(crate) use under_way::UnderWay;

const NANOSECONDS: f64 = 1e9;
const REQUEST_LABELS: &[&str] = &["component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"];
const PLAIN_LABELS: &[&str] = &["component", "group", "resource", "scope", "subresource", "verb", "version"];
const EVENT_LABELS: &[&str] = &["group", "resource", "version"];
const DEPRECATED_LABELS: &[&str] = &["group", "removed_release", "resource", "subresource", "version"];
const IN_FLIGHT_KINDS: [&str; 2] = ["mutating", "readOnly"];
const ATTEMPTS: [&str; 2] = ["error", "success"];
/// Upstream: users that are counted by their name; `email_id` is anyone with an `@`, `other` everybody else.
const USERS: [&str; 7] = ["admin", "client", "email_id", "kube_proxy", "kubelet", "other", "system:serviceaccount:kube-system:default"];

#[derive(Default)]
pub(crate) struct Metrics {
    answered: Family<Answered>,
    long_running: Family<AtomicI64>,
    events: Family<Events>,
    in_flight: [AtomicI64; IN_FLIGHT_KINDS.len()],
    attempts: [AtomicU64; ATTEMPTS.len()],
    by_user: [AtomicU64; USERS.len()],
}

/// What a request is told apart by.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) info: &'a RequestInfo,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: &'a Query,
}

/// A short request that has its seat.
pub(crate) struct InFlight<'a>(&'a AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Whoever sent a request; `None` when that could not be told.
    pub(crate) fn authenticated(&self, user_name: Option<&str>) {
        self.attempts[usize::from(user_name.is_some())].fetch_add(1, Ordering::Relaxed);
        let Some(name) = user_name else { return };
        let class = if USERS.contains(&name) && !matches!(name, "email_id" | "other") {
            name
        } else if name.contains('@') {
            "email_id"
        } else {
            "other"
        };
        if let Some(i) = USERS.iter().position(|user| *user == class) {
            self.by_user[i].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `None` for paths that upstream does not count either: other documents, and what is not served.
    pub(crate) fn begin(&self, registry: &Registry, asked: Asked<'_>, begun: Instant) -> Option<UnderWay> {
        let labels = labels_of(asked)?;
        let info = asked.info;
        let is_served = || {
            let catalog = registry.catalog();
            let has_part = |r: &Resource| info.subresource.is_empty() || r.subresource(&info.subresource).is_some();
            !info.is_resource || catalog.resource(&info.group, &info.version, &info.resource).is_some_and(|r| has_part(r))
        };
        let (dry_run, is_read) = (labels.dry_run, info.is_read());
        let n_long = info.is_long().then(|| {
            // Upstream: here, and only here, a watch of one object is one of a single resource.
            let scope = if info.name.is_empty() { labels.scope } else { "resource" };
            self.long_running.find(Labels { dry_run: "", scope, ..labels.clone() }, is_served)
        });
        let answered = self.answered.find(Labels { dry_run, ..labels }, is_served)?;
        let n_long = n_long.flatten();
        if let Some(n) = &n_long {
            n.fetch_add(1, Ordering::Relaxed);
        }
        Some(UnderWay { answered, n_long, begun, is_read, code: 0, n_bytes: 0 })
    }

    pub(crate) fn seated(&self, info: &RequestInfo) -> Option<InFlight<'_>> {
        let n = &self.in_flight[usize::from(info.is_read())];
        (!info.is_long()).then(|| {
            n.fetch_add(1, Ordering::Relaxed);
            InFlight(n)
        })
    }

    /// Where a watch counts what it sends.
    pub(crate) fn events(&self, resource: &Resource) -> Option<Arc<Events>> {
        let labels = Labels {
            group: Cow::Borrowed(&resource.group),
            resource: Cow::Borrowed(&resource.plural),
            version: Cow::Borrowed(&resource.version),
            ..Labels::default()
        };
        self.events.find(labels, || true)
    }

    pub(crate) fn text(&self, catalog: &Catalog, store: &store::Store) -> String {
        let mut out = String::new();
        self.put_requests(&mut out);
        self.put_events(&mut out);
        self.put_users(&mut out);
        put_store(&mut out, catalog, store);
        put_build(&mut out);
        out + &process::text()
    }

    fn put_requests(&self, out: &mut String) {
        let answered = self.answered.sorted();
        head(out, "apiserver_request_total", "counter", "[STABLE] Requests answered, by what was asked for and the HTTP code.");
        for (labels, series) in &answered {
            let labels = labels.text(REQUEST_LABELS);
            for (code, n) in series.by_code() {
                put(out, "apiserver_request_total", &format!("code=\"{code}\",{labels}"), n);
            }
        }
        let name = "apiserver_request_duration_seconds";
        head(out, name, "histogram", "[STABLE] Time from a request's head to the end of its answer.");
        for (labels, series) in &answered {
            series.nanoseconds.write(out, name, &labels.text(REQUEST_LABELS), NANOSECONDS);
        }
        let name = "apiserver_response_sizes";
        head(out, name, "histogram", "[STABLE] Bytes of answers to reading requests.");
        for (labels, series) in answered.iter().filter(|(_, series)| series.bytes.n() > 0) {
            series.bytes.write(out, name, &labels.text(PLAIN_LABELS), 1.0);
        }
        let name = "apiserver_requested_deprecated_apis";
        head(out, name, "gauge", "[STABLE] APIs going out of use that somebody asked for.");
        let deprecated = answered.keys().filter(|labels| deprecated::warning(&labels.group, &labels.resource).is_some());
        let deprecated: std::collections::BTreeSet<String> = deprecated.map(|labels| labels.text(DEPRECATED_LABELS)).collect();
        for labels in deprecated {
            put(out, name, &labels, 1);
        }
        let name = "apiserver_longrunning_requests";
        head(out, name, "gauge", "[STABLE] Watches and streams that are open.");
        for (labels, n) in self.long_running.sorted() {
            put(out, name, &labels.text(PLAIN_LABELS), n.load(Ordering::Relaxed));
        }
        let name = "apiserver_current_inflight_requests";
        head(out, name, "gauge", "[STABLE] Requests under way, without long-running ones.");
        for (kind, n) in IN_FLIGHT_KINDS.iter().zip(&self.in_flight) {
            put(out, name, &format!("request_kind=\"{kind}\""), n.load(Ordering::Relaxed));
        }
    }

    fn put_events(&self, out: &mut String) {
        let events = self.events.sorted();
        let name = "apiserver_watch_events_total";
        head(out, name, "counter", "[BETA] Events sent to watchers.");
        for (labels, series) in &events {
            put(out, name, &labels.text(EVENT_LABELS), series.bytes.n());
        }
        let name = "apiserver_watch_events_sizes";
        head(out, name, "histogram", "[BETA] Bytes of events sent to watchers.");
        for (labels, series) in &events {
            series.bytes.write(out, name, &labels.text(EVENT_LABELS), 1.0);
        }
    }

    fn put_users(&self, out: &mut String) {
        head(out, "authenticated_user_requests", "counter", "[ALPHA] Requests by the name of who sent them, most names together.");
        let counted = |n: &&AtomicU64| n.load(Ordering::Relaxed) > 0;
        for (user, n) in USERS.iter().zip(&self.by_user).filter(|(_, n)| counted(n)) {
            put(out, "authenticated_user_requests", &format!("username=\"{user}\""), n.load(Ordering::Relaxed));
        }
        head(out, "authentication_attempts", "counter", "[ALPHA] Requests by whether it could be told who sent them.");
        for (result, n) in ATTEMPTS.iter().zip(&self.attempts).filter(|(_, n)| counted(n)) {
            put(out, "authentication_attempts", &format!("result=\"{result}\""), n.load(Ordering::Relaxed));
        }
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("memory takes all bytes");
}

fn put(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    writeln!(out, "{name}{{{labels}}} {value}").expect("memory takes all bytes");
}

fn labels_of(asked: Asked<'_>) -> Option<Labels<'_>> {
    let Asked { info, method, headers, query } = asked;
    let method = method.as_str();
    if !info.is_resource {
        let path = info.path.as_str();
        let subresource = match path {
            "/healthz" | "/livez" | "/readyz" => path,
            _ if path.starts_with("/openapi/v3") => "openapi/v3",
            _ => return None,
        };
        let verb = verb_of_method(method, false);
        return Some(Labels { subresource: Cow::Borrowed(subresource), verb, ..Labels::default() });
    }
    let is_whole = matches!(info.verb, "list" | "watch" | "deletecollection");
    let scope = match (is_whole, info.namespace.is_empty()) {
        (false, _) => "resource",
        (true, false) => "namespace",
        (true, true) => "cluster",
    };
    let is_apply = || headers.get(header::CONTENT_TYPE).is_some_and(|sent| sent == "application/apply-patch+yaml");
    let verb = match info.verb {
        _ if info.is_passed_on() => "CONNECT",
        "watch" => "WATCH",
        "patch" if is_apply() => "APPLY",
        // Upstream: a list of one name is called a GET.
        _ => verb_of_method(method, is_whole && info.name.is_empty()),
    };
    let dry_run = match query.get("dryRun") {
        None => "",
        Some("All") => "All",
        Some(_) => "invalid",
    };
    Some(Labels {
        component: "apiserver",
        dry_run,
        group: Cow::Borrowed(&info.group),
        resource: Cow::Borrowed(&info.resource),
        scope,
        subresource: Cow::Borrowed(&info.subresource),
        verb,
        version: Cow::Borrowed(&info.version),
    })
}

/// Upstream: a collection that is deleted is a DELETE like any other.
fn verb_of_method(method: &str, is_list: bool) -> &'static str {
    match method {
        "GET" | "HEAD" if is_list => "LIST",
        "GET" | "HEAD" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

fn put_store(out: &mut String, catalog: &Catalog, store: &store::Store) {
    head(out, "apiserver_resource_objects", "gauge", "[ALPHA] Objects in the store, by resource.");
    let stored = catalog.resources.iter().filter(|r| r.has_verb("list"));
    let by_address: std::collections::BTreeMap<_, _> =
        stored.map(|r| ((&r.storage_group, &r.plural), registry::address::prefix(r, ""))).collect();
    for ((group, plural), prefix) in by_address {
        put(out, "apiserver_resource_objects", &format!("group=\"{group}\",resource=\"{plural}\""), store.count(&prefix));
    }
    let status = store.status();
    head(out, "coracle_store_keys", "gauge", "Objects in the store.");
    writeln!(out, "coracle_store_keys {}", status.n_keys).expect("memory takes all bytes");
    if let Some(log) = &status.log {
        head(out, "coracle_store_syncs_total", "counter", "Times the store's files were synced to disk.");
        writeln!(out, "coracle_store_syncs_total {}", log.n_syncs).expect("memory takes all bytes");
    }
}

fn put_build(out: &mut String) {
    let version = version::document();
    let fields = [
        ("build_date", "buildDate"),
        ("compiler", "compiler"),
        ("git_commit", "gitCommit"),
        ("git_tree_state", "gitTreeState"),
        ("git_version", "gitVersion"),
        ("go_version", "goVersion"),
        ("major", "major"),
        ("minor", "minor"),
        ("platform", "platform"),
    ];
    let labels: Vec<String> =
        fields.iter().map(|(label, field)| format!("{label}=\"{}\"", version[*field].as_str().unwrap_or(""))).collect();
    head(out, "kubernetes_build_info", "gauge", "[BETA] Always 1; its labels are what /version says.");
    put(out, "kubernetes_build_info", &labels.join(","), 1);
}
