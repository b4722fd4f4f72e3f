//! All pods of a node: starts and feeds a task for each, adopts what an earlier process left, and routes the runtime's events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use object::key::ObjectKey;
use oci_runtime::runtime::Event;
use oci_runtime::spec::SandboxId;
use oci_runtime::status::SandboxStatus;
use pod_plan::admission::{self, Refusal};
use pod_plan::effect::Note;
use pod_plan::eviction;
use pod_plan::memory::{Cause, Eviction};
use pod_plan::pod::BoundPod;
use pod_plan::sysctl;
use reconcile::{Cache, Changed};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::grants::Grants;
use crate::lock::locked;
use crate::node::Node;
use crate::node_object::Health;
use crate::observe::{Known, POD, POD_UID};
use crate::pod_task::{Mailbox, PodTask};

/// A task that panicked is not started anew at once: it would most likely panic again.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// What others may look at and tell; cheap to clone.
#[derive(Clone, Default)]
pub struct Pods(Arc<Mutex<HashMap<String, Handle>>>);

#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) pod: Arc<BoundPod>,
    pub(crate) known: Arc<Mutex<Known>>,
    mailbox: Arc<Mailbox>,
}

impl Pods {
    /// By namespace and name; the newest where an old one is still being cleared away.
    pub(crate) fn find(&self, key: &ObjectKey) -> Option<Handle> {
        let pods = locked(&self.0);
        let of_name = pods.values().filter(|h| h.pod.namespace == key.namespace && h.pod.name == key.name);
        of_name.max_by_key(|h| h.pod.meta.creation_timestamp.as_ref().map(|t| t.0)).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Handle> {
        locked(&self.0).values().cloned().collect()
    }

    /// Puts a pod out; harmless for one that is not there.
    pub fn evict(&self, uid: &str, eviction: Eviction) {
        if let Some(handle) = locked(&self.0).get(uid) {
            handle.mailbox.put_eviction(eviction);
        }
    }

    fn poke(&self, sandbox: &SandboxId) {
        for handle in locked(&self.0).values() {
            if locked(&handle.known).sandboxes.contains(sandbox) {
                handle.mailbox.poke();
            }
        }
    }

    fn poke_all(&self) {
        locked(&self.0).values().for_each(|handle| handle.mailbox.poke());
    }
}

struct Supervisor {
    node: Arc<Node>,
    pods: Pods,
    health: watch::Receiver<Health>,
    /// Which pod stands under a name; a new one may take it before the old one is cleared away.
    names: HashMap<ObjectKey, String>,
    grants: Grants,
    tasks: JoinSet<String>,
}

/// Runs until it is dropped; the pods' containers then run on.
pub async fn run(node: Arc<Node>, cache: Cache<Pod>, pods: Pods, health: watch::Receiver<Health>) {
    let mut events = node.runtime.events();
    let mut adopted = leftovers(&node);
    cache.synced().await;
    let mut changes = cache.subscribe();
    let mut supervisor = Supervisor { node, pods, health, names: HashMap::new(), grants: Grants::default(), tasks: JoinSet::new() };
    while let Some(changed) = changes.try_next() {
        supervisor.changed(&changed, &mut adopted);
    }
    for (_, left) in adopted.drain() {
        supervisor.end_orphan(left);
    }
    let kept = locked(&supervisor.pods.0).keys().cloned().collect();
    supervisor.node.disk.sweep(kept);
    loop {
        tokio::select! {
            changed = changes.next() => {
                supervisor.changed(&changed, &mut HashMap::new());
                supervisor.retry_resizes();
            }
            event = events.recv() => supervisor.route(event),
            Some(ended) = supervisor.tasks.join_next_with_id() => {
                supervisor.ended(ended.map(|(_, uid)| uid));
                supervisor.retry_resizes();
            }
        }
    }
}

/// What an earlier process left in the runtime, by pod.
struct Leftover {
    known: Known,
    newest: SandboxStatus,
}

fn leftovers(node: &Node) -> HashMap<String, Leftover> {
    let mut by_pod: HashMap<String, Leftover> = HashMap::new();
    for status in node.runtime.list_pod_sandboxes() {
        let Some(uid) = status.labels.get(POD_UID).cloned() else { continue };
        let left = by_pod.entry(uid).or_insert_with(|| Leftover { known: Known::default(), newest: status.clone() });
        left.known.sandboxes.push(status.id.clone());
        if status.metadata.attempt > left.newest.metadata.attempt {
            left.newest = status;
        }
    }
    for status in node.runtime.list_containers() {
        if let Some(left) = status.labels.get(POD_UID).and_then(|uid| by_pod.get_mut(uid)) {
            left.known.containers.push(status.id);
        }
    }
    by_pod
}

impl Supervisor {
    fn changed(&mut self, changed: &Changed<Pod>, adopted: &mut HashMap<String, Leftover>) {
        let new_uid = changed.new.as_ref().and_then(|pod| pod.metadata.uid.clone());
        if let Some(before) = self.names.get(&changed.key).filter(|uid| Some(*uid) != new_uid.as_ref()) {
            if let Some(handle) = locked(&self.pods.0).get(before) {
                handle.mailbox.put_gone();
            }
            self.names.remove(&changed.key);
        }
        let Some(object) = &changed.new else { return };
        match BoundPod::new(object.as_ref().clone()) {
            Ok(pod) => {
                self.names.insert(changed.key.clone(), pod.uid.clone());
                let left = adopted.remove(&pod.uid);
                let is_new = left.is_none() && !locked(&self.pods.0).contains_key(&pod.uid) && has_not_begun(&pod);
                let refusal = is_new.then(|| self.refusal(&pod)).flatten();
                let pod = self.settle(pod);
                let handle = self.put(pod, left.map(|left| left.known).unwrap_or_default());
                if let Some(refusal) = refusal {
                    self.refuse(&handle, refusal);
                }
            }
            Err(text) => tracing::error!(namespace = changed.key.namespace, name = changed.key.name, error = text, "cannot read a pod"),
        }
    }

