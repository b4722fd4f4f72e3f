//! A container's life in the shim: started, watched, ended, forgotten.
//!
//! ```text
//! (config.json) ──start──▶ Starting ──execve──▶ Running ──reaped──▶ Ended
//!                              └──────failed or killed──────────────▶ Ended (code 128)
//! ```

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::pipe::{PipeFlags, pipe_with};

use super::complain;
use super::events::{Asker, Shim, Token};
use super::output::{Log, Sink};
use crate::cgroup::{CgroupPath, Purpose};
use crate::launch::{self, Launch, Pod, Report, Stdio};
use crate::protocol::{Answer, ContainerProgress, ContainerRecord, Notice, Refusal, SandboxFiles, Stream};
use crate::spec::{ContainerConfig, PidMode};
use crate::status::{ContainerState, Exit, ExitReason, ResolvedUser};
use crate::sys::{self, Ended, Forked};

/// One read of a container's output.
const OUTPUT_BYTES: usize = 16 * 1024;

pub(super) struct Container {
    pub(super) id: String,
    pub(super) user: Option<ResolvedUser>,
    life: Life,
    /// Its first process, until it is reaped.
    init: Option<Init>,
    cgroup: CgroupPath,
    /// Process 1 of a namespace of its own, with which all its processes end.
    is_namespace_init: bool,
    log: Log,
    pub(super) has_terminal: bool,
    pub(super) takes_stdin: bool,
    pub(super) stdin_once: bool,
    /// Standard input's other end; with a terminal its controlling side, which is then the output too.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) outputs: Vec<Output>,
    pub(super) sinks: Vec<(Token, Sink)>,
}

enum Life {
    /// With a `failure` only its end is waited for, so that whoever is told may remove it at once.
    Starting {
        asker: Asker,
        channel: OwnedFd,
        token: Token,
        is_ready: bool,
        failure: Option<String>,
    },
    Running {
        started_at_ns: i64,
    },
    Ended {
        started_at_ns: Option<i64>,
        exit: Exit,
    },
}

struct Init {
    pid: i32,
    pidfd: OwnedFd,
}

pub(super) struct Output {
    pub(super) stream: Stream,
    pub(super) fd: OwnedFd,
    pub(super) token: Token,
}

impl Container {
    pub(super) fn pid(&self) -> Option<i32> {
        self.init.as_ref().map(|init| init.pid)
    }

    pub(super) fn is_starting(&self) -> bool {
        matches!(self.life, Life::Starting { .. })
    }

    pub(super) fn progress(&self) -> ContainerProgress {
        let state = match &self.life {
            Life::Starting { .. } => ContainerState::Created,
            Life::Running { started_at_ns } => {
                ContainerState::Running { pid: self.pid().unwrap_or(0) as u32, started_at_ns: *started_at_ns }
            }
            Life::Ended { started_at_ns, exit } => ContainerState::Exited { started_at_ns: *started_at_ns, exit: exit.clone() },
        };
        ContainerProgress { state, user: self.user.clone() }
    }

    pub(super) fn cgroup(&self) -> &CgroupPath {
        &self.cgroup
    }

    pub(super) fn kill(&self) {
        if let Some(init) = &self.init {
            let _ = sys::send_signal(&init.pidfd, libc::SIGKILL);
        }
    }

    /// The process to join and the cgroup to be in, for one more command.
    pub(super) fn joinable(&self) -> Result<(&OwnedFd, &CgroupPath, &ResolvedUser), Refusal> {
        match (&self.life, &self.init, &self.user) {
            (Life::Running { .. }, Some(init), Some(user)) => Ok((&init.pidfd, &self.cgroup, user)),
            _ => Err(Refusal::WrongState(format!("container `{}` is not running", self.id))),
        }
    }
}

/// The ends of a container's streams: what the command gets, and what the shim keeps.
pub(super) struct Ends {
    pub(super) command: Stdio,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) outputs: Vec<(Stream, OwnedFd)>,
}

