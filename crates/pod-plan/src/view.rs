//! How things stand on the host for one pod: what the runtime says, and what the node remembers.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceRequirements;

use crate::memory::Memory;
use crate::pod::BoundPod;

/// The runtime's record of the pod's namespaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandbox {
    pub id: String,
    /// 0 for the first, one more for each that had to be made anew.
    pub attempt: u32,
    pub is_ready: bool,
    pub has_host_network: bool,
    /// The pod's addresses, the node's own family first; empty on the host network.
    pub ips: Vec<String>,
}

/// The runtime's record of one run of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub id: String,
    pub sandbox_id: String,
    pub name: String,
    /// The restart count it was made with.
    pub attempt: u32,
    /// `image` of the container as it stood when this instance was made.
    pub spec_image: String,
    /// What the status shows: the reference that was resolved, and the digest or id it led to.
    pub image: String,
    pub image_id: String,
    pub created_at: Timestamp,
    pub state: State,
    pub user: Option<User>,
    /// What it was made with, limits of the pod as a whole included.
    pub resources: ResourceRequirements,
}

#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Created,
    Running { started_at: Timestamp },
    Exited(Exit),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// Missing when it never ran.
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    pub code: i32,
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`, …
    pub reason: String,
    /// The termination message.
    pub message: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub uid: i64,
    pub gid: i64,
    pub supplemental_groups: Vec<i64>,
}

impl Instance {
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}

/// What `plan` and `status` look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub pod: &'a BoundPod,
    /// The object is no longer in the API: nothing is left to be reported, only to be taken down.
    pub is_gone: bool,
    /// Newest first.
    pub sandboxes: &'a [Sandbox],
    /// Newest first.
    pub instances: &'a [Instance],
    pub memory: &'a Memory,
    /// The node's addresses, primary first.
    pub host_ips: &'a [String],
}

impl<'a> View<'a> {
    /// The newest instance of a container.
    pub fn latest(&self, name: &str) -> Option<&'a Instance> {
        self.instances.iter().find(|i| i.name == name)
    }

    /// No removal of its record is under way, or has to wait.
    pub(crate) fn may_remove(&self, instance: &Instance, now: Timestamp) -> bool {
        self.memory.instances.get(&instance.id).is_none_or(|m| m.remove.may_begin(now))
    }

    pub fn running(&self) -> impl Iterator<Item = &'a Instance> {
        self.instances.iter().filter(|i| i.is_running())
    }

    /// The sandbox new containers go into; the text says why there is none, as the pod's condition shows it.
    pub fn sandbox(&self) -> Result<&'a Sandbox, &'static str> {
        let Some(newest) = self.sandboxes.first() else { return Err("no pod sandbox exists") };
        if self.sandboxes.iter().filter(|s| s.is_ready).count() > 1 {
            return Err("multiple pod sandboxes are ready and need to be reconciled");
        }
        if !newest.is_ready {
            return Err("pod sandbox is not ready");
        }
        if newest.has_host_network != self.pod.is_host_network() {
            return Err("network namespace mode changed and sandbox needs to be recreated");
        }
        if !newest.has_host_network && newest.ips.is_empty() {
            return Err("pod sandbox has no IP address");
        }
        Ok(newest)
    }

    /// The newest instance of a container in the present sandbox: what ran in an earlier one does not count as initialized.
    pub fn active(&self, name: &str) -> Option<&'a Instance> {
        let sandbox = self.sandbox().ok()?;
        self.instances.iter().find(|i| i.name == name && i.sandbox_id == sandbox.id)
    }

    pub fn has_active_regular(&self) -> bool {
        self.pod.spec.containers.iter().any(|c| self.active(&c.name).is_some())
    }
    /// In any sandbox.
    pub fn has_any_regular(&self) -> bool {
        self.pod.spec.containers.iter().any(|c| self.latest(&c.name).is_some())
    }
}
