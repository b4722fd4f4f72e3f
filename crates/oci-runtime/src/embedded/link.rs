//! The connection to one shim: calls with answers, and notices in between.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::protocol::{Answer, Call, Inbox, Message, Notice, Outgoing, Refusal, Request};
use crate::runtime::{Error, Result};

pub(super) struct Link {
    sandbox: String,
    socket: UnixStream,
    last_number: AtomicU64,
    /// Held while a message is written, so that messages do not mix.
    writing: tokio::sync::Mutex<()>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    is_closed: bool,
    answers: HashMap<u64, oneshot::Sender<Result<Answered, Refusal>>>,
    sessions: HashMap<u64, oneshot::Sender<i32>>,
}

pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) fds: Vec<OwnedFd>,
    /// The exit code of a session's command.
    pub(super) ended: Option<oneshot::Receiver<i32>>,
}

impl Link {
    pub(super) fn new(sandbox: &str, socket: std::os::unix::net::UnixStream) -> io::Result<Link> {
        socket.set_nonblocking(true)?;
        Ok(Link {
            sandbox: sandbox.to_string(),
            socket: UnixStream::from_std(socket)?,
            last_number: AtomicU64::new(0),
            writing: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    pub(super) async fn call(&self, request: Request, timeout: Duration) -> Result<Answered> {
        let what = format!("{request:?}");
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => {
                let what: String = what.chars().take(60).collect();
                Err(Error::DeadlineExceeded(format!("the shim of sandbox `{}` did not answer `{what}` within {timeout:?}", self.sandbox)))
            }
        }
    }

    async fn exchange(&self, request: Request) -> Result<Answered> {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.is_closed {
                return Err(self.gone());
            }
            waiting.answers.insert(number, sender);
        }
        if self.send(Outgoing::new(&Call { number, request }, Vec::new())).await.is_err() {
            self.waiting().answers.remove(&number);
            return Err(self.gone());
        }
        match receiver.await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(refusal)) => Err(self.error(refusal)),
            Err(_) => Err(self.gone()),
        }
    }

    async fn send(&self, mut message: Outgoing) -> io::Result<()> {
        let _writing = self.writing.lock().await;
        loop {
            self.socket.writable().await?;
            match self.socket.try_io(Interest::WRITABLE, || message.send_some(self.socket.as_fd())) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads until the shim is gone; `notice` is called in the order in which things happened.
    pub(super) async fn listen(&self, notice: impl Fn(Notice)) {
        let mut inbox = Inbox::default();
        if let Err(error) = self.read_all(&mut inbox, &notice).await {
            tracing::warn!(sandbox = self.sandbox, %error, "lost the connection to a shim");
        }
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        waiting.answers.clear();
        waiting.sessions.clear();
    }

    async fn read_all(&self, inbox: &mut Inbox, notice: &impl Fn(Notice)) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            match self.socket.try_io(Interest::READABLE, || inbox.receive_some(self.socket.as_fd())) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            while let Some((message, fds)) = inbox.take::<Message>()? {
                match message {
                    Message::Answer { number, outcome } => self.answered(number, outcome, fds),
                    Message::Notice(Notice::SessionEnded { session, code }) => {
                        if let Some(sender) = self.waiting().sessions.remove(&session) {
                            let _ = sender.send(code);
                        }
                    }
                    Message::Notice(other) => notice(other),
                }
            }
        }
    }

    fn answered(&self, number: u64, outcome: Result<Answer, Refusal>, fds: Vec<OwnedFd>) {
        let mut waiting = self.waiting();
        let mut ended = None;
        // Set up here and not by the caller, who may be slower than the command.
        if let Ok(Answer::Session { session: session @ 1.., .. }) = &outcome {
            let (sender, receiver) = oneshot::channel();
            waiting.sessions.insert(*session, sender);
            ended = Some(receiver);
        }
        if let Some(sender) = waiting.answers.remove(&number) {
            let _ = sender.send(outcome.map(|answer| Answered { answer, fds, ended }));
        }
    }

    fn error(&self, refusal: Refusal) -> Error {
        match refusal {
            // The shim does not know what was never started, which is for callers the wrong state and not the wrong name.
            Refusal::NotFound(text) | Refusal::WrongState(text) => Error::WrongState(text),
            Refusal::StartFailed(text) => Error::StartFailed(text),
            Refusal::Failed(text) => {
                Error::Io { step: text, source: io::Error::other(format!("refused by the shim of sandbox `{}`", self.sandbox)) }
            }
        }
    }

    fn gone(&self) -> Error {
        Error::ShimGone { id: self.sandbox.clone() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
