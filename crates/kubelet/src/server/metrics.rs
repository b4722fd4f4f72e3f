//! `/metrics`, `/metrics/resource` and `/metrics/cadvisor`, as scrapers know them.

use std::fmt::Write;

use http::{Response, StatusCode};
use oci_runtime::status::Stats;

use super::answer::{Body, text};
use super::stats;
use crate::agent::Agent;
use crate::host_usage;

pub(super) fn metrics(agent: &Agent) -> Response<Body> {
    let pods = agent.pods.all();
    let n_containers: usize = pods.iter().map(|handle| stats::usage(agent, handle).len()).sum();
    let mut out = String::new();
    family(&mut out, "kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox");
    let n_running = pods.iter().filter(|handle| stats::pod_usage(agent, handle).is_some()).count();
    let _ = writeln!(out, "kubelet_running_pods {n_running}");
    family(&mut out, "kubelet_running_containers", "gauge", "Number of containers currently running");
    let _ = writeln!(out, "kubelet_running_containers{{container_state=\"running\"}} {n_containers}");
    family(&mut out, "kubelet_node_name", "gauge", "The node's name. The count is always 1.");
    let _ = writeln!(out, "kubelet_node_name{{node=\"{}\"}} 1", agent.node.config.node_name);
    text(StatusCode::OK, &out)
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// What metrics-server asks for. Each sample carries its time, in milliseconds.
pub(super) fn resource_metrics(agent: &Agent) -> Response<Body> {
    let mut out = String::new();
    let now = agent.node.now().as_millisecond();
    let rows = rows(agent);
    let mut add = |name: &str, kind: &str, help: &str, samples: Vec<(&str, f64)>| {
        family(&mut out, name, kind, help);
        for (labels, value) in samples {
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = writeln!(out, "{name}{labels} {value} {now}");
        }
    };
    let containers: Vec<&Row> = rows.iter().filter(|row| row.started_at.is_some()).collect();
    let pods: Vec<&Row> = rows.iter().filter(|row| row.started_at.is_none()).collect();
    fn samples<'a>(rows: &[&'a Row], value: fn(&Row) -> f64) -> Vec<(&'a str, f64)> {
        rows.iter().map(|row| (row.labels.as_str(), value(row))).collect()
    }
    let cpu: fn(&Row) -> f64 = |row| row.stats.cpu_usage_ns as f64 / 1e9;
    let memory: fn(&Row) -> f64 = |row| row.stats.memory_working_set_bytes as f64;
    add(
        "container_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        samples(&containers, cpu),
    );
    add(
        "container_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the container in bytes",
        samples(&containers, memory),
    );
    add(
        "container_start_time_seconds",
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
        samples(&containers, |row| row.started_at.unwrap_or(0.0)),
    );
    add(
        "node_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        vec![("", host_usage::cpu_usage_ns() as f64 / 1e9)],
    );
    add(
        "node_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the node in bytes",
        vec![("", host_usage::memory().working_set as f64)],
    );
    add("pod_cpu_usage_seconds_total", "counter", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", samples(&pods, cpu));
    add("pod_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the pod in bytes", samples(&pods, memory));
    family(&mut out, "resource_scrape_error", "gauge", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise");
    let _ = writeln!(out, "resource_scrape_error 0");
    text(StatusCode::OK, &out)
}

pub(super) fn cadvisor_metrics(agent: &Agent) -> Response<Body> {
    let mut out = String::new();
    let rows = rows(agent);
    type Family = (&'static str, &'static str, fn(&Stats) -> f64);
    let families: [Family; 4] = [
        ("container_cpu_usage_seconds_total", "counter", |s| s.cpu_usage_ns as f64 / 1e9),
        ("container_memory_usage_bytes", "gauge", |s| s.memory_usage_bytes as f64),
        ("container_memory_working_set_bytes", "gauge", |s| s.memory_working_set_bytes as f64),
        ("container_memory_rss", "gauge", |s| s.memory_rss_bytes as f64),
    ];
    for (name, kind, value) in families {
        family(&mut out, name, kind, name);
        for row in rows.iter().filter(|row| row.started_at.is_some()) {
            let _ = writeln!(out, "{name}{{{}}} {}", row.labels, value(&row.stats));
        }
    }
    text(StatusCode::OK, &out)
}

/// A container, or without a start a whole pod.
struct Row {
    labels: String,
    stats: Stats,
    started_at: Option<f64>,
}

/// Names of containers and pods are plain: no escaping is needed.
fn rows(agent: &Agent) -> Vec<Row> {
    let mut rows = Vec::new();
    for handle in agent.pods.all() {
        let pod = format!("namespace=\"{}\",pod=\"{}\"", handle.pod.namespace, handle.pod.name);
        for (status, stats) in stats::usage(agent, &handle) {
            let started_at = stats::started_at(&status).map_or(0.0, |at| at.as_millisecond() as f64 / 1000.0);
            rows.push(Row { labels: format!("container=\"{}\",{pod}", status.metadata.name), stats, started_at: Some(started_at) });
        }
        if let Some((stats, _)) = stats::pod_usage(agent, &handle) {
            rows.push(Row { labels: pod, stats, started_at: None });
        }
    }
    rows
}
