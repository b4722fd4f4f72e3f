//! Containers: written down when created, started and signalled through the shim, removed with their writable layer.

use std::path::{Component, Path};
use std::time::Duration;

use super::adoption::append_journal;
use super::sandboxes::remove_tree;
use super::{ANSWER_TIMEOUT, EmbeddedRuntime, KILL_TIMEOUT, START_TIMEOUT, blocking, io_error, model, spawn};
use crate::capability::Capabilities;
use crate::protocol::{ContainerProgress, ContainerRecord, Request, SandboxFiles};
use crate::runtime::{Error, Event, Result};
use crate::spec::{ContainerConfig, ContainerId, MountSource, SandboxId, Seccomp};
use crate::status::{ContainerState, Exit, ExitReason};
use crate::{seccomp, sys};

impl EmbeddedRuntime {
    pub(super) async fn make_container(&self, sandbox: &SandboxId, config: ContainerConfig) -> Result<ContainerId> {
        validate(&config)?;
        let (directory, log_directory) = {
            let model = self.model();
            let sandbox = model.sandbox(sandbox)?;
            sandbox.link()?;
            (sandbox.directory.clone(), sandbox.log_directory.clone())
        };
        let id = spawn::new_id().map_err(io_error("make an id".to_string()))?;
        let record = ContainerRecord { id: id.clone(), created_at_ns: sys::now_ns(), config };
        let status = model::created(sandbox, &directory, &log_directory, record.clone());
        blocking(move || {
            let files = SandboxFiles(&directory);
            let write = || {
                spawn::make_private_dir(&files.container(&record.id))?;
                spawn::write_json(&files.config(&record.id), &record)
            };
            write().map_err(io_error(format!("write container `{}`", record.id)))
        })
        .await?;
        let id = ContainerId(id);
        self.model().containers.insert(id.clone(), status);
        Ok(id)
    }

    pub(super) async fn start(&self, id: &ContainerId) -> Result<()> {
        let (link, state, sandbox, journal) = {
            let model = self.model();
            let (container, sandbox) = model.place(id)?;
            (sandbox.link()?, container.state.clone(), container.sandbox.clone(), SandboxFiles(&sandbox.directory).journal(&id.0))
        };
        if state != ContainerState::Created {
            return Err(Error::WrongState(format!("container `{}` has been started before", id.0)));
        }
        let result = link.call(Request::Start { container: id.0.clone() }, START_TIMEOUT).await;
        if let Err(Error::StartFailed(message)) = &result {
            // The shim has told its end already, unless it did not come as far as a process.
            if self.model().container(id).is_ok_and(|status| status.state == ContainerState::Created) {
                let finished_at_ns = sys::now_ns();
                let exit = Exit { code: 128, signal: None, finished_at_ns, reason: ExitReason::StartError, message: message.clone() };
                let state = ContainerState::Exited { started_at_ns: None, exit: exit.clone() };
                append_journal(&journal, &ContainerProgress { state, user: None });
                self.container_exited(sandbox, id.clone(), exit);
            }
        }
        result.map(drop)
    }

    pub(super) async fn stop(&self, id: &ContainerId, signal: i32, grace: Duration) -> Result<()> {
        let mut events = self.shared.events.subscribe();
        let Ok(link) = self.model().place(id).and_then(|(_, sandbox)| sandbox.link()) else { return Ok(()) };
        if self.exit_of(id)?.is_some() || self.model().container(id)?.state == ContainerState::Created {
            return Ok(());
        }
        if !grace.is_zero() {
            link.call(Request::Signal { container: id.0.clone(), signal }, ANSWER_TIMEOUT).await?;
            if tokio::time::timeout(grace, self.wait_for_exit(id, &mut events)).await.is_ok() {
                return Ok(());
            }
        }
        link.call(Request::Signal { container: id.0.clone(), signal: libc::SIGKILL }, ANSWER_TIMEOUT).await?;
        match tokio::time::timeout(KILL_TIMEOUT, self.wait_for_exit(id, &mut events)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::DeadlineExceeded(format!("container `{}` does not end although it was killed", id.0))),
        }
    }

    fn exit_of(&self, id: &ContainerId) -> Result<Option<Exit>> {
        let model = self.model();
        Ok(match &model.container(id)?.state {
            ContainerState::Exited { exit, .. } => Some(exit.clone()),
            ContainerState::Created | ContainerState::Running { .. } => None,
        })
    }

    /// `events` must have been subscribed to before whatever may end the container.
    pub(super) async fn wait_for_exit(&self, id: &ContainerId, events: &mut tokio::sync::broadcast::Receiver<Event>) -> Result<Exit> {
        loop {
            if let Some(exit) = self.exit_of(id)? {
                return Ok(exit);
            }
            // Each event, or having missed some, is a reason to look again.
            if let Err(tokio::sync::broadcast::error::RecvError::Closed) = events.recv().await {
                return Err(Error::WrongState("the runtime is shutting down".to_string()));
            }
        }
    }

    pub(super) async fn forget_container(&self, id: &ContainerId) -> Result<()> {
        if self.model().container(id).is_err() {
            return Ok(());
        }
        self.stop(id, libc::SIGKILL, Duration::ZERO).await?;
        let (link, directory, cgroup) = {
            let model = self.model();
            let (_, sandbox) = model.place(id)?;
            (sandbox.link.clone(), SandboxFiles(&sandbox.directory).container(&id.0), sandbox.cgroup.child(&id.0))
        };
        if let Some(link) = link {
            link.call(Request::Remove { container: id.0.clone() }, ANSWER_TIMEOUT).await?;
        }
        let cgroups = self.shared.cgroups.clone();
        blocking(move || {
            cgroups.destroy(&cgroup, KILL_TIMEOUT).map_err(Error::DeadlineExceeded)?;
            remove_tree(&directory)
        })
        .await?;
        self.model().containers.remove(id);
        Ok(())
    }
}

/// Refuses what could never be started.
fn validate(config: &ContainerConfig) -> Result<()> {
    let invalid = |text: String| Err(Error::Invalid(text));
    if config.args.is_empty() {
        return invalid("no command specified".to_string());
    }
    for mount in &config.mounts {
        let path = &mount.destination;
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) || path == Path::new("/") {
            return invalid(format!("mount destination `{}` is not an absolute path below the root", path.display()));
        }
        if path.starts_with("/proc") {
            return invalid(format!("\"{}\" cannot be mounted because it is inside /proc", path.display()));
        }
        if let MountSource::SubPath { sub_path, .. } | MountSource::Image { sub_path, .. } = &mount.source
            && !sub_path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return invalid(format!("subPath `{}` must be relative and not contain `..`", sub_path.display()));
        }
    }
    if config.env.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return invalid("an environment variable has no name, or a `=` in it".to_string());
    }
    if config.log_path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return invalid(format!("log path `{}` leads out of the log directory", config.log_path.display()));
    }
    let security = &config.security;
    Capabilities::for_container(&security.capabilities_add, &security.capabilities_drop).map_err(Error::Invalid)?;
    if let Seccomp::Localhost(json) = &security.seccomp {
        seccomp::localhost(json).map_err(Error::Invalid)?;
    }
    Ok(())
}
