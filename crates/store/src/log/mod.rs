//! The log engine: a group of changes becomes one checksummed frame in a preallocated segment, synced once.
//!
//! ```text
//! LOCK FORMAT                      one process; which layout, which store
//! 000000000007.wal                 segments: a header, frames with consecutive sequence numbers, at the end a seal
//! 000000000008.wal                 the next segment, empty, made ready in the background
//! 000000000003.free                segments the last snapshot has made dead, to be written over
//! 00000000000000004711.snap        all live records at that revision; replaces every segment before the one it names
//! ```
//!
//! Overwriting preallocated blocks spares the file system's own journal: it halves the flushes. What a dead segment still holds
//! cannot be taken for frames of the new one, for each segment's random salt enters its checksums; nor can values that clients
//! choose. Only one frame is ever on its way, so after the first unreadable frame nothing readable may follow: if it does,
//! it is damage and not a torn write, and the store refuses to open.
//!
//! Invariants: a frame is synced before anybody learns of it. A segment is sealed only when the next one stands ready, so the
//! writer neither fills nor creates files. Whatever fails on disk, except for want of space, ends the process.

mod entry;
mod frame;
mod recovery;
mod segment;
mod snapshot;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::change::{Change, Fault};
use crate::disk::{Disk, is_full, write_all_at};
use crate::{HistoryLimits, Options};
pub(crate) use entry::Entry;
use frame::FrameBuffer;
use segment::Segment;

pub(crate) use recovery::{Recovered, create_from, open, read_backup};
pub(crate) use snapshot::{Place, View, write_snapshot};

/// Dead segments kept for reuse; more are removed.
const N_SPARES_MAX: usize = 2;

pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    layout: Layout,
    store_id: u128,
    active: Segment,
    next: Option<Job<io::Result<Segment>>>,
    /// Of the last frame.
    sequence: u64,
    buffer: FrameBuffer,
    snapshot: Option<Job<()>>,
    common: Arc<Common>,
}

/// Sizes, and whether other threads may help.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) segment_bytes: u64,
    pub(crate) snapshot_after_bytes: u64,
    pub(crate) history: HistoryLimits,
    /// Without threads everything happens in place, in the same order each time.
    pub(crate) has_threads: bool,
}

impl Layout {
    pub(crate) fn new(options: &Options) -> Self {
        Layout {
            segment_bytes: options.segment_bytes.next_multiple_of(4096).max(64 << 10),
            snapshot_after_bytes: options.snapshot_after_bytes,
            history: options.history,
            has_threads: true,
        }
    }

    /// The largest group: several must fit into a segment.
    pub(crate) fn group_bytes_max(&self) -> usize {
        usize::try_from(self.segment_bytes / 4).unwrap_or(usize::MAX).min(crate::change::GROUP_BYTES_MAX)
    }
}

/// What the writer's thread, the background jobs and `status` have in common.
#[derive(Default)]
pub(crate) struct Common {
    /// The first segment that the newest snapshot does not replace.
    first_needed: AtomicU64,
    pub(crate) snapshot_revision: AtomicU64,
    pub(crate) log_bytes: AtomicU64,
    pub(crate) n_segments: AtomicU64,
    pub(crate) n_syncs: AtomicU64,
    pub(crate) n_groups: AtomicU64,
    pub(crate) is_full: AtomicBool,
    /// Set when the store closes: a snapshot under way is given up.
    stop: AtomicBool,
    spares: Mutex<Vec<String>>,
}

