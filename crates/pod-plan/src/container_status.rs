//! The status of each container. Upstream: `convertToAPIContainerStatuses` and the prober's `UpdatePodStatus`.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, ContainerUser,
    LinuxContainerUser, ResourceRequirements, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::allocation;
use crate::pod::Role;
use crate::probing;
use crate::resize;
use crate::restart;
use crate::view::{Exit, Instance, State, View};

/// What goes before container ids: the name of the runtime.
pub const RUNTIME: &str = "coracle";
/// Killed, as far as anybody can tell.
const EXIT_CODE_UNKNOWN: i32 = 137;

#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// In the order of the spec.
    pub(crate) init: Vec<ContainerStatus>,
    /// Sorted by name, as upstream has them.
    pub(crate) regular: Vec<ContainerStatus>,
    pub(crate) ephemeral: Vec<ContainerStatus>,
}

pub(crate) fn all(view: &View) -> Statuses {
    let mut statuses = Statuses::default();
    for (role, container) in view.pod.containers() {
        let status = container_status(view, role, container);
        match role {
            Role::Init | Role::Sidecar => statuses.init.push(status),
            Role::Regular => statuses.regular.push(status),
            Role::Ephemeral => statuses.ephemeral.push(status),
        }
    }
    statuses.regular.sort_by(|a, b| a.name.cmp(&b.name));
    statuses.ephemeral.sort_by(|a, b| a.name.cmp(&b.name));
    statuses
}

fn before<'a>(view: &View<'a>, role: Role, name: &str) -> Option<&'a ContainerStatus> {
    let reported = &view.memory.reported;
    let list = match role {
        Role::Init | Role::Sidecar => &reported.init_container_statuses,
        Role::Regular => &reported.container_statuses,
        Role::Ephemeral => &reported.ephemeral_container_statuses,
    };
    list.iter().flatten().find(|s| s.name == name)
}

fn container_status(view: &View, role: Role, container: &Container) -> ContainerStatus {
    let before = before(view, role, &container.name);
    let mut runs = view.instances.iter().filter(|i| i.name == container.name);
    let mut status = match runs.next() {
        Some(latest) => {
            let mut status = from_instance(view, container, latest);
            status.last_state = runs.next().map(state_of).or_else(|| before?.last_state.clone());
            status
        }
        None => without_instance(view, role, container, before),
    };
    wait_if_held(view, role, container, &mut status);
    set_started_and_ready(view, role, container, &mut status);
    status
}

fn from_instance(view: &View, container: &Container, instance: &Instance) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: instance.image.clone(),
        image_id: instance.image_id.clone(),
        container_id: Some(container_id(&instance.id)),
        restart_count: i32::try_from(instance.attempt).unwrap_or(i32::MAX),
        state: Some(state_of(instance)),
        allocated_resources: container.resources.as_ref().and_then(|r| r.requests.clone()),
        resources: Some(shown_resources(view, container, instance)),
        user: instance.user.as_ref().map(|user| ContainerUser {
            linux: Some(LinuxContainerUser {
                uid: user.uid,
                gid: user.gid,
                supplemental_groups: (!user.supplemental_groups.is_empty()).then(|| user.supplemental_groups.clone()),
            }),
        }),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    }
}

/// While it runs, what it really has of what it was granted.
fn shown_resources(view: &View, container: &Container, instance: &Instance) -> ResourceRequirements {
    let mut shown = container.resources.clone().unwrap_or_default();
    if instance.is_running() {
        let actuated = resize::actuated(view, instance);
        shown.requests = allocation::restricted(shown.requests, actuated.requests.as_ref());
        shown.limits = allocation::restricted(shown.limits, actuated.limits.as_ref());
    }
    shown
}

pub fn container_id(id: &str) -> String {
    format!("{RUNTIME}://{id}")
}

fn state_of(instance: &Instance) -> ContainerState {
    match &instance.state {
        State::Created => waiting("", ""),
        State::Running { started_at } => {
            ContainerState { running: Some(ContainerStateRunning { started_at: Some(time(*started_at)) }), ..ContainerState::default() }
        }
        State::Exited(exit) => terminated(exit, &instance.id),
    }
}

fn time(at: Timestamp) -> Time {
    Time(whole_second(at))
}

fn terminated(exit: &Exit, id: &str) -> ContainerState {
    let some_text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(container_id(id)),
            exit_code: exit.code,
            signal: exit.signal,
            reason: some_text(&exit.reason),
            message: some_text(&exit.message),
            started_at: Some(exit.started_at.map_or(Time(Timestamp::UNIX_EPOCH), time)),
            finished_at: Some(time(exit.finished_at)),
        }),
        ..ContainerState::default()
    }
}

fn unknown_end(message: &str) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: EXIT_CODE_UNKNOWN,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some(message.to_owned()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let some_text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: some_text(reason), message: some_text(message) }),
        ..ContainerState::default()
    }
}

