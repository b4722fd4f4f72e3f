//! What a plan asks of the host, and how it went.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceRequirements;

use crate::pod::Role;
use crate::probe;
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

/// One write to a cgroup; fields that are `None` stay as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The container's instance, or the pod's own group.
    pub id: Option<String>,
    pub cgroup: Cgroup,
}

/// A memory limit that may only be set when less is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// Instance and name of the container; the whole pod.
    pub container: Option<(String, String)>,
    pub limit: u64,
}

/// All that leads from what is set to what was granted.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    pub sandbox_id: String,
    pub steps: Vec<Step>,
    pub lowered: Vec<Lowered>,
    /// What each instance has when all steps are done.
    pub instances: Vec<(String, ResourceRequirements)>,
    pub pod: Cgroup,
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

    pub(crate) fn is_of_pull(&self) -> bool {
        matches!(self.reason, "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed")
    }

    pub(crate) fn is_of_image(&self) -> bool {
        self.is_of_pull() || matches!(self.reason, "ErrImageNeverPull" | "InvalidImageName" | "ImageInspectError")
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

/// A container that waits, as its status says: `CrashLoopBackOff`, `ImagePullBackOff`, `ErrImagePull`, …
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub reason: &'static str,
    pub message: String,
}

/// The pod is being taken down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ending {
    pub grace_seconds: i64,
    pub deadline: Timestamp,
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
