//! Sandboxes: made with a shim, stopped by it, removed with their directory.

use std::fs;
use std::path::{Path, PathBuf};

use super::model::Sandbox;
use super::{EmbeddedRuntime, KILL_TIMEOUT, blocking, io_error, spawn};
use crate::cgroup::CgroupPath;
use crate::launch::{HOSTNAME, RESOLV_CONF};
use crate::protocol::{Request, SandboxFiles, SandboxRecord};
use crate::runtime::{Error, Result};
use crate::spec::{SandboxConfig, SandboxId};
use crate::status::SandboxState;
use crate::sys;

impl EmbeddedRuntime {
    pub(super) async fn make_sandbox(&self, config: SandboxConfig) -> Result<SandboxId> {
        let cgroup = validate(&config)?;
        let id = spawn::new_id().map_err(io_error("make an id".to_string()))?;
        let directory = self.shared.root.join("sandboxes").join(&id);
        let record = SandboxRecord {
            id: id.clone(),
            created_at_ns: sys::now_ns(),
            cgroups: self.shared.cgroups.clone(),
            cgroup,
            shims_cgroup: self.shared.shims_cgroup.clone(),
            config,
        };
        let id = SandboxId(id);
        let mut sandbox = Sandbox::new(directory.clone(), record.clone());
        sandbox.is_starting = true;
        self.model().sandboxes.insert(id.clone(), sandbox);
        let result = self.start_shim(&id, directory, record).await;
        if let Some(sandbox) = self.model().sandboxes.get_mut(&id) {
            sandbox.is_starting = false;
        }
        if result.is_err() {
            // The reason of the first failure is worth more than a second one.
            let _ = self.forget_sandbox(&id).await;
        }
        result.map(|()| id)
    }

    async fn start_shim(&self, id: &SandboxId, directory: PathBuf, record: SandboxRecord) -> Result<()> {
        let (shared, place) = (self.shared.clone(), directory.clone());
        let (socket, pid) = blocking(move || {
            write_sandbox(&place, &record).map_err(io_error(format!("write {}", place.display())))?;
            spawn::shim(&shared.binary, &place).map_err(io_error("start the sandbox's shim".to_string()))
        })
        .await?;
        self.link_up(id, socket, Some(pid)).await.map_err(|error| match error {
            Error::ShimGone { .. } => {
                let reason = spawn::last_line(&SandboxFiles(&directory).shim_log());
                Error::Io { step: "start the sandbox's shim".to_string(), source: std::io::Error::other(reason) }
            }
            other => other,
        })
    }

    pub(super) async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        let link = {
            let mut model = self.model();
            let Some(sandbox) = model.sandboxes.get_mut(id) else { return Ok(()) };
            sandbox.is_stopping = true;
            sandbox.link.clone()
        };
        let Some(link) = link else { return Ok(()) };
        match link.call(Request::Stop, KILL_TIMEOUT).await {
            Ok(_) => {
                if let Some(sandbox) = self.model().sandboxes.get_mut(id) {
                    sandbox.link = None;
                    sandbox.status.state = SandboxState::NotReady;
                }
                self.destroy_cgroups(id).await
            }
            // Dead or stuck: the cgroup is killed from outside.
            Err(error) => {
                tracing::warn!(sandbox = id.0, %error, "a shim could not stop its pod");
                self.settle(id).await
            }
        }
    }

    pub(super) async fn forget_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.stop_sandbox(id).await?;
        let Ok(directory) = self.model().sandbox(id).map(|sandbox| sandbox.directory.clone()) else { return Ok(()) };
        self.destroy_cgroups(id).await?;
        blocking(move || remove_tree(&directory)).await?;
        let mut model = self.model();
        model.containers.retain(|_, status| status.sandbox != *id);
        model.sandboxes.remove(id);
        Ok(())
    }
}

impl EmbeddedRuntime {
    /// Kills what is left of the sandbox's own containers and removes their cgroups; the pod's cgroup too, unless another
    /// sandbox of the pod lives in it.
    pub(super) async fn destroy_cgroups(&self, id: &SandboxId) -> Result<()> {
        let (pod, containers, is_last) = {
            let model = self.model();
            let Ok(sandbox) = model.sandbox(id) else { return Ok(()) };
            let own = model.containers.values().filter(|status| status.sandbox == *id);
            let containers: Vec<CgroupPath> = own.map(|status| sandbox.cgroup.child(&status.id.0)).collect();
            let is_live = |other: &Sandbox| other.status.id != *id && other.cgroup == sandbox.cgroup && other.is_live();
            (sandbox.cgroup.clone(), containers, !model.sandboxes.values().any(is_live))
        };
        let cgroups = self.shared.cgroups.clone();
        blocking(move || {
            let destroy = |path: &CgroupPath| cgroups.destroy(path, KILL_TIMEOUT).map_err(Error::DeadlineExceeded);
            containers.iter().try_for_each(destroy)?;
            if is_last {
                cgroups.leave(&pod);
            }
            Ok(())
        })
        .await
    }
}

fn validate(config: &SandboxConfig) -> Result<CgroupPath> {
    if config.namespaces.users.is_some() {
        return Err(Error::Invalid("pods with user namespaces (hostUsers: false) are not supported by this runtime".to_string()));
    }
    CgroupPath::parse(&config.cgroup_parent).map_err(Error::Invalid)
}

fn write_sandbox(directory: &Path, record: &SandboxRecord) -> std::io::Result<()> {
    let files = SandboxFiles(directory);
    spawn::make_private_dir(directory)?;
    spawn::make_private_dir(&files.containers())?;
    spawn::make_private_dir(&files.caller())?;
    if let Some(text) = &record.config.resolv_conf {
        fs::write(directory.join(RESOLV_CONF), text)?;
    }
    if !record.config.hostname.is_empty() {
        fs::write(directory.join(HOSTNAME), format!("{}\n", record.config.hostname))?;
    }
    // Last, for it makes the directory a sandbox.
    spawn::write_json(&files.record(), record)
}

/// A directory already gone is fine.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(format!("remove {}", path.display()))(error)),
        _ => Ok(()),
    }
}
