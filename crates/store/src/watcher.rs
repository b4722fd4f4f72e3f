//! A watcher: how far it has read, and the feed it reads.

use std::sync::Arc;

use crate::feed::{Feed, Scope};
use crate::shared::Shared;
use crate::{Event, Revision};

/// Why a watch gave its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// The watcher read too slowly: events it has not seen are no longer kept. List again.
    Compacted { oldest: Revision },
    /// The store was closed.
    Closed,
}

impl std::fmt::Display for WatchEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WatchEnd::Compacted { oldest } => write!(f, "the watch fell behind, the oldest revision kept is {}", oldest.0),
            WatchEnd::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for WatchEnd {}

/// Reads the events of one prefix or key, in order and without gaps.
pub struct Watcher {
    shared: Arc<Shared>,
    /// Taken only by `drop`.
    feed: Option<Arc<Feed>>,
    scope: Scope,
    seen: Revision,
}

impl Watcher {
    pub(crate) fn new(shared: Arc<Shared>, feed: Arc<Feed>, scope: Scope, from: Revision) -> Self {
        Watcher { shared, feed: Some(feed), scope, seen: from }
    }

    /// The next events, oldest first, at least one; waits for them. Nothing is lost when the future is dropped unfinished.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        loop {
            let events = self.try_next()?;
            if !events.is_empty() {
                return Ok(events);
            }
            let feed = self.feed.clone().expect("taken only by drop");
            let mut news = std::pin::pin!(feed.news());
            news.as_mut().enable();
            // What was published before the line above woke nobody here.
            if !feed.has_news(self.seen) && !self.shared.is_closed() {
                news.await;
            }
        }
    }

    /// The events that are there now; none is an empty list.
    pub fn try_next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        // Read before the feed is looked at: what was published by then is in the feed by then.
        let published = self.shared.published();
        let feed = self.feed.as_ref().expect("taken only by drop");
        let events = feed.read_on(&mut self.seen, &self.scope).map_err(|oldest| WatchEnd::Compacted { oldest })?;
        if !events.is_empty() {
            return Ok(events);
        }
        if self.shared.is_closed() && !feed.has_news(self.seen) {
            return Err(WatchEnd::Closed);
        }
        self.seen = self.seen.max(published);
        Ok(Vec::new())
    }

    /// The revision up to which this watcher has handed out everything: what a bookmark may say. It moves with the whole
    /// store as long as nothing waits to be read, also when this watcher is never woken.
    pub fn position(&mut self) -> Revision {
        let published = self.shared.published();
        let feed = self.feed.as_ref().expect("taken only by drop");
        if !feed.has_news(self.seen) {
            self.seen = self.seen.max(published);
        }
        self.seen
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.feed.take());
        self.shared.forget_feed_if_unwatched(&self.scope);
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("scope", &self.scope).field("seen", &self.seen).finish_non_exhaustive()
    }
}
