//! The next steps for one pod.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus};

use crate::allocation;
use crate::backoff::Backoff;
use crate::effect::{Effect, Held, Note, Plan};
use crate::end;
use crate::init::{self, Kill};
use crate::memory::{ContainerMemory, Volumes, Work};
use crate::pod::Role;
use crate::probe::{Kind, Verdict};
use crate::probing;
use crate::resize;
use crate::resources;
use crate::restart;
use crate::view::{Instance, State, View};
use crate::wind_down::{self, Turn};

/// Upstream shows the failed pull itself until the next sync; then that it backs off.
const PULL_ERROR_SHOWN: SignedDuration = SignedDuration::from_secs(2);
/// Newest runs of a container whose records and logs are kept: the present one and the one before it.
const KEPT_INSTANCES: usize = 2;

/// Decides and touches nothing: the same view always gives the same plan.
pub fn plan(view: &View, now: Timestamp) -> Plan {
    let mut plan = Plan { ending: end::ending(view, now), ..Plan::default() };
    match plan.ending {
        Some(ending) => wind_down::wind_down(view, ending, now, &mut plan),
        None => wind_up(view, now, &mut plan),
    }
    probing::plan_probes(view, now, &mut plan);
    plan
}

fn wind_up(view: &View, now: Timestamp, plan: &mut Plan) {
    if let (Some(deadline), Some(start)) = (view.pod.spec.active_deadline_seconds, start_time(view)) {
        plan.wake(start + SignedDuration::from_secs(deadline));
    }
    let is_mounted = mount(view, now, plan);
    let Ok(sandbox) = view.sandbox() else { return make_sandbox(view, now, plan) };
    let wanted = wanted(view);
    for kill in &wanted.kills {
        let Some((role, container)) = view.pod.container(&kill.instance.name) else { continue };
        let grace = kill.probe.and_then(|kind| kind.of(container)?.termination_grace_period_seconds);
        let kill_at = now + SignedDuration::from_secs(grace.unwrap_or_else(|| view.pod.grace_seconds()));
        plan.stopped.push(kill.instance.id.clone());
        if kill.probe.is_none() {
            plan.replaced.push(kill.instance.id.clone());
        }
        wind_down::stop(view, role, container, kill.instance, &Turn { kill_at, has_come: true, message: &kill.message }, now, plan);
    }
    resize(view, now, plan);
    // A container that starts with new amounts needs its pod's group to have grown before.
    let is_resizing = view.memory.resize == Work::UnderWay || plan.effects.iter().any(|e| matches!(e, Effect::Resize(_)));
    if is_mounted && !is_resizing {
        start_next(view, &sandbox.id, &wanted.starts, now, plan);
    } else {
        keep_all_held(view, plan);
    }
    prune(view, now, plan);
}

fn resize(view: &View, now: Timestamp, plan: &mut Plan) {
    resize::plan_resize(view, plan);
    if !view.memory.resize.may_begin(now) {
        plan.effects.retain(|e| !matches!(e, Effect::Resize(_)));
        if let Work::Failed { retry_at } = view.memory.resize {
            plan.wake(retry_at);
        }
    }
    if let (Some(done), None) = (&view.memory.resizing, plan.resizing) {
        let summary = allocation::summary(view.pod, done.generation, None);
        plan.notes.push(Note::normal("ResizeCompleted", format!("Pod resize completed: {summary}")));
    }
}

fn start_time(view: &View) -> Option<Timestamp> {
    view.memory.reported.start_time.as_ref().or(view.pod.status.start_time.as_ref()).map(|t| t.0)
}

fn mount(view: &View, now: Timestamp, plan: &mut Plan) -> bool {
    match &view.memory.volumes {
        Volumes::Mounted => return true,
        Volumes::Mounting | Volumes::Unmounting => {}
        Volumes::Failed { retry_at } if *retry_at > now => plan.wake(*retry_at),
        Volumes::Unknown | Volumes::Unmounted | Volumes::Stuck { .. } | Volumes::Failed { .. } => plan.effects.push(Effect::Mount),
    }
    false
}

