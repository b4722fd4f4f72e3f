//! `Recorder`: notes become Events, drawn together as upstream does, and written behind everybody's back.
//!
//! Recording never waits: a full buffer drops notes, for events are advice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Client, Error};
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::{Note, PatchKind};
use object::time::Clock;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use crate::correlate::Origin;
use crate::correlate::{Correlator, EventWrite};
use crate::reduced::Reduced;

/// Upstream: the broadcaster's queue.
const PENDING_MAX: usize = 1000;
/// Upstream: 12 tries with 10 s between; a coming server is met sooner this way.
const TRIES_MAX: u32 = 12;
const BETWEEN_TRIES_MAX: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct Recorder {
    notes: mpsc::Sender<(Origin, Note)>,
    n_dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// The task ends when the last recorder is gone; await it to have all events written.
    pub fn start(client: Client, clock: Clock) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(PENDING_MAX);
        let task = tokio::spawn(write_all(client, clock, receiver));
        (Recorder { notes: sender, n_dropped: Arc::default() }, task)
    }

    pub fn record(&self, origin: Origin, note: Note) {
        if self.notes.try_send((origin, note)).is_err() {
            let n_dropped = self.n_dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::debug!(n_dropped, "an event was dropped");
        }
    }
}

async fn write_all(client: Client, clock: Clock, mut notes: mpsc::Receiver<(Origin, Note)>) {
    let mut correlator = Correlator::default();
    while let Some((origin, note)) = notes.recv().await {
        let Some(write) = correlator.observe(origin, &note, clock.now()) else { continue };
        if let Err(e) = write_one(&client, &write).await {
            tracing::debug!(reason = note.reason, name = note.about.name, error = %e, "an event was not written");
        }
    }
}

async fn write_one(client: &Client, write: &EventWrite) -> Result<(), Error> {
    let events = GroupVersionResource::new("", "v1", "events");
    let mut wait = Duration::from_millis(100);
    for _ in 1..TRIES_MAX {
        match attempt(client, &events, write).await {
            Err(Error::Transport { .. }) => tokio::time::sleep(wait).await,
            Err(Error::Status(status)) if status.code == 429 || status.code >= 500 => tokio::time::sleep(wait).await,
            answer => return answer,
        }
        wait = (wait * 2).min(BETWEEN_TRIES_MAX);
    }
    attempt(client, &events, write).await
}

async fn attempt(client: &Client, events: &GroupVersionResource, write: &EventWrite) -> Result<(), Error> {
    let key: &ObjectKey = &write.key;
    if let Some(patch) = &write.patch {
        match client.patch::<Reduced>(&events.path(key), PatchKind::Strategic, patch).await {
            // It has expired meanwhile: write it whole.
            Err(e) if e.is_not_found() => {}
            answer => return answer.map(drop),
        }
    }
    match client.create::<Reduced>(&events.collection_path(&key.namespace), &write.whole).await {
        Err(e) if e.is_already_exists() => Ok(()),
        answer => answer.map(drop),
    }
}
