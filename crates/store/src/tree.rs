//! Everything the store holds, in memory: the latest record of each key, the versions kept behind it, and the events between.
//!
//! Keys are sorted within topics (`/<group>/<resource>/`). No topic is a prefix of another key's topic but by being that key,
//! so walking topics in order and keys within them is walking all keys in order.
//!
//! Invariants: a topic's `live` counts its slots that are not tombstones. The events of the root feed are exactly those with a
//! revision above `compacted`, and every version that a read at `compacted` or later needs is still in its slot. Only the
//! writer changes a tree. Nothing here reads a clock or a file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::feed::Feed;
use crate::{At, Error, Event, Page, Record, Revision};

/// What an event costs beside the value it keeps alive: itself, its places in feeds, a version entry, a record.
const EVENT_OVERHEAD: usize = 256;
/// With more changes than this since a page's revision, counting what lies behind it afresh is cheaper.
const N_CORRECTED_MAX: usize = 2000;

pub(crate) struct Tree {
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    pub(crate) live: usize,
    pub(crate) live_bytes: usize,
    pub(crate) history_bytes: usize,
    pub(crate) root: Arc<Feed>,
    topics: BTreeMap<Arc<str>, Topic>,
}

pub(crate) struct Topic {
    slots: BTreeMap<Arc<str>, Slot>,
    live: usize,
    pub(crate) feed: Arc<Feed>,
    /// Feeds of narrower prefixes and single keys, while somebody watches them.
    pub(crate) narrow: BTreeMap<Arc<str>, Arc<Feed>>,
}

/// One key. Nearly all keys have one version, which is why that case has no box.
enum Slot {
    Live(Arc<Record>),
    /// Oldest first and never empty; never starts with a tombstone nor consists of one live version only.
    #[expect(clippy::box_collection, reason = "a bare Vec would make every slot half as large again")]
    Past(Box<Vec<Version>>),
}

struct Version {
    revision: Revision,
    record: Option<Arc<Record>>,
}

impl Slot {
    fn latest(&self) -> Option<&Arc<Record>> {
        match self {
            Slot::Live(record) => Some(record),
            Slot::Past(versions) => versions.last()?.record.as_ref(),
        }
    }

    fn at(&self, revision: Revision) -> Option<&Arc<Record>> {
        match self {
            Slot::Live(record) => (record.modified <= revision).then_some(record),
            Slot::Past(versions) => versions.iter().rfind(|v| v.revision <= revision)?.record.as_ref(),
        }
    }
}

/// `/<group>/<resource>/` of a key or prefix; the whole text when it has fewer parts.
pub(crate) fn topic_of(key: &str) -> &str {
    match key.match_indices('/').nth(2) {
        Some((third_slash, _)) => &key[..=third_slash],
        None => key,
    }
}

fn is_topic(text: &str) -> bool {
    text.ends_with('/') && text.matches('/').count() == 3
}

/// The first text behind all that start with `prefix`, if there is one. With it a range need not look at its keys' text.
fn end_of(prefix: &str) -> Option<String> {
    let last = prefix.chars().next_back()?;
    let before = &prefix[..prefix.len() - last.len_utf8()];
    match (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32) {
        Some(next) => Some(format!("{before}{next}")),
        None => end_of(before),
    }
}

pub(crate) fn record_bytes(record: &Record) -> usize {
    record.key.len() + record.value.len()
}