/// There is no usable sandbox: clear away what is left of an older one, then make one.
fn make_sandbox(view: &View, now: Timestamp, plan: &mut Plan) {
    let newest = view.sandboxes.first();
    let attempt = newest.map_or(0, |s| s.attempt + 1);
    let never_again = view.pod.restart_policy() == "Never" && attempt != 0 && !view.instances.is_empty();
    keep_all_held(view, plan);
    if !view.memory.sandbox.may_begin(now) {
        if let Work::Failed { retry_at } = view.memory.sandbox {
            plan.wake(retry_at);
        }
        return;
    }
    let left: Vec<&str> = view.sandboxes.iter().filter(|s| s.is_ready).map(|s| s.id.as_str()).collect();
    if !left.is_empty() {
        plan.effects.extend(left.iter().map(|id| Effect::StopSandbox { id: (*id).to_owned() }));
    } else if !never_again && (attempt == 0 || has_work(view)) {
        if attempt != 0 {
            plan.notes.push(Note::normal("SandboxChanged", "Pod sandbox changed, it will be killed and re-created."));
        }
        plan.pod_cgroup = Some(resources::pod_cgroup(view.pod));
        plan.effects.push(Effect::CreateSandbox { attempt });
    }
}

/// Is there any container that would run in a new sandbox?
fn has_work(view: &View) -> bool {
    view.pod.spec.containers.iter().any(|c| restart::should_start(view, c)) || !view.has_any_regular()
}

struct Wanted<'a> {
    kills: Vec<Kill<'a>>,
    /// In the order in which they start.
    starts: Vec<(Role, &'a Container)>,
}

fn wanted<'a>(view: &View<'a>) -> Wanted<'a> {
    let pod = view.pod;
    let ephemeral = pod.ephemeral.iter().filter(|c| view.latest(&c.name).is_none());
    let mut starts: Vec<(Role, &Container)> = ephemeral.map(|c| (Role::Ephemeral, c)).collect();
    let init = init::init_actions(view);
    let mut kills = init.kills;
    starts.extend(init.starts.iter().map(|idx| {
        let container = &pod.init_containers()[*idx];
        (if crate::pod::is_sidecar(container) { Role::Sidecar } else { Role::Init }, container)
    }));
    if init.is_done {
        for container in &pod.spec.containers {
            match view.active(&container.name).filter(|i| i.is_running()) {
                Some(instance) => kills.extend(regular_kill(view, container, instance)),
                None if restart::should_start(view, container) => starts.push((Role::Regular, container)),
                None => {}
            }
        }
    }
    Wanted { kills, starts }
}

fn regular_kill<'a>(view: &View<'a>, container: &Container, instance: &'a crate::view::Instance) -> Option<Kill<'a>> {
    let name = &container.name;
    let failed = |kind| probing::result(view, instance, kind) == Some(Verdict::Failure);
    let (mut message, probe, restarts) = if Some(&instance.spec_image) != container.image.as_ref() {
        (format!("Container {name} definition changed"), None, true)
    } else if failed(Kind::Liveness) {
        let restarts = restart::restarts_after_failed_probe(container, view.pod);
        (format!("Container {name} failed liveness probe"), Some(Kind::Liveness), restarts)
    } else if failed(Kind::Startup) {
        let restarts = restart::restarts_after_failed_probe(container, view.pod);
        (format!("Container {name} failed startup probe"), Some(Kind::Startup), restarts)
    } else {
        let message = resize::restart_message(view, container)?;
        return Some(Kill { instance, message, probe: None });
    };
    if restarts {
        message.push_str(", will be restarted");
    }
    Some(Kill { instance, message, probe })
}

/// Starts the first container that need not wait. One at a time and in order: a postStart hook holds up the containers after it,
/// which sidecar injectors build on.
fn start_next(view: &View, sandbox_id: &str, starts: &[(Role, &Container)], now: Timestamp, plan: &mut Plan) {
    let mut may_start = !view.memory.containers.values().any(|m| m.is_starting);
    for (role, container) in starts {
        let name = &container.name;
        let memory = view.memory.containers.get(name);
        if view.latest(name).is_some_and(Instance::is_running) {
            continue;
        }
        if memory.is_some_and(|m| m.is_starting) {
            keep_held(memory, name, plan);
        } else if let Some((held, until)) = held(view, container, memory, now) {
            if memory.and_then(|m| m.held.as_ref()) != Some(&held) {
                plan.notes.extend(held_note(view, *role, container, &held));
            }
            plan.held.insert(name.clone(), held);
            plan.wake(until);
        } else if may_start {
            may_start = false;
            keep_held(memory, name, plan);
            let attempt = next_attempt(view, name);
            plan.effects.push(Effect::Start { name: name.clone(), role: *role, attempt, sandbox_id: sandbox_id.to_owned() });
        } else {
            keep_held(memory, name, plan);
        }
    }
}

