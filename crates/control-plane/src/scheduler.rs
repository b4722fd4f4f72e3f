//! The scheduler as a row of the driver: one key, one picture of the cluster, batches of bindings.
//!
//! ```text
//!   pod seen pending --> tried --> bound: a Binding is written; the pod counts on its node at once
//!                          |  ^
//!                          v  | back-off over, and something changed that could help; or five minutes
//!                        waiting (condition and event say why; victims may have been asked to go)
//! ```
//! A binding that was refused shows as a pod that is still pending when the caches have caught up; it is tried again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use control_workloads::pods::{disrupted, is_disrupted};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::{Change, Note, PatchKind, Plan, Reference, Verb, Write};
use object::time;
use reconcile::{Ask, Cache, Changed, Controller, Index};
use scheduling::{Cluster, DEFAULT_SCHEDULER, Decision, Options, PodInfo, Preemption};
use serde_json::json;

use crate::caches::Caches;

/// More would keep newer, more important pods waiting for the writes of a batch.
const BATCH: usize = 512;
/// Upstream: `podInitialBackoffSeconds`, `podMaxBackoffSeconds`.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Upstream: `podMaxInUnschedulablePodsDuration`: a guard against a change nobody thought of.
const TRY_ANYWAY: Duration = Duration::from_secs(300);
const WHY_PREEMPTED: &str = "default-scheduler: preempting to accommodate a higher priority pod";

pub(crate) fn controller(caches: &Caches, options: Options) -> Controller {
    let Caches { pods, nodes, namespaces, pods_by_node, .. } = caches;
    let inbox = Arc::new(Inbox::default());
    let scheduler =
        Mutex::new(Scheduler { cluster: Cluster::new(options), pending: BTreeMap::new(), leaving: BTreeMap::new(), generation: 0 });
    let (planned, view, by_node) = (inbox.clone(), pods.clone(), pods_by_node.clone());
    let feed = |inbox: &Arc<Inbox>| inbox.clone();
    let (from_pods, from_nodes, from_namespaces) = (feed(&inbox), feed(&inbox), feed(&inbox));
    Controller::new("scheduler", DEFAULT_SCHEDULER, move |ask| {
        let mut scheduler = scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        scheduler.take_in(planned.drain(), &by_node);
        scheduler.plan(&ask, &view)
    })
    .maps(nodes, move |changed| from_nodes.put(Update::Node(changed.clone())))
    .maps(namespaces, move |changed| from_namespaces.put(Update::Namespace(changed.clone())))
    .maps(pods, move |changed| from_pods.put(Update::Pod(changed.clone())))
}

/// What happened since the last plan.
#[derive(Default)]
struct Inbox(Mutex<Vec<Update>>);

enum Update {
    Pod(Changed<Pod>),
    Node(Changed<Node>),
    Namespace(Changed<Namespace>),
}

impl Inbox {
    /// Everything concerns the one key there is.
    fn put(&self, update: Update) -> Vec<ObjectKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(update);
        vec![ObjectKey::cluster("scheduler")]
    }

    fn drain(&self) -> Vec<Update> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Scheduler {
    cluster: Cluster,
    pending: BTreeMap<ObjectKey, Pending>,
    /// Pods that make room for others, until they are seen to go.
    leaving: BTreeMap<ObjectKey, Leaving>,
    /// Counts changes that may make room for a pod that found none.
    generation: u64,
}

struct Leaving {
    uid: String,
    message: String,
}

struct Pending {
    pod: Arc<Pod>,
    info: Arc<PodInfo>,
    tries: u32,
    /// When it was last tried, and what was known then.
    tried: Option<(Timestamp, u64)>,
    /// A binding was planned: the pod counts on a node until it is seen otherwise.
    is_assumed: bool,
}

impl Pending {
    fn backoff(&self) -> Duration {
        BACKOFF_MIN.saturating_mul(1 << self.tries.saturating_sub(1).min(4)).min(BACKOFF_MAX)
    }

