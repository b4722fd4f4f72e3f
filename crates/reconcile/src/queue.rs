//! The keys a controller has yet to look at: each at most once, none while it is being worked on, and timers for later.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use object::key::ObjectKey;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock::locked;

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    pub(crate) n_adds: AtomicU64,
}

#[derive(Default)]
struct State {
    ready: VecDeque<ObjectKey>,
    is_ready: BTreeSet<ObjectKey>,
    active: BTreeSet<ObjectKey>,
    /// Active keys that were added meanwhile.
    again: BTreeSet<ObjectKey>,
    timers: BTreeSet<(Instant, ObjectKey)>,
    timer_of: BTreeMap<ObjectKey, Instant>,
}

impl Queue {
    pub(crate) fn add(&self, key: ObjectKey) {
        let is_new = locked(&self.state).add(key);
        if is_new {
            self.n_adds.fetch_add(1, Ordering::Relaxed);
            self.changed.notify_one();
        }
    }

    /// The next key to work on; it is active until `done`. Safe to cancel.
    pub(crate) async fn next(&self) -> ObjectKey {
        loop {
            let next_timer = {
                let mut state = locked(&self.state);
                state.fire(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.is_ready.remove(&key);
                    state.active.insert(key.clone());
                    return key;
                }
                state.timers.first().map(|(at, _)| *at)
            };
            match next_timer {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Work on a key has ended. `wake_at` replaces the timer it had.
    pub(crate) fn done(&self, key: ObjectKey, wake_at: Option<Instant>) {
        let mut state = locked(&self.state);
        state.active.remove(&key);
        state.set_timer(&key, wake_at);
        if state.again.remove(&key) {
            state.add(key);
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn depth(&self) -> usize {
        let state = locked(&self.state);
        state.ready.len() + state.again.len()
    }

    /// Nothing to do and nothing being done; timers may be pending.
    pub(crate) fn is_idle(&self) -> bool {
        let state = locked(&self.state);
        state.ready.is_empty() && state.active.is_empty()
    }
}

impl State {
    /// Whether a worker has something new to fetch.
    fn add(&mut self, key: ObjectKey) -> bool {
        if self.active.contains(&key) {
            self.again.insert(key);
            return false;
        }
        let is_new = self.is_ready.insert(key.clone());
        if is_new {
            self.ready.push_back(key);
        }
        is_new
    }

    fn set_timer(&mut self, key: &ObjectKey, at: Option<Instant>) {
        if let Some(old) = self.timer_of.remove(key) {
            self.timers.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, key.clone()));
            self.timer_of.insert(key.clone(), at);
        }
    }

    fn fire(&mut self, now: Instant) {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.timers.pop_first() else { return };
            self.timer_of.remove(&key);
            self.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::cluster(name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_while_it_is_worked_on_and_timers_are_replaced() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next().await, key("b"), "a is active");
        queue.done(key("a"), Some(Instant::now() + Duration::from_secs(60)));
        assert_eq!(queue.next().await, key("a"), "it was added meanwhile");
        let begin = Instant::now();
        queue.done(key("a"), Some(begin + Duration::from_secs(5)));
        queue.done(key("b"), Some(begin + Duration::from_secs(3)));
        assert_eq!(queue.next().await, key("b"));
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(begin.elapsed(), Duration::from_secs(5), "the second timer replaced the first");
        queue.done(key("a"), None);
        queue.done(key("b"), None);
        assert!(queue.is_idle());
    }
}
