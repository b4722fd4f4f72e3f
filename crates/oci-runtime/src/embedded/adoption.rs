//! Finding again what an earlier process left running, and settling what a dead shim left behind.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::link::Link;
use super::model::{self, Sandbox};
use super::{ANSWER_TIMEOUT, EmbeddedRuntime, blocking, io_error, spawn};
use crate::protocol::{Answer, ContainerProgress, ContainerRecord, Notice, Request, SandboxFiles, SandboxRecord};
use crate::runtime::{Error, Event, Result};
use crate::spec::{ContainerId, SandboxId};
use crate::status::{ContainerState, ContainerStatus, Exit, ExitReason, SandboxState};
use crate::sys;

impl EmbeddedRuntime {
    pub(super) async fn adopt_all(&self) -> Result<()> {
        let root = self.shared.root.join("sandboxes");
        let directories = blocking(move || sandbox_directories(&root)).await?;
        let tasks: Vec<_> = directories.into_iter().map(|directory| tokio::spawn(self.clone().adopt(directory))).collect();
        for task in tasks {
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a sandbox could not be found again"),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        Ok(())
    }

    async fn adopt(self, directory: PathBuf) -> Result<()> {
        let place = directory.clone();
        let Some((record, containers)) = blocking(move || Ok(read_sandbox(&place))).await? else {
            // Made, but not yet written when the process died: nothing was ever started in it.
            return blocking(move || fs::remove_dir_all(&directory).map_err(io_error(format!("remove {}", directory.display())))).await;
        };
        let sandbox = Sandbox::new(directory.clone(), record);
        let id = sandbox.status.id.clone();
        let containers: Vec<ContainerStatus> = containers
            .into_iter()
            .map(|(record, progress)| {
                let mut status = model::created(&id, &directory, &sandbox.log_directory, record);
                if let Some(progress) = progress {
                    (status.state, status.user) = (progress.state, progress.user);
                }
                status
            })
            .collect();
        {
            let mut model = self.model();
            model.sandboxes.insert(id.clone(), sandbox);
            model.containers.extend(containers.into_iter().map(|status| (status.id.clone(), status)));
        }
        match spawn::connect(&directory) {
            Ok(socket) => match self.link_up(&id, socket, None).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    tracing::warn!(sandbox = id.0, %error, "a shim does not answer; its sandbox counts as lost");
                    self.settle(&id).await
                }
            },
            Err(_) => self.settle(&id).await,
        }
    }

    /// Gets to know a shim and keeps listening to it. `child` is its process id if this process has to reap it.
    pub(super) async fn link_up(&self, id: &SandboxId, socket: UnixStream, child: Option<i32>) -> Result<()> {
        let link = Arc::new(Link::new(&id.0, socket).map_err(io_error("watch the shim's socket".to_string()))?);
        let (runtime, listener, sandbox) = (self.clone(), link.clone(), id.clone());
        tokio::spawn(async move {
            listener.listen(|notice| runtime.take_notice(&sandbox, notice)).await;
            runtime.shim_ended(&sandbox, &listener).await;
            if let Some(pid) = child {
                let reap = move || {
                    sys::wait_if_child(pid);
                    Ok(())
                };
                let _ = blocking(reap).await;
            }
        });
        let Answer::State { shim_pid, containers } = link.call(Request::State, ANSWER_TIMEOUT).await?.answer else {
            return Err(Error::ShimGone { id: id.0.clone() });
        };
        let mut model = self.model();
        for (container, progress) in containers {
            model.set_progress(&ContainerId(container), progress);
        }
        let sandbox = model.sandboxes.get_mut(id).ok_or_else(|| Error::NotFound { what: "sandbox", id: id.0.clone() })?;
        sandbox.status.state = SandboxState::Ready { shim_pid, netns: PathBuf::from(format!("/proc/{shim_pid}/ns/net")) };
        sandbox.link = Some(link);
        Ok(())
    }

    fn take_notice(&self, sandbox: &SandboxId, notice: Notice) {
        let sandbox = sandbox.clone();
        match notice {
            Notice::Started { container, progress } => {
                let container = ContainerId(container);
                self.model().set_progress(&container, progress);
                self.announce(Event::ContainerStarted { sandbox, container });
            }
            Notice::Exited { container, exit } => self.container_exited(sandbox, ContainerId(container), exit),
            // Sessions are the link's own affair.
            Notice::SessionEnded { .. } => {}
        }
    }

    pub(super) fn container_exited(&self, sandbox: SandboxId, container: ContainerId, exit: Exit) {
        {
            let mut model = self.model();
            let Some(status) = model.containers.get(&container) else { return };
            let started_at_ns = match status.state {
                ContainerState::Exited { .. } => return,
                ContainerState::Running { started_at_ns, .. } => Some(started_at_ns),
                ContainerState::Created => None,
            };
            let state = ContainerState::Exited { started_at_ns, exit: exit.clone() };
            model.set_progress(&container, ContainerProgress { state, user: None });
        }
        self.announce(Event::ContainerExited { sandbox, container, exit });
    }

    async fn shim_ended(&self, id: &SandboxId, link: &Arc<Link>) {
        let is_expected = {
            let mut model = self.model();
            let Some(sandbox) = model.sandboxes.get_mut(id) else { return };
            // Not linked yet: whoever is waiting for the first answer deals with it.
            if !sandbox.link.as_ref().is_some_and(|own| Arc::ptr_eq(own, link)) {
                return;
            }
            sandbox.link = None;
            sandbox.status.state = SandboxState::NotReady;
            sandbox.is_stopping
        };
        if is_expected {
            return;
        }
        tracing::error!(sandbox = id.0, "a shim ended without being asked to; its containers are killed");
        if let Err(error) = self.settle(id).await {
            tracing::error!(sandbox = id.0, %error, "what a dead shim left could not be cleaned up");
        }
        self.announce(Event::SandboxLost { sandbox: id.clone() });
    }

    /// Without its shim nothing of a pod may run on: kills what is left and counts it as ended.
    pub(super) async fn settle(&self, id: &SandboxId) -> Result<()> {
        let directory = {
            let mut model = self.model();
            let Some(sandbox) = model.sandboxes.get_mut(id) else { return Ok(()) };
            sandbox.link = None;
            sandbox.status.state = SandboxState::NotReady;
            sandbox.directory.clone()
        };
        let place = directory.clone();
        blocking(move || {
            spawn::kill_shim(&place);
            Ok(())
        })
        .await?;
        let killed = self.destroy_cgroups(id).await;
        let unsettled: Vec<ContainerStatus> = self.model().containers.values().filter(|status| status.sandbox == *id).cloned().collect();
        for status in unsettled.into_iter().filter(|status| matches!(status.state, ContainerState::Running { .. })) {
            // The shim may have written an end that nobody has read.
            let written = read_journal(&SandboxFiles(&directory).journal(&status.id.0)).map(|progress| progress.state);
            let exit = match written {
                Some(ContainerState::Exited { exit, .. }) => exit,
                _ => self.unseen_exit(&directory, &status),
            };
            self.container_exited(id.clone(), status.id, exit);
        }
        killed
    }

    fn unseen_exit(&self, directory: &Path, status: &ContainerStatus) -> Exit {
        let message = "the container's shim was gone before the container ended".to_string();
        let exit = Exit { code: 255, signal: None, finished_at_ns: sys::now_ns(), reason: ExitReason::Unknown, message };
        let started_at_ns = if let ContainerState::Running { started_at_ns, .. } = status.state { Some(started_at_ns) } else { None };
        let progress = ContainerProgress { state: ContainerState::Exited { started_at_ns, exit: exit.clone() }, user: status.user.clone() };
        append_journal(&SandboxFiles(directory).journal(&status.id.0), &progress);
        exit
    }
}

fn sandbox_directories(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(root).map_err(io_error(format!("read {}", root.display())))?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

type Found = (SandboxRecord, Vec<(ContainerRecord, Option<ContainerProgress>)>);

fn read_sandbox(directory: &Path) -> Option<Found> {
    let files = SandboxFiles(directory);
    let record = serde_json::from_slice(&fs::read(files.record()).ok()?).ok()?;
    let entries = fs::read_dir(files.containers()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let containers = names.filter_map(|id| {
        let config = serde_json::from_slice(&fs::read(files.config(&id)).ok()?).ok()?;
        Some((config, read_journal(&files.journal(&id))))
    });
    Some((record, containers.collect()))
}

/// The last line that is whole.
fn read_journal(path: &Path) -> Option<ContainerProgress> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

pub(super) fn append_journal(path: &Path, progress: &ContainerProgress) {
    let line = serde_json::to_string(progress).expect("progress is plain data") + "\n";
    let write = |mut file: fs::File| file.write_all(line.as_bytes());
    if let Err(error) = fs::OpenOptions::new().create(true).append(true).open(path).and_then(write) {
        tracing::warn!(path = %path.display(), %error, "a container's end could not be written down");
    }
}