/// Upstream: a reason once shown stays until the container has started.
fn keep_held(memory: Option<&ContainerMemory>, name: &str, plan: &mut Plan) {
    if let Some(before) = memory.and_then(|m| m.held.clone()) {
        plan.held.insert(name.to_owned(), before);
    }
}

fn keep_all_held(view: &View, plan: &mut Plan) {
    view.memory.containers.iter().for_each(|(name, memory)| keep_held(Some(memory), name, plan));
}

fn held(view: &View, container: &Container, memory: Option<&ContainerMemory>, now: Timestamp) -> Option<(Held, Timestamp)> {
    let name = &container.name;
    if let Some(ended_at) = restart::wait_counts_from(view.instances, view.memory, name) {
        let backoff = memory.and_then(|m| m.backoff);
        if let Some(until) = Backoff::holds(backoff, ended_at, now) {
            let delay = backoff.map_or(0, |b| b.delay.as_secs());
            let message = format!("back-off {} restarting failed container={name} pod={}", go_duration(delay), view.pod.described());
            return Some((Held { reason: "CrashLoopBackOff", message }, until));
        }
    }
    let failed = memory?.failed.as_ref().filter(|f| f.retry_at > now)?;
    let shown_until = failed.at + PULL_ERROR_SHOWN;
    let as_it_was = Held { reason: failed.failure.reason, message: failed.failure.message.clone() };
    if !failed.failure.is_of_pull() {
        return Some((as_it_was, failed.retry_at));
    }
    if now < shown_until {
        return Some((as_it_was, shown_until));
    }
    let image = container.image.as_deref().unwrap_or_default();
    let message = format!("Back-off pulling image {image:?}: {}: {}", as_it_was.reason, as_it_was.message);
    Some((Held { reason: "ImagePullBackOff", message }, failed.retry_at))
}

fn held_note(view: &View, role: Role, container: &Container, held: &Held) -> Vec<Note> {
    let name = &container.name;
    match held.reason {
        "CrashLoopBackOff" => {
            let text = format!("Back-off restarting failed container {name} in pod {}", view.pod.described());
            vec![Note::warning("BackOff", text).about(role, name)]
        }
        "ImagePullBackOff" => {
            let image = container.image.as_deref().unwrap_or_default();
            vec![
                Note::normal("BackOff", format!("Back-off pulling image {image:?}")).about(role, name),
                Note::warning("Failed", "Error: ImagePullBackOff").about(role, name),
            ]
        }
        // Told when it failed.
        _ => Vec::new(),
    }
}

/// As Go prints a `time.Duration` of whole seconds: `10s`, `2m40s`, `5m0s`.
fn go_duration(seconds: i64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

/// One more than the last run's; where the runtime has lost that, one more than that of the run the API was told of. A status that
/// names no run has counted the lost one already.
fn next_attempt(view: &View, name: &str) -> u32 {
    if let Some(latest) = view.latest(name) {
        // One that was made and never started takes no number.
        return latest.attempt + u32::from(latest.state != State::Created);
    }
    let status = &view.memory.reported;
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let names_run = |s: &ContainerStatus| s.container_id.as_deref().is_some_and(|id| !id.is_empty());
    let shown = all.into_iter().find(|s| s.name == name);
    shown.map_or(0, |s| u32::try_from(s.restart_count).unwrap_or(0) + u32::from(names_run(s)))
}

/// Removes records of runs that nobody asks for any more.
fn prune(view: &View, now: Timestamp, plan: &mut Plan) {
    for (_, container) in view.pod.containers() {
        let old = view.instances.iter().filter(|i| i.name == container.name).skip(KEPT_INSTANCES).filter(|i| !i.is_running());
        plan.effects.extend(old.filter(|i| view.may_remove(i, now)).map(|i| Effect::Remove { id: i.id.clone() }));
    }
}
