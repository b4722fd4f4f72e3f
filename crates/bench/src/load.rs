//! The API server under load: clients with a TLS connection each, each with one request under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::Client;
use object::Value;
use object::plan::PatchKind;
use serde_json::json;

use crate::Result;
use crate::lab::Lab;
use crate::table::{Bar, Row};

pub(crate) const N_CLIENTS: usize = 64;
const RUN: Duration = Duration::from_secs(4);
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

pub(crate) type Answered = std::result::Result<Value, client::Error>;

/// Clients whose connections are open, so that handshakes are no part of what follows.
pub(crate) fn clients(lab: &Lab, n: usize) -> Result<Vec<Client>> {
    let clients: Vec<Client> = (0..n).map(|_| lab.client()).collect::<Result<_>>()?;
    lab.runtime.block_on(futures_util::future::try_join_all(clients.iter().map(|client| client.get::<Value>("/version"))))?;
    Ok(clients)
}

/// What one request needs to know: whose it is, and its number among all.
pub(crate) struct Turn {
    pub(crate) client: Client,
    pub(crate) worker: usize,
    pub(crate) i: usize,
}

/// Every client works off numbers from one counter until `is_over`; answers how many were done.
pub(crate) fn in_parallel<F>(
    lab: &Lab,
    clients: &[Client],
    is_over: impl Fn(usize) -> bool + Copy + Send + 'static,
    request: fn(Turn) -> F,
) -> Result<usize>
where
    F: Future<Output = Answered> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let work = clients.iter().enumerate().map(|(worker, client)| {
        let (client, next) = (client.clone(), Arc::clone(&next));
        async move {
            let mut n_done = 0;
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if is_over(i) {
                    return Ok::<usize, client::Error>(n_done);
                }
                request(Turn { client: client.clone(), worker, i }).await?;
                n_done += 1;
            }
        }
    });
    let done: Vec<_> = lab.runtime.block_on(async { futures_util::future::join_all(work.map(tokio::spawn)).await });
    let mut n_done = 0;
    for task in done {
        n_done += task??;
    }
    Ok(n_done)
}

/// Requests a second, and the server's CPU milliseconds for each.
fn load<F>(lab: &Lab, clients: &[Client], request: fn(Turn) -> F) -> Result<(f64, f64)>
where
    F: Future<Output = Answered> + Send + 'static,
{
    let cpu = lab.server_cpu_seconds()?;
    let began = Instant::now();
    let n_done = in_parallel(lab, clients, move |_| began.elapsed() > RUN, request)? as f64;
    let seconds = began.elapsed().as_secs_f64();
    Ok((n_done / seconds, (lab.server_cpu_seconds()? - cpu) * 1e3 / n_done))
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "load"}}, "data": {"data": "x".repeat(1024)}})
}

/// Paused and without replicas: only the API works on it.
fn deployment(worker: usize, turn: usize) -> Value {
    let name = format!("load-{worker}");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": "load"}, "annotations": {"turn": turn.to_string()}},
        "spec": {
            "replicas": 0, "paused": true, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": load_spec()},
        },
    })
}

async fn create(turn: Turn) -> Answered {
    turn.client.create(CONFIG_MAPS, &config_map(&format!("load-{}", turn.i))).await
}

async fn get(turn: Turn) -> Answered {
    turn.client.get(&format!("{CONFIG_MAPS}/load-0")).await
}

/// To each client an object of its own.
async fn merge_patch(turn: Turn) -> Answered {
    let patch = json!({"metadata": {"annotations": {"turn": turn.i.to_string()}}});
    turn.client.patch(&format!("{CONFIG_MAPS}/load-{}", turn.worker), PatchKind::Merge, &patch).await
}

async fn apply(turn: Turn) -> Answered {
    let kind = PatchKind::Apply { field_manager: "load", force: true };
    let path = format!("{DEPLOYMENTS}/load-{}", turn.worker);
    turn.client.patch(&path, kind, &deployment(turn.worker, turn.i)).await
}

/// Upstream's CPU figures are the lowest it was seen with, its rates the highest.
pub(crate) fn requests(lab: &Lab) -> Result<Vec<Row>> {
    let clients = clients(lab, N_CLIENTS)?;
    let (creates, create_cpu) = load(lab, &clients, create)?;
    let (gets, get_cpu) = load(lab, &clients, get)?;
    let (patches, patch_cpu) = load(lab, &clients, merge_patch)?;
    let (applies, apply_cpu) = load(lab, &clients, apply)?;
    Ok(vec![
        Row::new("durable creates of 1 KiB ConfigMaps, 64 clients", "/s", Some(646.0), Bar::Times(4.0), creates),
        Row::new("the same: server CPU per create", "ms", Some(2.5), Bar::Share(8.0), create_cpu),
        Row::new("GET ConfigMap, 64 clients", "/s", Some(1_417.0), Bar::Times(4.0), gets),
        Row::new("the same: server CPU per GET", "ms", Some(1.0), Bar::Share(10.0), get_cpu),
        Row::new("merge patch of a ConfigMap, 64 clients", "/s", Some(437.0), Bar::Times(4.0), patches),
        Row::new("the same: server CPU per patch", "ms", Some(3.7), Bar::Share(8.0), patch_cpu),
        Row::new("server-side apply of a Deployment, 64 clients", "/s", Some(90.0), Bar::Times(4.0), applies),
        Row::new("the same: server CPU per apply", "ms", Some(11.0), Bar::Share(8.0), apply_cpu),
    ])
}

/// A pod's spec of the usual shape, as upstream was measured with.
pub(crate) fn load_spec() -> Value {
    json!({"containers": [{
        "name": "main", "image": "none", "command": ["sleep", "1000000"],
        "env": [{"name": "A", "value": "one"}, {"name": "B", "value": "two"}], "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }]})
}