    /// When this pod is worth another try; `None`: not before something changes.
    fn due(&self, generation: u64) -> Option<Timestamp> {
        let Some((at, seen)) = self.tried else { return Some(Timestamp::MIN) };
        let wait = if self.is_assumed || seen < generation { self.backoff() } else { TRY_ANYWAY };
        Some(at + wait)
    }
}

impl Scheduler {
    fn take_in(&mut self, updates: Vec<Update>, pods_by_node: &Index<Pod>) {
        for update in updates {
            match update {
                Update::Node(changed) => {
                    self.node(&changed, pods_by_node);
                }
                Update::Namespace(Changed { key, new, .. }) => match new {
                    Some(namespace) => self.cluster.set_namespace(&key.name, namespace.metadata.labels.clone().unwrap_or_default()),
                    None => self.cluster.remove_namespace(&key.name),
                },
                Update::Pod(changed) => self.pod(changed),
            }
        }
    }

    fn node(&mut self, changed: &Changed<Node>, pods_by_node: &Index<Pod>) {
        let Some(node) = &changed.new else {
            self.cluster.remove_node(&changed.key.name);
            return;
        };
        let matters = changed.old.as_ref().is_none_or(|old| {
            let part = |n: &Node| {
                let status = n.status.as_ref();
                (
                    n.metadata.labels.clone(),
                    n.spec.clone(),
                    status.and_then(|s| s.allocatable.clone()),
                    status.map(|s| s.images.iter().flatten().count()),
                )
            };
            part(old) != part(node)
        });
        if matters {
            self.cluster.set_node(node);
            self.generation += 1;
        }
        if changed.old.is_none() {
            // Pods may have been seen before the node they are on.
            pods_by_node.get(&changed.key.name).iter().for_each(|p| self.cluster.set_pod(p));
        }
    }

    fn pod(&mut self, changed: Changed<Pod>) {
        let uid_of = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
        match &changed.new {
            Some(pod) if PodInfo::is_pending(pod, DEFAULT_SCHEDULER) => {
                let known = self.pending.get_mut(&changed.key).filter(|p| uid_of(&p.pod) == uid_of(pod));
                match known {
                    Some(pending) if pending.pod.spec == pod.spec && pending.pod.metadata.labels == pod.metadata.labels => {
                        pending.pod = pod.clone()
                    }
                    _ => {
                        let info = Arc::new(PodInfo::compile(pod));
                        self.pending.insert(changed.key, Pending { pod: pod.clone(), info, tries: 0, tried: None, is_assumed: false });
                    }
                }
                return;
            }
            Some(pod) => {
                let frees = !PodInfo::is_placed(pod) || pod.metadata.deletion_timestamp.is_some();
                self.cluster.set_pod(pod);
                // A new pod may satisfy somebody's affinity; one that ends makes room.
                let is_new = changed.old.as_ref().is_none_or(|old| PodInfo::is_placed(old) != PodInfo::is_placed(pod));
                self.generation += u64::from(frees || is_new);
            }
            None => {
                if let Some(old) = &changed.old {
                    self.cluster.remove_pod(&uid_of(old));
                    self.generation += 1;
                }
            }
        }
        if let Some(gone) = self.pending.remove(&changed.key)
            && changed.new.is_none()
        {
            self.cluster.remove_pod(&gone.info.uid);
        }
    }

    fn plan(&mut self, ask: &Ask, pods: &Cache<Pod>) -> Plan {
        let mut plan = Plan::nothing();
        // What was assumed and is still pending was refused: its room is free again.
        let refused: Vec<String> = self.pending.values().filter(|p| p.is_assumed).map(|p| p.info.uid.clone()).collect();
        refused.iter().for_each(|uid| self.cluster.remove_pod(uid));
        let mut due = Vec::new();
        for (key, pending) in &self.pending {
            match pending.due(self.generation) {
                Some(at) if at <= ask.now => due.push((std::cmp::Reverse(pending.info.priority), pending.info.created, key.clone())),
                Some(at) => plan.wake_by(at),
                None => {}
            }
        }
        due.sort();
        if due.len() > BATCH {
            due.truncate(BATCH);
            plan.wake_by(ask.now);
        }
        for (_, _, key) in due {
            self.attempt(&key, ask.now, &mut plan);
        }
        self.evict(pods, ask.now, &mut plan);
        plan
    }

