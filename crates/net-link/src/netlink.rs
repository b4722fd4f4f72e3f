//! Netlink framing and sockets: messages of nested attributes, acknowledged requests, dumps, notifications.
//!
//! Own code rather than a crate: the wire is a page long, and the crates at hand lack the nftables expressions used here
//! (nat, masquerade, numgen, dynset, fib) or are GPL.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

const HEADER_LEN: usize = 16;
pub const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

pub const REQUEST: u16 = 0x1;
pub const ACK: u16 = 0x4;
pub const DUMP: u16 = 0x300;
pub const REPLACE: u16 = 0x100;
pub const EXCL: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;

/// The answer to a dump may miss or repeat rows.
const DUMP_INTERRUPTED: u16 = 0x10;

const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;
/// The kernel answers within microseconds; a machine that cannot in this time is not going to.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// One request with all endpoints of 5,000 services is 4 MB; this leaves room for twenty times that.
const BUFFER_BYTES_MAX: usize = 96 << 20;
/// Tables of a busy host may change during every dump, but not ten times in a row.
const DUMP_TRIES_MAX: usize = 10;
/// The kernel fills dump messages up to 32 KiB.
const RECEIVE_BYTES: usize = 64 << 10;

/// A refused request. `step` says what was wanted of the kernel, on which object.
#[derive(Debug, Clone)]
pub struct Error {
    pub step: String,
    pub errno: Errno,
    /// The kernel's own words, where it has some (extended acknowledgement).
    pub detail: Option<String>,
}