    /// Those that may run, with what they were granted.
    fn active(&self) -> Vec<Arc<BoundPod>> {
        let is_over = |pod: &BoundPod| matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        self.pods.all().into_iter().map(|h| h.pod).filter(|pod| !is_over(pod)).collect()
    }

    /// Will the node take it: is it allowed, and is there room beside those that may run?
    fn refusal(&self, pod: &BoundPod) -> Option<Refusal> {
        let (memory, disk) = {
            let health = self.health.borrow();
            (health.has_memory_pressure, health.has_disk_pressure)
        };
        eviction::refusal(pod, memory, disk)
            .or_else(|| sysctl::refusal(pod))
            .or_else(|| admission::refusal(pod, self.active().iter().map(AsRef::as_ref), &self.node.config.allocatable()))
    }

    /// With what it was granted; its wishes may have to wait.
    fn settle(&mut self, pod: BoundPod) -> Arc<BoundPod> {
        let others = self.active();
        let (granted, note) = self.grants.settle(pod, &others, &self.node.config.allocatable());
        if let Some(note) = note {
            self.node.tell(&granted, &note);
        }
        Arc::new(granted)
    }

    /// Another pod may have made room.
    fn retry_resizes(&mut self) {
        if !self.grants.has_waiting() {
            return;
        }
        for pod in self.grants.waiting() {
            let settled = self.settle(pod);
            let is_news = |h: &Handle| h.pod.pending_resize != settled.pending_resize;
            if locked(&self.pods.0).get(&settled.uid).is_some_and(is_news) {
                self.put(settled, Known::default());
            }
        }
    }

    fn refuse(&self, handle: &Handle, refusal: Refusal) {
        self.node.tell(&handle.pod, &Note::warning(refusal.reason, refusal.message.clone()));
        let message = format!("Pod was rejected: {}", refusal.message);
        let eviction = Eviction { reason: refusal.reason.to_owned(), message, grace_seconds: Some(0), cause: Cause::Refusal };
        handle.mailbox.put_eviction(eviction);
    }

    fn put(&mut self, pod: Arc<BoundPod>, known: Known) -> Handle {
        if let Some(handle) = locked(&self.pods.0).get_mut(&pod.uid) {
            handle.pod = Arc::clone(&pod);
            handle.mailbox.put_pod(pod);
            return handle.clone();
        }
        let handle = Handle { pod, known: Arc::new(Mutex::new(known)), mailbox: Arc::default() };
        locked(&self.pods.0).insert(handle.pod.uid.clone(), handle.clone());
        self.start(&handle, Duration::ZERO);
        handle
    }

    fn start(&mut self, handle: &Handle, after: Duration) {
        let task = PodTask::new(Arc::clone(&self.node), Arc::clone(&handle.mailbox), Arc::clone(&handle.known), Arc::clone(&handle.pod));
        let uid = handle.pod.uid.clone();
        self.tasks.spawn(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            task.run().await;
            uid
        });
    }

    /// Its object is gone from the API, or it never was ours to keep.
    fn end_orphan(&mut self, left: Leftover) {
        let object = left.newest.annotations.get(POD).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| {
            let metadata = &left.newest.metadata;
            serde_json::json!({
                "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
                "spec": {"containers": []},
            })
        });
        match BoundPod::read(&object) {
            Ok(pod) => self.put(Arc::new(pod), left.known).mailbox.put_gone(),
            Err(text) => tracing::error!(uid = left.newest.metadata.uid, error = text, "cannot read what is left of a pod"),
        }
    }

    fn route(&self, event: Result<Event, RecvError>) {
        match event {
            Ok(Event::ContainerStarted { sandbox, .. } | Event::ContainerExited { sandbox, .. } | Event::SandboxLost { sandbox }) => {
                self.pods.poke(&sandbox)
            }
            Err(RecvError::Lagged(_)) => self.pods.poke_all(),
            // The runtime goes down with this process.
            Err(RecvError::Closed) => {}
        }
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                locked(&self.pods.0).remove(&uid);
                self.grants.forget(&uid);
            }
            Err(e) => {
                tracing::error!(error = %e, "a pod's task panicked");
                self.restart_lost();
            }
        }
    }

    /// Whoever panicked left its handle behind, and nobody reads its mail.
    fn restart_lost(&mut self) {
        let lost: Vec<Handle> = self.pods.all().into_iter().filter(|h| Arc::strong_count(&h.mailbox) == READERLESS).collect();
        for handle in lost {
            self.start(&handle, AFTER_PANIC);
        }
    }
}

/// Nothing of it was ever started, and nobody has given up on it.
fn has_not_begun(pod: &BoundPod) -> bool {
    let is_pending = matches!(pod.status.phase.as_deref(), None | Some("" | "Pending"));
    is_pending && pod.status.start_time.is_none() && !pod.is_deleted()
}

/// The registry's own reference and the copy being looked at.
const READERLESS: usize = 2;