impl Tree {
    /// An empty tree that knows nothing of what was before `compacted`.
    pub(crate) fn new(revision: Revision, compacted: Revision) -> Self {
        Tree {
            revision,
            compacted,
            live: 0,
            live_bytes: 0,
            history_bytes: 0,
            root: Arc::new(Feed::new(compacted)),
            topics: BTreeMap::new(),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Record>> {
        self.topics.get(topic_of(key))?.slots.get(key)?.latest()
    }

    pub(crate) fn get_at(&self, key: &str, revision: Revision) -> Result<Option<&Arc<Record>>, Error> {
        self.check_kept(revision)?;
        Ok(self.topics.get(topic_of(key)).and_then(|t| t.slots.get(key)).and_then(|s| s.at(revision)))
    }

    pub(crate) fn check_kept(&self, revision: Revision) -> Result<(), Error> {
        if revision > self.revision {
            return Err(Error::Future { current: self.revision });
        }
        if revision < self.compacted {
            return Err(Error::Compacted { oldest: self.compacted });
        }
        Ok(())
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        if is_topic(prefix) {
            return self.topics.get(prefix).map_or(0, |t| t.live);
        }
        self.slots(prefix, None).filter(|s| s.latest().is_some()).count()
    }

    /// At most `limit` records (0: all), and how many lie behind them; the rest is counted only if `count_rest`.
    pub(crate) fn range(&self, prefix: &str, start_after: Option<&str>, at: At, limit: usize, count_rest: bool) -> Result<Page, Error> {
        let revision = match at {
            At::Latest => self.revision,
            At::Exact(revision) => revision,
        };
        self.check_kept(revision)?;
        let limit = if limit == 0 { usize::MAX } else { limit };
        let found = self.slots(prefix, start_after).filter_map(|slot| slot.at(revision));
        let records: Vec<_> = found.take(limit).cloned().collect();
        let remaining = match records.last().filter(|_| count_rest && records.len() == limit) {
            None => 0,
            Some(_) if start_after.is_none() && revision == self.revision => self.count(prefix) - records.len(),
            Some(last) => self.count_behind(prefix, &last.key, revision),
        };
        Ok(Page { records, revision, remaining })
    }

    /// Counting must not look at each record: on every page of a long list that would cost more than the page. So the slots are
    /// counted as they are now, and what has changed since is set right.
    fn count_behind(&self, prefix: &str, after: &str, revision: Revision) -> usize {
        let topic = self.topics.get(topic_of(prefix));
        let feed = topic.map_or(&self.root, |t| &t.feed);
        let Some(since) = feed.events_since(revision, N_CORRECTED_MAX) else {
            return self.slots(prefix, Some(after)).filter(|s| s.at(revision).is_some()).count();
        };
        let n_now = self.slots(prefix, Some(after)).filter(|s| s.latest().is_some()).count();
        let mut seen = BTreeSet::new();
        let changed = since.iter().filter(|e| &*e.key > after && e.key.starts_with(prefix) && seen.insert(&e.key));
        changed.fold(n_now, |n, event| {
            let (was, is) = (event.previous.is_some(), self.get(&event.key).is_some());
            n + usize::from(was) - usize::from(is)
        })
    }

    /// The slots of a prefix in key order, tombstones included.
    fn slots(&self, prefix: &str, start_after: Option<&str>) -> impl Iterator<Item = &Slot> {
        let start = start_after.filter(|after| *after >= prefix);
        // A prefix with three slashes lies within one topic; a shorter one may cover many, and each of those wholly.
        let is_narrow = prefix.matches('/').count() >= 3;
        let end = end_of(prefix).filter(|_| is_narrow);
        let is_beyond = start.is_some_and(|start| end.as_deref().is_some_and(|end| start >= end));
        let first = topic_of(if is_narrow { prefix } else { start.unwrap_or(prefix) });
        let last = if is_narrow { Bound::Included(first) } else { Bound::Unbounded };
        let topics = self.topics.range::<str, _>((Bound::Included(first), last));
        let covered = topics.take_while(|(name, _)| !is_beyond && (is_narrow || name.starts_with(prefix)));
        let ranges = covered.map(|(_, topic)| {
            let from = start.map_or(Bound::Included(prefix), Bound::Excluded);
            topic.slots.range::<str, _>((from, end.as_deref().map_or(Bound::Unbounded, Bound::Excluded)))
        });
        ranges.collect::<Vec<_>>().into_iter().flatten().map(|(_, slot)| slot)
    }
    /// Takes in one durable change. Its watchers learn of it through `feeds_of` and `Feed::publish`.
    pub(crate) fn apply(&mut self, event: &Event) {
        let topic = Self::topic_mut(&mut self.topics, topic_of(&event.key), self.compacted);
        self.revision = event.revision;
        self.history_bytes += EVENT_OVERHEAD + event.previous.as_deref().map_or(0, record_bytes);
        if let Some(previous) = event.previous.as_deref() {
            self.live -= 1;
            topic.live -= 1;
            self.live_bytes -= record_bytes(previous);
        }
        if let Some(current) = event.current.as_deref() {
            self.live += 1;
            topic.live += 1;
            self.live_bytes += record_bytes(current);
        }
        let version = Version { revision: event.revision, record: event.current.clone() };
        match (topic.slots.get_mut(&event.key), &event.current) {
            (None, Some(record)) => {
                topic.slots.insert(record.key.clone(), Slot::Live(record.clone()));
            }
            (None, None) => {}
            (Some(Slot::Past(versions)), _) => versions.push(version),
            (Some(slot), _) => {
                let Slot::Live(old) = slot else { return };
                let old = Version { revision: old.modified, record: Some(old.clone()) };
                *slot = Slot::Past(Box::new(vec![old, version]));
            }
        }
    }

    /// Puts a record as it stands in a snapshot: no event, no history.
    pub(crate) fn load(&mut self, record: Record) {
        let topic = Self::topic_mut(&mut self.topics, topic_of(&record.key), self.compacted);
        self.live += 1;
        topic.live += 1;
        self.live_bytes += record_bytes(&record);
        topic.slots.insert(record.key.clone(), Slot::Live(Arc::new(record)));
    }

    fn topic_mut<'a>(topics: &'a mut BTreeMap<Arc<str>, Topic>, name: &str, compacted: Revision) -> &'a mut Topic {
        if !topics.contains_key(name) {
            let topic = Topic { slots: BTreeMap::new(), live: 0, feed: Arc::new(Feed::new(compacted)), narrow: BTreeMap::new() };
            topics.insert(name.into(), topic);
        }
        topics.get_mut(name).expect("it was there, or has just been inserted")
    }

