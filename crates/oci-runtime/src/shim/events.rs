//! The shim's one loop: waits for any of its descriptors and does what has become due.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::complain;
use super::connection::Connection;
use super::container::Container;
use super::session::Session;
use super::setup::Held;
use crate::protocol::{Answer, Call, Message, Notice, Refusal, Request, SandboxRecord, Stream};
use crate::sys;

/// Names a descriptor in the epoll set. Never used twice, so an event for something that is gone finds nothing.
pub(super) type Token = u64;

/// Whom an answer goes to.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    connection: Token,
    number: u64,
}

/// What a descriptor in the epoll set belongs to.
#[derive(Clone)]
enum Source {
    Listener,
    Signals,
    Connection,
    ContainerReport(String),
    SessionReport(u64),
    Output { container: String, stream: Stream },
    Sink { container: String },
}

pub(super) struct Shim {
    pub(super) directory: PathBuf,
    pub(super) record: SandboxRecord,
    pub(super) held: Held,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) sessions: BTreeMap<u64, Session>,
    pub(super) last_session: u64,
    /// Shared by all logs; its size is that of one read.
    pub(super) scratch: Vec<u8>,
    listener: UnixListener,
    signals: OwnedFd,
    epoll: OwnedFd,
    sources: BTreeMap<Token, Source>,
    connections: BTreeMap<Token, Connection>,
    last_token: Token,
    stopping: Option<Asker>,
}

/// While stopping, a cgroup may take a moment longer to become empty than its last process takes to be reaped.
const STOP_RETRY: rustix::event::Timespec = rustix::event::Timespec { tv_sec: 0, tv_nsec: 3_000_000 };

impl Shim {
    pub(super) fn new(
        directory: PathBuf,
        record: SandboxRecord,
        listener: UnixListener,
        held: Result<Held, String>,
    ) -> Result<Shim, String> {
        let held = held.or_else(|message| tell_first_caller(&listener, message))?;
        // Terminals and service managers send these to whole groups; the pods of a node do not end with them.
        for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGTERM] {
            sys::ignore_signal(signal);
        }
        let signals = sys::signalfd(&[libc::SIGCHLD]).map_err(|error| format!("watch for signals: {error}"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| format!("make an epoll set: {error}"))?;
        let mut shim = Shim {
            directory,
            record,
            held,
            containers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_session: 0,
            scratch: Vec::new(),
            listener,
            signals,
            epoll,
            sources: BTreeMap::new(),
            connections: BTreeMap::new(),
            last_token: 0,
            stopping: None,
        };
        let (listener, signals) = (shim.next_token(Source::Listener), shim.next_token(Source::Signals));
        let add = |fd, token| epoll::add(&shim.epoll, fd, EventData::new_u64(token), EventFlags::IN);
        add(shim.listener.as_fd(), listener)
            .and_then(|()| add(shim.signals.as_fd(), signals))
            .map_err(|error| format!("watch: {error}"))?;
        Ok(shim)
    }

