//! The store: etcd's semantics over one in-memory tree, made durable by an engine.
//!
//! One revision counts all writes. A write is a small transaction guarded by modification revisions; it is acknowledged and
//! published only once it is durable. Every read, list and watch is answered from memory: `Store` *is* the watch cache, and
//! values are shared, never copied. Engines: `Log` (embedded, one server), memory (tests and simulation); etcd comes behind
//! the same engine seam by feeding the tree from one whole-keyspace watch.
//!
//! Not here: anything about objects. Keys are text `/<group>/<resource>/[<namespace>/]<name>`; values are bytes.

use std::sync::Arc;

use bytes::Bytes;

/// The one counter of all writes; a client sees it as `resourceVersion`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId(pub u64);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Arc<str>,
    pub value: Bytes,
    pub created: Revision,
    pub modified: Revision,
    pub lease: Option<LeaseId>,
}

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
    /// `revision` is the transaction's own; `previous` holds each key's record from before.
    Done {
        revision: Revision,
        previous: Vec<Option<Arc<Record>>>,
    },
    Conflict {
        current: Vec<Option<Arc<Record>>>,
    },
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

#[derive(Clone, Debug)]
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
    NoSpace,
    /// Whether the write took place is not known.
    Unknown(String),
    Corrupt(String),
    Io(std::io::Error),
}
