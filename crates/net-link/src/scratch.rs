//! A network namespace for trials.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use rustix::io::Errno;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::netlink::{Error, Result};
use crate::route::{Changes, LinkSettings, RouteSocket};

type Work = Box<dyn FnOnce() + Send>;

/// A network namespace with `lo` up. It lives as long as its thread, so nothing is left behind, also after a failure.
pub struct Scratch {
    work: mpsc::Sender<Work>,
    path: PathBuf,
}

impl Scratch {
    pub fn new() -> Result<Self> {
        let (work, queue) = mpsc::channel::<Work>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = tell.send(enter_new());
            for work in queue {
                work();
            }
        });
        let path = told.recv().unwrap_or_else(|_| Err(Error::new("make a network namespace", Errno::IO)))?;
        Ok(Scratch { work, path })
    }

    /// With addresses of its own on `lo`, as a node has some.
    pub fn with_addresses(addresses: &[IpAddr]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let addresses = addresses.to_vec();
        scratch.run(move || {
            let mut socket = RouteSocket::open()?;
            let lo = socket.link("lo")?.index;
            let mut changes = Changes::default();
            for address in addresses {
                changes.add_address(lo, address, if address.is_ipv4() { 32 } else { 128 });
            }
            socket.commit(&mut changes)
        })?;
        Ok(scratch)
    }

    /// Where others find the namespace.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` inside. Threads it starts are inside too.
    ///
    /// # Panics
    /// When `work` does.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, outcome) = mpsc::channel();
        self.work.send(Box::new(move || drop(tell.send(work())))).expect("the thread lives as long as this");
        outcome.recv().expect("the work ends without a panic")
    }
}

fn enter_new() -> Result<PathBuf> {
    // SAFETY: only this thread's network namespace changes, and it holds no descriptor that depends on it.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|errno| Error::new("make a network namespace", errno))?;
    let up = LinkSettings { up: true, ..LinkSettings::default() };
    RouteSocket::open()?.commit(Changes::default().set_link("lo", &up))?;
    Ok(PathBuf::from(format!("/proc/self/task/{}/ns/net", rustix::thread::gettid().as_raw_nonzero())))
}
