//! What the node remembers about a pod between plans: what is under way, what failed and when, and what was last reported.
//!
//! Invariant: losing it is harmless. A fresh `Memory` over a running pod starts nothing twice; only back-offs begin anew.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PodStatus, ResourceRequirements};

use crate::backoff::Backoff;
use crate::effect::{Ending, Failure, Held};
use crate::probe;
use crate::resources::Cgroup;

#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The status computed last; what the API showed before the first.
    pub reported: PodStatus,
    pub volumes: Volumes,
    /// The wait after the last failed mount.
    pub mount_delay: Option<SignedDuration>,
    pub sandbox: Work,
    pub delete: Work,
    /// By container name.
    pub containers: BTreeMap<String, ContainerMemory>,
    /// By container id.
    pub instances: BTreeMap<String, InstanceMemory>,
    /// Sandboxes that are being removed, by id.
    pub removing: BTreeMap<String, Work>,
    pub ending: Option<Ending>,
    pub eviction: Option<Eviction>,
    pub resize: Work,
    /// What runs is being brought to other amounts.
    pub resizing: Option<Resizing>,
    /// The limits the pod's own group was given; unknown after a restart of the node agent.
    pub pod_cgroup: Option<Cgroup>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resizing {
    pub generation: i64,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Volumes {
    /// Left by an earlier process perhaps.
    #[default]
    Unknown,
    Mounting,
    Mounted,
    Failed {
        retry_at: Timestamp,
    },
    Unmounting,
    /// Unmounting failed.
    Stuck {
        retry_at: Timestamp,
    },
    Unmounted,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Work {
    #[default]
    Idle,
    UnderWay,
    Done,
    Failed {
        retry_at: Timestamp,
    },
}

impl Work {
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Work::Failed { retry_at } => Some(*retry_at),
            _ => None,
        }
    }
    pub fn may_begin(&self, now: Timestamp) -> bool {
        match self {
            Work::Idle => true,
            Work::UnderWay | Work::Done => false,
            Work::Failed { retry_at } => *retry_at <= now,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct ContainerMemory {
    pub is_starting: bool,
    pub is_cancelling: bool,
    pub backoff: Option<Backoff>,
    pub pull_backoff: Option<Backoff>,
    /// The last failed start.
    pub failed: Option<FailedStart>,
    pub held: Option<Held>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FailedStart {
    pub failure: Failure,
    pub at: Timestamp,
    pub retry_at: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub struct InstanceMemory {
    pub stop: Option<Stop>,
    pub remove: Work,
    /// Stopped for a changed definition; runs again whatever its policy.
    pub is_replaced: bool,
    /// The node itself stopped it, so that it runs anew.
    pub was_stopped: bool,
    /// What the last resize gave it.
    pub resources: Option<ResourceRequirements>,
    pub probes: BTreeMap<probe::Kind, probe::History>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    pub kill_at: Timestamp,
    pub pre_stop: Work,
    /// The kill time the runtime was told last.
    pub told: Option<Timestamp>,
    /// The runtime failed to: not before this.
    pub retry_at: Option<Timestamp>,
}

/// The node put the pod out; it is `Failed` with this reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Eviction {
    pub reason: String,
    pub message: String,
    pub grace_seconds: Option<i64>,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The node never took it.
    Refusal,
    /// Its own doing: its deadline, its limits.
    Own,
    /// It is not to blame; a `DisruptionTarget` condition tells controllers so.
    Disruption,
}