impl Error {
    pub fn new(step: impl Into<String>, errno: Errno) -> Self {
        Error { step: step.into(), errno, detail: None }
    }
    pub fn io(step: impl Into<String>, error: std::io::Error) -> Self {
        Error::new(step, Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
    /// The thing is already gone, or was never there.
    pub fn is_absent(&self) -> bool {
        matches!(self.errno, Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::NXIO | Errno::ADDRNOTAVAIL)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.step, std::io::Error::from(self.errno))?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}
impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

/// Messages laid end to end, ready to be sent in one call.
#[derive(Default)]
pub struct Messages {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
}

impl Messages {
    /// One message: `fixed` is the family's own header (`ifinfomsg`, `nfgenmsg`), `body` writes the attributes.
    pub fn add(&mut self, kind: u16, flags: u16, fixed: &[u8], body: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        // Sequence numbers count from 0 here; the socket adds its own base when it sends.
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(fixed);
        pad(&mut self.bytes);
        body(&mut Attributes { bytes: &mut self.bytes });
        let len = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
        self.count += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Sets flags of the message added last.
    pub(crate) fn ask_of_last(&mut self, flags: u16) {
        let last = self.count - 1;
        self.headers(|header| {
            if read_u32(&header[8..]) == last {
                header[6] |= flags as u8;
            }
        });
    }

    fn headers(&mut self, mut each: impl FnMut(&mut [u8])) {
        let mut at = 0;
        while at < self.bytes.len() {
            let len = read_u32(&self.bytes[at..]) as usize;
            each(&mut self.bytes[at..at + HEADER_LEN]);
            at += len.next_multiple_of(4);
        }
    }
}

/// Writes attributes; numbers are in host order (rtnetlink) or, with `_be`, in network order (nfnetlink).
pub struct Attributes<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    pub fn raw(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        pad(self.bytes);
        self
    }
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        self.bytes.extend_from_slice(&((value.len() + 5) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        pad(self.bytes);
        self
    }
    pub fn u8(&mut self, kind: u16, value: u8) -> &mut Self {
        self.raw(kind, &[value])
    }
    pub fn u16_be(&mut self, kind: u16, value: u16) -> &mut Self {
        self.raw(kind, &value.to_be_bytes())
    }
    pub fn u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.raw(kind, &value.to_ne_bytes())
    }
    pub fn u32_be(&mut self, kind: u16, value: u32) -> &mut Self {
        self.raw(kind, &value.to_be_bytes())
    }
    pub fn u64_be(&mut self, kind: u16, value: u64) -> &mut Self {
        self.raw(kind, &value.to_be_bytes())
    }
    pub fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Attributes<'_>)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        body(&mut Attributes { bytes: self.bytes });
        let len = self.bytes.len() - start;
        debug_assert!(len <= usize::from(u16::MAX), "an attribute holds at most 64 KiB; callers split lists");
        self.bytes[start..start + 2].copy_from_slice(&(len as u16).to_ne_bytes());
        self
    }
    /// Fixed bytes inside a nest that come before its attributes (the peer of a veth).
    pub fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        pad(self.bytes);
        self
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Walks attributes that the kernel wrote; stops at the first malformed one.
pub struct AttributeIter<'a>(pub &'a [u8]);

impl<'a> Iterator for AttributeIter<'a> {
    type Item = (u16, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16::from_ne_bytes(self.0.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.0.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

/// The first attribute of that kind.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    AttributeIter(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

pub fn text_of(value: &[u8]) -> &str {
    let end = value.iter().position(|c| *c == 0).unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).unwrap_or("")
}

pub(crate) fn read_u32(bytes: &[u8]) -> u32 {
    bytes.get(..4).map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}
pub(crate) fn read_u32_be(bytes: &[u8]) -> u32 {
    read_u32(bytes).to_be()
}
fn read_u16(bytes: &[u8]) -> u16 {
    bytes.get(..2).map_or(0, |b| u16::from_ne_bytes([b[0], b[1]]))
}

/// One message of an answer.
pub struct Answer<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// For an error or acknowledgement: the number, 0 when all is well.
    pub(crate) fn errno(&self) -> i32 {
        read_u32(self.body) as i32
    }
    /// The kernel's words in an extended acknowledgement (`NLMSGERR_ATTR_MSG`), which follow the capped original header.
    pub(crate) fn detail(&self) -> Option<String> {
        let text = attribute(self.body.get(4 + HEADER_LEN..)?, 1)?;
        Some(text_of(text).to_owned())
    }
    /// Type of the request that was refused.
    pub(crate) fn refused_kind(&self) -> u16 {
        read_u16(self.body.get(8..).unwrap_or(&[]))
    }
    pub(crate) fn error(&self, step: &str) -> Error {
        Error { step: step.to_owned(), errno: Errno::from_raw_os_error(-self.errno()), detail: self.detail() }
    }
}

/// A socket to one netlink family of one network namespace (that of the thread that opened it, for good).
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    pub fn route() -> Result<Self> {
        Self::open(None, 0)
    }
    pub fn netfilter() -> Result<Self> {
        Self::open(Some(NETFILTER), 0)
    }
    pub(crate) fn nftables_events() -> Result<Self> {
        const TABLES: u32 = 1 << 6;
        Self::open(Some(NETFILTER), TABLES)
    }
    pub(crate) fn link_events() -> Result<Self> {
        const LINKS: u32 = 0x1;
        const ADDRESSES: u32 = 0x10 | 0x100;
        Self::open(None, LINKS | ADDRESSES)
    }