    /// Every feed that must hear of a change to `key`: root, topic, and the watched prefixes between the topic and the key.
    pub(crate) fn feeds_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Arc<Feed>> {
        let name = topic_of(key);
        let topic = self.topics.get(name);
        let narrow = topic.filter(|t| !t.narrow.is_empty()).into_iter().flat_map(move |topic| {
            let slashes = key[name.len()..].match_indices('/').map(move |(at, _)| &key[..=name.len() + at]);
            slashes.chain([key]).filter_map(|prefix| topic.narrow.get(prefix))
        });
        [&self.root].into_iter().chain(topic.map(|t| &t.feed)).chain(narrow)
    }

    /// The feed that a watch of `prefix` listens to: never narrower than the prefix, and as narrow as can be.
    pub(crate) fn feed_for(&mut self, prefix: &str, is_key: bool, from: Revision) -> Arc<Feed> {
        if !is_key && prefix.matches('/').count() < 3 {
            return self.root.clone();
        }
        let topic = Self::topic_mut(&mut self.topics, topic_of(prefix), self.compacted);
        let boundary = if is_key { prefix } else { &prefix[..=prefix.rfind('/').expect("it has three")] };
        if boundary == topic_of(boundary) {
            return topic.feed.clone();
        }
        let feed = topic.narrow.entry(boundary.into()).or_insert_with(|| Arc::new(Feed::new(self.revision)));
        feed.reach_back(&topic.feed, from, |key| if is_key { key == boundary } else { key.starts_with(boundary) });
        feed.clone()
    }

    /// Forgets a narrow feed that nobody watches any more.
    pub(crate) fn forget_feed_if_unwatched(&mut self, prefix: &str, is_key: bool) {
        let Some(topic) = self.topics.get_mut(topic_of(prefix)) else { return };
        let boundary = if is_key { prefix } else { &prefix[..prefix.rfind('/').map_or(0, |at| at + 1)] };
        // One reference is the map's own; nobody can take another without the tree's lock, which the caller holds.
        if topic.narrow.get(boundary).is_some_and(|feed| Arc::strong_count(feed) == 1) {
            topic.narrow.remove(boundary);
        }
    }

    pub(crate) fn all_feeds(&self) -> impl Iterator<Item = &Arc<Feed>> {
        let topics = self.topics.values().flat_map(|t| [&t.feed].into_iter().chain(t.narrow.values()));
        [&self.root].into_iter().chain(topics)
    }

    /// Drops up to `n_max` events at or below `upto`, with the versions only they needed. Returns them, so that their memory
    /// can be freed outside the lock; none are left to drop when fewer than `n_max` came back.
    pub(crate) fn compact(&mut self, upto: Revision, n_max: usize) -> Vec<Arc<Event>> {
        let upto = upto.min(self.revision);
        let dropped = self.root.drop_front(upto, n_max);
        let reached = match dropped.last() {
            Some(last) if dropped.len() >= n_max => last.revision,
            _ => upto,
        };
        self.compacted = self.compacted.max(reached);
        let mut touched = BTreeSet::new();
        for event in &dropped {
            self.history_bytes -= EVENT_OVERHEAD + event.previous.as_deref().map_or(0, record_bytes);
            let name = topic_of(&event.key);
            touched.insert(name);
            if let Some(topic) = self.topics.get_mut(name) {
                topic.forget_before(event);
            }
        }
        for topic in touched.into_iter().filter_map(|name| self.topics.get(name)) {
            for feed in [&topic.feed].into_iter().chain(topic.narrow.values()) {
                feed.drop_front(reached, usize::MAX);
            }
        }
        dropped
    }
}

impl Topic {
    /// Drops the versions that `event` superseded.
    fn forget_before(&mut self, event: &Event) {
        let Some(slot) = self.slots.get_mut(&event.key) else { return };
        let Slot::Past(versions) = slot else { return };
        let n_superseded = versions.iter().take_while(|v| v.revision < event.revision).count();
        versions.drain(..n_superseded);
        if versions.first().is_some_and(|v| v.revision == event.revision && v.record.is_none()) {
            versions.remove(0);
        }
        match versions.as_mut_slice() {
            [] => {
                self.slots.remove(&event.key);
            }
            [Version { record, .. }] if record.is_some() => {
                *slot = Slot::Live(record.take().expect("matched as some"));
            }
            _ => {}
        }
    }
}
