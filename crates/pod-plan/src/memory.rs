//! What the node remembers about a pod between plans: what is under way, what failed and when, and what was last reported.
//!
//! Invariant: losing it is harmless. A fresh `Memory` over a running pod starts nothing twice; only back-offs begin anew.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PodStatus, ResourceRequirements};

use crate::allocation;
use crate::effect::{Effect, Failure, Note, Outcome, Plan};
use crate::pod::{BoundPod, Role};
use crate::probe;
use crate::resize::Resize;
use crate::resources::Cgroup;
use crate::restart::{self, Backoff};
use crate::view::Instance;

#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The status computed last; what the API showed before the first.
    pub reported: PodStatus,
    pub volumes: Volumes,
    /// The wait after the last failed mount.
    pub mount_delay: Option<SignedDuration>,
    pub sandbox: Work,
    pub delete: Work,
    /// By container name.
    pub containers: BTreeMap<String, ContainerMemory>,
    /// By container id.
    pub instances: BTreeMap<String, InstanceMemory>,
    /// Sandboxes that are being removed, by id.
    pub removing: BTreeMap<String, Work>,
    pub ending: Option<Ending>,
    pub eviction: Option<Eviction>,
    pub resize: Work,
    /// What runs is being brought to other amounts.
    pub resizing: Option<Resizing>,
    /// The limits the pod's own group was given; unknown after a restart of the node agent.
    pub pod_cgroup: Option<Cgroup>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resizing {
    pub generation: i64,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Volumes {
    /// Left by an earlier process perhaps.
    #[default]
    Unknown,
    Mounting,
    Mounted,
    Failed {
        retry_at: Timestamp,
    },
    Unmounting,
    /// Unmounting failed.
    Stuck {
        retry_at: Timestamp,
    },
    Unmounted,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Work {
    #[default]
    Idle,
    UnderWay,
    Done,
    Failed {
        retry_at: Timestamp,
    },
}

impl Work {
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Work::Failed { retry_at } => Some(*retry_at),
            _ => None,
        }
    }
    pub fn may_begin(&self, now: Timestamp) -> bool {
        match self {
            Work::Idle => true,
            Work::UnderWay | Work::Done => false,
            Work::Failed { retry_at } => *retry_at <= now,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct ContainerMemory {
    pub is_starting: bool,
    pub is_cancelling: bool,
    pub backoff: Option<Backoff>,
    pub pull_backoff: Option<Backoff>,
    /// The last failed start.
    pub failed: Option<FailedStart>,
    pub held: Option<Held>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FailedStart {
    pub failure: Failure,
    pub at: Timestamp,
    pub retry_at: Timestamp,
}

/// A container that waits, as its status says: `CrashLoopBackOff`, `ImagePullBackOff`, `ErrImagePull`, …
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub reason: &'static str,
    pub message: String,
}

#[derive(Clone, Debug, Default)]
pub struct InstanceMemory {
    pub stop: Option<Stop>,
    pub remove: Work,
    /// Stopped for a changed definition; runs again whatever its policy.
    pub is_replaced: bool,
    /// The node itself stopped it, so that it runs anew.
    pub was_stopped: bool,
    /// What the last resize gave it.
    pub resources: Option<ResourceRequirements>,
    pub probes: BTreeMap<probe::Kind, probe::History>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    pub kill_at: Timestamp,
    pub pre_stop: Work,
    /// The kill time the runtime was told last.
    pub told: Option<Timestamp>,
    /// The runtime failed to: not before this.
    pub retry_at: Option<Timestamp>,
}

/// The pod is being taken down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ending {
    pub grace_seconds: i64,
    pub deadline: Timestamp,
}

/// The node put the pod out; it is `Failed` with this reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Eviction {
    pub reason: String,
    pub message: String,
    pub grace_seconds: Option<i64>,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The node never took it.
    Refusal,
    /// Its own doing: its deadline, its limits.
    Own,
    /// It is not to blame; a `DisruptionTarget` condition tells controllers so.
    Disruption,
}

/// How long a failed step waits before it is tried again. Upstream's pod worker takes 10 to 15 s.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// Upstream retries mounts after half a second, doubling to about two minutes.
const REMOUNT_FIRST: SignedDuration = SignedDuration::from_millis(500);
const REMOUNT_MAX: SignedDuration = SignedDuration::from_secs(122);

impl Memory {
    /// Notes what the plan has set going.
    pub fn begin(&mut self, plan: &Plan, instances: &[Instance], now: Timestamp) {
        self.ending = plan.ending;
        for (name, memory) in &mut self.containers {
            memory.held = plan.held.get(name).cloned();
        }
        for (name, held) in &plan.held {
            self.containers.entry(name.clone()).or_default().held = Some(held.clone());
        }
        if self.resizing.as_ref().map(|r| r.generation) != plan.resizing {
            self.resizing = plan.resizing.map(|generation| Resizing { generation, error: None });
        }
        if plan.pod_cgroup.is_some() {
            self.pod_cgroup.clone_from(&plan.pod_cgroup);
        }
        for id in &plan.replaced {
            self.instance(id).is_replaced = true;
        }
        for id in &plan.stopped {
            self.instance(id).was_stopped = true;
        }
        for effect in &plan.effects {
            self.begin_one(effect, instances, now);
        }
    }

    fn begin_one(&mut self, effect: &Effect, instances: &[Instance], now: Timestamp) {
        match effect {
            Effect::Mount => self.volumes = Volumes::Mounting,
            Effect::Unmount => self.volumes = Volumes::Unmounting,
            Effect::CreateSandbox { .. } | Effect::StopSandbox { .. } => self.sandbox = Work::UnderWay,
            Effect::RemoveSandbox { id } => drop(self.removing.insert(id.clone(), Work::UnderWay)),
            Effect::Start { name, .. } => {
                let counts_from = restart::wait_counts_from(instances, self, name);
                let memory = self.containers.entry(name.clone()).or_default();
                memory.is_starting = true;
                if let Some(ended_at) = counts_from {
                    memory.backoff = Some(Backoff::next(memory.backoff, ended_at, now));
                }
            }
            Effect::CancelStart { name } => self.containers.entry(name.clone()).or_default().is_cancelling = true,
            Effect::PreStop { id, kill_at, .. } => {
                self.instance(id).stop = Some(Stop { kill_at: *kill_at, pre_stop: Work::UnderWay, told: None, retry_at: None });
            }
            Effect::Stop { id, kill_at, .. } => {
                let instance = self.instance(id);
                let pre_stop = instance.stop.take().map_or(Work::Idle, |s| s.pre_stop);
                instance.stop = Some(Stop { kill_at: *kill_at, pre_stop, told: Some(*kill_at), retry_at: None });
            }
            Effect::Remove { id } => self.instance(id).remove = Work::UnderWay,
            Effect::Resize(_) => self.resize = Work::UnderWay,
            Effect::Probe { id, kind, .. } => self.instance(id).probes.entry(*kind).or_default().begin(now),
            Effect::Delete => self.delete = Work::UnderWay,
        }
    }

    fn instance(&mut self, id: &str) -> &mut InstanceMemory {
        self.instances.entry(id.to_owned()).or_default()
    }

    /// Forgets what the runtime no longer knows.
    pub fn prune(&mut self, instances: &[Instance]) {
        self.instances.retain(|id, _| instances.iter().any(|i| i.id == *id));
    }

    /// Notes how an effect went; returns what is to be told about it.
    pub fn finish(&mut self, pod: &BoundPod, effect: &Effect, outcome: &Outcome, now: Timestamp) -> Vec<Note> {
        let failure = match outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        };
        let mut notes = Vec::new();
        match effect {
            Effect::Mount => self.mounted(failure, now, &mut notes),
            Effect::Unmount => self.volumes = failure.map_or(Volumes::Unmounted, |_| Volumes::Stuck { retry_at: now + RETRY }),
            Effect::CreateSandbox { .. } => {
                self.sandbox = done_or_retry(failure, now);
                if let Some(failure) = failure {
                    notes.push(Note::warning("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {}", failure.message)));
                }
            }
            Effect::StopSandbox { .. } => {
                self.sandbox = done_or_retry(failure, now);
                if let Some(failure) = failure {
                    notes.push(Note::warning("FailedKillPod", format!("error killing pod: {}", failure.message)));
                }
            }
            Effect::RemoveSandbox { id } => drop(self.removing.insert(id.clone(), done_or_retry(failure, now))),
            Effect::Start { name, role, .. } => self.started(pod, name, *role, failure, now, &mut notes),
            Effect::CancelStart { .. } => {}
            Effect::PreStop { id, name, .. } => {
                if let Some(stop) = &mut self.instance(id).stop {
                    stop.pre_stop = Work::Done;
                }
                if let (Some(_), Some((role, _))) = (failure, pod.container(name)) {
                    notes.push(Note::warning("FailedPreStopHook", "PreStopHook failed").about(role, name));
                }
            }
            Effect::Stop { id, name, .. } => {
                if let Some(failure) = failure {
                    if let Some(stop) = &mut self.instance(id).stop {
                        (stop.told, stop.retry_at) = (None, Some(now + RETRY));
                    }
                    notes.push(Note::warning("FailedKillPod", format!("error killing pod: {}: {}", name, failure.message)));
                }
            }
            Effect::Remove { id } => self.instance(id).remove = done_or_retry(failure, now),
            Effect::Resize(resize) => self.resized(pod, resize, failure, now, &mut notes),
            Effect::Probe { id, name, kind } => {
                let Some((_, container)) = pod.container(name) else { return notes };
                let Some(spec) = kind.of(container) else { return notes };
                let verdict = if let Outcome::Probed(verdict) = outcome { *verdict } else { probe::Verdict::Unknown };
                self.instance(id).probes.entry(*kind).or_default().finish(*kind, spec, verdict);
            }
            Effect::Delete => self.delete = failure.map_or(Work::Done, |_| Work::Failed { retry_at: now + SignedDuration::from_secs(1) }),
        }
        notes
    }

    fn resized(&mut self, pod: &BoundPod, resize: &Resize, failure: Option<&Failure>, now: Timestamp, notes: &mut Vec<Note>) {
        self.resize = done_or_retry(failure, now);
        let Some(failure) = failure else {
            self.pod_cgroup = Some(resize.pod.clone());
            for (id, resources) in &resize.instances {
                self.instance(id).resources = Some(resources.clone());
            }
            return;
        };
        let resizing = self.resizing.get_or_insert_default();
        if resizing.error.as_ref() != Some(&failure.message) {
            resizing.error = Some(failure.message.clone());
            let summary = allocation::summary(pod, resizing.generation, Some(&failure.message));
            notes.push(Note::warning("ResizeError", format!("Pod resize error: {summary}")));
        }
    }

    fn mounted(&mut self, failure: Option<&Failure>, now: Timestamp, notes: &mut Vec<Note>) {
        let Some(failure) = failure else {
            self.volumes = Volumes::Mounted;
            self.mount_delay = None;
            return;
        };
        notes.push(Note::warning("FailedMount", failure.message.clone()));
        let delay = self.mount_delay.map_or(REMOUNT_FIRST, |d| (d * 2).min(REMOUNT_MAX));
        self.mount_delay = Some(delay);
        self.volumes = Volumes::Failed { retry_at: now + delay };
    }

    fn started(&mut self, pod: &BoundPod, name: &str, role: Role, failure: Option<&Failure>, now: Timestamp, notes: &mut Vec<Note>) {
        let memory = self.containers.entry(name.to_owned()).or_default();
        memory.is_starting = false;
        let was_cancelled = std::mem::take(&mut memory.is_cancelling);
        let Some(failure) = failure else {
            memory.failed = None;
            memory.held = None;
            memory.pull_backoff = None;
            return;
        };
        if was_cancelled {
            return;
        }
        let retry_at = if is_pull_failure(failure.reason) {
            let backoff = Backoff::next(memory.pull_backoff, now, now);
            memory.pull_backoff = Some(backoff);
            now + backoff.delay
        } else if failure.reason == "RunContainerError" || failure.reason == "PostStartHookError" {
            // It left an instance that exited: its own back-off holds it.
            now
        } else {
            now + RETRY
        };
        memory.failed = Some(FailedStart { failure: failure.clone(), at: now, retry_at });
        memory.held = Some(Held { reason: failure.reason, message: failure.message.clone() });
        let text = if is_image_failure(failure.reason) { failure.reason } else { failure.message.as_str() };
        if pod.container(name).is_some() && failure.reason != "PostStartHookError" {
            notes.push(Note::warning("Failed", format!("Error: {text}")).about(role, name));
        }
    }
}

fn done_or_retry(failure: Option<&Failure>, now: Timestamp) -> Work {
    failure.map_or(Work::Idle, |_| Work::Failed { retry_at: now + RETRY })
}

pub(crate) fn is_pull_failure(reason: &str) -> bool {
    matches!(reason, "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed")
}

fn is_image_failure(reason: &str) -> bool {
    is_pull_failure(reason) || matches!(reason, "ErrImageNeverPull" | "InvalidImageName" | "ImageInspectError")
}
