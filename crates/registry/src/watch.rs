//! Watches: what happened to the selected objects since a revision, in order, each change once.
//!
//! An object that moves into the selection is `Added`, one that moves out is `Deleted` as it last was inside. The stream ends at
//! its deadline, and with an `Error` event when its revision is no longer kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kinds::Resource;
use object::status::Status;
use store::{At, Event, Record, Revision, WatchEnd, Watcher};
use tokio::time::{Instant, sleep_until};

use crate::fanout::Subscription;
use crate::form::Stored;
use crate::options::ListOptions;
use crate::selection::Selection;
use crate::{Registry, address, faults, read};

/// Upstream: `--min-request-timeout` 30 min, spread over twice that so that watches do not end all at once.
const TIMEOUT_SECONDS_MIN: u64 = 1_800;
/// Upstream: bookmarks come about once a minute, and once more shortly before the end.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
const LAST_BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub enum WatchEvent {
    Added(Stored),
    Modified(Stored),
    Deleted(Stored),
    Bookmark { revision: Revision, ends_initial_events: bool },
    Error(Status),
}

pub struct Watch {
    resource: Arc<Resource>,
    selection: Selection,
    initial: VecDeque<Arc<Record>>,
    /// The bookmark that says that the initial events are over.
    initial_end: Option<Revision>,
    /// Events of later revisions are told.
    from: Revision,
    source: Source,
    failure: Option<Status>,
    ends: Instant,
    /// `None` when the client did not ask for bookmarks.
    next_bookmark: Option<Instant>,
}

/// Where events come from.
enum Source {
    /// Straight from the store.
    Own(Watcher),
    /// From the shared reader, and from the store what lies before its time.
    Shared { catch_up: Option<Watcher>, subscription: Subscription, read: Revision },
    /// An error ended it.
    Over,
}

impl Registry {
    pub fn watch(&self, resource: &Arc<Resource>, namespace: &str, options: &ListOptions) -> Result<Watch, Status> {
        options.check(true)?;
        let selection = Selection::new(resource, &options.labels, &options.fields)?;
        let prefix = address::prefix(resource, namespace);
        let asked = read::parse_bare_version(&options.resource_version)?;
        let wants_initial = options.send_initial_events.unwrap_or(asked == 0);
        if wants_initial {
            self.check_not_future(&options.resource_version)?;
        }
        let (initial, from) = if wants_initial {
            let page = self.store.range(&prefix, None, At::Latest, 0).map_err(|e| faults::from_store(&e))?;
            (page.records, page.revision)
        } else {
            (Vec::new(), if asked == 0 { self.store.revision() } else { Revision(asked) })
        };
        let initial = initial
            .into_iter()
            .filter(|record| {
                let (namespace, name) = address::parts(resource, &record.key);
                selection.matches(namespace, name, &record.value)
            })
            .collect();
        // Upstream: a watch from a revision that is yet to come waits for what follows it.
        let readable = from.min(self.store.revision());
        let (source, failure) = match self.watch_source(resource, namespace, &selection, readable) {
            Ok(source) => (source, None),
            Err(e) => (Source::Over, Some(too_old(&e, from))),
        };
        let timeout = options.timeout_seconds.unwrap_or_else(|| TIMEOUT_SECONDS_MIN + self.entropy.next() % TIMEOUT_SECONDS_MIN);
        let now = Instant::now();
        let ends = now + Duration::from_secs(timeout);
        let says_initial_end = options.send_initial_events == Some(true) && options.allow_bookmarks;
        Ok(Watch {
            resource: Arc::clone(resource),
            selection,
            initial,
            initial_end: says_initial_end.then_some(from),
            from,
            source,
            failure,
            ends,
            next_bookmark: options.allow_bookmarks.then(|| bookmark_time(now, ends)),
        })
    }
}

impl Registry {
    /// The narrowest reader that sees everything selected.
    fn watch_source(&self, resource: &Resource, namespace: &str, selection: &Selection, from: Revision) -> Result<Source, store::Error> {
        let prefix = address::prefix(resource, namespace);
        let is_placed = !resource.namespaced || !namespace.is_empty();
        if let Some(name) = selection.required_value("metadata.name").filter(|name| is_placed && !name.is_empty()) {
            return self.store.watch_key(&format!("{prefix}{name}"), from).map(Source::Own);
        }
        match self.fanout.subscribe(&self.store, &prefix, |field| selection.required_value(field)) {
            None => self.store.watch(&prefix, from).map(Source::Own),
            Some(subscription) => {
                let catch_up = if from < subscription.since { Some(self.store.watch(&prefix, from)?) } else { None };
                Ok(Source::Shared { catch_up, subscription, read: from })
            }
        }
    }
}

