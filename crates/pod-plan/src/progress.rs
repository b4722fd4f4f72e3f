//! What a plan set going and how it went, noted in the memory.

use jiff::{SignedDuration, Timestamp};

use crate::allocation;
use crate::backoff::Backoff;
use crate::effect::{Effect, Failure, Held, Note, Outcome, Plan, Resize};
use crate::memory::{FailedStart, InstanceMemory, Memory, Resizing, Stop, Volumes, Work};
use crate::pod::{BoundPod, Role};
use crate::probe::Verdict;
use crate::restart;
use crate::view::Instance;

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
                let verdict = if let Outcome::Probed(verdict) = outcome { *verdict } else { Verdict::Unknown };
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
        let retry_at = if failure.is_of_pull() {
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
        let text = if failure.is_of_image() { failure.reason } else { failure.message.as_str() };
        if pod.container(name).is_some() && failure.reason != "PostStartHookError" {
            notes.push(Note::warning("Failed", format!("Error: {text}")).about(role, name));
        }
    }
}

fn done_or_retry(failure: Option<&Failure>, now: Timestamp) -> Work {
    failure.map_or(Work::Idle, |_| Work::Failed { retry_at: now + RETRY })
}
