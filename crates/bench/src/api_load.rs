//! The API server under load: 64 clients, each with its own TLS connection, each with one request under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::Client;
use client::options::Selection;
use client::watch::{Event, Start, Tree, Watch};
use object::Value;
use object::key::GroupVersionResource;
use serde_json::json;

use crate::Result;
use crate::lab::{Lab, PATIENCE, timed};
use crate::scheduler;
use crate::table::Row;

const N_CLIENTS: usize = 64;
const RUN: Duration = Duration::from_secs(4);
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const N_REPLICAS: usize = 1_000;
const N_NODES: usize = 1_000;
const N_PODS: usize = 5_000;

fn clients(lab: &Lab) -> Result<Vec<Client>> {
    (0..N_CLIENTS).map(|_| lab.client()).collect()
}

/// Every client works off numbers from one counter until `is_over`; answers how many were done.
fn in_parallel<F>(
    lab: &Lab,
    clients: &[Client],
    is_over: impl Fn(usize) -> bool + Copy + Send + 'static,
    request: fn(Client, usize) -> F,
) -> Result<usize>
where
    F: Future<Output = std::result::Result<Value, client::Error>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let work = clients.iter().map(|client| {
        let (client, next) = (client.clone(), Arc::clone(&next));
        async move {
            let mut n_done = 0;
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if is_over(i) {
                    return Ok::<usize, client::Error>(n_done);
                }
                request(client.clone(), i).await?;
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
fn load<F>(lab: &Lab, clients: &[Client], request: fn(Client, usize) -> F) -> Result<(f64, f64)>
where
    F: Future<Output = std::result::Result<Value, client::Error>> + Send + 'static,
{
    let cpu = lab.server_cpu_seconds()?;
    let began = Instant::now();
    let n_done = in_parallel(lab, clients, move |_| began.elapsed() > RUN, request)? as f64;
    let seconds = began.elapsed().as_secs_f64();
    Ok((n_done / seconds, (lab.server_cpu_seconds()? - cpu) * 1e3 / n_done))
}

async fn create_config_map(client: Client, i: usize) -> std::result::Result<Value, client::Error> {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("load-{i}")}, "data": {"k": "x".repeat(1024)}});
    client.create(CONFIG_MAPS, &object).await
}

async fn get_config_map(client: Client, _: usize) -> std::result::Result<Value, client::Error> {
    client.get(&format!("{CONFIG_MAPS}/load-0")).await
}

pub(crate) fn requests(lab: &Lab) -> Result<Vec<Row>> {
    let clients = clients(lab)?;
    // Opens all connections, so that handshakes are no part of what follows.
    let first = clients[0].clone();
    lab.runtime.block_on(first.get::<Value>("/version"))?;
    in_parallel(lab, &clients, |i| i >= N_CLIENTS * 2, |client, _| async move { client.get("/version").await })?;
    let (creates, create_cpu) = load(lab, &clients, create_config_map)?;
    let (gets, get_cpu) = load(lab, &clients, get_config_map)?;
    lab.kubectl(&["delete", "configmaps", "--all", "--wait=false"])?;
    Ok(vec![
        Row::more_is_better("durable creates of 1 KiB ConfigMaps, 64 clients", "/s", Some(352.0), "≥ 4x", creates),
        Row::less_is_better("the same: server CPU per create", "ms", Some(2.5), "≤ 1/6", create_cpu),
        Row::more_is_better("GET ConfigMap, 64 clients", "/s", Some(1_417.0), "-", gets),
        Row::less_is_better("the same: server CPU per GET", "ms", Some(1.0), "≤ 1/8", get_cpu),
    ])
}

/// The number of this Deployment's pods, by what a watch says.
async fn until_count(pods: &mut Watch<Tree>, n_wanted: usize, known: &mut BTreeMap<String, ()>) -> Result<()> {
    let counting = async {
        while known.len() != n_wanted {
            let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or("").to_owned();
            match pods.next().await? {
                Event::Added(pod) | Event::Modified(pod) => drop(known.insert(name(&pod.0), ())),
                Event::Deleted(pod) => drop(known.remove(&name(&pod.0))),
                Event::Bookmark { .. } => {}
            }
        }
        Ok::<(), client::Error>(())
    };
    Ok(tokio::time::timeout(PATIENCE, counting).await.map_err(|_| format!("the pods did not become {n_wanted}"))??)
}

