//! The scheduler: its thinking alone, in this process and without an API, and its whole way through the API with played nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use client::options::Selection;
use client::watch::{Event, Start, Tree, Watch};
use k8s_openapi::api::core::v1::{Node, Pod};
use object::key::GroupVersionResource;
use scheduling::{Cluster, Decision, Options, PodInfo};
use serde_json::{Value, json};

use crate::Result;
use crate::lab::{Lab, PATIENCE};
use crate::load::{self, Answered, Turn};
use crate::table::{Bar, Row};

const N_NODES_ALONE: usize = 5_000;
const N_PODS_ALONE: usize = 20_000;
const N_NODES: usize = 1_000;
const N_PODS: usize = 5_000;
const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) fn alone(_: &Lab) -> Result<Vec<Row>> {
    let mut cluster = Cluster::new(Options::default());
    for i in 0..N_NODES_ALONE {
        cluster.set_node(&serde_json::from_value::<Node>(node(i))?);
    }
    let pods = (0..N_PODS_ALONE).map(|i| Ok(serde_json::from_value::<Pod>(pod(i))?)).collect::<Result<Vec<_>>>()?;
    let cpu = own_cpu_seconds()?;
    let bound = pods.iter().filter(|p| matches!(cluster.schedule(&Arc::new(PodInfo::compile(p))), Decision::Bind { .. }));
    let n_bound = bound.count();
    let seconds = own_cpu_seconds()? - cpu;
    if n_bound != N_PODS_ALONE {
        return Err(format!("{n_bound} of {N_PODS_ALONE} pods found a node").into());
    }
    let rate = N_PODS_ALONE as f64 / seconds;
    Ok(vec![Row::new("scheduler alone, 5,000 nodes: pods a second of one core", "/s", None, Bar::AtLeast(5_000.0), rate)])
}

/// What this thread has had of a core, which others on the machine do not change.
fn own_cpu_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no time in schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}

async fn create_pod(turn: Turn) -> Answered {
    turn.client.create(PODS, &pod(turn.i)).await
}

async fn create_node(turn: Turn) -> Answered {
    turn.client.create("/api/v1/nodes", &node(turn.i)).await
}

/// When each pod was bound, as a client's watch sees it.
async fn bindings(mut pods: Watch<Tree>, began: Instant) -> std::result::Result<BTreeMap<String, f64>, client::Error> {
    let mut bound_at = BTreeMap::new();
    while bound_at.len() < N_PODS {
        if let Event::Added(pod) | Event::Modified(pod) = pods.next().await?
            && pod.0["spec"]["nodeName"].is_string()
        {
            let name = pod.0["metadata"]["name"].as_str().unwrap_or("").to_owned();
            bound_at.entry(name).or_insert_with(|| began.elapsed().as_secs_f64());
        }
    }
    Ok(bound_at)
}

pub(crate) fn bind(lab: &Lab) -> Result<Vec<Row>> {
    let clients = load::clients(lab, load::N_CLIENTS)?;
    load::in_parallel(lab, &clients, |i| i >= N_NODES, create_node)?;
    let selection = Selection { namespace: "default".to_owned(), ..Selection::labels("app=played") };
    let pods = Watch::<Tree>::new(lab.client()?, &GroupVersionResource::new("", "v1", "pods"), &selection, Start::Initial);
    let cpu = lab.server_cpu_seconds()?;
    let began = Instant::now();
    let watching = lab.runtime.spawn(bindings(pods, began));
    load::in_parallel(lab, &clients, |i| i >= N_PODS, create_pod)?;
    let created = began.elapsed().as_secs_f64();
    let bound = lab.runtime.block_on(async { tokio::time::timeout(PATIENCE, watching).await });
    let bound_at = bound.map_err(|_| "not all pods were bound in time")???;
    let cpu_each = (lab.server_cpu_seconds()? - cpu) * 1e3 / N_PODS as f64;
    let mut seconds: Vec<f64> = bound_at.into_values().collect();
    seconds.sort_by(f64::total_cmp);
    let (first, last) = (N_PODS / 10, N_PODS * 9 / 10);
    let rate = (last - first) as f64 / (seconds[last] - seconds[first]);
    Ok(vec![
        Row::new("5,000 pods onto 1,000 played nodes, created meanwhile: bound", "/s", Some(91.0), Bar::AtLeast(1_000.0), rate),
        Row::new("the same: creation alone", "/s", Some(100.0), Bar::More, N_PODS as f64 / created),
        Row::new("the same: server CPU per pod, created and bound", "ms", Some(12.3), Bar::Less, cpu_each),
    ])
}

/// Upstream was measured with the same shapes: 16 CPUs, three zones, a selector and requests.
fn node(i: usize) -> Value {
    let name = format!("played-{i}");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("z{}", i % 3), "bench": "played"}},
        "status": {
            "capacity": {"cpu": "16", "memory": "64Gi", "pods": "110"}, "allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Played", "lastHeartbeatTime": null, "lastTransitionTime": null}],
        },
    })
}

fn pod(i: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p-{i}"), "namespace": "default", "uid": format!("p-{i}"), "labels": {"app": "played"}},
        "spec": {
            "nodeSelector": {"bench": "played"},
            "containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}],
        },
    })
}
