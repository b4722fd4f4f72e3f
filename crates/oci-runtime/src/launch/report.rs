//! What the child tells the shim on its way: one packet each, and the end of the channel when the command runs.

use std::convert::Infallible;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use crate::status::ResolvedUser;
use crate::sys;

/// Longer sentences are cut; the packets must fit a buffer of the receiver.
const REPORT_BYTES_MAX: usize = 8192;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The controlling side of the command's terminal comes along.
    Terminal,
    /// Everything is settled but execve itself.
    Ready {
        user: ResolvedUser,
    },
    Failed {
        message: String,
    },
}

/// The child's end.
#[derive(Clone)]
pub(crate) struct Reporter(Rc<OwnedFd>);

/// The shim's end (not blocking) and the child's.
pub(crate) fn channel() -> io::Result<(OwnedFd, Reporter)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((ours, Reporter(Rc::new(theirs))))
}

impl Reporter {
    pub(super) fn send(&self, report: &Report) {
        self.send_with(report, None);
    }

    pub(super) fn send_terminal(&self, controller: OwnedFd) {
        self.send_with(&Report::Terminal, Some(controller));
    }

    fn send_with(&self, report: &Report, fd: Option<OwnedFd>) {
        let text = serde_json::to_vec(report).unwrap_or_default();
        let fds = fd.as_ref().map(|fd| [fd.as_fd()]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if let Some(fds) = &fds {
            ancillary.push(SendAncillaryMessage::ScmRights(fds));
        }
        // If the shim is gone there is nobody to tell.
        let _ = sendmsg(&*self.0, &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL);
    }

    /// Tells why the command does not run, and ends the child.
    pub(super) fn end(&self, outcome: std::thread::Result<Result<Infallible, String>>) -> ! {
        let mut message = match outcome {
            Ok(Ok(never)) => match never {},
            Ok(Err(message)) => message,
            Err(_) => "starting the command hit a fault in the runtime; the sandbox's shim.log has more".to_string(),
        };
        message.truncate(message.floor_char_boundary(REPORT_BYTES_MAX / 8));
        self.send(&Report::Failed { message });
        sys::exit_now(1)
    }
}

/// The next report, `None` at the end, `WouldBlock` when there is none yet.
pub(crate) fn receive(channel: &OwnedFd) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
    let mut bytes = [0u8; REPORT_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let report = serde_json::from_slice(&bytes[..received.bytes]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some((report, fd)))
}
