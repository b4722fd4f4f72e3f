//! The one owner of a pod: observes, plans, acts, reports, and waits for something to change.
//!
//! ```text
//!   mail (new spec, gone, runtime event, eviction) ─┐
//!   an action ended ────────────────────────────────┼─► observe ─► plan ─► begin actions ─► report status ─► wait
//!   timer of the plan ──────────────────────────────┘
//! ```
//! Invariant: an action never changes the task's state; it says how it went, and the next plan draws the conclusion.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus, Volume};
use oci_runtime::runtime::BoxFuture;
use oci_runtime::status::{ContainerState, ContainerStatus};
use pod_plan::effect::{Effect, Failure, Outcome};
use pod_plan::memory::{Eviction, Memory, Volumes};
use pod_plan::plan::plan;
use pod_plan::pod::BoundPod;
use pod_plan::status::status;
use pod_plan::view::View;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::act::Action;
use crate::lock::locked;
use crate::node::Node;
use crate::observe::{Known, Observed, observe};
use crate::report;

/// A status that only says "on its way" waits this long: most pods run before it has passed, and need one write in place of three.
const QUIET: Duration = Duration::from_millis(100);
/// Upstream stops a container it replaces, pulls and starts the next one before it tells anything. Clients rely on a pod
/// that stays ready over a change of image.
const REPLACED_QUIET: Duration = Duration::from_secs(5);
const RENEW_RETRY: SignedDuration = SignedDuration::from_secs(10);
const REPORT_RETRY_MIN: Duration = Duration::from_millis(200);
const REPORT_RETRY_MAX: Duration = Duration::from_secs(10);

/// What others may tell a pod's task, drawn together: it reads all at once.
#[derive(Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    filled: Notify,
}

#[derive(Default)]
struct Mail {
    pod: Option<Arc<BoundPod>>,
    is_gone: bool,
    eviction: Option<Eviction>,
    has_new_content: bool,
}

impl Mailbox {
    pub(crate) fn put_pod(&self, pod: Arc<BoundPod>) {
        locked(&self.mail).pod = Some(pod);
        self.filled.notify_one();
    }
    pub(crate) fn put_gone(&self) {
        locked(&self.mail).is_gone = true;
        self.filled.notify_one();
    }
    pub(crate) fn put_eviction(&self, eviction: Eviction) {
        locked(&self.mail).eviction = Some(eviction);
        self.filled.notify_one();
    }
    /// Objects that its volumes show have changed.
    fn put_content(&self) {
        locked(&self.mail).has_new_content = true;
        self.filled.notify_one();
    }
    /// Something of it changed in the runtime.
    pub(crate) fn poke(&self) {
        self.filled.notify_one();
    }
}

pub(crate) struct PodTask {
    node: Arc<Node>,
    mailbox: Arc<Mailbox>,
    known: Arc<Mutex<Known>>,
    pod: Arc<BoundPod>,
    is_gone: bool,
    memory: Memory,
    host_ips: Vec<String>,
    /// Last words of instances that exited, read once.
    messages: HashMap<String, String>,
    actions: JoinSet<(Outcome, Option<Timestamp>)>,
    running: HashMap<Id, Effect>,
    cancels: HashMap<String, watch::Sender<bool>>,
    /// As the API server showed it last, and at which revision.
    shown: PodStatus,
    shown_at: u64,
    /// What volumes show is brought up to date when this is set, or when its time comes.
    is_content_old: bool,
    renew_at: Option<Timestamp>,
    renewing: JoinSet<Result<Option<Timestamp>, String>>,
    reporting: JoinSet<Result<Pod, client::Error>>,
    /// What was sent last.
    sent: PodStatus,
    /// What was sent and what the server made of it; the same is not sent again for that.
    settled: Option<(PodStatus, PodStatus)>,
    report_at: Option<Instant>,
    report_retry: Duration,
}

impl PodTask {
    pub(crate) fn new(node: Arc<Node>, mailbox: Arc<Mailbox>, known: Arc<Mutex<Known>>, pod: Arc<BoundPod>) -> Self {
        let host_ips = node.config.host_ip_texts();
        let memory = Memory { reported: pod.status.clone(), ..Memory::default() };
        PodTask {
            node,
            mailbox,
            known,
            is_gone: false,
            memory,
            host_ips,
            messages: HashMap::new(),
            actions: JoinSet::new(),
            running: HashMap::new(),
            cancels: HashMap::new(),
            shown: pod.status.clone(),
            shown_at: revision(pod.meta.resource_version.as_deref()),
            pod,
            is_content_old: false,
            renew_at: None,
            renewing: JoinSet::new(),
            reporting: JoinSet::new(),
            sent: PodStatus::default(),
            settled: None,
            report_at: None,
            report_retry: REPORT_RETRY_MIN,
        }
    }