    /// With groups it hears events and never waits; without, it is for requests and waits for their answers.
    fn open(protocol: Option<rustix::net::Protocol>, groups: u32) -> Result<Self> {
        let fault = |errno| Error::new("open a netlink socket", errno);
        let flags = if groups == 0 { SocketFlags::CLOEXEC } else { SocketFlags::CLOEXEC | SocketFlags::NONBLOCK };
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol).map_err(fault)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(fault)?;
        if groups == 0 {
            sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT)).map_err(fault)?;
            // Larger buffers need CAP_NET_ADMIN in the first user namespace; without it large batches are refused.
            let _ = sockopt::set_socket_send_buffer_size_force(&fd, BUFFER_BYTES_MAX);
            let _ = sockopt::set_socket_recv_buffer_size_force(&fd, BUFFER_BYTES_MAX);
        }
        enable(&fd, libc::NETLINK_EXT_ACK);
        enable(&fd, libc::NETLINK_CAP_ACK);
        Ok(Socket { fd, sequence: 1, buffer: vec![0; RECEIVE_BYTES] })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sends messages as they are; answers are read by the caller. Returns the sequence number of the first.
    pub(crate) fn send(&mut self, messages: &mut Messages, step: &str) -> Result<u32> {
        let base = self.sequence;
        messages.headers(|header| {
            let sequence = read_u32(&header[8..]) + base;
            header[8..12].copy_from_slice(&sequence.to_ne_bytes());
        });
        self.sequence = base.wrapping_add(messages.count);
        rustix::net::sendto(&self.fd, &messages.bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
            .map_err(|errno| Error::new(step, errno))?;
        Ok(base)
    }

    /// Reads one datagram and hands over its messages until `each` says stop; returns whether it did.
    pub(crate) fn receive(&mut self, step: &str, mut each: impl FnMut(Answer<'_>) -> bool) -> Result<bool> {
        let len = loop {
            match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, len)) => break len,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::new(step, errno)),
            }
        };
        let mut rest = &self.buffer[..len.min(self.buffer.len())];
        while rest.len() >= HEADER_LEN {
            let len = read_u32(rest) as usize;
            if len < HEADER_LEN || len > rest.len() {
                break;
            }
            let answer = Answer {
                kind: read_u16(&rest[4..]),
                flags: read_u16(&rest[6..]),
                sequence: read_u32(&rest[8..]),
                body: &rest[HEADER_LEN..len],
            };
            if each(answer) {
                return Ok(true);
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        Ok(false)
    }

    /// Sends requests that each ask for an acknowledgement (`ACK`), and waits for all of them. The first refusal is the answer;
    /// `steps` names what each message wants, for its text.
    pub(crate) fn acknowledged(&mut self, mut messages: Messages, steps: &[String]) -> Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let count = messages.count;
        let base = self.send(&mut messages, &steps[0])?;
        let mut first_fault = None;
        let mut n_answered = 0;
        while n_answered < count {
            self.receive(&steps[0], |answer| {
                let Some(idx) = answer.sequence.checked_sub(base).filter(|idx| *idx < count) else { return false };
                if answer.kind == NLMSG_ERROR {
                    n_answered += 1;
                    if answer.errno() != 0 && first_fault.is_none() {
                        first_fault = Some(answer.error(&steps[idx as usize]));
                    }
                }
                n_answered == count
            })?;
        }
        first_fault.map_or(Ok(()), Err)
    }

    /// Sends a dump request and reads each message of the answer. Asks again when the kernel says that what it walked
    /// changed under way.
    pub(crate) fn dump<T>(&mut self, step: &str, request: impl Fn(&mut Messages), read: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<T>> {
        for _ in 0..DUMP_TRIES_MAX {
            let mut messages = Messages::default();
            request(&mut messages);
            let base = self.send(&mut messages, step)?;
            let mut rows = Vec::new();
            let mut outcome = Ok(());
            let mut is_torn = false;
            let mut is_done = false;
            while !is_done {
                is_done = self.receive(step, |answer| {
                    if answer.sequence != base {
                        return false;
                    }
                    is_torn |= answer.flags & DUMP_INTERRUPTED != 0;
                    match answer.kind {
                        NLMSG_DONE => return true,
                        NLMSG_ERROR if answer.errno() != 0 => outcome = Err(answer.error(step)),
                        NLMSG_ERROR => {}
                        _ => {
                            rows.extend(read(answer.body));
                            return false;
                        }
                    }
                    true
                })?;
            }
            outcome?;
            if !is_torn {
                return Ok(rows);
            }
        }
        Err(Error::new(step, Errno::AGAIN))
    }

    /// Sends one request that is answered by one message (and no acknowledgement).
    pub(crate) fn get<T>(&mut self, mut request: Messages, step: &str, read: impl Fn(&[u8]) -> T) -> Result<T> {
        let base = self.send(&mut request, step)?;
        let mut outcome = None;
        while outcome.is_none() {
            self.receive(step, |answer| {
                if answer.sequence != base {
                    return false;
                }
                outcome = Some(match answer.kind {
                    NLMSG_ERROR => Err(answer.error(step)),
                    _ => Ok(read(answer.body)),
                });
                true
            })?;
        }
        outcome.expect("the loop ends when it is set")
    }
}

fn enable(fd: &OwnedFd, option: libc::c_int) {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is an open socket, the value points at a live int whose size is passed. Failure only costs error texts.
    unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    }
}
