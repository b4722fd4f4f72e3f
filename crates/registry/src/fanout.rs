//! Watches of one value of an indexed field (a kubelet's pods) share one reader of the store.
//!
//! A thousand kubelets watch pods, and each pod concerns one of them: the shared reader looks at each event once and hands it to
//! those alone whose value it had or has. A subscriber that falls behind is cut off and starts over from its last revision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Event, Revision, Store, Watcher};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::selection::field_value;

/// What a subscriber may leave unread. A kubelet's pods change a few hundred times in its worst second.
const BACKLOG_LEN_MAX: usize = 1_000;

/// An indexed field: resource's prefix in the store, the name clients select by, where it lies.
struct Index {
    prefix: &'static str,
    field: &'static str,
    path: &'static [&'static str],
}

const INDEXES: &[Index] = &[Index { prefix: "/core/pods/", field: "spec.nodeName", path: &["spec", "nodeName"] }];

/// One for each index, made when first used.
pub(crate) struct Fanout {
    hubs: Vec<Arc<Hub>>,
}

struct Hub {
    index: &'static Index,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Every event up to here has been handed out.
    position: Revision,
    by_value: HashMap<String, Vec<Subscriber>>,
    n_made: u64,
    reader: Option<AbortHandle>,
}

struct Subscriber {
    id: u64,
    sender: mpsc::Sender<Arc<Event>>,
}

/// Dropped, it is forgotten; with the last one the reader ends.
pub(crate) struct Subscription {
    hub: Arc<Hub>,
    value: String,
    id: u64,
    receiver: mpsc::Receiver<Arc<Event>>,
    /// Events up to here come from the store's history, later ones through the subscription.
    pub(crate) since: Revision,
    store: Store,
}

impl Default for Fanout {
    fn default() -> Self {
        let hubs = INDEXES.iter().map(|index| Arc::new(Hub { index, state: Mutex::default() })).collect();
        Fanout { hubs }
    }
}

impl Fanout {
    /// `None` when no index helps this watch. `required` tells the value that a field must equal.
    pub(crate) fn subscribe<'a>(&self, store: &Store, prefix: &str, required: impl Fn(&str) -> Option<&'a str>) -> Option<Subscription> {
        let hub = self.hubs.iter().find(|hub| hub.index.prefix == prefix)?;
        let value = required(hub.index.field).filter(|value| !value.is_empty())?.to_owned();
        let mut state = hub.lock();
        if state.reader.is_none() {
            let from = store.revision();
            let watcher = store.watch(hub.index.prefix, from).ok()?;
            state.position = from;
            state.reader = Some(tokio::spawn(read(Arc::clone(hub), watcher)).abort_handle());
        }
        let (sender, receiver) = mpsc::channel(BACKLOG_LEN_MAX);
        let id = state.n_made;
        state.n_made += 1;
        state.by_value.entry(value.clone()).or_default().push(Subscriber { id, sender });
        let since = state.position;
        drop(state);
        Some(Subscription { hub: Arc::clone(hub), value, id, receiver, since, store: store.clone() })
    }
}

async fn read(hub: Arc<Hub>, mut watcher: Watcher) {
    while let Ok(events) = watcher.next().await {
        let mut state = hub.lock();
        for event in &events {
            state.hand_out(hub.index, event);
        }
    }
    // The store is closing, or the past went away: everybody starts over.
    let mut state = hub.lock();
    state.by_value.clear();
    state.reader = None;
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hand_out(&mut self, index: &Index, event: &Arc<Event>) {
        self.position = event.revision;
        let value = |record: &Option<Arc<store::Record>>| record.as_ref().and_then(|r| field_value(&r.value, index.path));
        let (before, after) = (value(&event.previous), value(&event.current));
        if before != after {
            self.send(before.as_deref(), event);
        }
        self.send(after.as_deref(), event);
    }

    fn send(&mut self, value: Option<&str>, event: &Arc<Event>) {
        let Some(subscribers) = value.and_then(|value| self.by_value.get_mut(value)) else {
            return;
        };
        // One that is full loses its sender, so its stream ends once it has read what it got.
        subscribers.retain(|subscriber| subscriber.sender.try_send(Arc::clone(event)).is_ok());
    }
}

impl Subscription {
    /// `None`: cut off.
    pub(crate) async fn next(&mut self) -> Option<Arc<Event>> {
        self.receiver.recv().await
    }

    pub(crate) fn try_next(&mut self) -> Option<Arc<Event>> {
        self.receiver.try_recv().ok()
    }

    /// The revision up to which everything has been handed out and read; `read` is that of the last event read.
    pub(crate) fn position(&self, read: Revision) -> Revision {
        let state = self.hub.lock();
        if !self.receiver.is_empty() {
            return read;
        }
        let here = state.position.max(read);
        // The store moves on with other kinds; a fresh cursor knows how far nothing of this kind happened.
        self.store.watch(self.hub.index.prefix, here).map_or(here, |mut cursor| cursor.position())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        if let Some(subscribers) = state.by_value.get_mut(&self.value) {
            subscribers.retain(|subscriber| subscriber.id != self.id);
            if subscribers.is_empty() {
                state.by_value.remove(&self.value);
            }
        }
        if state.by_value.is_empty()
            && let Some(reader) = state.reader.take()
        {
            reader.abort();
        }
    }
}
