//! Which probes of a pod are due, and whether its containers count as started and ready.
//!
//! The startup probe gates the other two.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Probe};

use crate::effect::{Effect, Plan};
use crate::pod::Role;
use crate::probe::{Kind, Verdict};
use crate::view::{Instance, State, View};

/// The result that counts for an instance. Until the first, what the API already says of this very instance holds, so that a restart of the
/// node agent makes nothing unready.
pub(crate) fn result(view: &View, instance: &Instance, kind: Kind) -> Option<Verdict> {
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

pub(crate) fn is_started(view: &View, container: &Container, instance: &Instance) -> bool {
    instance.is_running() && (container.startup_probe.is_none() || result(view, instance, Kind::Startup) == Some(Verdict::Success))
}

pub(crate) fn is_ready(view: &View, container: &Container, instance: &Instance) -> bool {
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
    let Some(due_at) = history.cloned().unwrap_or_default().due_at(spec, started_at) else { return };
    if due_at <= now {
        plan.effects.push(Effect::Probe { id: instance.id.clone(), name: container.name.clone(), kind });
    } else {
        plan.wake(due_at);
    }
}
