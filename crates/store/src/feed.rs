//! How watchers learn of changes: rings of shared events, one for each watched scope, and the watchers that read them.
//!
//! A feed covers everything (the root), a topic, or a watched prefix or key within a topic. The writer pushes each event into
//! the feeds that cover its key and wakes only their watchers, so a write costs nothing to watchers elsewhere. A watcher holds
//! no events, only how far it has read; one that reads too slowly finds its place dropped and is told so.
//!
//! Invariants: a feed holds every event of its scope with a revision above `dropped`, up to the published one at least. The
//! events of one revision are pushed, dropped and handed out together. `last` is never below the newest event's revision.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::{Event, Revision};

/// Events handed out at once: enough to spread the cost of waking, few enough not to hold the feed for long.
const N_BATCH_MAX: usize = 512;

pub(crate) struct Feed {
    ring: RwLock<Ring>,
    /// The newest event's revision, to be looked at without the lock.
    last: AtomicU64,
    news: Notify,
}

struct Ring {
    events: VecDeque<Arc<Event>>,
    dropped: Revision,
}

impl Feed {
    /// A feed that is complete above `dropped` and has no events yet.
    pub(crate) fn new(dropped: Revision) -> Self {
        Feed { ring: RwLock::new(Ring { events: VecDeque::new(), dropped }), last: AtomicU64::new(dropped.0), news: Notify::new() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in whole transactions, in order. `wake` comes later, when the tree's lock is no longer held.
    pub(crate) fn push(&self, events: &[Arc<Event>]) {
        let Some(newest) = events.last() else { return };
        let mut ring = self.write();
        ring.events.extend(events.iter().cloned());
        self.last.store(newest.revision.0, Ordering::Release);
    }

    pub(crate) fn wake(&self) {
        self.news.notify_waiters();
    }

    /// Drops events up to a revision: `n_max` of them, or a few more where a revision would be split.
    pub(crate) fn drop_front(&self, upto: Revision, n_max: usize) -> Vec<Arc<Event>> {
        let mut ring = self.write();
        let mut n = ring.events.partition_point(|e| e.revision <= upto);
        if n > n_max {
            let last = ring.events[n_max - 1].revision;
            n = n_max + ring.events.range(n_max..n).take_while(|e| e.revision == last).count();
        }
        let dropped: Vec<_> = ring.events.drain(..n).collect();
        if let Some(newest) = dropped.last() {
            ring.dropped = newest.revision;
        }
        if ring.events.capacity() > 64 && ring.events.capacity() / 4 > ring.events.len() {
            let fitting = ring.events.len() * 2;
            ring.events.shrink_to(fitting);
        }
        dropped
    }

    /// Fills in what `wider` still knows of this feed's scope, so that it is complete above `from` if that is possible.
    pub(crate) fn reach_back(&self, wider: &Feed, from: Revision, covers: impl Fn(&str) -> bool) {
        let mut ring = self.write();
        if ring.dropped <= from {
            return;
        }
        let wider = wider.read();
        let reached = from.max(wider.dropped).min(ring.dropped);
        let start = wider.events.partition_point(|e| e.revision <= reached);
        let end = wider.events.partition_point(|e| e.revision <= ring.dropped);
        for event in wider.events.range(start..end).rev().filter(|e| covers(&e.key)) {
            ring.events.push_front(event.clone());
        }
        ring.dropped = reached;
    }

    /// The events above a revision that is still kept, unless they are more than `n_max`.
    pub(crate) fn events_since(&self, revision: Revision, n_max: usize) -> Option<Vec<Arc<Event>>> {
        let ring = self.read();
        let start = ring.position_after(revision);
        (ring.events.len() - start <= n_max).then(|| ring.events.range(start..).cloned().collect())
    }

    pub(crate) fn dropped(&self) -> Revision {
        self.read().dropped
    }

    pub(crate) fn len(&self) -> usize {
        self.read().events.len()
    }

    pub(crate) fn has_news(&self, since: Revision) -> bool {
        self.last.load(Ordering::Acquire) > since.0
    }

    /// Wakes when something is pushed after this was called.
    pub(crate) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// The next events of a scope behind `seen`, which moves on with them; or the oldest revision kept, when `seen` is before it.
    pub(crate) fn read_on(&self, seen: &mut Revision, scope: &Scope) -> Result<Vec<Arc<Event>>, Revision> {
        while self.has_news(*seen) {
            let ring = self.read();
            if *seen < ring.dropped {
                return Err(ring.dropped);
            }
            let start = ring.position_after(*seen);
            let n_left = ring.events.len() - start;
            let mut end = ring.events.len();
            if n_left > N_BATCH_MAX {
                let last = ring.events[start + N_BATCH_MAX - 1].revision;
                end = start + N_BATCH_MAX + ring.events.range(start + N_BATCH_MAX..).take_while(|e| e.revision == last).count();
            }
            let events: Vec<_> = ring.events.range(start..end).filter(|e| scope.covers(&e.key)).cloned().collect();
            match end.checked_sub(1).filter(|last| *last >= start) {
                Some(last) => *seen = ring.events[last].revision,
                None => break,
            }
            if !events.is_empty() {
                return Ok(events);
            }
        }
        Ok(Vec::new())
    }
}

impl Ring {
    /// Where the events above `seen` begin. Watchers mostly stand near the end, so the search gallops from there.
    fn position_after(&self, seen: Revision) -> usize {
        let (mut end, mut step) = (self.events.len(), 1);
        while end > 0 && self.events[end - 1].revision > seen {
            let start = end.saturating_sub(step);
            if start == 0 || self.events[start - 1].revision <= seen {
                return self.first_after(seen, start, end);
            }
            (end, step) = (start, step * 2);
        }
        end
    }

    /// `VecDeque::partition_point` over a part of the ring.
    fn first_after(&self, seen: Revision, mut start: usize, mut end: usize) -> usize {
        while start < end {
            let middle = start + (end - start) / 2;
            match self.events[middle].revision <= seen {
                true => start = middle + 1,
                false => end = middle,
            }
        }
        start
    }
}

/// Which keys a watcher sees.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    Prefix(Arc<str>),
    Key(Arc<str>),
}

impl Scope {
    pub(crate) fn text(&self) -> &str {
        match self {
            Scope::Prefix(text) | Scope::Key(text) => text,
        }
    }

    pub(crate) fn is_key(&self) -> bool {
        matches!(self, Scope::Key(_))
    }

    fn covers(&self, key: &str) -> bool {
        match self {
            Scope::Prefix(prefix) => key.starts_with(&**prefix),
            Scope::Key(own) => key == &**own,
        }
    }
}
