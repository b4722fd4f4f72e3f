//! What a group of writes does to the store, and why it may not be written.

use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Event, LeaseId, Revision};

/// One group is one frame of the log: large enough that syncing is not what limits, small enough to be written in a blink.
pub(crate) const GROUP_BYTES_MAX: usize = 4 << 20;

/// What a group does to the store, in order; the log keeps exactly these.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Event(Arc<Event>),
    Grant(LeaseId, Duration),
    Revoke(LeaseId),
    Compact(Revision),
}

/// Why a group was not written.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    NoSpace,
    Dead(String),
}

impl Fault {
    pub(crate) fn error(&self) -> Error {
        match self {
            Fault::NoSpace => Error::NoSpace,
            Fault::Dead(why) => Error::Unknown(why.clone()),
        }
    }
}
