//! Throw-away network namespaces. Each lives as long as its thread, so nothing is left behind, also after a failure.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc;

use net_link::route::{Changes, LinkSettings, RouteSocket};

type Work = Box<dyn FnOnce() + Send>;

/// A network namespace of its own, with `lo` up; work is done on its thread.
pub(crate) struct Namespace {
    work: mpsc::Sender<Work>,
    pub(crate) path: PathBuf,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let (work, queue) = mpsc::channel::<Work>();
        let (tell_path, path) = mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: only this thread's network namespace changes, and it shares no descriptors that depend on it.
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.expect("root may make a namespace");
            let up = LinkSettings { up: true, ..LinkSettings::default() };
            RouteSocket::open().and_then(|mut socket| socket.commit(Changes::default().set_link("lo", &up))).expect("lo comes up");
            let path = format!("/proc/self/task/{}/ns/net", rustix::thread::gettid().as_raw_nonzero());
            tell_path.send(PathBuf::from(path)).expect("the maker waits");
            for work in queue {
                work();
            }
        });
        Namespace { work, path: path.recv().expect("the thread tells") }
    }

    /// A node has an address of its own, on whichever link.
    pub(crate) fn with_addresses(addresses: &'static [&'static str]) -> Self {
        let namespace = Namespace::new();
        namespace.run(move || {
            let mut socket = RouteSocket::open().expect("a socket");
            let lo = socket.link("lo").expect("lo").index;
            let mut changes = Changes::default();
            for address in addresses {
                let address: IpAddr = address.parse().expect("an address");
                changes.add_address(lo, address, if address.is_ipv4() { 32 } else { 128 });
            }
            socket.commit(&mut changes).expect("addresses on lo");
        });
        namespace
    }

    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, outcome) = mpsc::channel();
        self.work.send(Box::new(move || drop(tell.send(work())))).expect("the thread lives");
        outcome.recv().expect("the work ends without a panic")
    }
}

/// Says so and returns false when not root.
pub(crate) fn may_run(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: {test} needs root");
    }
    is_root
}