/// The pods name a scheduler that nobody runs: what is measured is controllers and API, as on upstream's fake nodes.
pub(crate) fn replicas(lab: &Lab) -> Result<Vec<Row>> {
    let client = lab.client()?;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many"},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "many"}},
            "template": {"metadata": {"labels": {"app": "many"}}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "none"}]}},
        },
    });
    let (up, down) = lab.runtime.block_on(async {
        client.create::<Value>("/apis/apps/v1/namespaces/default/deployments", &deployment).await?;
        let selection = Selection { namespace: "default".to_owned(), ..Selection::labels("app=many") };
        let mut pods = Watch::<Tree>::new(client.clone(), &GroupVersionResource::new("", "v1", "pods"), &selection, Start::Initial);
        let mut known = BTreeMap::new();
        let mut seconds = Vec::new();
        for n in [N_REPLICAS, 0] {
            let began = Instant::now();
            let patch = json!({"spec": {"replicas": n}});
            client.patch::<Value>("/apis/apps/v1/namespaces/default/deployments/many", object::plan::PatchKind::Merge, &patch).await?;
            until_count(&mut pods, n, &mut known).await?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        Result::Ok((seconds[0], seconds[1]))
    })?;
    lab.kubectl(&["delete", "deployment", "many", "--wait=false"])?;
    Ok(vec![
        Row::less_is_better("Deployment 0 → 1,000 replicas (unscheduled): all created", "s", Some(3.3), "≤ 0.7", up),
        Row::less_is_better("1,000 → 0: all gone", "s", Some(8.9), "≤ 1.5", down),
    ])
}

async fn create_pod(client: Client, i: usize) -> std::result::Result<Value, client::Error> {
    client.create(PODS, &scheduler::pod(i)).await
}

async fn create_node(client: Client, i: usize) -> std::result::Result<Value, client::Error> {
    client.create("/api/v1/nodes", &scheduler::node(i)).await
}

/// Pods and nodes without kubelets stay behind: this comes last, and `reset` clears them away.
pub(crate) fn bind(lab: &Lab) -> Result<Vec<Row>> {
    let clients = clients(lab)?;
    in_parallel(lab, &clients, |i| i >= N_NODES, create_node)?;
    let selection = Selection { namespace: "default".to_owned(), ..Selection::labels("app=played") };
    let mut pods = Watch::<Tree>::new(lab.client()?, &GroupVersionResource::new("", "v1", "pods"), &selection, Start::Initial);
    let cpu = lab.server_cpu_seconds()?;
    let (_, bound_at) = timed(|| {
        let began = Instant::now();
        let watching = lab.runtime.spawn(async move {
            let mut bound_at = BTreeMap::new();
            while bound_at.len() < N_PODS {
                if let Event::Added(pod) | Event::Modified(pod) = pods.next().await?
                    && pod.0["spec"]["nodeName"].is_string()
                {
                    let name = pod.0["metadata"]["name"].as_str().unwrap_or("").to_owned();
                    bound_at.entry(name).or_insert_with(|| began.elapsed().as_secs_f64());
                }
            }
            Ok::<_, client::Error>(bound_at)
        });
        in_parallel(lab, &clients, |i| i >= N_PODS, create_pod)?;
        let bound = lab.runtime.block_on(async { tokio::time::timeout(PATIENCE, watching).await });
        Ok(bound.map_err(|_| "not all pods were bound in time")???)
    })?;
    let cpu_each = (lab.server_cpu_seconds()? - cpu) * 1e3 / N_PODS as f64;
    let mut seconds: Vec<f64> = bound_at.into_values().collect();
    seconds.sort_by(f64::total_cmp);
    let (first, last) = (N_PODS / 10, N_PODS * 9 / 10);
    let rate = (last - first) as f64 / (seconds[last] - seconds[first]);
    Ok(vec![
        Row::more_is_better("5,000 pods onto 1,000 played nodes, created meanwhile: bound", "/s", Some(91.0), "≥ 1,000", rate),
        Row::less_is_better("the same: server CPU per pod, created and bound", "ms", Some(9.2 + 3.6), "-", cpu_each),
    ])
}
