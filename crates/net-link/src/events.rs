//! What others do to the kernel's network: somebody flushes all nftables rules, a cable is pulled and put back.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, RawFd};

use rustix::io::Errno;

use crate::netlink::{Result, Socket, attribute, read_u32, text_of};
use crate::route::RouteSocket;

const NFTABLES_DELETE_TABLE: u16 = (10 << 8) | 2;
const TABLE_NAME: u16 = 1;
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const LINK_NAME: u16 = 3;

/// Waits without blocking: the descriptor is readable when there may be something.
pub struct Events {
    socket: Socket,
    of: Of,
}

enum Of {
    Table(String),
    /// Links whose names begin so are not looked at, nor these indexes.
    OtherLinks {
        prefix: String,
        own: HashSet<u32>,
    },
}

impl Events {
    /// The removal of this table.
    pub fn of_table(table: &str) -> Result<Self> {
        Ok(Events { socket: Socket::nftables_events()?, of: Of::Table(table.to_owned()) })
    }

    /// Changes of links, and of their addresses, that are not this cluster's.
    pub fn of_other_links(prefix: &str) -> Result<Self> {
        let socket = Socket::link_events()?;
        let own = RouteSocket::open()?.links()?.into_iter().filter(|link| link.name.starts_with(prefix)).map(|link| link.index).collect();
        Ok(Events { socket, of: Of::OtherLinks { prefix: prefix.to_owned(), own } })
    }

    /// Reads all that is there; true when something of the kind happened.
    pub fn drain(&mut self) -> Result<bool> {
        let Events { socket, of } = self;
        let mut has_happened = false;
        loop {
            let step = "read the kernel's network events";
            let outcome = socket.receive(step, |event| {
                has_happened |= of.concerns(event.kind, event.body);
                false
            });
            match outcome {
                Ok(_) => {}
                Err(error) if error.errno == Errno::AGAIN => return Ok(has_happened),
                // So much happened that some of it was lost.
                Err(error) if error.errno == Errno::NOBUFS => has_happened = true,
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }
}

impl Of {
    fn concerns(&mut self, kind: u16, body: &[u8]) -> bool {
        let fields = |header: usize| body.get(header..).unwrap_or(&[]);
        let index = read_u32(fields(4));
        match (self, kind) {
            (Of::Table(table), NFTABLES_DELETE_TABLE) => {
                attribute(fields(4), TABLE_NAME).is_some_and(|name| text_of(name) == table.as_str())
            }
            (Of::OtherLinks { prefix, own }, NEW_LINK | DELETE_LINK) => {
                let is_own = attribute(fields(16), LINK_NAME).is_some_and(|name| text_of(name).starts_with(prefix.as_str()));
                if is_own && kind == NEW_LINK {
                    own.insert(index);
                } else if kind == DELETE_LINK {
                    own.remove(&index);
                }
                !is_own
            }
            (Of::OtherLinks { own, .. }, NEW_ADDRESS | DELETE_ADDRESS) => !own.contains(&index),
            _ => false,
        }
    }
}