    /// Runs until nothing of the pod is left anywhere.
    pub(crate) async fn run(mut self) {
        loop {
            self.read_mail();
            let Some(wake_at) = self.turn() else { return };
            tokio::select! {
                () = self.mailbox.filled.notified() => {}
                Some(ended) = self.actions.join_next_with_id() => self.ended(ended),
                Some(renewed) = self.renewing.join_next() => self.renewed(renewed),
                Some(sent) = self.reporting.join_next() => self.reported(sent),
                () = tokio::time::sleep_until(wake_at) => {}
            }
            while let Some(ended) = self.actions.try_join_next_with_id() {
                self.ended(ended);
            }
        }
    }

    fn read_mail(&mut self) {
        let mail = std::mem::take(&mut *locked(&self.mailbox.mail));
        if let Some(pod) = mail.pod {
            let revision = revision(pod.meta.resource_version.as_deref());
            if revision >= self.shown_at {
                (self.shown, self.shown_at) = (pod.status.clone(), revision);
            }
            self.is_content_old |= shows_metadata(&self.pod)
                && (&self.pod.meta.labels, &self.pod.meta.annotations) != (&pod.meta.labels, &pod.meta.annotations);
            self.pod = pod;
        }
        self.is_content_old |= mail.has_new_content;
        if let Volumes::Failed { retry_at } = &mut self.memory.volumes
            && mail.has_new_content
        {
            // What was missing may be there now.
            *retry_at = self.node.now();
        }
        self.is_gone |= mail.is_gone;
        if mail.eviction.is_some() && self.memory.eviction.is_none() {
            self.memory.eviction = mail.eviction;
        }
    }

    /// One round; answers when the next is due at the latest, or `None` when there is nothing left to do.
    fn turn(&mut self) -> Option<Instant> {
        let observed = self.observe();
        let now = self.node.now();
        self.memory.prune(&observed.instances);
        self.messages.retain(|id, _| observed.instances.iter().any(|i| i.id == *id));
        let view = self.view(&observed);
        let plan = plan(&view, now);
        if plan.is_finished {
            self.node.disk.remove_logs(&self.pod);
            return None;
        }
        self.memory.begin(&plan, &observed.instances, now);
        for note in &plan.notes {
            self.node.tell(&self.pod, note);
        }
        let status = status(&self.view(&observed), now);
        self.memory.reported = status;
        for effect in plan.effects {
            self.begin(effect);
        }
        let report_at = self.report();
        let renew_at = self.renew(now);
        let wake_at = plan.wake_at.map(|at| self.instant(at, now));
        let far = Instant::now() + Duration::from_secs(24 * 3600);
        Some(wake_at.into_iter().chain(report_at).chain(renew_at).min().unwrap_or(far))
    }

    fn view<'a>(&'a self, observed: &'a Observed) -> View<'a> {
        View {
            pod: &self.pod,
            is_gone: self.is_gone,
            sandboxes: &observed.sandboxes,
            instances: &observed.instances,
            memory: &self.memory,
            host_ips: &self.host_ips,
        }
    }

    fn observe(&mut self) -> Observed {
        let ips: Vec<String> = self.node.pod_ips(&self.pod).iter().map(ToString::to_string).collect();
        let (node, pod, messages) = (&self.node, &self.pod, &mut self.messages);
        let mut message = |status: &ContainerStatus| {
            let read = || last_words(node, pod, status);
            messages.entry(status.id.0.clone()).or_insert_with(read).clone()
        };
        let mut observed = observe(node.runtime.as_ref(), &mut locked(&self.known), &ips, &mut message);
        // Upstream: a container is not running before its postStart hook has ended.
        let is_starting = |name: &str| self.memory.containers.get(name).is_some_and(|m| m.is_starting && !m.is_cancelling);
        observed.instances.retain(|i| !(i.is_running() && is_starting(&i.name)));
        observed
    }

    /// Virtual or not, the clock and tokio's timers run alike.
    fn instant(&self, at: Timestamp, now: Timestamp) -> Instant {
        Instant::now() + Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
    }

