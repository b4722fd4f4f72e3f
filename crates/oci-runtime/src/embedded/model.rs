//! What is known of sandboxes and containers: plain maps, changed only by what shims say and by what is created and removed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::link::Link;
use crate::cgroup::CgroupPath;
use crate::protocol::{ContainerProgress, ContainerRecord, SandboxFiles, SandboxRecord};
use crate::runtime::{Error, Result};
use crate::spec::{ContainerId, Rootfs, SandboxId};
use crate::status::{ContainerState, ContainerStatus, SandboxState, SandboxStatus};

#[derive(Default)]
pub(super) struct Model {
    pub(super) sandboxes: BTreeMap<SandboxId, Sandbox>,
    pub(super) containers: BTreeMap<ContainerId, ContainerStatus>,
}

pub(super) struct Sandbox {
    pub(super) directory: PathBuf,
    pub(super) cgroup: CgroupPath,
    pub(super) log_directory: PathBuf,
    pub(super) status: SandboxStatus,
    /// To its shim, while that runs.
    pub(super) link: Option<Arc<Link>>,
    /// It has been asked to stop, so that the end of the shim is no surprise.
    pub(super) is_stopping: bool,
    /// Its shim is being started and has not answered yet.
    pub(super) is_starting: bool,
}

impl Sandbox {
    pub(super) fn new(directory: PathBuf, record: SandboxRecord) -> Sandbox {
        let status = SandboxStatus {
            id: SandboxId(record.id),
            metadata: record.config.metadata,
            state: SandboxState::NotReady,
            created_at_ns: record.created_at_ns,
            labels: record.config.labels,
            annotations: record.config.annotations,
            caller_dir: SandboxFiles(&directory).caller(),
        };
        Sandbox {
            directory,
            cgroup: record.cgroup,
            log_directory: record.config.log_directory,
            status,
            link: None,
            is_stopping: false,
            is_starting: false,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.link.is_some() || self.is_starting
    }

    pub(super) fn link(&self) -> Result<Arc<Link>> {
        self.link.clone().ok_or_else(|| Error::WrongState(format!("sandbox `{}` is not running", self.status.id.0)))
    }
}

impl Model {
    pub(super) fn sandbox(&self, id: &SandboxId) -> Result<&Sandbox> {
        self.sandboxes.get(id).ok_or_else(|| Error::NotFound { what: "sandbox", id: id.0.clone() })
    }

    pub(super) fn container(&self, id: &ContainerId) -> Result<&ContainerStatus> {
        self.containers.get(id).ok_or_else(|| Error::NotFound { what: "container", id: id.0.clone() })
    }

    /// The container and its sandbox.
    pub(super) fn place(&self, id: &ContainerId) -> Result<(&ContainerStatus, &Sandbox)> {
        let container = self.container(id)?;
        Ok((container, self.sandbox(&container.sandbox)?))
    }

    pub(super) fn set_progress(&mut self, id: &ContainerId, progress: ContainerProgress) {
        let Some(status) = self.containers.get_mut(id) else { return };
        // What has ended stays ended, however late an older message is.
        if !matches!(status.state, ContainerState::Exited { .. }) {
            status.state = progress.state;
        }
        if progress.user.is_some() {
            status.user = progress.user;
        }
    }
}

/// The status of a container of which nothing but its configuration is known.
pub(super) fn created(sandbox: &SandboxId, directory: &Path, log_directory: &Path, record: ContainerRecord) -> ContainerStatus {
    let ContainerRecord { id, created_at_ns, config } = record;
    let writable = SandboxFiles(directory).container(&id).join("upper");
    ContainerStatus {
        id: ContainerId(id),
        sandbox: sandbox.clone(),
        metadata: config.metadata,
        image: config.image,
        image_id: config.image_id,
        state: ContainerState::Created,
        created_at_ns,
        labels: config.labels,
        annotations: config.annotations,
        log_path: if config.log_path.as_os_str().is_empty() { PathBuf::new() } else { log_directory.join(config.log_path) },
        user: None,
        writable_layer: matches!(config.rootfs, Rootfs::Overlay { .. }).then_some(writable),
        tty: config.tty,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
    }
}
