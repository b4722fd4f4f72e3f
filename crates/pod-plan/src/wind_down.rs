//! Taking a pod down: hooks and signals within the grace period, sidecars after the containers they serve, then the sandbox, the
//! volumes, the records, and last the object.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Container;

use crate::effect::{Effect, Ending, Note, Plan};
use crate::memory::{Volumes, Work};
use crate::pod::Role;
use crate::view::{Instance, View};

/// However short the grace period, a container is asked before it is killed.
const GRACE_MIN: SignedDuration = SignedDuration::from_secs(2);

pub(crate) fn wind_down(view: &View, ending: Ending, now: Timestamp, plan: &mut Plan) {
    for (name, memory) in &view.memory.containers {
        if memory.is_starting && !memory.is_cancelling {
            plan.effects.push(Effect::CancelStart { name: name.clone() });
        }
    }
    stop_containers(view, ending, now, plan);
    let may_still_run = view.running().next().is_some() || view.memory.containers.values().any(|m| m.is_starting);
    if may_still_run || view.memory.sandbox == Work::UnderWay {
        return;
    }
    let ready: Vec<_> = view.sandboxes.iter().filter(|s| s.is_ready).collect();
    if !ready.is_empty() {
        match view.memory.sandbox {
            Work::Failed { retry_at } if retry_at > now => plan.wake(retry_at),
            _ => plan.effects.extend(ready.iter().map(|s| Effect::StopSandbox { id: s.id.clone() })),
        }
        return;
    }
    match &view.memory.volumes {
        Volumes::Unmounted => finish(view, now, plan),
        Volumes::Mounting | Volumes::Unmounting => {}
        Volumes::Stuck { retry_at } if *retry_at > now => plan.wake(*retry_at),
        Volumes::Unknown | Volumes::Stuck { .. } | Volumes::Mounted | Volumes::Failed { .. } => plan.effects.push(Effect::Unmount),
    }
}

/// Records and logs stay as long as the object does: somebody may still ask for them.
fn finish(view: &View, now: Timestamp, plan: &mut Plan) {
    if view.is_gone {
        let records = view.instances.iter().filter(|i| view.may_remove(i, now));
        plan.effects.extend(records.map(|i| Effect::Remove { id: i.id.clone() }));
        if view.instances.is_empty() {
            let may_begin = |id: &str| view.memory.removing.get(id).is_none_or(|work| work.may_begin(now));
            let sandboxes = view.sandboxes.iter().filter(|s| may_begin(&s.id));
            plan.effects.extend(sandboxes.map(|s| Effect::RemoveSandbox { id: s.id.clone() }));
            plan.is_finished = view.sandboxes.is_empty();
        }
        let works = view.memory.instances.values().map(|m| &m.remove).chain(view.memory.removing.values());
        for retry_at in works.filter_map(Work::retry_at).filter(|at| *at > now) {
            plan.wake(retry_at);
        }
    } else if view.pod.is_deleted() {
        match view.memory.delete {
            Work::Failed { retry_at } if retry_at > now => plan.wake(retry_at),
            Work::Idle | Work::Failed { .. } => plan.effects.push(Effect::Delete),
            Work::UnderWay | Work::Done => {}
        }
    }
}

fn stop_containers(view: &View, ending: Ending, now: Timestamp, plan: &mut Plan) {
    let runs = |c: &Container| view.running().any(|i| i.name == c.name);
    let any_regular_runs = view.pod.spec.containers.iter().any(runs);
    let sidecars: Vec<&Container> = view.pod.containers().filter(|(role, _)| *role == Role::Sidecar).map(|(_, c)| c).collect();
    for instance in view.running() {
        let Some((role, container)) = view.pod.container(&instance.name) else {
            // Not in the spec any more; nobody is left whose hook could be asked.
            let kill_at = now + GRACE_MIN;
            if view.memory.instances.get(&instance.id).is_none_or(|m| m.stop.is_none()) {
                plan.effects.push(Effect::Stop { id: instance.id.clone(), name: instance.name.clone(), kill_at });
            }
            continue;
        };
        let later_sidecar_runs = sidecars.iter().skip_while(|c| c.name != container.name).skip(1).any(|c| runs(c));
        let has_come = role != Role::Sidecar || !(any_regular_runs || later_sidecar_runs);
        let message = format!("Stopping container {}", container.name);
        stop(view, role, container, instance, &Turn { kill_at: ending.deadline, has_come, message: &message }, now, plan);
    }
}

/// When and why an instance is to stop.
pub(crate) struct Turn<'a> {
    pub(crate) kill_at: Timestamp,
    /// False while others have to end first.
    pub(crate) has_come: bool,
    pub(crate) message: &'a str,
}

/// The next step of stopping one instance: its preStop hook, then the signal.
pub(crate) fn stop(view: &View, role: Role, container: &Container, instance: &Instance, turn: &Turn, now: Timestamp, plan: &mut Plan) {
    let (id, name) = (instance.id.clone(), container.name.clone());
    let begun = view.memory.instances.get(&instance.id).and_then(|m| m.stop.as_ref());
    let kill_at = begun.map_or(turn.kill_at, |b| b.kill_at.min(turn.kill_at));
    let killing = begun.is_none().then(|| Note::normal("Killing", turn.message).about(role, &name));
    let has_hook = container.lifecycle.as_ref().is_some_and(|l| l.pre_stop.is_some());
    let hook = begun.map_or(Work::Idle, |b| b.pre_stop.clone());
    let was_told = begun.and_then(|b| b.told);
    if let Some(retry_at) = begun.and_then(|b| b.retry_at).filter(|at| *at > now) {
        plan.wake(retry_at);
        return;
    }
    if has_hook && hook != Work::Done && kill_at > now && was_told.is_none() {
        plan.wake(kill_at);
        if hook != Work::UnderWay || begun.is_some_and(|b| kill_at < b.kill_at) {
            plan.notes.extend(killing);
            plan.effects.push(Effect::PreStop { id, name, kill_at });
        }
        return;
    }
    if !turn.has_come && kill_at > now {
        plan.wake(kill_at);
        return;
    }
    let kill_at = kill_at.max(now + GRACE_MIN);
    // A clear second earlier: the kill time of a running stop never creeps.
    if was_told.is_none_or(|told| kill_at + SignedDuration::from_secs(1) < told) {
        plan.notes.extend(killing);
        plan.effects.push(Effect::Stop { id, name, kill_at });
    }
}