impl Source {
    /// The next events, of which some may lie outside the selection. `Ok(None)` ends the watch in peace.
    async fn next(&mut self) -> Result<Option<Vec<Arc<Event>>>, WatchEnd> {
        match self {
            Source::Own(watcher) => match watcher.next().await {
                Err(WatchEnd::Closed) => Ok(None),
                other => other.map(Some),
            },
            Source::Shared { catch_up, subscription, read } => {
                if let Some(watcher) = catch_up {
                    let since = subscription.since;
                    let mut past = watcher.try_next()?;
                    if past.is_empty() || past.last().is_some_and(|e| e.revision >= since) {
                        *catch_up = None;
                    }
                    past.retain(|e| e.revision <= since);
                    *read = past.last().map_or(*read, |e| e.revision);
                    return Ok(Some(past));
                }
                loop {
                    let Some(event) = subscription.next().await else { return Ok(None) };
                    let mut events = vec![event];
                    events.extend(std::iter::from_fn(|| subscription.try_next()));
                    // The past was asked for up to `from`; what the reader handed out before that is known already.
                    events.retain(|e| e.revision > *read);
                    if let Some(last) = events.last() {
                        *read = last.revision;
                        return Ok(Some(events));
                    }
                }
            }
            Source::Over => Ok(None),
        }
    }

    fn position(&mut self) -> Revision {
        match self {
            Source::Own(watcher) => watcher.position(),
            Source::Shared { catch_up: Some(_), read, .. } => *read,
            Source::Shared { subscription, read, .. } => subscription.position(*read),
            Source::Over => Revision::default(),
        }
    }
}

fn bookmark_time(now: Instant, ends: Instant) -> Instant {
    let last = ends.checked_sub(LAST_BOOKMARK_BEFORE_END).filter(|last| *last > now).unwrap_or(ends + BOOKMARK_EVERY);
    (now + BOOKMARK_EVERY).min(last)
}

fn too_old(error: &store::Error, from: Revision) -> Status {
    match error {
        store::Error::Compacted { oldest } => Status::expired(format!("too old resource version: {} ({})", from.0, oldest.0)),
        other => faults::from_store(other),
    }
}

/// Records of one batch of initial events: what is encoded and sent at once.
const INITIAL_BATCH_LEN: usize = 500;

impl Watch {
    /// The next events, at least one; `None` at the end. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Vec<WatchEvent>> {
        if !self.initial.is_empty() {
            let n = self.initial.len().min(INITIAL_BATCH_LEN);
            return Some(self.initial.drain(..n).map(|record| WatchEvent::Added(Stored::from(&*record))).collect());
        }
        if let Some(revision) = self.initial_end.take() {
            return Some(vec![WatchEvent::Bookmark { revision, ends_initial_events: true }]);
        }
        if let Some(failure) = self.failure.take() {
            return Some(vec![WatchEvent::Error(failure)]);
        }
        loop {
            let bookmark_at = self.next_bookmark.unwrap_or(self.ends);
            tokio::select! {
                biased;
                events = self.source.next() => match events {
                    Ok(Some(events)) => {
                        let later = events.iter().filter(|event| event.revision > self.from);
                        let seen: Vec<_> = later.filter_map(|event| seen(&self.resource, &self.selection, event)).collect();
                        if !seen.is_empty() {
                            return Some(seen);
                        }
                    }
                    Ok(None) | Err(WatchEnd::Closed) => return None,
                    Err(WatchEnd::Compacted { oldest }) => {
                        let failure = too_old(&store::Error::Compacted { oldest }, self.source.position());
                        self.source = Source::Over;
                        return Some(vec![WatchEvent::Error(failure)]);
                    }
                },
                () = sleep_until(self.ends) => return None,
                () = sleep_until(bookmark_at), if self.next_bookmark.is_some() => {
                    let revision = self.source.position();
                    self.next_bookmark = Some(bookmark_time(Instant::now(), self.ends));
                    return Some(vec![WatchEvent::Bookmark { revision, ends_initial_events: false }]);
                }
            }
        }
    }
}

/// What a change looks like through a selection; `None` when it happened outside.
fn seen(resource: &Resource, selection: &Selection, event: &Event) -> Option<WatchEvent> {
    let (namespace, name) = address::parts(resource, &event.key);
    let inside = |record: &Option<Arc<Record>>| record.as_ref().filter(|r| selection.matches(namespace, name, &r.value)).cloned();
    match (inside(&event.previous), inside(&event.current)) {
        (None, None) => None,
        (None, Some(now)) => Some(WatchEvent::Added(Stored { revision: event.revision, bytes: now.value.clone() })),
        (Some(_), Some(now)) => Some(WatchEvent::Modified(Stored { revision: event.revision, bytes: now.value.clone() })),
        (Some(was), None) => Some(WatchEvent::Deleted(Stored { revision: event.revision, bytes: was.value.clone() })),
    }
}