    fn begin(&mut self, effect: Effect) {
        if let Effect::CancelStart { name } = &effect {
            if let Some(cancel) = self.cancels.get(name) {
                let _ = cancel.send(true);
            }
            return;
        }
        if effect == Effect::Delete {
            return self.begin_delete();
        }
        let (cancel, is_cancelled) = watch::channel(false);
        if let Effect::Start { name, .. } = &effect {
            self.cancels.insert(name.clone(), cancel);
        }
        let action = Action { node: Arc::clone(&self.node), pod: Arc::clone(&self.pod), known: Arc::clone(&self.known), is_cancelled };
        let mount = (effect == Effect::Mount).then(|| self.mount());
        // What is being written must not come back after it was removed.
        let mut renewing = if effect == Effect::Unmount { std::mem::take(&mut self.renewing) } else { JoinSet::new() };
        let carried = effect.clone();
        let handle = self.actions.spawn(async move {
            while renewing.join_next().await.is_some() {}
            match mount {
                None => (action.carry_out(&carried).await, None),
                Some(mount) => match mount.await {
                    Ok(renew_at) => (Outcome::Done, renew_at),
                    Err(text) => (Outcome::Failed(Failure::new("", text)), None),
                },
            }
        });
        self.running.insert(handle.id(), effect);
    }

    /// The last status goes before the delete: whoever watches sees how it ended.
    fn begin_delete(&mut self) {
        let patch = report::patch(&self.shown, &self.memory.reported, &self.pod.uid);
        let (node, pod) = (Arc::clone(&self.node), Arc::clone(&self.pod));
        let handle = self.actions.spawn(async move {
            if let Some(patch) = patch
                && let Err(e) = report::send(&node.client, &pod, &patch).await
            {
                tracing::debug!(namespace = pod.namespace, name = pod.name, error = %e, "the last status was not taken");
            }
            let outcome = match report::delete(&node.client, &pod).await {
                Ok(()) => Outcome::Done,
                Err(e) => Outcome::Failed(Failure::new("", e.to_string())),
            };
            (outcome, None)
        });
        self.running.insert(handle.id(), Effect::Delete);
    }

