//! The store: etcd's semantics over one in-memory tree, made durable by an engine.
//!
//! One revision counts all writes. A write is a small transaction guarded by modification revisions; it is acknowledged and
//! published only once it is durable. Every read, list and watch is answered from memory: `Store` *is* the watch cache, and
//! values are shared, never copied. Engines: `Log` (embedded, one server), memory (tests and simulation); etcd comes behind
//! the same engine seam by feeding the tree from one whole-keyspace watch.
//!
//! Start with `store` (what callers see), then `writer` (the way of a write), `tree` (what is kept), `feed` and `watcher` (how watchers learn)
//! and `log` (what is on disk).
//!
//! Not here: anything about objects. Keys are text `/<group>/<resource>/[<namespace>/]<name>`; values are bytes.

#![forbid(unsafe_code)]

mod change;
mod disk;
mod feed;
mod history;
mod leases;
mod log;
mod shared;
mod store;
mod tree;
mod watcher;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

pub use history::HistoryLimits;
pub use store::{LogStatus, Options, Status, Store};
pub use watcher::{WatchEnd, Watcher};

/// The one counter of all writes; a client sees it as `resourceVersion`. An empty store stands at 1, so 0 never names a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Arc<str>,
    pub value: Bytes,
    pub created: Revision,
    pub modified: Revision,
    pub lease: Option<LeaseId>,
    pub note: Note,
}

/// A number that readers may leave on a record, to spare the next one a calculation. It goes with the record, is never written
/// down, and means nothing to the store.
#[derive(Debug, Default)]
pub struct Note(AtomicU32);

impl Note {
    pub fn get(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|n| *n > 0)
    }

    /// Zero is as good as nothing.
    pub fn set(&self, n: u32) {
        self.0.store(n, Ordering::Relaxed);
    }
}

impl Clone for Note {
    fn clone(&self) -> Self {
        Note(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }
}

/// Records are the same whatever was noted on them.
impl PartialEq for Note {
    fn eq(&self, _: &Note) -> bool {
        true
    }
}

impl Eq for Note {}

/// What must hold for a key, or the whole transaction is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    At(Revision),
}

#[derive(Clone, Debug)]
pub enum Op {
    Put {
        value: Bytes,
        lease: Option<LeaseId>,
    },
    Delete,
    /// Only the guard.
    Check,
}

#[derive(Clone, Debug)]
pub struct Write {
    pub key: Arc<str>,
    pub expect: Expect,
    pub op: Op,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    /// `revision` is the transaction's own, or the store's when nothing changed (only checks, or deletes of absent keys);
    /// `previous` holds each key's record from before.
    Done { revision: Revision, previous: Vec<Option<Arc<Record>>> },
    /// Some guard did not hold; nothing was changed. `current` holds each key's record as it stands.
    Conflict { current: Vec<Option<Arc<Record>>> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Latest,
    /// As things stood at that revision: pages of one list.
    Exact(Revision),
}

#[derive(Clone, Debug)]
pub struct Page {
    pub records: Vec<Arc<Record>>,
    /// The revision the page was read at.
    pub revision: Revision,
    /// How many more lie behind the limit.
    pub remaining: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub revision: Revision,
    pub key: Arc<str>,
    /// `None`: the key was deleted at `revision`.
    pub current: Option<Arc<Record>>,
    pub previous: Option<Arc<Record>>,
}

#[derive(Debug)]
pub enum Error {
    /// The revision asked for is older than what is kept.
    Compacted {
        oldest: Revision,
    },
    /// The revision asked for has not happened yet.
    Future {
        current: Revision,
    },
    TooLarge {
        bytes: usize,
        limit: usize,
    },
    /// A put names a lease that was never granted, has expired or was revoked.
    LeaseNotFound(LeaseId),
    /// The transaction makes no sense, whatever the store holds.
    Invalid(String),
    /// The disk is full: nothing was written, and writes will be taken again when there is space.
    NoSpace,
    /// Whether the write took place is not known.
    Unknown(String),
    /// `Store::close` was called.
    Closed,
    /// Another process has this directory open.
    InUse(std::path::PathBuf),
    /// What lies on disk is not what was written; the text names the place.
    Corrupt(String),
    Io(std::io::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Compacted { oldest } => write!(f, "required revision has been compacted, the oldest kept is {}", oldest.0),
            Error::Future { current } => write!(f, "required revision is a future revision, the current one is {}", current.0),
            Error::TooLarge { bytes, limit } => write!(f, "{bytes} bytes are too large, the limit is {limit}"),
            Error::LeaseNotFound(lease) => write!(f, "lease {} not found", lease.0),
            Error::Invalid(why) => write!(f, "invalid transaction: {why}"),
            Error::NoSpace => f.write_str("no space left on the store's disk"),
            Error::Unknown(why) => write!(f, "whether the write took place is not known: {why}"),
            Error::Closed => f.write_str("the store is closed"),
            Error::InUse(dir) => write!(f, "`{}` is in use by another process", dir.display()),
            Error::Corrupt(place) => write!(f, "the store's files are damaged: {place}"),
            Error::Io(_) => f.write_str("the store's files cannot be read or written"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(cause) => Some(cause),
            _ => None,
        }
    }
}