    /// Returns when the pod has been stopped.
    pub(super) fn serve(mut self) -> Result<(), String> {
        let mut events = Vec::with_capacity(16);
        loop {
            let timeout = self.stopping.map(|_| STOP_RETRY);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("wait: {error}")),
            }
            for event in events.drain(..) {
                let token = event.data.u64();
                let Some(source) = self.sources.get(&token).cloned() else { continue };
                self.handle(token, source, event.flags);
            }
            if self.stopping.is_some() && self.finish_stop() {
                return Ok(());
            }
        }
    }

    fn handle(&mut self, token: Token, source: Source, flags: EventFlags) {
        match source {
            Source::Listener => self.accept(),
            Source::Signals => self.reap(),
            Source::Connection => self.converse(token, flags),
            Source::ContainerReport(container) => self.container_report(&container),
            Source::SessionReport(session) => self.session_report(session),
            Source::Output { container, stream } => self.copy_output(&container, stream),
            Source::Sink { container } => self.flush_sink(&container, token),
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            let token = self.next_token(Source::Connection);
            if epoll::add(&self.epoll, &socket, EventData::new_u64(token), EventFlags::IN).is_ok() {
                self.connections.insert(token, Connection::new(socket));
            }
        }
    }

    fn converse(&mut self, token: Token, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.flush(token);
        }
        let Some(connection) = self.connections.get_mut(&token) else { return };
        match connection.receive() {
            Ok(calls) => calls.into_iter().for_each(|call| self.answer_call(token, call)),
            Err(_) => self.hang_up(token),
        }
    }

    fn hang_up(&mut self, token: Token) {
        self.sources.remove(&token);
        self.connections.remove(&token);
    }

    fn answer_call(&mut self, connection: Token, call: Call) {
        let asker = Asker { connection, number: call.number };
        let done = |result: Result<(), Refusal>| Some(result.map(|()| (Answer::Done, Vec::new())));
        // `None` is answered later.
        let outcome = match call.request {
            Request::State => Some(Ok((self.state(), Vec::new()))),
            Request::Start { container } => self.start(&container, asker).err().map(Err),
            Request::Signal { container, signal } => done(self.signal(&container, signal)),
            Request::Remove { container } => done(self.remove(&container)),
            Request::Exec { container, command, tty, stdin } => self.exec(&container, &command, tty, stdin, asker).err().map(Err),
            Request::KillSession { session } => done(self.kill_session(session)),
            Request::Attach { container } => Some(self.attach(&container)),
            Request::Socket { ipv6 } => Some(socket_of_pod(ipv6).map(|fd| (Answer::Socket, vec![fd]))),
            Request::ReopenLog { container } => done(self.reopen_log(&container)),
            Request::Stop => {
                self.stopping = Some(asker);
                self.kill_everything();
                None
            }
        };
        if let Some(outcome) = outcome {
            self.answer(asker, outcome);
        }
    }

    fn state(&self) -> Answer {
        let containers = self
            .containers
            .values()
            .filter(|container| !container.is_starting())
            .map(|container| (container.id.clone(), container.progress()));
        Answer::State { shim_pid: std::process::id(), containers: containers.collect() }
    }

    pub(super) fn answer(&mut self, asker: Asker, outcome: Result<(Answer, Vec<OwnedFd>), Refusal>) {
        let (outcome, fds) = match outcome {
            Ok((answer, fds)) => (Ok(answer), fds),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        let Some(connection) = self.connections.get_mut(&asker.connection) else { return };
        connection.queue(&Message::Answer { number: asker.number, outcome }, fds);
        self.flush(asker.connection);
    }

    /// To whoever is there; who comes later asks for the state.
    pub(super) fn tell(&mut self, notice: &Notice) {
        let tokens: Vec<Token> = self.connections.keys().copied().collect();
        for token in tokens {
            if let Some(connection) = self.connections.get_mut(&token) {
                connection.queue(&Message::Notice(notice.clone()), Vec::new());
                self.flush(token);
            }
        }
    }

    fn flush(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let flags = match connection.flush() {
            Ok(true) => EventFlags::IN | EventFlags::OUT,
            Ok(false) => EventFlags::IN,
            Err(_) => return self.hang_up(token),
        };
        let _ = epoll::modify(&self.epoll, connection.fd(), EventData::new_u64(token), flags);
    }

    fn reap(&mut self) {
        // One record stands for any number of dead children.
        let mut record = [0u8; 128];
        while rustix::io::read(&self.signals, &mut record).is_ok_and(|n| n > 0) {}
        while let Some((pid, ended)) = sys::reap() {
            if let Some(id) = self.containers.values().find(|container| container.pid() == Some(pid)).map(|container| container.id.clone())
            {
                self.container_ended(&id, ended);
            } else if let Some(id) = self.sessions.iter().find(|(_, session)| session.pid == pid).map(|(id, _)| *id) {
                self.session_ended(id, ended);
            }
        }
    }

    /// Container by container: a successor of this sandbox may have its containers in the same pod's cgroup.
    fn kill_everything(&mut self) {
        for container in self.containers.values() {
            self.record.cgroups.kill(container.cgroup());
            container.kill();
        }
        if let Some((_, pidfd)) = &self.held.pod_init {
            let _ = sys::send_signal(pidfd, libc::SIGKILL);
        }
    }

    /// True when nothing is left and that has been said.
    fn finish_stop(&mut self) -> bool {
        let cgroups = &self.record.cgroups;
        let is_gone = |container: &Container| container.pid().is_none() && cgroups.remove_if_empty(container.cgroup());
        if !self.containers.values().all(is_gone) {
            self.kill_everything();
            return false;
        }
        if let Some(asker) = self.stopping.take() {
            self.answer(asker, Ok((Answer::Done, Vec::new())));
        }
        true
    }

    fn next_token(&mut self, source: Source) -> Token {
        self.last_token += 1;
        self.sources.insert(self.last_token, source);
        self.last_token
    }

    fn watch(&mut self, fd: impl AsFd, source: Source, flags: EventFlags) -> Result<Token, Refusal> {
        let token = self.next_token(source);
        match epoll::add(&self.epoll, fd, EventData::new_u64(token), flags) {
            Ok(()) => Ok(token),
            Err(error) => {
                self.sources.remove(&token);
                Err(Refusal::Failed(format!("watch a descriptor: {error}")))
            }
        }
    }

    pub(super) fn watch_container_report(&mut self, container: &str, fd: impl AsFd) -> Result<Token, Refusal> {
        self.watch(fd, Source::ContainerReport(container.to_string()), EventFlags::IN)
    }

    pub(super) fn watch_session_report(&mut self, session: u64, fd: impl AsFd) -> Result<Token, Refusal> {
        self.watch(fd, Source::SessionReport(session), EventFlags::IN)
    }

    pub(super) fn watch_output(&mut self, container: &str, stream: Stream, fd: impl AsFd) -> Result<Token, Refusal> {
        self.watch(fd, Source::Output { container: container.to_string(), stream }, EventFlags::IN)
    }

    /// Without flags the kernel still tells when the other side closes.
    pub(super) fn watch_sink(&mut self, container: &str, fd: impl AsFd) -> Result<Token, Refusal> {
        self.watch(fd, Source::Sink { container: container.to_string() }, EventFlags::empty())
    }

    pub(super) fn rewatch(&self, token: Token, fd: impl AsFd, flags: EventFlags) {
        let _ = epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags);
    }

    /// To be called before the descriptor is closed, or a copy of it elsewhere would keep its events coming.
    pub(super) fn unwatch(&mut self, token: Token, fd: impl AsFd) {
        self.sources.remove(&token);
        let _ = epoll::delete(&self.epoll, fd);
    }
}

fn socket_of_pod(ipv6: bool) -> Result<OwnedFd, Refusal> {
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::STREAM, flags, None).map_err(|error| Refusal::Failed(format!("make a socket in the pod: {error}")))
}

/// The pod could not be made: the one waiting for it gets the reason, and the shim ends.
fn tell_first_caller(listener: &UnixListener, message: String) -> Result<Held, String> {
    let tell = || -> io::Result<()> {
        listener.set_nonblocking(false)?;
        let (socket, _) = listener.accept()?;
        let mut connection = Connection::new(socket);
        let call = loop {
            rustix::event::poll(&mut [rustix::event::PollFd::from_borrowed_fd(connection.fd(), rustix::event::PollFlags::IN)], None)?;
            if let Some(call) = connection.receive()?.into_iter().next() {
                break call;
            }
        };
        let outcome = Err(Refusal::Failed(message.clone()));
        connection.queue(&Message::Answer { number: call.number, outcome }, Vec::new());
        connection.flush().map(drop)
    };
    if let Err(error) = tell() {
        complain(&format!("nobody to tell that the pod could not be made: {error}"));
    }
    Err(message)
}