impl Common {
    fn synced(&self) {
        self.n_syncs.fetch_add(1, Ordering::Relaxed);
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that may be going on elsewhere.
enum Job<T> {
    Done(T),
    Running(JoinHandle<T>),
}

impl<T: Send + 'static> Job<T> {
    fn start(name: &str, has_threads: bool, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        if !has_threads {
            return Ok(Job::Done(work()));
        }
        std::thread::Builder::new().name(name.to_owned()).spawn(work).map(Job::Running)
    }

    fn is_done(&self) -> bool {
        match self {
            Job::Done(_) => true,
            Job::Running(thread) => thread.is_finished(),
        }
    }

    fn wait(self) -> T {
        match self {
            Job::Done(result) => result,
            Job::Running(thread) => thread.join().expect("background jobs do not panic"),
        }
    }
}

impl Log {
    /// Makes the changes durable as one frame. `view` shows the store without them, should it be time for a snapshot.
    pub(crate) fn commit(&mut self, changes: &[Change], view: &dyn Fn() -> View) -> Result<(), Fault> {
        self.buffer.clear();
        for change in changes {
            self.buffer.push(&Entry::of(change));
        }
        if !self.active.has_room(self.buffer.frame_len()) {
            self.rotate()?;
            self.snapshot_if_due(view);
        }
        self.append()?;
        self.common.n_groups.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn common(&self) -> Arc<Common> {
        self.common.clone()
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Waits for what is going on in the background; then the directory may be opened again.
    pub(crate) fn close(mut self) {
        // Best effort: a full disk may refuse it, and nothing depends on it.
        let _ = self.mark();
        self.common.stop.store(true, Ordering::Relaxed);
        if let Some(job) = self.snapshot.take() {
            job.wait();
        }
        if let Some(job) = self.next.take() {
            drop(job.wait());
        }
    }

    /// Writes the buffer as the next frame and syncs it.
    fn append(&mut self) -> Result<(), Fault> {
        let frame = self.buffer.seal(self.active.stamp(), self.sequence + 1);
        if let Err(error) = write_all_at(&*self.active.file, frame, self.active.position) {
            // Nobody was told of this frame, and the next one is written over it.
            return Err(self.fault(&error, "write"));
        }
        self.common.synced();
        if let Err(error) = self.active.file.sync() {
            return Err(self.dead(&error, "sync"));
        }
        self.active.position += frame.len() as u64;
        self.sequence += 1;
        self.common.log_bytes.store(self.log_bytes(), Ordering::Relaxed);
        self.common.is_full.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Ends the active segment and goes on in the next. Without a next one nothing is done.
    fn rotate(&mut self) -> Result<(), Fault> {
        let next = self.take_next()?;
        let entries = std::mem::replace(&mut self.buffer, FrameBuffer::with(&[Entry::Seal]));
        let sealed = self.append();
        self.buffer = entries;
        if let Err(fault) = sealed {
            self.next = Some(Job::Done(Ok(next)));
            return Err(fault);
        }
        self.active = next;
        self.common.n_segments.fetch_add(1, Ordering::Relaxed);
        self.prepare_next();
        Ok(())
    }

    fn take_next(&mut self) -> Result<Segment, Fault> {
        let was_prepared = self.next.is_some();
        if !was_prepared {
            self.prepare_next();
        }
        match self.next.take().map(Job::wait) {
            Some(Ok(next)) => Ok(next),
            // It may be long ago that the disk was full.
            Some(Err(error)) if was_prepared && is_full(&error) => self.take_next(),
            Some(Err(error)) => Err(self.fault(&error, "make the segment after")),
            None => unreachable!("it has just been started"),
        }
    }

    fn prepare_next(&mut self) {
        let (disk, common) = (self.disk.clone(), self.common.clone());
        let (number, store_id, len) = (self.active.number + 1, self.store_id, self.layout.segment_bytes);
        let work = move || segment::make(&*disk, &common, store_id, number, len);
        let started = Job::start("store-segment", self.layout.has_threads, work);
        self.next = Some(started.unwrap_or_else(|error| Job::Done(Err(error))));
    }

    fn log_bytes(&self) -> u64 {
        let n_before = self.active.number - self.common.first_needed.load(Ordering::Acquire);
        n_before * self.layout.segment_bytes + self.active.position
    }

    /// Called when a segment has just begun: the snapshot replaces all before it.
    fn snapshot_if_due(&mut self, view: &dyn Fn() -> View) {
        if self.snapshot.as_ref().is_some_and(|job| !job.is_done()) || self.log_bytes() < self.layout.snapshot_after_bytes {
            return;
        }
        let view = view();
        // At twice the live bytes each byte is written thrice in all, and opening reads at most three times what it keeps.
        if self.log_bytes() < 2 * view.bytes() {
            return;
        }
        let (disk, common, store_id) = (self.disk.clone(), self.common.clone(), self.store_id);
        let place = snapshot::Place { sequence: self.sequence, next_segment: self.active.number };
        let work = move || snapshot::replace_log(&*disk, &common, store_id, &view, place);
        self.snapshot = Job::start("store-snapshot", self.layout.has_threads, work)
            .inspect_err(|error| tracing::warn!(%error, "a snapshot of the store is put off"))
            .ok();
    }

    fn fault(&self, error: &io::Error, step: &str) -> Fault {
        if is_full(error) {
            if !self.common.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(place = self.disk.place(&self.active.name()), "the store's disk is full; writes are refused");
            }
            return Fault::NoSpace;
        }
        self.dead(error, step)
    }

    fn dead(&self, error: &io::Error, step: &str) -> Fault {
        let why = format!("cannot {step} `{}`: {error}", self.disk.place(&self.active.name()));
        self.disk.die(&why);
        Fault::Dead(why)
    }
}
