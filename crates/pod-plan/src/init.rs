//! Init containers and sidecars: which to start, which to stop, and whether the pod is initialized.
//!
//! Upstream: `computeInitContainerActions`. The list is read backwards, since the records of finished init containers may be
//! gone: the last one that is known tells how far things have come.

use k8s_openapi::api::core::v1::Container;

use crate::pod::is_sidecar;
use crate::probe::{Kind, Verdict};
use crate::probing;
use crate::resize;
use crate::restart;
use crate::view::{Instance, State, View};

/// A running instance that has to go.
#[derive(Debug)]
pub(crate) struct Kill<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) message: String,
    /// The probe that condemned it.
    pub(crate) probe: Option<Kind>,
}

#[derive(Debug, Default)]
pub(crate) struct InitActions<'a> {
    /// Positions, ascending.
    pub(crate) starts: Vec<usize>,
    pub(crate) kills: Vec<Kill<'a>>,
    pub(crate) is_done: bool,
}

pub(crate) fn init_actions<'a>(view: &View<'a>) -> InitActions<'a> {
    let containers = view.pod.init_containers();
    let mut actions = InitActions { is_done: containers.is_empty() || view.has_active_regular(), ..InitActions::default() };
    let mut later_was_reached = actions.is_done;
    for (idx, container) in containers.iter().enumerate().rev() {
        let Some(instance) = view.active(&container.name) else {
            // Known to have run, as a later one did; a sidecar has to run again.
            if later_was_reached && is_sidecar(container) {
                actions.starts.push(idx);
            }
            continue;
        };
        if later_was_reached && !is_sidecar(container) {
            continue;
        }
        let is_last = idx + 1 == containers.len();
        match progress(view, container, instance) {
            Progress::Wait => {}
            Progress::Start => actions.starts.push(idx),
            Progress::Failed => return InitActions::default(),
            Progress::Passed { kill } => {
                if is_last {
                    actions.is_done = true;
                } else if !later_was_reached {
                    actions.starts.push(idx + 1);
                }
                actions.kills.extend(kill);
            }
            Progress::Kill(kill) => actions.kills.push(kill),
        }
        later_was_reached = true;
    }
    if !later_was_reached && !containers.is_empty() {
        actions.starts.push(0);
    }
    actions.starts.sort_unstable();
    actions.starts.dedup();
    actions
}

enum Progress<'a> {
    Wait,
    Start,
    /// It failed and its policy wants no second try.
    Failed,
    /// The next one may start; a sidecar may have to be restarted all the same.
    Passed {
        kill: Option<Kill<'a>>,
    },
    Kill(Kill<'a>),
}

fn progress<'a>(view: &View, container: &Container, instance: &'a Instance) -> Progress<'a> {
    match &instance.state {
        State::Created => Progress::Start,
        State::Running { .. } if is_sidecar(container) => sidecar_progress(view, container, instance),
        State::Running { .. } => Progress::Wait,
        State::Exited(_) if is_sidecar(container) => Progress::Start,
        State::Exited(exit) if exit.code == 0 => Progress::Passed { kill: None },
        State::Exited(_) if restart::should_start(view, container) => Progress::Start,
        State::Exited(_) => Progress::Failed,
    }
}

fn sidecar_progress<'a>(view: &View, container: &Container, instance: &'a Instance) -> Progress<'a> {
    let name = &container.name;
    let kill = |why: &str, probe| Kill { instance, message: format!("Init container {name} {why}"), probe };
    if container.startup_probe.is_some() {
        match probing::result(view, instance, Kind::Startup) {
            Some(Verdict::Success) => {}
            Some(Verdict::Failure) => return Progress::Kill(kill("failed startup probe", Some(Kind::Startup))),
            _ => return Progress::Wait,
        }
    }
    let is_changed = Some(&instance.spec_image) != container.image.as_ref();
    let is_dead = probing::result(view, instance, Kind::Liveness) == Some(Verdict::Failure);
    Progress::Passed {
        kill: if is_changed {
            Some(kill("definition changed", None))
        } else if is_dead {
            Some(kill("failed liveness probe", Some(Kind::Liveness)))
        } else {
            resize::restart_message(view, container).map(|message| Kill { instance, message, probe: None })
        },
    }
}
