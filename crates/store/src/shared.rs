//! What readers, watchers and the writer have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::feed::{Feed, Scope};
use crate::tree::Tree;
use crate::{Event, Revision};

pub(crate) struct Shared {
    tree: RwLock<Tree>,
    /// The tree's revision, to be read without its lock. Never ahead of what the feeds hold.
    published: AtomicU64,
    is_closed: AtomicBool,
    n_leases: AtomicUsize,
    /// Wakes whoever keeps the time, when there is something new to keep.
    nudges: Notify,
    /// The keeper of the time sleeps until something is written.
    is_quiet: AtomicBool,
}

impl Shared {
    pub(crate) fn new(tree: Tree) -> Self {
        Shared {
            published: AtomicU64::new(tree.revision.0),
            tree: RwLock::new(tree),
            is_closed: AtomicBool::new(false),
            n_leases: AtomicUsize::new(0),
            nudges: Notify::new(),
            is_quiet: AtomicBool::new(false),
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn published(&self) -> Revision {
        Revision(self.published.load(Ordering::Acquire))
    }

    /// Shows durable events to readers and hands them to the feeds, which the caller wakes.
    pub(crate) fn publish(&self, events: &[Arc<Event>]) -> Vec<Arc<Feed>> {
        let Some(newest) = events.last() else { return Vec::new() };
        let mut tree = self.write();
        // In order of first use, not of address: simulations must wake in the same order each time.
        let mut batches: Vec<(Arc<Feed>, Vec<Arc<Event>>)> = vec![(tree.root.clone(), events.to_vec())];
        let mut places = std::collections::HashMap::new();
        for event in events {
            tree.apply(event);
            for feed in tree.feeds_of(&event.key).skip(1) {
                let place = *places.entry(Arc::as_ptr(feed)).or_insert_with(|| {
                    batches.push((feed.clone(), Vec::new()));
                    batches.len() - 1
                });
                batches[place].1.push(event.clone());
            }
        }
        for (feed, events) in &batches {
            feed.push(events);
        }
        self.published.store(newest.revision.0, Ordering::Release);
        drop(tree);
        if self.is_quiet.load(Ordering::Relaxed) && self.is_quiet.swap(false, Ordering::AcqRel) {
            self.nudge();
        }
        batches.into_iter().map(|(feed, _)| feed).collect()
    }

    pub(crate) fn forget_feed_if_unwatched(&self, scope: &Scope) {
        // Only feeds within a topic come and go.
        if scope.text().matches('/').count() >= 3 {
            self.write().forget_feed_if_unwatched(scope.text(), scope.is_key());
        }
    }

    pub(crate) fn nudge(&self) {
        self.nudges.notify_one();
    }

    pub(crate) fn nudged(&self) -> Notified<'_> {
        self.nudges.notified()
    }

    pub(crate) fn set_quiet(&self, is_quiet: bool) {
        self.is_quiet.store(is_quiet, Ordering::Release);
    }

    pub(crate) fn set_n_leases(&self, n: usize) {
        self.n_leases.store(n, Ordering::Relaxed);
    }

    pub(crate) fn n_leases(&self) -> usize {
        self.n_leases.load(Ordering::Relaxed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.nudge();
        for feed in self.read().all_feeds() {
            feed.wake();
        }
    }
}
