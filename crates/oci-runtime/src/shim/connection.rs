//! One runtime on the other end of the socket. There may be none, or for a moment two (an old one and its successor).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::protocol::{Call, Inbox, Message, Outgoing};

/// A runtime that reads nothing for so long is cut off; it can connect again.
const N_OUTGOING_MAX: usize = 10_000;

pub(super) struct Connection {
    socket: UnixStream,
    inbox: Inbox,
    outgoing: VecDeque<Outgoing>,
}

impl Connection {
    pub(super) fn new(socket: UnixStream) -> Connection {
        Connection { socket, inbox: Inbox::default(), outgoing: VecDeque::new() }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What has been asked; an error when the connection is of no more use.
    pub(super) fn receive(&mut self) -> io::Result<Vec<Call>> {
        let is_open = match self.inbox.receive_some(&self.socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            result => result?,
        };
        let mut calls = Vec::new();
        while let Some((call, _)) = self.inbox.take::<Call>()? {
            calls.push(call);
        }
        if calls.is_empty() && !is_open {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(calls)
    }

    pub(super) fn queue(&mut self, message: &Message, fds: Vec<OwnedFd>) {
        self.outgoing.push_back(Outgoing::new(message, fds));
    }

    /// Sends what can be sent now; whether more is waiting.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while let Some(first) = self.outgoing.front_mut() {
            match first.send_some(&self.socket) {
                Ok(true) => drop(self.outgoing.pop_front()),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.outgoing.len() < N_OUTGOING_MAX => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