fn volume_mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref()?;
    let status = |mount: &k8s_openapi::api::core::v1::VolumeMount| {
        let is_read_only = mount.read_only == Some(true);
        // `IfPossible` is possible: the kernels we run on have recursive read-only mounts.
        let is_recursive = matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: is_read_only.then_some(true),
            recursive_read_only: is_read_only.then(|| if is_recursive { "Enabled" } else { "Disabled" }.to_owned()),
            ..VolumeMountStatus::default()
        }
    };
    Some(mounts.iter().map(status).collect())
}

/// The runtime knows no run of it: never started, or its records are gone.
fn without_instance(view: &View, role: Role, container: &Container, before: Option<&ContainerStatus>) -> ContainerStatus {
    let was = before.and_then(|b| b.state.as_ref());
    if let Some(before) = before.filter(|_| was.is_some_and(|s| s.terminated.is_some())) {
        return before.clone();
    }
    let default_reason = if view.pod.init_containers().is_empty() { "ContainerCreating" } else { "PodInitializing" };
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        restart_count: before.map_or(0, |b| b.restart_count),
        state: Some(waiting(default_reason, "")),
        last_state: before.and_then(|b| b.last_state.clone()),
        volume_mounts: volume_mounts(container),
        ..ContainerStatus::default()
    };
    let has_ended_before = status.last_state.as_ref().is_some_and(|s| s.terminated.is_some());
    if was.is_some_and(|s| s.running.is_some()) {
        status.restart_count += i32::from(!view.pod.is_deleted());
        if !has_ended_before {
            status.last_state =
                Some(unknown_end("The container could not be located when the pod was deleted.  The container used to be Running"));
        }
    }
    if role == Role::Init && view.has_any_regular() {
        status.state = Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                reason: Some("Completed".to_owned()),
                message: Some(
                    "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally"
                        .to_owned(),
                ),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        });
    }
    status
}

/// A container that is to be started but was kept from it waits, and says for what.
fn wait_if_held(view: &View, role: Role, container: &Container, status: &mut ContainerStatus) {
    let Some(held) = view.memory.containers.get(&container.name).and_then(|m| m.held.as_ref()) else { return };
    let is_done_init = matches!(role, Role::Init | Role::Sidecar)
        && view.latest(&container.name).and_then(Instance::exit).is_some_and(|exit| exit.code == 0);
    if is_done_init || !restart::should_start(view, container) {
        return;
    }
    let state = status.state.replace(waiting(held.reason, &held.message));
    if state.as_ref().is_some_and(|s| s.terminated.is_some()) {
        status.last_state = state;
    }
}

fn set_started_and_ready(view: &View, role: Role, container: &Container, status: &mut ContainerStatus) {
    if role == Role::Ephemeral {
        return;
    }
    let running = view.latest(&container.name).filter(|_| status.state.as_ref().is_some_and(|s| s.running.is_some()));
    status.started = Some(running.is_some_and(|i| probing::is_started(view, container, i)));
    status.ready = match role {
        Role::Init => status.state.as_ref().and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0),
        _ => running.is_some_and(|i| probing::is_ready(view, container, i)),
    };
}

/// Nothing will run any more: what has no recorded end gets one. Upstream: `TerminatePod`.
pub(crate) fn close(view: &View, statuses: &mut Statuses) {
    const LOST: &str = "The container could not be located when the pod was terminated";
    let has_ended = |state: &Option<ContainerState>| state.as_ref().is_some_and(|s| s.terminated.is_some());
    let is_waiting = |state: &Option<ContainerState>| state.as_ref().is_none_or(|s| s.waiting.is_some());
    if has_initialized(view, statuses) {
        for status in statuses.regular.iter_mut().filter(|s| !has_ended(&s.state)) {
            status.state = Some(unknown_end(LOST));
        }
    }
    // All but the last ones that show no sign of a start; the first one always.
    let n_begun = statuses.init.iter().rposition(|s| !is_waiting(&s.state) || has_ended(&s.last_state)).map_or(1, |idx| idx + 1);
    for status in statuses.init.iter_mut().take(n_begun).filter(|s| !has_ended(&s.state)) {
        status.state = Some(unknown_end(LOST));
    }
}

fn has_initialized(view: &View, statuses: &Statuses) -> bool {
    let Some(last) = statuses.init.last() else { return true };
    let has_begun = |s: &ContainerStatus| {
        s.state.as_ref().is_some_and(|s| s.waiting.is_none()) || s.last_state.as_ref().is_some_and(|s| s.terminated.is_some())
    };
    let was_begun = view.pod.status.container_statuses.iter().flatten().any(has_begun);
    was_begun || statuses.regular.iter().any(has_begun) || last.ready || last.started == Some(true)
}

/// Whole seconds, as the API writes times: what is sent and what comes back must be equal.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