/// Pipes; the shim's ends do not block.
pub(super) fn stream_ends(tty: bool, takes_stdin: bool) -> Result<Ends, Refusal> {
    if tty {
        return Ok(Ends { command: Stdio::Terminal, stdin: None, outputs: Vec::new() });
    }
    let fail = |error: std::io::Error| Refusal::Failed(format!("make streams: {error}"));
    let pipe = || -> std::io::Result<(OwnedFd, OwnedFd)> { Ok(pipe_with(PipeFlags::CLOEXEC)?) };
    let (stdin, ours) = match takes_stdin {
        true => {
            let (theirs, ours) = pipe().map_err(fail)?;
            (theirs, Some(ours))
        }
        false => (fs::File::open("/dev/null").map_err(fail)?.into(), None),
    };
    let ((out_ours, stdout), (err_ours, stderr)) = (pipe().map_err(fail)?, pipe().map_err(fail)?);
    for fd in [Some(&out_ours), Some(&err_ours), ours.as_ref()].into_iter().flatten() {
        rustix::io::ioctl_fionbio(fd, true).map_err(|error| fail(error.into()))?;
    }
    let outputs = vec![(Stream::Stdout, out_ours), (Stream::Stderr, err_ours)];
    Ok(Ends { command: Stdio::Streams { stdin, stdout, stderr }, stdin: ours, outputs })
}

impl Shim {
    pub(super) fn start(&mut self, id: &str, asker: Asker) -> Result<(), Refusal> {
        if self.containers.contains_key(id) {
            return Err(Refusal::WrongState(format!("container `{id}` has been started before")));
        }
        let config = self.read_config(id)?;
        let cgroup = self.record.cgroup.child(id);
        self.make_cgroup(&cgroup, &config).map_err(Refusal::StartFailed)?;
        let result = self.launch(id, &config, cgroup.clone(), asker);
        if result.is_err() {
            self.record.cgroups.remove_if_empty(&cgroup);
        }
        result
    }

    pub(super) fn read_config(&self, id: &str) -> Result<ContainerConfig, Refusal> {
        let path = SandboxFiles(&self.directory).config(id);
        let text = fs::read(&path).map_err(|error| Refusal::NotFound(format!("read {}: {error}", path.display())))?;
        let record: Result<ContainerRecord, _> = serde_json::from_slice(&text);
        record.map(|record| record.config).map_err(|error| Refusal::Failed(format!("read {}: {error}", path.display())))
    }

    fn make_cgroup(&self, cgroup: &CgroupPath, config: &ContainerConfig) -> Result<(), String> {
        let rules = launch::device_rules(config.security.privileged, &config.devices)?;
        self.record.cgroups.make(cgroup, &config.resources, Purpose::Container { devices: rules.as_deref() })
    }

    fn launch(&mut self, id: &str, config: &ContainerConfig, cgroup: CgroupPath, asker: Asker) -> Result<(), Refusal> {
        let log_path = match config.log_path.as_os_str().is_empty() {
            true => PathBuf::new(),
            false => self.record.config.log_directory.join(&config.log_path),
        };
        let log = Log::open(log_path).map_err(Refusal::StartFailed)?;
        let ends = stream_ends(config.tty, config.stdin)?;
        let (channel, reporter) = launch::channel().map_err(|error| Refusal::Failed(format!("make a channel: {error}")))?;
        let directory = SandboxFiles(&self.directory).container(id);
        let pids = self.processes_to_join(config)?;
        let is_namespace_init = pids.is_none() && self.record.config.namespaces.pid == PidMode::Container;
        let own_pids = if is_namespace_init { libc::CLONE_NEWPID } else { 0 };
        let init = match self.fork(own_pids, &cgroup, pids)? {
            Forked::Child => {
                let launch = Launch { config, cgroup: &cgroup, stdio: ends.command, reporter };
                launch::container(&self.pod(), launch, &directory)
            }
            Forked::Parent { pid, pidfd } => Init { pid, pidfd },
        };
        drop((reporter, ends.command));
        let token = self.watch_container_report(id, &channel)?;
        let mut container = Container {
            id: id.to_string(),
            user: None,
            life: Life::Starting { asker, channel, token, is_ready: false, failure: None },
            init: Some(init),
            cgroup,
            is_namespace_init,
            log,
            has_terminal: config.tty,
            takes_stdin: config.stdin,
            stdin_once: config.stdin_once,
            stdin: ends.stdin,
            outputs: Vec::new(),
            sinks: Vec::new(),
        };
        for (stream, fd) in ends.outputs {
            let token = self.watch_output(id, stream, &fd)?;
            container.outputs.push(Output { stream, fd, token });
        }
        self.containers.insert(id.to_string(), container);
        Ok(())
    }

