//! Keeps the Node object and its Lease: the node is there, and it is alive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Api, Error};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node as NodeObject, NodeCondition, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use object::key::ObjectKey;
use object::plan::{Note, PatchKind, Reference};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::node::Node;
use crate::node_object::{self, Health};

const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Upstream: `nodeLeaseDurationSeconds`, renewed at a quarter of it.
const LEASE_SECONDS: i32 = 40;
const LEASE_RENEW: Duration = Duration::from_secs(10);
/// Upstream: `nodeStatusReportFrequency`; what changes is told at once.
const STATUS_HEARTBEAT: Duration = Duration::from_secs(300);
/// Upstream: `nodeStatusUpdateFrequency`. The node controller calls a node unknown that it has not heard of; once it is heard
/// again, the kubelet has to say otherwise, although nothing has changed here.
const STATUS_LOOK: Duration = Duration::from_secs(10);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(7);

/// Runs until it is dropped. `health` and `images` wake it: the latter counts changes of the image store.
pub async fn run(node: Arc<Node>, mut health: watch::Receiver<Health>, mut images: watch::Receiver<u64>) {
    let first = health.borrow_and_update().clone();
    let registered = register(&node, &first).await;
    let leases = tokio::spawn(keep_lease(Arc::clone(&node), registered.metadata.uid.unwrap_or_default()));
    let _leases = AbortOnDrop(leases);
    let mut told = first;
    loop {
        tokio::select! {
            Ok(()) = health.changed() => {}
            Ok(()) = images.changed() => {}
            () = tokio::time::sleep(STATUS_LOOK) => {}
        }
        let health = health.borrow_and_update().clone();
        tell_of_pressure(&node, Some(&told), &health);
        persist(|| report(&node, &health)).await;
        told = health;
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);
impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tries until it succeeds.
async fn persist<T, F: Future<Output = Result<T, Error>>>(mut attempt: impl FnMut() -> F) -> T {
    let mut wait = RETRY_MIN;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(e) => tracing::debug!(error = %e, "the node is not written yet"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

async fn register(node: &Node, health: &Health) -> NodeObject {
    let tell = |reason: &'static str, message: String| node.recorder.record(node.origin(), Note::normal(about(node), reason, message));
    tell("Starting", "Starting kubelet.".to_owned());
    let registered = persist(|| register_once(node, health)).await;
    persist(|| report(node, health)).await;
    tracing::info!(node = node.config.node_name, "node registered");
    tell_of_pressure(node, None, health);
    if health.not_ready.is_none() {
        tell("NodeReady", format!("Node {} status is now: NodeReady", node.config.node_name));
    }
    registered
}

/// An event for each pressure that is not as it was.
fn tell_of_pressure(node: &Node, before: Option<&Health>, now: &Health) {
    type Pressure = (fn(&Health) -> bool, &'static str, &'static str);
    let pressures: [Pressure; 3] = [
        (|h| h.has_memory_pressure, "NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
        (|h| h.has_disk_pressure, "NodeHasDiskPressure", "NodeHasNoDiskPressure"),
        (|h| h.has_pid_pressure, "NodeHasInsufficientPID", "NodeHasSufficientPID"),
    ];
    for (holds, bad, good) in pressures.into_iter().filter(|(holds, ..)| before.is_none_or(|before| holds(before) != holds(now))) {
        let reason = if holds(now) { bad } else { good };
        let text = format!("Node {} status is now: {reason}", node.config.node_name);
        node.recorder.record(node.origin(), Note::normal(about(node), reason, text));
    }
}

/// Upstream names the node by its name in place of the uid here.
fn about(node: &Node) -> Reference {
    let name = node.config.node_name.clone();
    Reference { api_version: "v1".to_owned(), kind: "Node".to_owned(), uid: name.clone(), name, ..Reference::default() }
}

async fn register_once(node: &Node, health: &Health) -> Result<NodeObject, Error> {
    let api = Api::<NodeObject>::new(&node.client);
    let fresh = node_object::node(&node.config, status(node, health, &[]));
    match api.create(&fresh).await {
        Err(e) if e.is_already_exists() => {}
        answer => return answer,
    }
    let key = ObjectKey::cluster(&node.config.node_name);
    let found = api.get(&key).await?;
    let wanted = node_object::labels(&node.config);
    let has_all = wanted.iter().all(|(key, value)| found.metadata.labels.as_ref().and_then(|l| l.get(key)) == Some(value));
    if has_all {
        return Ok(found);
    }
    api.patch(&key, "", PatchKind::Strategic, &json!({"metadata": {"labels": wanted}})).await
}

fn status(node: &Node, health: &Health, before: &[NodeCondition]) -> NodeStatus {
    node_object::status(&node.config, health, &node.images.list(), before, node.now())
}

/// Writes the status if it is not what the API has, or the heartbeat is due.
async fn report(node: &Node, health: &Health) -> Result<(), Error> {
    let api = Api::<NodeObject>::new(&node.client);
    let key = ObjectKey::cluster(&node.config.node_name);
    let old = api.get(&key).await?.status.unwrap_or_default();
    let new = status(node, health, old.conditions.as_deref().unwrap_or_default());
    if !node_object::differs(&overlaid(&old, &new), &old) && !is_stale(&old, node.now()) {
        return Ok(());
    }
    let mut fields = serde_json::to_value(&new).unwrap_or(Value::Null);
    // Addresses merge by type upstream, which loses the second of two families: replaced whole.
    if let Some(Value::Array(addresses)) = fields.get_mut("addresses") {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    api.patch(&key, "status", PatchKind::Strategic, &json!({"status": fields})).await.map(drop)
}

/// `old` with all that `new` says; what others wrote (attached volumes, their conditions) stays.
fn overlaid(old: &NodeStatus, new: &NodeStatus) -> NodeStatus {
    let is_own = |c: &&NodeCondition| new.conditions.iter().flatten().any(|n| n.type_ == c.type_);
    let others = old.conditions.iter().flatten().filter(|c| !is_own(c)).cloned();
    NodeStatus {
        conditions: Some(new.conditions.iter().flatten().cloned().chain(others).collect()),
        volumes_attached: old.volumes_attached.clone(),
        volumes_in_use: old.volumes_in_use.clone(),
        phase: old.phase.clone(),
        config: old.config.clone(),
        declared_features: old.declared_features.clone(),
        runtime_handlers: old.runtime_handlers.clone(),
        ..new.clone()
    }
}

fn is_stale(status: &NodeStatus, now: Timestamp) -> bool {
    let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
    let beat = ready.and_then(|c| c.last_heartbeat_time.as_ref());
    beat.is_none_or(|at| object::time::since(now, at.0) + Duration::from_secs(1) >= STATUS_HEARTBEAT)
}

async fn keep_lease(node: Arc<Node>, node_uid: String) {
    let api = Api::<Lease>::new(&node.client);
    let mut held: Option<Lease> = None;
    let mut wait = RETRY_MIN;
    loop {
        match renew(&api, &node, &node_uid, held.take()).await {
            Ok(lease) => {
                held = Some(lease);
                wait = RETRY_MIN;
                tokio::time::sleep(LEASE_RENEW).await;
            }
            Err(e) => {
                tracing::debug!(node = node.config.node_name, error = %e, "the node's lease is not renewed");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

async fn renew(api: &Api<Lease>, node: &Node, node_uid: &str, held: Option<Lease>) -> Result<Lease, Error> {
    let key = ObjectKey::new(LEASE_NAMESPACE, &node.config.node_name);
    let found = match held {
        Some(lease) => Some(lease),
        None => api.find(&key).await?,
    };
    let Some(mut lease) = found else { return api.create(&fresh_lease(node, node_uid)).await };
    let spec = lease.spec.get_or_insert_default();
    spec.renew_time = Some(MicroTime(node.now()));
    spec.holder_identity = Some(node.config.node_name.clone());
    spec.lease_duration_seconds = Some(LEASE_SECONDS);
    api.update(&lease).await
}

fn fresh_lease(node: &Node, node_uid: &str) -> Lease {
    let name = node.config.node_name.clone();
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.clone(),
        uid: node_uid.to_owned(),
        ..OwnerReference::default()
    };
    Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(LEASE_NAMESPACE.to_owned()),
            owner_references: (!node_uid.is_empty()).then(|| vec![owner]),
            labels: Some(BTreeMap::new()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(node.now())),
            ..LeaseSpec::default()
        }),
    }
}
