//! Further commands in a running container (exec). Their streams go straight to the runtime that asked; the shim starts
//! them, reaps them and tells their exit codes.

use std::os::fd::OwnedFd;

use super::container::stream_ends;
use super::events::{Asker, Shim, Token};
use crate::launch::{self, Launch, Report};
use crate::protocol::{Answer, Notice, Refusal, Stream};
use crate::spec::PidMode;
use crate::sys::{self, Ended, Forked};

pub(super) struct Session {
    pub(super) pid: i32,
    pidfd: OwnedFd,
    starting: Option<Starting>,
}

struct Starting {
    asker: Asker,
    channel: OwnedFd,
    token: Token,
    is_ready: bool,
    streams: Vec<(Stream, OwnedFd)>,
}

impl Shim {
    pub(super) fn exec(&mut self, id: &str, command: &[String], tty: bool, stdin: bool, asker: Asker) -> Result<(), Refusal> {
        if command.is_empty() {
            return Err(Refusal::StartFailed("no command is given".to_string()));
        }
        let config = self.read_config(id)?;
        let (init, cgroup, user) = self.find(id)?.joinable()?;
        let ends = stream_ends(tty, stdin)?;
        let (channel, reporter) = launch::channel().map_err(|error| Refusal::Failed(format!("make a channel: {error}")))?;
        let pids = (self.record.config.namespaces.pid != PidMode::Host).then_some(init);
        let (pid, pidfd) = match self.fork(0, cgroup, pids)? {
            Forked::Child => {
                let launch = Launch { config: &config, cgroup, stdio: ends.command, reporter };
                launch::exec(&self.pod(), launch, command, user, std::os::fd::AsFd::as_fd(init))
            }
            Forked::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop((reporter, ends.command));
        let mut streams = ends.outputs;
        streams.extend(ends.stdin.map(|stdin| (Stream::Stdin, stdin)));
        self.last_session += 1;
        let number = self.last_session;
        let token = self.watch_session_report(number, &channel)?;
        let starting = Some(Starting { asker, channel, token, is_ready: false, streams });
        self.sessions.insert(number, Session { pid, pidfd, starting });
        Ok(())
    }

    /// Takes the child's reports as far as they have come.
    pub(super) fn session_report(&mut self, number: u64) {
        loop {
            let Some(Session { starting: Some(starting), .. }) = self.sessions.get_mut(&number) else { return };
            match launch::receive(&starting.channel) {
                Ok(Some((Report::Terminal, fd))) => starting.streams.extend(fd.map(|fd| (Stream::Terminal, fd))),
                Ok(Some((Report::Ready { .. }, _))) => starting.is_ready = true,
                Ok(Some((Report::Failed { message }, _))) => self.settle_session(number, Err(Refusal::StartFailed(message))),
                Ok(None) if starting.is_ready => self.settle_session(number, Ok(())),
                Ok(None) => {
                    self.settle_session(number, Err(Refusal::StartFailed("the command was killed while it was being started".to_string())))
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => self.settle_session(number, Err(Refusal::Failed(format!("the starting process is not understood: {error}")))),
            }
        }
    }

    fn settle_session(&mut self, number: u64, outcome: Result<(), Refusal>) {
        let Some(starting) = self.sessions.get_mut(&number).and_then(|session| session.starting.take()) else { return };
        self.unwatch(starting.token, &starting.channel);
        let (streams, fds): (Vec<Stream>, Vec<OwnedFd>) = starting.streams.into_iter().unzip();
        self.answer(starting.asker, outcome.map(|()| (Answer::Session { session: number, streams }, fds)));
    }

    pub(super) fn session_ended(&mut self, number: u64, ended: Ended) {
        // It may have started and ended within one turn of the loop.
        self.session_report(number);
        self.sessions.remove(&number);
        self.tell(&Notice::SessionEnded { session: number, code: ended.code() });
    }

    /// One that has ended is no error.
    pub(super) fn kill_session(&mut self, number: u64) -> Result<(), Refusal> {
        if let Some(session) = self.sessions.get(&number) {
            let _ = sys::send_signal(&session.pidfd, libc::SIGKILL);
        }
        Ok(())
    }
}