    /// A process whose process namespace the container shares, if it is neither its own nor the host's.
    fn processes_to_join(&self, config: &ContainerConfig) -> Result<Option<&OwnedFd>, Refusal> {
        match &config.process_namespace_of {
            Some(target) => self.find(&target.0).and_then(Container::joinable).map(|(pidfd, _, _)| Some(pidfd)),
            None => Ok(self.held.pod_init.as_ref().map(|(_, pidfd)| pidfd)),
        }
    }

    /// A child in its cgroup, and in the process namespace of `pids` if that is another one.
    pub(super) fn fork(&self, flags: i32, cgroup: &CgroupPath, pids: Option<&OwnedFd>) -> Result<Forked, Refusal> {
        let fail = |step: &str, error: std::io::Error| Refusal::StartFailed(format!("{step}: {error}"));
        let door = self.record.cgroups.door(cgroup).map_err(Refusal::StartFailed)?;
        if let Some(pids) = pids {
            // Applies to children only.
            sys::setns(pids, libc::CLONE_NEWPID).map_err(|error| fail("join the process namespace", error))?;
        }
        let forked = sys::clone3(flags, door.as_ref().map(std::os::fd::AsFd::as_fd));
        if let (Some(_), Ok(Forked::Parent { .. }) | Err(_)) = (pids, &forked) {
            sys::setns(&self.held.own_pids, libc::CLONE_NEWPID).map_err(|error| fail("return to the process namespace", error))?;
        }
        forked.map_err(|error| fail("fork", error))
    }

