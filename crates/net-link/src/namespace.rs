//! Doing something inside another network namespace, without any caller's thread ever leaving its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netlink::{Error, Result};

/// Opens `/proc/<pid>/ns/net` or a bind mount of one.
pub fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::new(format!("open the network namespace `{}`", path.display()), errno))
}

/// Runs `work` on a new thread that has moved into the namespace and ends afterwards.
pub fn within<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let step = "enter a network namespace";
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|errno| Error::new(step, errno))?;
            work()
        });
        thread.map_err(|error| Error::io(step, error))?.join().unwrap_or_else(|_| Err(Error::new(step, Errno::IO)))
    })
}