    fn ended(&mut self, ended: Result<(Id, (Outcome, Option<Timestamp>)), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, (outcome, renew_at))) => {
                self.renew_at = renew_at.or(self.renew_at);
                (id, outcome)
            }
            Err(panicked) => {
                tracing::error!(namespace = self.pod.namespace, name = self.pod.name, error = %panicked, "an action panicked");
                (panicked.id(), Outcome::Failed(Failure::new("CreateContainerError", "internal error")))
            }
        };
        let Some(effect) = self.running.remove(&id) else { return };
        if let Effect::Start { name, .. } = &effect {
            self.cancels.remove(name);
        }
        if let Outcome::Failed(failure) = &outcome {
            tracing::debug!(namespace = self.pod.namespace, name = self.pod.name, ?effect, error = failure.message, "an action failed");
        }
        for note in self.memory.finish(&self.pod, &effect, &outcome, self.node.now()) {
            self.node.tell(&self.pod, &note);
        }
    }

    fn mount(&self) -> BoxFuture<'static, Result<Option<Timestamp>, String>> {
        let mailbox = Arc::clone(&self.mailbox);
        self.node.disk.mount(Arc::clone(&self.pod), Arc::new(move || mailbox.put_content()))
    }

    /// Brings the content of mounted volumes up to date if it is old. Answers when it will be.
    fn renew(&mut self, now: Timestamp) -> Option<Instant> {
        // Nobody looks at them any more, and the node may read them no longer.
        let is_ending = self.memory.ending.is_some();
        if is_ending || self.memory.volumes != Volumes::Mounted || !self.renewing.is_empty() {
            return None;
        }
        if !self.is_content_old && self.renew_at.is_none_or(|at| at > now) {
            return self.renew_at.map(|at| self.instant(at, now));
        }
        self.is_content_old = false;
        self.renew_at = None;
        let mount = self.mount();
        self.renewing.spawn(mount);
        None
    }

    fn renewed(&mut self, renewed: Result<Result<Option<Timestamp>, String>, JoinError>) {
        match renewed {
            Ok(Ok(renew_at)) => self.renew_at = renew_at,
            Ok(Err(text)) => {
                tracing::warn!(namespace = self.pod.namespace, name = self.pod.name, error = text, "volumes are not up to date");
                self.renew_at = Some(self.node.now() + RENEW_RETRY);
            }
            Err(e) => tracing::error!(namespace = self.pod.namespace, name = self.pod.name, error = %e, "renewing volumes panicked"),
        }
    }

    /// Sends the status if it is news and none is under way. Answers when to try again.
    fn report(&mut self) -> Option<Instant> {
        let is_deleting = self.running.values().any(|e| *e == Effect::Delete) || self.memory.delete == pod_plan::memory::Work::Done;
        if self.is_gone || is_deleting || !self.reporting.is_empty() {
            return None;
        }
        let Some(patch) = report::patch(&self.shown, &self.memory.reported, &self.pod.uid) else {
            self.report_at = None;
            return None;
        };
        if self.settled.as_ref().is_some_and(|(sent, shown)| *sent == self.memory.reported && *shown == self.shown) {
            return None;
        }
        let now = Instant::now();
        let due = *self.report_at.get_or_insert(now + QUIET);
        if now < due && self.is_quiet() {
            return Some(due);
        }
        if now < due + REPLACED_QUIET && self.is_between_runs() {
            return Some(due + REPLACED_QUIET);
        }
        self.report_at = None;
        self.sent = self.memory.reported.clone();
        let (node, pod) = (Arc::clone(&self.node), Arc::clone(&self.pod));
        self.reporting.spawn(async move { report::send(&node.client, &pod, &patch).await });
        None
    }

    /// It says no more than that the pod is on its way. After a failed write, everything waits.
    fn is_quiet(&self) -> bool {
        let is_pending = self.memory.reported.phase.as_deref() == Some("Pending");
        let is_held = self.memory.containers.values().any(|m| m.held.is_some());
        self.report_retry > REPORT_RETRY_MIN || (is_pending && !is_held)
    }

    /// A container that was stopped for a changed definition has ended, and its next run has not begun.
    fn is_between_runs(&self) -> bool {
        let status = &self.memory.reported;
        let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let mut ends = all.filter_map(|s| s.state.as_ref()?.terminated.as_ref()?.container_id.as_deref()?.split_once("://"));
        !self.pod.is_deleted() && ends.any(|(_, id)| self.memory.instances.get(id).is_some_and(|m| m.is_replaced))
    }

    fn reported(&mut self, sent: Result<Result<Pod, client::Error>, JoinError>) {
        match sent {
            Ok(Ok(pod)) => {
                self.report_retry = REPORT_RETRY_MIN;
                let revision = revision(pod.metadata.resource_version.as_deref());
                if revision >= self.shown_at {
                    (self.shown, self.shown_at) = (pod.status.unwrap_or_default(), revision);
                    self.settled = Some((self.sent.clone(), self.shown.clone()));
                    if let Some(rest) = report::patch(&self.shown, &self.sent, &self.pod.uid) {
                        tracing::debug!(namespace = self.pod.namespace, name = self.pod.name, %rest, "the server keeps another status");
                    }
                }
            }
            Ok(Err(e)) => {
                tracing::debug!(namespace = self.pod.namespace, name = self.pod.name, error = %e, "a status was not taken");
                self.report_retry = (self.report_retry * 2).min(REPORT_RETRY_MAX);
                self.report_at = Some(Instant::now() + self.report_retry);
            }
            Err(e) => tracing::error!(namespace = self.pod.namespace, name = self.pod.name, error = %e, "reporting panicked"),
        }
    }
}

/// What an instance left in its message file; else, if it failed and the pod wants that, the end of its log.
fn last_words(node: &Node, pod: &BoundPod, status: &ContainerStatus) -> String {
    let message = node.disk.termination_message(&pod.uid, &status.metadata.name, status.metadata.attempt);
    let has_failed = matches!(&status.state, ContainerState::Exited { exit, .. } if exit.code != 0);
    let policy = pod.container(&status.metadata.name).and_then(|(_, c)| c.termination_message_policy.as_deref());
    if message.is_empty() && has_failed && policy == Some("FallbackToLogsOnError") {
        return crate::logs::last_words(&status.log_path);
    }
    message
}

/// Do files of its volumes follow its labels and annotations?
fn shows_metadata(pod: &BoundPod) -> bool {
    let projects = |v: &Volume| v.projected.iter().filter_map(|p| p.sources.as_ref()).flatten().any(|s| s.downward_api.is_some());
    pod.spec.volumes.iter().flatten().any(|v| v.downward_api.is_some() || projects(v))
}

/// Revisions of one server grow; that they are numbers is upstream's promise since 1.35.
fn revision(text: Option<&str>) -> u64 {
    text.and_then(|t| t.parse().ok()).unwrap_or(0)
}
