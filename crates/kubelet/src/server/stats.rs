//! What runs here and what it uses: `/pods`, `/stats/summary`, `/metrics/…`.

use std::fmt::Write;

use http::{Response, StatusCode};
use object::time::seconds;
use oci_runtime::status::{ContainerState, ContainerStatus, SandboxState, Stats};
use serde_json::{Value, json};

use super::answer::{Body, json as json_answer, text};
use crate::agent::Agent;
use crate::machine::storage;
use crate::pods::Handle;
use crate::start::locked;

pub(super) fn pods(agent: &Agent) -> Response<Body> {
    let items: Vec<Value> = agent
        .pods
        .all()
        .iter()
        .map(|handle| json!({"metadata": handle.pod.meta, "spec": handle.pod.spec, "status": handle.pod.status}))
        .collect();
    json_answer(&json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}

/// Running containers of a pod with what they use.
fn usage(agent: &Agent, handle: &Handle) -> Vec<(ContainerStatus, Stats)> {
    let known = locked(&handle.known).containers.clone();
    let runtime = agent.node.runtime.as_ref();
    let running = known.iter().filter_map(|id| runtime.container_status(id).ok());
    let running = running.filter(|s| matches!(s.state, ContainerState::Running { .. }));
    running.filter_map(|s| Some((s.clone(), runtime.container_stats(&s.id).ok()?))).collect()
}

fn pod_usage(agent: &Agent, handle: &Handle) -> Option<Stats> {
    let known = locked(&handle.known).sandboxes.clone();
    let runtime = agent.node.runtime.as_ref();
    let is_ready = |s: &oci_runtime::status::SandboxStatus| matches!(s.state, SandboxState::Ready { .. });
    let ready = known.iter().filter_map(|id| runtime.pod_sandbox_status(id).ok()).find(is_ready)?;
    runtime.sandbox_stats(&ready.id).ok()
}

pub(super) fn summary(agent: &Agent) -> Response<Body> {
    let now = seconds(agent.node.now());
    let cpu = |stats: &Stats| json!({"time": now, "usageCoreNanoSeconds": stats.cpu_usage_ns});
    let memory = |stats: &Stats| {
        json!({
            "time": now, "usageBytes": stats.memory_usage_bytes, "workingSetBytes": stats.memory_working_set_bytes,
            "rssBytes": stats.memory_rss_bytes, "pageFaults": stats.page_faults, "majorPageFaults": stats.major_page_faults,
        })
    };
    let pods: Vec<Value> = agent
        .pods
        .all()
        .iter()
        .map(|handle| {
            let containers: Vec<Value> = usage(agent, handle)
                .iter()
                .map(|(status, stats)| json!({"name": status.metadata.name, "cpu": cpu(stats), "memory": memory(stats)}))
                .collect();
            let whole = pod_usage(agent, handle).unwrap_or_default();
            json!({
                "podRef": {"name": handle.pod.name, "namespace": handle.pod.namespace, "uid": handle.pod.uid},
                "containers": containers, "cpu": cpu(&whole), "memory": memory(&whole),
                "process_stats": {"process_count": whole.pids},
            })
        })
        .collect();
    let config = &agent.node.config;
    let (capacity, available) = storage(&config.root_dir).unwrap_or((0, 0));
    let fs = json!({"time": now, "capacityBytes": capacity, "availableBytes": available, "usedBytes": capacity - available});
    let node = json!({
        "nodeName": config.node_name, "fs": fs, "runtime": {"imageFs": fs},
        "memory": {"time": now, "availableBytes": memory_available()},
        "rlimit": {"time": now, "maxpid": config.machine.pid_max},
    });
    json_answer(&json!({"node": node, "pods": pods}))
}

pub(crate) fn memory_available() -> i64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    crate::machine::meminfo_kib(&meminfo, "MemAvailable:").unwrap_or(0) * 1024
}

pub(super) fn metrics(agent: &Agent) -> Response<Body> {
    let pods = agent.pods.all();
    let n_containers: usize = pods.iter().map(|handle| usage(agent, handle).len()).sum();
    let mut out = String::new();
    family(&mut out, "kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox");
    let n_running = pods.iter().filter(|handle| pod_usage(agent, handle).is_some()).count();
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

/// What metrics-server asks for.
pub(super) fn resource_metrics(agent: &Agent) -> Response<Body> {
    let mut out = String::new();
    let rows = rows(agent);
    family(&mut out, "container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds");
    for (labels, stats) in &rows {
        let _ = writeln!(out, "container_cpu_usage_seconds_total{{{labels}}} {}", stats.cpu_usage_ns as f64 / 1e9);
    }
    family(&mut out, "container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes");
    for (labels, stats) in &rows {
        let _ = writeln!(out, "container_memory_working_set_bytes{{{labels}}} {}", stats.memory_working_set_bytes);
    }
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
        for (labels, stats) in &rows {
            let _ = writeln!(out, "{name}{{{labels}}} {}", value(stats));
        }
    }
    text(StatusCode::OK, &out)
}

/// Names of containers and pods are plain: no escaping is needed.
fn rows(agent: &Agent) -> Vec<(String, Stats)> {
    let of_pod = |handle: &Handle| {
        let (namespace, pod) = (handle.pod.namespace.clone(), handle.pod.name.clone());
        let labelled = move |(status, stats): (ContainerStatus, Stats)| {
            (format!("container=\"{}\",namespace=\"{namespace}\",pod=\"{pod}\"", status.metadata.name), stats)
        };
        usage(agent, handle).into_iter().map(labelled).collect::<Vec<_>>()
    };
    agent.pods.all().iter().flat_map(of_pod).collect()
}
