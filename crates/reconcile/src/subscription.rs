//! A reader's view of a cache's changes: never more pending entries than keys, however slow the reader.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use object::key::ObjectKey;
use tokio::sync::Notify;

use crate::changed::Changed;
use crate::lock::locked;

pub struct Subscription<K>(Feed<K>);

pub(crate) struct Feed<K>(Arc<Pending<K>>);

struct Pending<K> {
    state: Mutex<State<K>>,
    filled: Notify,
}

struct State<K> {
    order: VecDeque<ObjectKey>,
    /// Before the first pending change, and after the last.
    sides: BTreeMap<ObjectKey, (Option<Arc<K>>, Option<Arc<K>>)>,
}

impl<K> Clone for Feed<K> {
    fn clone(&self) -> Self {
        Feed(Arc::clone(&self.0))
    }
}

impl<K> Subscription<K> {
    pub(crate) fn new() -> (Self, Feed<K>) {
        let state = Mutex::new(State { order: VecDeque::new(), sides: BTreeMap::new() });
        let feed = Feed(Arc::new(Pending { state, filled: Notify::new() }));
        (Subscription(feed.clone()), feed)
    }

    /// The next changed key. Safe to cancel.
    pub async fn next(&mut self) -> Changed<K> {
        loop {
            if let Some(changed) = self.try_next() {
                return changed;
            }
            self.0.0.filled.notified().await;
        }
    }

    /// A change that is there already.
    pub fn try_next(&mut self) -> Option<Changed<K>> {
        let mut state = locked(&self.0.0.state);
        loop {
            let key = state.order.pop_front()?;
            match state.sides.remove(&key) {
                // It came and went between two looks.
                Some((None, None)) | None => {}
                Some((old, new)) => return Some(Changed { key, old, new }),
            }
        }
    }
}

impl<K> Feed<K> {
    pub(crate) fn push(&self, changed: &Changed<K>) {
        {
            let mut state = locked(&self.0.state);
            match state.sides.get_mut(&changed.key) {
                Some((_, new)) => new.clone_from(&changed.new),
                None => {
                    state.order.push_back(changed.key.clone());
                    state.sides.insert(changed.key.clone(), (changed.old.clone(), changed.new.clone()));
                }
            }
        }
        self.0.filled.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, old: Option<u32>, new: Option<u32>) -> Changed<u32> {
        Changed { key: ObjectKey::cluster(name), old: old.map(Arc::new), new: new.map(Arc::new) }
    }

    #[tokio::test]
    async fn changes_of_one_key_are_drawn_together() {
        let (mut subscription, feed) = Subscription::new();
        for changed in [change("a", None, Some(1)), change("b", None, Some(1)), change("a", Some(1), Some(2)), change("b", Some(1), None)] {
            feed.push(&changed);
        }
        let seen = subscription.next().await;
        assert_eq!((seen.key.name.as_str(), seen.old, seen.new.as_deref()), ("a", None, Some(&2)));
        assert!(subscription.try_next().is_none(), "b came and went unseen");
    }
}
