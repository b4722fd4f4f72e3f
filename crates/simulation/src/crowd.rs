//! Many nodes played at once by one task: lighter than an agent each, for clusters of a thousand.
//!
//! A pod bound to a node of the crowd runs and is ready at once, and is let go of as soon as it is to leave; a lost node says and
//! does nothing any more. Nothing else is played.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Api, Client};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use object::key::ObjectKey;
use object::plan::{DeleteOptions, PatchKind, key_of};
use object::time::{Clock, micros, seconds};
use reconcile::{Changed, Informers};
use serde_json::{Value, json};

const LEASE_RENEW: Duration = Duration::from_secs(10);
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

fn name(number: usize) -> String {
    format!("node-{number}")
}

/// Nodes of the crowd that have gone silent.
#[derive(Clone, Default)]
pub(crate) struct Lost(Arc<Mutex<HashSet<String>>>);

impl Lost {
    pub(crate) fn add(&self, node: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned());
    }

    fn has(&self, node: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(node)
    }
}

/// Runs until it is dropped.
pub(crate) async fn play(client: Client, clock: Clock, n_nodes: usize, lost: Lost) {
    let pods = run_pods(client.clone(), clock.clone(), lost.clone());
    tokio::join!(pods, async {
        for number in 1..=n_nodes {
            if let Err(e) = register(&client, &clock, &name(number)).await {
                panic!("{} does not register: {e}", name(number));
            }
        }
        keep_leases(&client, &clock, n_nodes, &lost).await;
    });
}

async fn register(client: &Client, clock: &Clock, name: &str) -> Result<(), client::Error> {
    let now = seconds(clock.now());
    let amounts = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now});
    let status = json!({"capacity": amounts, "allocatable": amounts, "conditions": [ready]});
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micros(clock.now())},
    });
    let _: Lease = client.create(LEASES, &lease).await?;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
    let _: Node = client.create("/api/v1/nodes", &node).await?;
    Api::<Node>::new(client).patch(&ObjectKey::cluster(name), "status", PatchKind::Merge, &json!({"status": status})).await?;
    Ok(())
}

async fn keep_leases(client: &Client, clock: &Clock, n_nodes: usize, lost: &Lost) {
    loop {
        tokio::time::sleep(LEASE_RENEW).await;
        let renewed = json!({"spec": {"renewTime": micros(clock.now())}});
        for node in (1..=n_nodes).map(name).filter(|node| !lost.has(node)) {
            // What fails now is tried again in time.
            let _: Result<Value, _> = client.patch(&format!("{LEASES}/{node}"), PatchKind::Merge, &renewed).await;
        }
    }
}

async fn run_pods(client: Client, clock: Clock, lost: Lost) {
    let informers = Informers::new(client.clone());
    let mut changes = informers.of::<Pod>().subscribe();
    let api = Api::<Pod>::new(&client);
    let mut n_run = 0_u32;
    loop {
        let Changed { new: Some(pod), .. } = changes.next().await else { continue };
        match pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
            Some(node) if !lost.has(node) => {}
            _ => continue,
        }
        let key = key_of(&pod.metadata);
        if pod.metadata.deletion_timestamp.is_some() {
            let at_once = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
            let _ = api.delete(&key, &at_once).await;
        } else if pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Pending") {
            n_run += 1;
            let _ = api.patch(&key, "status", PatchKind::Strategic, &running(&pod, &clock, n_run)).await;
        }
    }
}

fn running(pod: &Arc<Pod>, clock: &Clock, n_run: u32) -> Value {
    let now = seconds(clock.now());
    let [_, b, c, d] = n_run.to_be_bytes();
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers).map(|c| {
        json!({"name": c.name, "image": c.image, "imageID": "", "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": now}}})
    });
    let conditions = ["Initialized", "ContainersReady", "Ready"].map(|c| json!({"type": c, "status": "True", "lastTransitionTime": now}));
    let ip = format!("10.{b}.{c}.{d}");
    json!({"status": {
        "phase": "Running", "startTime": now, "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": conditions, "containerStatuses": containers.collect::<Vec<_>>(),
    }})
}
