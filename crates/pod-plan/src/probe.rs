//! Probes: when the next one is due, and what a run of verdicts means.
//!
//! Upstream: `pkg/kubelet/prober/worker.go`. The startup probe gates the other two; a failed liveness or any finished startup
//! probe rests until there is a new instance.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Probe};

use crate::effect::{Effect, Plan};
use crate::pod::Role;
use crate::view::{Instance, State, View};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
        }
    }

    /// As events write it.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Success,
    Failure,
    /// The prober itself failed; nothing is concluded.
    Unknown,
}

/// What one probe of one instance has shown so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the run of verdicts adds up to.
    pub result: Option<Verdict>,
    last: Option<Verdict>,
    run: i32,
    is_resting: bool,
    under_way: bool,
    began_at: Option<Timestamp>,
}

impl History {
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.under_way = true;
        self.began_at = Some(now);
    }

    pub(crate) fn finish(&mut self, kind: Kind, spec: &Probe, verdict: Verdict) {
        self.under_way = false;
        if verdict == Verdict::Unknown {
            return;
        }
        self.run = if self.last == Some(verdict) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(verdict);
        let threshold = if verdict == Verdict::Failure { spec.failure_threshold.unwrap_or(3) } else { spec.success_threshold.unwrap_or(1) };
        if self.run < threshold {
            return;
        }
        self.result = Some(verdict);
        if kind == Kind::Startup || (kind == Kind::Liveness && verdict == Verdict::Failure) {
            self.is_resting = true;
            self.run = 0;
        }
    }

    fn due_at(&self, spec: &Probe, started_at: Timestamp) -> Timestamp {
        let first = started_at + SignedDuration::from_secs(i64::from(spec.initial_delay_seconds.unwrap_or(0)));
        let period = SignedDuration::from_secs(i64::from(spec.period_seconds.unwrap_or(10).max(1)));
        self.began_at.map_or(first, |began| began + period)
    }
}

/// The result that counts for an instance. Until the first, what the API already says of this very instance holds, so that a restart of the
/// node agent makes nothing unready.
pub fn result(view: &View, instance: &Instance, kind: Kind) -> Option<Verdict> {
    let seen = view.memory.instances.get(&instance.id).and_then(|m| m.probes.get(&kind)?.result);
    seen.or_else(|| {
        let status = shown_status(view, instance)?;
        let was_so = match kind {
            Kind::Startup => status.started == Some(true),
            Kind::Readiness => status.ready,
            Kind::Liveness => false,
        };
        was_so.then_some(Verdict::Success)
    })
}

pub(crate) fn shown_status<'a>(view: &View<'a>, instance: &Instance) -> Option<&'a ContainerStatus> {
    let status = &view.pod.status;
    let all = status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    all.into_iter().find(|s| s.container_id.as_deref().and_then(|id| id.split_once("://")).is_some_and(|(_, id)| id == instance.id))
}

pub fn is_started(view: &View, container: &Container, instance: &Instance) -> bool {
    instance.is_running() && (container.startup_probe.is_none() || result(view, instance, Kind::Startup) == Some(Verdict::Success))
}

pub fn is_ready(view: &View, container: &Container, instance: &Instance) -> bool {
    is_started(view, container, instance)
        && (container.readiness_probe.is_none() || result(view, instance, Kind::Readiness) == Some(Verdict::Success))
}

/// Adds the probes that are due.
pub(crate) fn plan_probes(view: &View, now: Timestamp, plan: &mut Plan) {
    for (role, container) in view.pod.containers() {
        if !matches!(role, Role::Sidecar | Role::Regular) {
            continue;
        }
        let Some(instance) = view.latest(&container.name) else { continue };
        let State::Running { started_at } = instance.state else { continue };
        for kind in Kind::ALL {
            let Some(spec) = kind.of(container) else { continue };
            plan_probe(view, now, plan, container, instance, started_at, kind, spec);
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one probe of one instance of one container; a struct would only rename them")]
fn plan_probe(
    view: &View,
    now: Timestamp,
    plan: &mut Plan,
    container: &Container,
    instance: &Instance,
    started_at: Timestamp,
    kind: Kind,
    spec: &Probe,
) {
    // An ending pod is watched for readiness only: it may still serve.
    if kind != Kind::Readiness && plan.ending.is_some() {
        return;
    }
    if is_started(view, container, instance) == (kind == Kind::Startup) {
        return;
    }
    let history = view.memory.instances.get(&instance.id).and_then(|m| m.probes.get(&kind));
    if history.is_some_and(|h| h.is_resting || h.under_way) {
        return;
    }
    let due_at = history.cloned().unwrap_or_default().due_at(spec, started_at);
    if due_at <= now {
        plan.effects.push(Effect::Probe { id: instance.id.clone(), name: container.name.clone(), kind });
    } else {
        plan.wake(due_at);
    }
}