    fn attempt(&mut self, key: &ObjectKey, now: Timestamp, plan: &mut Plan) {
        let Some(pending) = self.pending.get_mut(key) else { return };
        pending.tries += 1;
        pending.tried = Some((now, self.generation));
        match self.cluster.schedule(&pending.info) {
            Decision::Bind { node } => {
                pending.is_assumed = true;
                plan.changes.push(bind(&pending.pod, key, &node));
            }
            Decision::Unschedulable { message, preemption } => {
                pending.is_assumed = false;
                plan.wake_by(now + pending.due(self.generation).map_or(TRY_ANYWAY, |at| time::since(at, now)));
                plan.notes.push(Note::warning(Reference::of(&*pending.pod), "FailedScheduling", message.clone()));
                let nominated = preemption.as_ref().map(|p| p.node.clone());
                plan.changes.extend(explain(&pending.pod, key, &message, nominated.as_deref(), now));
                if let Some(preemption) = preemption {
                    self.leaving.extend(victims(&pending.info, preemption));
                }
            }
        }
    }

    /// A victim says why it goes before it goes: what it says must be seen to stand when it is deleted.
    fn evict(&mut self, pods: &Cache<Pod>, now: Timestamp, plan: &mut Plan) {
        self.leaving.retain(|key, leaving| {
            let is_same = |pod: &Arc<Pod>| pod.metadata.uid.as_ref() == Some(&leaving.uid) && pod.metadata.deletion_timestamp.is_none();
            let Some(pod) = pods.get(key).filter(is_same) else { return false };
            plan.changes.push(if is_disrupted(&pod) {
                Change::delete(&*pod).telling(Note::normal(Reference::of(&*pod), "Preempted", leaving.message.clone()))
            } else {
                Change::update_status(&disrupted(&pod, "PreemptionByScheduler", WHY_PREEMPTED, now))
            });
            true
        });
    }
}

fn bind(pod: &Pod, key: &ObjectKey, node: &str) -> Change {
    let write = Write::Subresource {
        resource: GroupVersionResource::of::<Pod>(),
        key: key.clone(),
        subresource: "binding",
        verb: Verb::Create,
        object: json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": key.namespace, "name": key.name, "uid": pod.metadata.uid},
            "target": {"kind": "Node", "name": node},
        }),
    };
    Change::from(write).telling(Note::normal(Reference::of(pod), "Scheduled", format!("Successfully assigned {key} to {node}")))
}

/// The PodScheduled condition, and the node whose pods were asked to make room; nothing when the pod says so already.
fn explain(pod: &Pod, key: &ObjectKey, message: &str, nominated: Option<&str>, now: Timestamp) -> Option<Change> {
    let status = pod.status.as_ref();
    let condition = status.and_then(|s| s.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled"));
    let says_so = condition.is_some_and(|c| c.status == "False" && c.message.as_deref() == Some(message));
    if says_so && nominated.is_none_or(|n| status.and_then(|s| s.nominated_node_name.as_deref()) == Some(n)) {
        return None;
    }
    let mut since = json!(time::seconds(now));
    if let Some(condition) = condition.filter(|c| c.status == "False") {
        since = json!(condition.last_transition_time);
    }
    let mut patch = json!({"status": {"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastProbeTime": null, "lastTransitionTime": since, "observedGeneration": pod.metadata.generation,
    }]}, "metadata": {"uid": pod.metadata.uid}});
    if let Some(node) = nominated {
        patch["status"]["nominatedNodeName"] = json!(node);
    }
    let resource = GroupVersionResource::of::<Pod>();
    Some(Write::Patch { resource, key: key.clone(), subresource: "status", kind: PatchKind::Strategic, patch }.into())
}

fn victims(preemptor: &PodInfo, preemption: Preemption) -> impl Iterator<Item = (ObjectKey, Leaving)> {
    let message = format!("Preempted by pod {} on node {}", preemptor.uid, preemption.node);
    preemption.victims.into_iter().map(move |victim| (victim.key, Leaving { uid: victim.uid, message: message.clone() }))
}
