//! DaemonSet: one pod on every node that its template may run on.
//!
//! ```text
//!   for each node: wanted and none there --> create (bound to the node by affinity; the scheduler places it)
//!                  wanted, and several   --> the oldest stays
//!                  not wanted            --> delete
//!   pods of an older template --> replaced within maxUnavailable, or with maxSurge beside their successors
//! ```

mod placement;
mod rolling;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use object::fresh::{Seed, fresh};
use object::plan::{Change, Note, Plan, Reference};

use crate::claims::{self, Claim};
use crate::replica_set::nonzero;
use crate::revisions::{Current, History, REVISION_LABEL, label};
use crate::{pods, template};

const TEMPLATE_GENERATION: &str = "pod-template-generation";
const TEMPLATE_GENERATION_NOTE: &str = "deprecated.daemonset.template.generation";
/// A pod that failed at once is not replaced sooner, so that a node that refuses it is not flooded.
const FAILED_AGE_MIN: SignedDuration = SignedDuration::from_secs(5);
/// More are left for the next plan, which follows at once.
const CHANGES_MAX: usize = 2000;

pub struct View<'a> {
    pub daemon_set: &'a DaemonSet,
    /// Pods it controls, and pods of its namespace that nobody controls.
    pub pods: &'a [Arc<Pod>],
    pub revisions: &'a [Arc<ControllerRevision>],
    pub nodes: &'a [Arc<Node>],
    pub is_pod_name_taken: &'a dyn Fn(&str) -> bool,
    pub is_revision_name_taken: &'a dyn Fn(&str) -> bool,
}

/// The pods on each node, by the node's name, oldest first.
type ByNode = BTreeMap<String, Vec<Arc<Pod>>>;

struct Daemons<'a> {
    view: &'a View<'a>,
    set: &'a DaemonSet,
    by_node: ByNode,
    /// The hash of the present template.
    hash: String,
    now: Timestamp,
}

/// What one step wants: pods on nodes, and pods gone.
#[derive(Default)]
struct Wishes {
    create_on: Vec<String>,
    delete: Vec<(Arc<Pod>, Option<Note>)>,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let set = view.daemon_set;
    let mut plan = Plan::nothing();
    let selector = claims::selector(Some(&set.spec.selector));
    if selector.is_everything() {
        let text = "This daemon set is selecting all pods. A non-empty selector is required.";
        plan.notes.push(Note::warning(Reference::of(set), "SelectingAll", text));
        return plan;
    }
    if set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let collision_count = set.status.as_ref().and_then(|s| s.collision_count);
    let history = History::new(set, &set.spec.template, collision_count, REVISION_LABEL, &selector, view.revisions, &mut plan);
    let current = match history.current(view.is_revision_name_taken, &mut plan) {
        Current::Known(current) => current,
        Current::Collided => {
            let status =
                DaemonSetStatus { collision_count: Some(collision_count.unwrap_or(0) + 1), ..set.status.clone().unwrap_or_default() };
            plan.changes.push(Change::update_status(&DaemonSet { status: Some(status), ..set.clone() }));
            return plan;
        }
    };
    let hash = label(&current.metadata, REVISION_LABEL).to_owned();
    let daemons = Daemons { view, set, by_node: by_node(view, &selector, &mut plan), hash, now };
    let mut wishes = daemons.manage(&mut plan);
    if wishes.create_on.is_empty() && wishes.delete.is_empty() {
        rolling::update(&daemons, &mut wishes);
    }
    daemons.carry(wishes, &mut plan);
    let is_used = |revision: &ControllerRevision| {
        let hash = label(&revision.metadata, REVISION_LABEL);
        hash == daemons.hash || daemons.by_node.values().flatten().any(|pod| label(&pod.metadata, REVISION_LABEL) == hash)
    };
    history.clean_up(set.spec.revision_history_limit, &is_used, &mut plan);
    daemons.tell(&mut plan);
    plan
}

