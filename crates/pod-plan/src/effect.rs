//! What a plan asks of the host, and how it went.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::memory::{Ending, Held};
use crate::pod::Role;
use crate::probe;
use crate::resize::Resize;
use crate::resources::Cgroup;

/// One action on the host. All can be carried out twice without harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make the pod's directories and mount its volumes.
    Mount,
    Unmount,
    CreateSandbox {
        attempt: u32,
    },
    /// Ends what may still run in it and gives its addresses back.
    StopSandbox {
        id: String,
    },
    RemoveSandbox {
        id: String,
    },
    /// Get the image, create, start, run the postStart hook.
    Start {
        name: String,
        role: Role,
        attempt: u32,
        sandbox_id: String,
    },
    /// Leave off a start that is under way: the pod is ending.
    CancelStart {
        name: String,
    },
    PreStop {
        id: String,
        name: String,
        kill_at: Timestamp,
    },
    /// The stop signal now, the kill signal at `kill_at`.
    Stop {
        id: String,
        name: String,
        kill_at: Timestamp,
    },
    Remove {
        id: String,
    },
    /// Write the cgroups of what runs.
    Resize(Box<Resize>),
    Probe {
        id: String,
        name: String,
        kind: probe::Kind,
    },
    /// The last delete, without grace: nothing of the pod is left on this node.
    Delete,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    Failed(Failure),
    Probed(probe::Verdict),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The waiting reason: `ErrImagePull`, `CreateContainerConfigError`, …; empty for steps that show none.
    pub reason: &'static str,
    pub message: String,
}

impl Failure {
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Failure { reason, message: message.into() }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub effects: Vec<Effect>,
    /// When to plan again though nothing changed.
    pub wake_at: Option<Timestamp>,
    pub notes: Vec<Note>,
    /// Containers that are kept from starting, and why.
    pub held: BTreeMap<String, Held>,
    pub ending: Option<Ending>,
    /// Instances that are stopped because their definition changed.
    pub replaced: Vec<String>,
    /// Instances that are stopped while the pod goes on.
    pub stopped: Vec<String>,
    /// Something still has other amounts than this generation of the pod was granted.
    pub resizing: Option<i64>,
    /// The limits a new sandbox is made with.
    pub pod_cgroup: Option<Cgroup>,
    /// Nothing is left to do, ever.
    pub is_finished: bool,
}

impl Plan {
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

/// An event to be recorded about the pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    pub is_warning: bool,
    pub reason: &'static str,
    pub message: String,
    /// The container it is about.
    pub container: Option<(Role, String)>,
}

impl Note {
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Note { is_warning: false, reason, message: message.into(), container: None }
    }
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Note { is_warning: true, ..Note::normal(reason, message) }
    }
    #[must_use]
    pub fn about(self, role: Role, container: &str) -> Self {
        Note { container: Some((role, container.to_owned())), ..self }
    }
}
