//! What runs here and what it uses: `/pods`, `/stats/summary`.

use http::Response;
use jiff::Timestamp;
use object::time::seconds;
use oci_runtime::status::{ContainerState, ContainerStatus, SandboxState, Stats};
use serde_json::{Value, json};

use super::answer::{Body, json as json_answer};
use crate::agent::Agent;
use crate::host_usage;
use crate::lock::locked;
use crate::machine::storage;
use crate::pods::Handle;

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
pub(super) fn usage(agent: &Agent, handle: &Handle) -> Vec<(ContainerStatus, Stats)> {
    let known = locked(&handle.known).containers.clone();
    let runtime = agent.node.runtime.as_ref();
    let running = known.iter().filter_map(|id| runtime.container_status(id).ok());
    let running = running.filter(|s| matches!(s.state, ContainerState::Running { .. }));
    running.filter_map(|s| Some((s.clone(), runtime.container_stats(&s.id).ok()?))).collect()
}

/// Of the whole pod, and a process in its network.
pub(super) fn pod_usage(agent: &Agent, handle: &Handle) -> Option<(Stats, u32)> {
    let known = locked(&handle.known).sandboxes.clone();
    let runtime = agent.node.runtime.as_ref();
    known.iter().filter_map(|id| runtime.pod_sandbox_status(id).ok()).find_map(|status| {
        let SandboxState::Ready { shim_pid, .. } = status.state else { return None };
        Some((runtime.sandbox_stats(&status.id).ok()?, shim_pid))
    })
}

pub(super) fn started_at(status: &ContainerStatus) -> Option<Timestamp> {
    let ContainerState::Running { started_at_ns, .. } = status.state else { return None };
    Timestamp::from_nanosecond(started_at_ns.into()).ok()
}

pub(super) async fn summary(agent: &Agent) -> Response<Body> {
    let now = seconds(agent.node.now());
    let mut pods = Vec::new();
    for handle in agent.pods.all() {
        if let Some((whole, pid)) = pod_usage(agent, &handle) {
            pods.push(pod(agent, &handle, &whole, pid, &now).await);
        }
    }
    let config = &agent.node.config;
    let fs = file_system(agent, &now);
    let memory = host_usage::memory();
    let node = json!({
        "nodeName": config.node_name, "startTime": seconds(host_usage::booted_at(agent.node.now())), "fs": fs,
        "runtime": {"imageFs": fs, "containerFs": fs},
        "cpu": {"time": now, "usageCoreNanoSeconds": host_usage::cpu_usage_ns()},
        "memory": {
            "time": now, "availableBytes": memory.available, "usageBytes": memory.usage, "workingSetBytes": memory.working_set,
            "rssBytes": memory.rss,
        },
        "network": network(&host_usage::interfaces(None), &now),
        "rlimit": {"time": now, "maxpid": config.machine.pid_max, "curproc": host_usage::n_processes()},
        "swap": {"time": now, "swapAvailableBytes": 0, "swapUsageBytes": 0},
    });
    json_answer(&json!({"node": node, "pods": pods}))
}

async fn pod(agent: &Agent, handle: &Handle, whole: &Stats, pid: u32, now: &str) -> Value {
    let disk = crate::upkeep::disk_usage(agent, handle).await;
    let fs = file_system(agent, now);
    let with_used = |bytes: u64| {
        let mut fs = fs.clone();
        fs["usedBytes"] = bytes.into();
        fs
    };
    let containers: Vec<Value> = usage(agent, handle)
        .iter()
        .map(|(status, stats)| {
            let name = &status.metadata.name;
            let logs = crate::logs::parts(&status.log_path).iter().filter_map(|p| std::fs::metadata(p).ok()).map(|m| m.len()).sum::<u64>();
            let written = disk.containers.get(name).copied().unwrap_or(0).saturating_sub(logs);
            json!({
                "name": name, "startTime": started_at(status).map(seconds), "cpu": cpu(stats, now), "memory": memory(stats, now),
                "rootfs": with_used(written), "logs": with_used(logs),
            })
        })
        .collect();
    let volumes: Vec<Value> = disk
        .volumes
        .iter()
        .map(|(name, bytes)| {
            let mut volume = with_used(*bytes);
            volume["name"] = name.as_str().into();
            volume
        })
        .collect();
    let meta = &handle.pod.meta;
    json!({
        "podRef": {"name": handle.pod.name, "namespace": handle.pod.namespace, "uid": handle.pod.uid},
        "startTime": handle.pod.status.start_time.as_ref().or(meta.creation_timestamp.as_ref()).map(|t| seconds(t.0)),
        "containers": containers, "cpu": cpu(whole, now), "memory": memory(whole, now),
        "network": network(&host_usage::interfaces(Some(pid)), now), "volume": volumes, "ephemeral-storage": with_used(disk.total()),
        "process_stats": {"process_count": whole.pids},
    })
}

fn cpu(stats: &Stats, now: &str) -> Value {
    json!({"time": now, "usageCoreNanoSeconds": stats.cpu_usage_ns})
}

fn memory(stats: &Stats, now: &str) -> Value {
    json!({
        "time": now, "usageBytes": stats.memory_usage_bytes, "workingSetBytes": stats.memory_working_set_bytes,
        "rssBytes": stats.memory_rss_bytes, "pageFaults": stats.page_faults, "majorPageFaults": stats.major_page_faults,
    })
}

fn network(interfaces: &[host_usage::Interface], now: &str) -> Value {
    let one = |i: &host_usage::Interface| json!({"name": i.name, "rxBytes": i.received, "rxErrors": i.receive_errors, "txBytes": i.sent, "txErrors": i.send_errors});
    let all: Vec<Value> = interfaces.iter().map(one).collect();
    let mut network = all.first().cloned().unwrap_or(json!({"name": ""}));
    network["time"] = now.into();
    network["interfaces"] = all.into();
    network
}

fn file_system(agent: &Agent, now: &str) -> Value {
    let (capacity, available) = storage(&agent.node.config.root_dir).unwrap_or((0, 0));
    json!({"time": now, "capacityBytes": capacity, "availableBytes": available, "usedBytes": capacity - available})
}