/// The set's own pods by the node they are on, or are bound for.
fn by_node(view: &View<'_>, selector: &object::selector::LabelSelector, plan: &mut Plan) -> ByNode {
    let mut by_node = ByNode::new();
    for pod in view.pods {
        match claims::claim(&view.daemon_set.metadata, selector, &pod.metadata) {
            Claim::Kept => {
                let node = placement::target(pod);
                by_node.entry(node.to_owned()).or_default().push(Arc::clone(pod));
            }
            Claim::Adopted => plan.changes.push(claims::adopt(view.daemon_set, &**pod)),
            Claim::Released => plan.changes.push(claims::release(view.daemon_set, &**pod)),
            Claim::Foreign => {}
        }
    }
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
    for pods in by_node.values_mut() {
        pods.sort_by(|a, b| created(a).cmp(&created(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name)));
    }
    by_node
}

impl Daemons<'_> {
    fn min_ready_seconds(&self) -> i32 {
        self.set.spec.min_ready_seconds.unwrap_or(0)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.min_ready_seconds(), self.now)
    }

    fn is_updated(&self, pod: &Pod) -> bool {
        let generation = self.template_generation();
        label(&pod.metadata, REVISION_LABEL) == self.hash
            || generation.is_some_and(|generation| label(&pod.metadata, TEMPLATE_GENERATION) == generation)
    }

    fn template_generation(&self) -> Option<&str> {
        self.set.metadata.annotations.as_ref()?.get(TEMPLATE_GENERATION_NOTE).map(String::as_str)
    }

    /// A pod on every wanted node, one only, and none elsewhere.
    fn manage(&self, plan: &mut Plan) -> Wishes {
        let mut wishes = Wishes::default();
        let mut seen = 0;
        for node in self.view.nodes {
            let name = node.metadata.name.as_deref().unwrap_or("");
            let here = self.by_node.get(name).map_or(&[][..], Vec::as_slice);
            seen += usize::from(!here.is_empty());
            self.manage_node(node, here, &mut wishes, plan);
        }
        if seen < self.by_node.len() {
            // Bound for a node that is gone and never placed: nobody else would remove it.
            let known = |name: &str| self.view.nodes.iter().any(|node| node.metadata.name.as_deref() == Some(name));
            let lost = self.by_node.iter().filter(|(name, _)| !known(name)).flat_map(|(_, pods)| pods);
            let unplaced = lost.filter(|pod| pods::node_name(pod).is_empty() && !pods::is_leaving(pod));
            wishes.delete.extend(unplaced.map(|pod| (Arc::clone(pod), None)));
        }
        wishes
    }

    fn manage_node(&self, node: &Node, here: &[Arc<Pod>], wishes: &mut Wishes, plan: &mut Plan) {
        let placement = placement::of(self.set, node);
        if placement.should_run && here.is_empty() {
            wishes.create_on.push(node.metadata.name.clone().unwrap_or_default());
            return;
        }
        let staying: Vec<&Arc<Pod>> = here.iter().filter(|pod| !pods::is_leaving(pod)).collect();
        if !placement.should_continue {
            wishes.delete.extend(staying.into_iter().map(|pod| (Arc::clone(pod), None)));
            return;
        }
        let (ended, running): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = staying.into_iter().partition(|pod| pods::is_finished(pod));
        for pod in ended {
            self.replace_ended(pod, node, wishes, plan);
        }
        let surge_max = rolling::limits(self).0;
        let extra: Vec<&Arc<Pod>> = if surge_max == 0 {
            running.into_iter().skip(1).collect()
        } else {
            // While surging one of each template may be here, the old one until the new one is available.
            let (new, old): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = running.into_iter().partition(|pod| self.is_updated(pod));
            new.into_iter().skip(1).chain(old.into_iter().skip(1)).collect()
        };
        wishes.delete.extend(extra.into_iter().map(|pod| (Arc::clone(pod), None)));
    }

    fn replace_ended(&self, pod: &Arc<Pod>, node: &Node, wishes: &mut Wishes, plan: &mut Plan) {
        let namespaced = object::plan::key_of(&pod.metadata);
        let node_name = node.metadata.name.as_deref().unwrap_or("");
        let about = Reference::of(self.set);
        if pods::phase(pod) == "Succeeded" {
            let text = format!("Found succeeded daemon pod {namespaced} on node {node_name}, will try to delete it");
            wishes.delete.push((Arc::clone(pod), Some(Note::normal(about, "SucceededDaemonPod", text))));
            return;
        }
        let created = pod.metadata.creation_timestamp.as_ref().map_or(self.now, |t| t.0);
        if created + FAILED_AGE_MIN > self.now {
            plan.wake_by(created + FAILED_AGE_MIN);
            return;
        }
        let text = format!("Found failed daemon pod {namespaced} on node {node_name}, will try to kill it");
        wishes.delete.push((Arc::clone(pod), Some(Note::warning(about, "FailedDaemonPod", text))));
    }

    fn carry(&self, wishes: Wishes, plan: &mut Plan) {
        let set_name = self.set.metadata.name.as_deref().unwrap_or("");
        let base = template::generate_name(set_name);
        let about = Reference::of(self.set);
        let names = fresh(&base, self.seed(), self.view.is_pod_name_taken);
        for (node, name) in wishes.create_on.iter().take(CHANGES_MAX).zip(names) {
            let mut pod = template::pod(self.set, &self.set.spec.template);
            let labels = pod.metadata.labels.get_or_insert_default();
            labels.insert(REVISION_LABEL.to_owned(), self.hash.clone());
            if let Some(generation) = self.template_generation() {
                labels.insert(TEMPLATE_GENERATION.to_owned(), generation.to_owned());
            }
            placement::bind(&mut pod, node);
            pod.metadata.name = Some(name.clone());
            let done = Note::normal(about.clone(), "SuccessfulCreate", format!("Created pod: {name}"));
            let failed = Note::warning(about.clone(), "FailedCreate", "Error creating: ");
            plan.changes.push(Change::create(&pod).telling(done).telling_failure(failed));
        }
        for (pod, why) in wishes.delete.into_iter().take(CHANGES_MAX) {
            plan.notes.extend(why);
            let name = pod.metadata.name.as_deref().unwrap_or("");
            let done = Note::normal(about.clone(), "SuccessfulDelete", format!("Deleted pod: {name}"));
            let failed = Note::warning(about.clone(), "FailedDelete", "Error deleting: ");
            plan.changes.push(Change::delete(&*pod).telling(done).telling_failure(failed));
        }
    }

    fn seed(&self) -> Seed {
        let metadata = &self.set.metadata;
        let seed = [&metadata.uid, &metadata.resource_version].into_iter().flatten().fold(Seed::new(), |seed, text| seed.with(text));
        self.by_node.values().flatten().filter_map(|pod| pod.metadata.uid.as_deref()).fold(seed, Seed::with)
    }

    /// The status, and when the next pod becomes available.
    fn tell(&self, plan: &mut Plan) {
        let old = self.set.status.clone().unwrap_or_default();
        let mut status = DaemonSetStatus {
            observed_generation: self.set.metadata.generation,
            collision_count: old.collision_count,
            conditions: old.conditions,
            ..DaemonSetStatus::default()
        };
        let (mut n_updated, mut n_available) = (0, 0);
        for node in self.view.nodes {
            let oldest = self.by_node.get(node.metadata.name.as_deref().unwrap_or("")).and_then(|pods| pods.first());
            if !placement::of(self.set, node).should_run {
                status.number_misscheduled += i32::from(oldest.is_some());
                continue;
            }
            status.desired_number_scheduled += 1;
            let Some(pod) = oldest else { continue };
            status.current_number_scheduled += 1;
            status.number_ready += i32::from(pods::is_ready(pod));
            n_available += i32::from(self.is_available(pod));
            n_updated += i32::from(self.is_updated(pod));
            if let Some(at) = pods::available_at(pod, self.min_ready_seconds()).filter(|at| *at > self.now) {
                plan.wake_by(at);
            }
        }
        status.updated_number_scheduled = nonzero(n_updated);
        status.number_available = nonzero(n_available);
        status.number_unavailable = nonzero(status.desired_number_scheduled - n_available);
        if self.set.status.as_ref() != Some(&status) {
            plan.changes.push(Change::update_status(&DaemonSet { status: Some(status), ..self.set.clone() }));
        }
    }
}