    pub(super) fn pod(&self) -> Pod<'_> {
        Pod {
            directory: &self.directory,
            namespaces: &self.record.config.namespaces,
            cgroups: &self.record.cgroups,
            host_mounts: &self.held.host_mounts,
        }
    }

    /// Takes the child's reports as far as they have come.
    pub(super) fn container_report(&mut self, id: &str) {
        while let Some(Container { life: Life::Starting { channel, failure: None, .. }, .. }) = self.containers.get(id) {
            match launch::receive(channel) {
                Ok(Some((report, fd))) => self.take_report(id, report, fd),
                Ok(None) => self.report_ended(id),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => self.give_up_start(id, format!("the starting process is not understood: {error}")),
            }
        }
    }

    fn take_report(&mut self, id: &str, report: Report, fd: Option<OwnedFd>) {
        match (report, fd) {
            (Report::Terminal, Some(controller)) => self.take_terminal(id, controller),
            (Report::Terminal, None) => {}
            (Report::Ready { user }, _) => {
                let Some(container) = self.containers.get_mut(id) else { return };
                container.user = Some(user);
                if let Life::Starting { is_ready, .. } = &mut container.life {
                    *is_ready = true;
                }
            }
            (Report::Failed { message }, _) => self.give_up_start(id, message),
        }
    }

    fn take_terminal(&mut self, id: &str, controller: OwnedFd) {
        let _ = rustix::io::ioctl_fionbio(&controller, true);
        let (Ok(copy), Ok(token)) = (controller.try_clone(), self.watch_output(id, Stream::Stdout, &controller)) else { return };
        let Some(container) = self.containers.get_mut(id) else { return };
        container.stdin = Some(copy);
        container.outputs.push(Output { stream: Stream::Stdout, fd: controller, token });
    }

    /// The channel closes by itself when the command starts, and of course when the child dies.
    fn report_ended(&mut self, id: &str) {
        match self.containers.get(id).map(|container| &container.life) {
            Some(Life::Starting { is_ready: true, .. }) => self.started(id),
            _ => self.give_up_start(id, "the container was killed while it was being started".to_string()),
        }
    }

    fn started(&mut self, id: &str) {
        let Some((asker, progress)) = self.leave_starting(id, Life::Running { started_at_ns: sys::now_ns() }) else { return };
        // First to everybody, so that the one who asked finds it running.
        self.tell(&Notice::Started { container: id.to_string(), progress: progress.clone() });
        self.answer(asker, Ok((Answer::Done, Vec::new())));
        self.write_journal(id, &progress);
    }

    fn give_up_start(&mut self, id: &str, message: String) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.kill();
        let Life::Starting { channel, token, failure, .. } = &mut container.life else { return };
        *failure = Some(message);
        let (token, channel) = (*token, channel.try_clone());
        if let Ok(channel) = channel {
            self.unwatch(token, &channel);
        }
    }

    fn start_failed(&mut self, id: &str, message: String) {
        let exit =
            Exit { code: 128, signal: None, finished_at_ns: sys::now_ns(), reason: ExitReason::StartError, message: message.clone() };
        let Some((asker, progress)) = self.leave_starting(id, Life::Ended { started_at_ns: None, exit: exit.clone() }) else { return };
        self.write_journal(id, &progress);
        self.tell(&Notice::Exited { container: id.to_string(), exit });
        self.answer(asker, Err(Refusal::StartFailed(message)));
    }

    fn leave_starting(&mut self, id: &str, next: Life) -> Option<(Asker, ContainerProgress)> {
        let container = self.containers.get_mut(id)?;
        let Life::Starting { asker, channel, token, .. } = std::mem::replace(&mut container.life, next) else { return None };
        let progress = container.progress();
        self.unwatch(token, &channel);
        Some((asker, progress))
    }

    fn write_journal(&self, id: &str, progress: &ContainerProgress) {
        let path = SandboxFiles(&self.directory).journal(id);
        let mut line = serde_json::to_vec(progress).expect("progress is plain data");
        line.push(b'\n');
        // One write, at the end: whenever this process is killed, the lines there are whole.
        let write = |mut file: fs::File| file.write_all(&line);
        if let Err(error) = fs::OpenOptions::new().create(true).append(true).open(&path).and_then(write) {
            complain(&format!("write {}: {error}", path.display()));
        }
    }

    /// Its first process has been reaped.
    pub(super) fn container_ended(&mut self, id: &str, ended: Ended) {
        // It may have started and ended within one turn of the loop.
        self.container_report(id);
        let oom_kills = self.containers.get(id).map_or(0, |container| self.record.cgroups.oom_kills(&container.cgroup));
        self.drain(id);
        let Some(container) = self.containers.get_mut(id) else { return };
        container.init = None;
        if !container.is_namespace_init {
            // Nothing else ends the others with the first.
            self.record.cgroups.kill(&container.cgroup);
        }
        match &mut container.life {
            Life::Starting { failure, .. } => {
                let message = failure.take().unwrap_or_else(|| "the container was killed while it was being started".to_string());
                self.record.cgroups.remove_if_empty(&self.record.cgroup.child(id));
                self.start_failed(id, message);
            }
            Life::Running { started_at_ns } => {
                let exit = exit_of(ended, oom_kills > 0);
                container.life = Life::Ended { started_at_ns: Some(*started_at_ns), exit: exit.clone() };
                let progress = container.progress();
                self.tell(&Notice::Exited { container: id.to_string(), exit });
                self.write_journal(id, &progress);
            }
            Life::Ended { .. } => {}
        }
        self.close_streams(id);
        self.record.cgroups.remove_if_empty(&self.record.cgroup.child(id));
    }

    /// What is still in the pipes belongs into the log before the exit is told.
    fn drain(&mut self, id: &str) {
        let streams: Vec<Stream> =
            self.containers.get(id).map(|container| container.outputs.iter().map(|output| output.stream).collect()).unwrap_or_default();
        for stream in streams {
            while self.read_output(id, stream) {}
        }
    }

    pub(super) fn copy_output(&mut self, id: &str, stream: Stream) {
        self.read_output(id, stream);
    }

    /// Reads once; true when there may be more.
    fn read_output(&mut self, id: &str, stream: Stream) -> bool {
        let mut chunk = [0u8; OUTPUT_BYTES];
        let Some(container) = self.containers.get_mut(id) else { return false };
        let Some(position) = container.outputs.iter().position(|output| output.stream == stream) else { return false };
        match rustix::io::read(&container.outputs[position].fd, &mut chunk) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
            // A terminal ends with an error.
            Ok(0) | Err(_) => {
                self.end_output(id, position);
                false
            }
            Ok(n) => {
                container.log.write(stream, &chunk[..n], &mut self.scratch);
                self.feed_sinks(id, stream, &chunk[..n]);
                true
            }
        }
    }

    fn end_output(&mut self, id: &str, position: usize) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let output = container.outputs.remove(position);
        container.log.write(output.stream, &[], &mut self.scratch);
        self.unwatch(output.token, &output.fd);
    }

    /// Ends the streams of a container that has ended; readers that are behind get the rest first.
    fn close_streams(&mut self, id: &str) {
        while self.containers.get(id).is_some_and(|container| !container.outputs.is_empty()) {
            self.end_output(id, 0);
        }
        let Some(container) = self.containers.get_mut(id) else { return };
        container.stdin = None;
        let done: Vec<Token> = container.sinks.iter().filter(|(_, sink)| !sink.is_behind()).map(|(token, _)| *token).collect();
        done.into_iter().for_each(|token| self.drop_sink(id, token));
    }

    pub(super) fn signal(&mut self, id: &str, signal: i32) -> Result<(), Refusal> {
        let container = self.find(id)?;
        let Some(init) = &container.init else { return Ok(()) };
        if signal == libc::SIGKILL && !container.is_namespace_init {
            self.record.cgroups.kill(&container.cgroup);
        }
        match sys::send_signal(&init.pidfd, signal) {
            // It has ended and will be reaped in a moment.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result.map_err(|error| Refusal::Failed(format!("send signal {signal} to container `{id}`: {error}"))),
        }
    }

    pub(super) fn find(&self, id: &str) -> Result<&Container, Refusal> {
        self.containers.get(id).ok_or_else(|| Refusal::NotFound(format!("container `{id}` has not been started")))
    }

    /// Forgetting one that was never known, or is forgotten, is no error.
    pub(super) fn remove(&mut self, id: &str) -> Result<(), Refusal> {
        let cgroup = self.record.cgroup.child(id);
        if let Some(container) = self.containers.get(id) {
            if container.init.is_some() {
                return Err(Refusal::WrongState(format!("container `{id}` is running")));
            }
            let tokens: Vec<Token> = container.sinks.iter().map(|(token, _)| *token).collect();
            tokens.into_iter().for_each(|token| self.drop_sink(id, token));
            self.containers.remove(id);
        }
        if !self.record.cgroups.remove_if_empty(&cgroup) {
            self.record.cgroups.kill(&cgroup);
        }
        Ok(())
    }

    pub(super) fn reopen_log(&mut self, id: &str) -> Result<(), Refusal> {
        let container = self.containers.get_mut(id).ok_or_else(|| Refusal::NotFound(format!("container `{id}` has not been started")))?;
        container.log.reopen().map_err(|error| Refusal::Failed(format!("open the log of container `{id}` again: {error}")))
    }
}

fn exit_of(ended: Ended, was_out_of_memory: bool) -> Exit {
    let code = ended.code();
    let reason = match code {
        0 => ExitReason::Completed,
        _ if was_out_of_memory => ExitReason::OomKilled,
        _ => ExitReason::Error,
    };
    let signal = if let Ended::Signal(signal) = ended { Some(signal) } else { None };
    Exit { code, signal, finished_at_ns: sys::now_ns(), reason, message: String::new() }
}
