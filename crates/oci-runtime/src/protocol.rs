//! What the runtime and a shim say to each other over the sandbox's socket.
//!
//! A message is a frame: its length and the number of descriptors that come with it (both 32 bits, little end first), then JSON.
//! Only the shim sends descriptors. A shim may be older than the runtime that finds it again, so fields are only ever added.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cgroup::{CgroupPath, Cgroups};
use crate::spec::{ContainerConfig, SandboxConfig};
use crate::status::{ContainerState, Exit, ResolvedUser};

/// `sandbox.json`: all that a shim needs to know, and all that is known of a sandbox whose shim is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) id: String,
    pub(crate) created_at_ns: i64,
    pub(crate) cgroups: Cgroups,
    pub(crate) cgroup: CgroupPath,
    pub(crate) shims_cgroup: CgroupPath,
    pub(crate) config: SandboxConfig,
}

/// `containers/<id>/config.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) id: String,
    pub(crate) created_at_ns: i64,
    pub(crate) config: ContainerConfig,
}

/// A line of `containers/<id>/journal`; the last one counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerProgress {
    pub(crate) state: ContainerState,
    pub(crate) user: Option<ResolvedUser>,
}

/// Names in a sandbox's directory.
pub(crate) struct SandboxFiles<'a>(pub(crate) &'a Path);

impl SandboxFiles<'_> {
    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("sandbox.json")
    }
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("shim.sock")
    }
    pub(crate) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }
    pub(crate) fn caller(&self) -> PathBuf {
        self.0.join("caller")
    }
    pub(crate) fn containers(&self) -> PathBuf {
        self.0.join("containers")
    }
    pub(crate) fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }
    pub(crate) fn config(&self, id: &str) -> PathBuf {
        self.container(id).join("config.json")
    }
    pub(crate) fn journal(&self, id: &str) -> PathBuf {
        self.container(id).join("journal")
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Everything the shim knows; also the first call, answered when the namespaces stand.
    State,
    Start {
        container: String,
    },
    Signal {
        container: String,
        signal: i32,
    },
    /// Forgets a container that has ended.
    Remove {
        container: String,
    },
    Exec {
        container: String,
        command: Vec<String>,
        tty: bool,
        stdin: bool,
    },
    KillSession {
        session: u64,
    },
    Attach {
        container: String,
    },
    /// A TCP socket in the pod's network namespace, not yet connected.
    Socket {
        ipv6: bool,
    },
    ReopenLog {
        container: String,
    },
    /// Kills everything and, when nothing is left, answers and ends.
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    Answer { number: u64, outcome: Result<Answer, Refusal> },
    Notice(Notice),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    State {
        shim_pid: u32,
        containers: Vec<(String, ContainerProgress)>,
    },
    /// One descriptor a stream, in this order.
    Session {
        session: u64,
        streams: Vec<Stream>,
    },
    Socket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stream {
    Stdin,
    Stdout,
    Stderr,
    /// The controlling side of a terminal: takes input and sizes, and gives the output unless `Stdout` comes along.
    Terminal,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Refusal {
    NotFound(String),
    WrongState(String),
    StartFailed(String),
    Failed(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Notice {
    Started { container: String, progress: ContainerProgress },
    Exited { container: String, exit: Exit },
    SessionEnded { session: u64, code: i32 },
}

/// A message ready to be sent, and how far it is.
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    n_sent: usize,
    fds: Vec<OwnedFd>,
}

impl Outgoing {
    pub(crate) fn new(message: &impl Serialize, fds: Vec<OwnedFd>) -> Outgoing {
        let mut bytes = vec![0; HEADER_BYTES];
        serde_json::to_writer(&mut bytes, message).expect("messages are plain data");
        let length = (bytes.len() - HEADER_BYTES) as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&(fds.len() as u32).to_le_bytes());
        Outgoing { bytes, n_sent: 0, fds }
    }

    /// Sends what the socket takes; true when all is sent.
    pub(crate) fn send_some(&mut self, socket: impl AsFd) -> io::Result<bool> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let borrowed: Vec<_> = self.fds.iter().map(|fd| fd.as_fd()).collect();
        if !borrowed.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
        }
        let n = sendmsg(socket, &[IoSlice::new(&self.bytes[self.n_sent..])], &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        self.n_sent += n;
        // They travel with the first byte.
        self.fds.clear();
        Ok(self.n_sent == self.bytes.len())
    }
}

const HEADER_BYTES: usize = 8;
/// Streams of one session.
const FDS_MAX: usize = 4;
/// Far above any message; a longer one means that the other side has lost the thread.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What has arrived and is not yet taken.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Inbox {
    /// Reads what is there, without waiting; false at the end of the connection.
    pub(crate) fn receive_some(&mut self, socket: impl AsFd) -> io::Result<bool> {
        let mut bytes = [0u8; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        self.bytes.extend_from_slice(&bytes[..received.bytes]);
        Ok(received.bytes > 0)
    }

    /// The next whole message.
    pub(crate) fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Some(header) = self.bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize;
        let (length, n_fds) = (number(0), number(4));
        let broken = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_string());
        if length > MESSAGE_BYTES_MAX {
            return Err(broken("a message is too long"));
        }
        let Some(body) = self.bytes.get(HEADER_BYTES..HEADER_BYTES + length) else { return Ok(None) };
        let message = serde_json::from_slice(body).map_err(|error| broken(&format!("a message is not understood: {error}")))?;
        if self.fds.len() < n_fds {
            return Err(broken("descriptors are missing"));
        }
        let fds = self.fds.drain(..n_fds).collect();
        self.bytes.drain(..HEADER_BYTES + length);
        Ok(Some((message, fds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn messages_and_descriptors_arrive_whole_and_in_order() {
        let (left, right) = UnixStream::pair().expect("a socket pair");
        let container = "c".repeat(9000);
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").expect("opens"));
        let mut inbox = Inbox::default();
        for n_fds in [2usize, 0, 1] {
            let call = Call { number: n_fds as u64, request: Request::Start { container: container.clone() } };
            let mut outgoing = Outgoing::new(&call, (0..n_fds).map(|_| null()).collect());
            assert!(outgoing.send_some(&left).expect("sends"));
        }
        let mut seen = Vec::new();
        while seen.len() < 3 {
            assert!(inbox.receive_some(&right).expect("receives"));
            while let Some((call, fds)) = inbox.take::<Call>().expect("is understood") {
                seen.push((call.number, fds.len()));
            }
        }
        assert_eq!(seen, [(2, 2), (0, 0), (1, 1)]);
        drop(left);
        assert!(!inbox.receive_some(&right).expect("the end"));
    }

    #[test]
    fn nonsense_is_refused() {
        let inbox = |bytes: &[u8]| Inbox { bytes: bytes.to_vec(), fds: VecDeque::new() };
        assert!(inbox(&[255; 20]).take::<Call>().is_err(), "too long");
        assert!(inbox(&[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']).take::<Call>().is_err(), "not a call");
        assert!(inbox(&[2, 0, 0, 0]).take::<Call>().expect("no error yet").is_none(), "half a header");
    }
}
