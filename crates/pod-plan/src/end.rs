//! Whether a pod has come to its end, why, and until when its containers may take.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Container;

use crate::container_status;
use crate::effect::Ending;
use crate::memory::{Cause, Eviction};
use crate::phase::{self, Phase};
use crate::restart;
use crate::view::View;

/// Why the node puts the pod out, if it does: it was told to, or the pod is past its deadline.
pub(crate) fn eviction(view: &View, now: Timestamp) -> Option<Eviction> {
    if view.memory.eviction.is_some() {
        return view.memory.eviction.clone();
    }
    let start = view.memory.reported.start_time.as_ref().or(view.pod.status.start_time.as_ref())?.0;
    let deadline = SignedDuration::from_secs(view.pod.spec.active_deadline_seconds?);
    (now.duration_since(start) >= deadline).then(|| Eviction {
        reason: "DeadlineExceeded".to_owned(),
        message: "Pod was active on the node longer than the specified deadline".to_owned(),
        grace_seconds: None,
        cause: Cause::Own,
    })
}

/// Has the pod come to its end by itself, or has somebody written so?
pub(crate) fn is_over(view: &View) -> bool {
    Phase::read(view.pod.status.phase.as_deref()).is_terminal() || present_phase(view, false).is_terminal()
}

fn present_phase(view: &View, is_down: bool) -> Phase {
    let statuses = container_status::all(view);
    phase::phase(view.pod, &statuses, is_down, view.has_active_regular())
}

/// Is the pod being taken down, and until when may its containers take?
pub(crate) fn ending(view: &View, now: Timestamp) -> Option<Ending> {
    let eviction = eviction(view, now);
    let is_over = view.is_gone || view.pod.is_deleted() || eviction.is_some() || is_over(view) || has_run_out(view);
    if !is_over && view.memory.ending.is_none() {
        return None;
    }
    let grace_seconds = match eviction.and_then(|e| e.grace_seconds) {
        Some(grace) if !view.pod.is_deleted() => grace,
        _ => view.pod.grace_seconds(),
    };
    match view.memory.ending {
        // A second delete may shorten the grace period, never lengthen it.
        Some(before) if before.grace_seconds <= grace_seconds => Some(before),
        _ => Some(Ending { grace_seconds, deadline: now + SignedDuration::from_secs(grace_seconds.max(0)) }),
    }
}

/// Its containers have ended for good; what still runs are sidecars with nobody left to serve.
fn has_run_out(view: &View) -> bool {
    let is_done = |c: &Container| view.active(&c.name).is_some_and(|i| i.exit().is_some()) && !restart::should_start(view, c);
    !view.pod.spec.containers.is_empty() && view.pod.spec.containers.iter().all(is_done)
}

/// Nothing of the pod runs or will run on this node.
pub(crate) fn is_down(view: &View) -> bool {
    view.memory.ending.is_some()
        && view.running().next().is_none()
        && !view.memory.containers.values().any(|m| m.is_starting)
        && !view.sandboxes.iter().any(|s| s.is_ready)
}
