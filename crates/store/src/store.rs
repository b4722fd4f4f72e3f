//! The handle that callers hold, and what readers and the writer share.
//!
//! Reads are answered here, from the tree, without waiting for anybody but the moment of a publication. Everything that
//! changes something goes to the writer: through its own thread where there is a disk to wait for, in place where there is
//! none, so that a simulation on paused time needs no thread.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::disk::{self, Disk, HostDisk};
use crate::feed::Scope;
use crate::leases::Leases;
use crate::log::{self, Common, Layout, Place, Recovered};
use crate::shared::Shared;
use crate::tree::Tree;
use crate::writer::{Answer, N_GROUP_MAX, Request, Writer};
use crate::{At, Error, HistoryLimits, LeaseId, Outcome, Page, Record, Revision, Watcher, Write};

/// Records read under one lock: a list of everything shall not hold up a publication for long.
const N_CHUNK: usize = 2048;
/// After a refused tick (a full disk), so that time does not run hot.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    door: Door,
    log: Option<Arc<Common>>,
}

/// How requests reach the writer.
enum Door {
    Inline(Box<Mutex<Writer>>),
    Thread(mpsc::Sender<Request>),
}

/// How the log engine lays itself out. The default suits everybody but tests.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Files of this size are written ahead of need; two stand ready, so this is the disk an idle store takes, twice.
    pub segment_bytes: u64,
    /// A snapshot is taken when the log is longer than this and than twice what is live.
    pub snapshot_after_bytes: u64,
    pub history: HistoryLimits,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: 16 << 20, snapshot_after_bytes: 64 << 20, history: HistoryLimits::default() }
    }
}

/// Requests that may wait for the writer; more wait with their callers.
const N_QUEUE_MAX: usize = 4096;

/// What is kept and what it takes.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub revision: Revision,
    /// Revisions below this one can no longer be read.
    pub compacted: Revision,
    pub n_keys: usize,
    /// Keys and values of the latest records.
    pub live_bytes: usize,
    pub n_history: usize,
    /// Estimate of what the past keeps in memory.
    pub history_bytes: usize,
    pub n_leases: usize,
    /// `None`: the memory engine.
    pub log: Option<LogStatus>,
}

#[derive(Clone, Debug, Default)]
pub struct LogStatus {
    pub snapshot_revision: Revision,
    /// What an opening store would have to read behind the snapshot.
    pub bytes_since_snapshot: u64,
    pub n_segments: u64,
    /// Groups of requests made durable since the store was opened, and syncs of any kind.
    pub n_groups: u64,
    pub n_syncs: u64,
    /// The disk was full at the last try.
    pub is_full: bool,
}

impl Store {
    /// A store that forgets everything with its last handle.
    pub fn memory() -> Self {
        Self::memory_with(HistoryLimits::default())
    }

    pub fn memory_with(limits: HistoryLimits) -> Self {
        let shared = Arc::new(Shared::new(Tree::new(Revision(1), Revision(0))));
        let writer = Writer::new(shared.clone(), Leases::default(), limits, None);
        Store { inner: Arc::new(Inner { shared, door: Door::Inline(Box::new(Mutex::new(writer))), log: None }) }
    }

    /// The log engine over a directory, which is made if need be. Reads all of it; whatever it cannot vouch for is refused.
    pub fn open(dir: &Path, options: Options) -> Result<Store, Error> {
        Self::open_disk(Arc::new(HostDisk::lock(dir)?), Layout::new(&options))
    }

    pub(crate) fn open_disk(disk: Arc<dyn Disk>, layout: Layout) -> Result<Store, Error> {
        let Recovered { tree, leases, log } = log::open(disk.clone(), layout)?;
        let common = log.common();
        let shared = Arc::new(Shared::new(tree));
        let mut writer = Writer::new(shared.clone(), leases, layout.history, Some(log));
        let door = match layout.has_threads {
            false => Door::Inline(Box::new(Mutex::new(writer))),
            true => {
                let (sender, mut receiver) = mpsc::channel(N_QUEUE_MAX);
                let mut serve = move || {
                    let mut requests = Vec::new();
                    while !writer.is_closed() && receiver.blocking_recv_many(&mut requests, N_GROUP_MAX) > 0 {
                        writer.serve(&mut requests);
                    }
                };
                // Weak, so that a closed store lets go of the directory before it says so.
                let disk = Arc::downgrade(&disk);
                // A writer that panicked has left its group in no known state, as a failed disk would.
                let work = move || {
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut serve)).is_err()
                        && let Some(disk) = disk.upgrade()
                    {
                        disk.die("the store's writer panicked");
                    }
                };
                std::thread::Builder::new().name("store-writer".to_owned()).spawn(work).map_err(Error::Io)?;
                Door::Thread(sender)
            }
        };
        Ok(Store { inner: Arc::new(Inner { shared, door, log: Some(common) }) })
    }

    /// Makes a store from a backup, in a directory that holds none. Its revision is `bump` above the backup's, and nothing before
    /// it can be read: clients that knew later times list again instead of seeing time run backwards.
    pub fn restore(dir: &Path, from: &mut dyn io::Read, bump: u64, options: Options) -> Result<Revision, Error> {
        let mut view = log::read_backup(from)?;
        view.revision.0 += bump;
        log::create_from(&HostDisk::lock(dir)?, Layout::new(&options), &view)?;
        Ok(view.revision)
    }

    /// Writes a backup of everything at one revision, for `restore`. Blocks while it writes.
    pub async fn snapshot(&self, to: &mut (dyn io::Write + Send)) -> Result<Revision, Error> {
        let view = self.ask(|answer| Request::View { answer }).await?;
        let stamp = (0, disk::random());
        log::write_snapshot(&view, Place { sequence: 0, next_segment: 1 }, stamp, &mut |bytes| to.write_all(bytes)).map_err(Error::Io)?;
        to.flush().map_err(Error::Io)?;
        Ok(view.revision)
    }

    /// Finishes what was asked before and refuses what comes after; watchers end once they have read everything.
    /// Reads go on being answered.
    pub async fn close(&self) {
        let _ = self.ask(|answer| Request::Close { answer }).await;
    }

    pub fn get(&self, key: &str) -> Option<Arc<Record>> {
        self.inner.shared.read().get(key).cloned()
    }

    pub fn get_at(&self, key: &str, revision: Revision) -> Result<Option<Arc<Record>>, Error> {
        Ok(self.inner.shared.read().get_at(key, revision)?.cloned())
    }

    /// The records under a prefix in key order, behind `start_after` if given, at most `limit` (0: all of them).
    pub fn range(&self, prefix: &str, start_after: Option<&str>, at: At, limit: usize) -> Result<Page, Error> {
        let shared = &self.inner.shared;
        if limit != 0 {
            return shared.read().range(prefix, start_after, at, limit, true);
        }
        let mut page = shared.read().range(prefix, start_after, at, N_CHUNK, false)?;
        let mut n_before = 0;
        while page.records.len() - n_before == N_CHUNK {
            n_before = page.records.len();
            let last = page.records[n_before - 1].key.clone();
            match shared.read().range(prefix, Some(&last), At::Exact(page.revision), N_CHUNK, false) {
                Ok(more) => page.records.extend(more.records),
                // The past went away while we read: then all at once.
                Err(_) if at == At::Latest => return shared.read().range(prefix, start_after, at, 0, false),
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    /// How many keys there are under a prefix; at once for a whole topic `/<group>/<resource>/`.
    pub fn count(&self, prefix: &str) -> usize {
        self.inner.shared.read().count(prefix)
    }

    /// Whether it still takes writes, or would if there were room for them.
    pub fn is_open(&self) -> bool {
        !self.inner.shared.is_closed()
    }

    pub fn revision(&self) -> Revision {
        self.inner.shared.published()
    }

    /// Carries out one transaction: all of it or nothing. When this returns `Done`, it is durable and visible. If the future
    /// is dropped before, the write may still take place.
    pub async fn write(&self, writes: Vec<Write>) -> Result<Outcome, Error> {
        self.ask(|answer| Request::Write { writes, answer }).await
    }

    /// Watches the keys that start with `prefix` for events above `from`; `/` is everything.
    pub fn watch(&self, prefix: &str, from: Revision) -> Result<Watcher, Error> {
        self.watch_scope(Scope::Prefix(prefix.into()), from)
    }

    /// Watches one key and no other; writes to its neighbours do not wake the watcher.
    pub fn watch_key(&self, key: &str, from: Revision) -> Result<Watcher, Error> {
        self.watch_scope(Scope::Key(key.into()), from)
    }

    fn watch_scope(&self, scope: Scope, from: Revision) -> Result<Watcher, Error> {
        let shared = &self.inner.shared;
        let mut tree = shared.write();
        if from > tree.revision {
            return Err(Error::Future { current: tree.revision });
        }
        let feed = tree.feed_for(scope.text(), scope.is_key(), from);
        let oldest = feed.dropped();
        drop(tree);
        let watcher = Watcher::new(shared.clone(), feed, scope, from);
        if from < oldest { Err(Error::Compacted { oldest }) } else { Ok(watcher) }
    }

    /// A lease that lives for `ttl` after the next tick. Keys put with it are deleted when it ends.
    pub async fn grant(&self, ttl: Duration) -> Result<LeaseId, Error> {
        self.ask(|answer| Request::Grant { ttl, answer }).await
    }

    /// Starts the lease's time anew.
    pub async fn keep_alive(&self, lease: LeaseId) -> Result<(), Error> {
        let renewed = self.ask(|answer| Request::KeepAlive { lease, answer }).await;
        self.inner.shared.nudge();
        renewed
    }

    /// Ends the lease and deletes its keys.
    pub async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.ask(|answer| Request::Revoke { lease, answer }).await
    }

    /// Forgets how things stood before `upto`; that revision itself stays readable.
    pub async fn compact(&self, upto: Revision) -> Result<(), Error> {
        self.ask(|answer| Request::Compact { upto, answer }).await
    }

    /// Tells the store the time, counted from any fixed moment: leases end, and the past is trimmed. Returns when to call
    /// again; `None` until something is written. `keep_time` does this for whoever has no clock of their own.
    pub async fn tick(&self, now: Duration) -> Result<Option<Duration>, Error> {
        self.ask(|answer| Request::Tick { now, answer }).await
    }

    /// Keeps the store's time by tokio's clock until the store is closed. Sleeps while there is nothing to do.
    pub async fn keep_time(&self) {
        let start = Instant::now();
        loop {
            let wake_at = match self.tick(start.elapsed()).await {
                Ok(wake_at) => wake_at.map(|at| start + at),
                Err(Error::Closed) => return,
                Err(_) => Some(Instant::now() + RETRY_AFTER),
            };
            let nudged = self.inner.shared.nudged();
            match wake_at {
                Some(at) => drop(tokio::time::timeout_at(at, nudged).await),
                None => nudged.await,
            }
        }
    }

    pub fn status(&self) -> Status {
        let shared = &self.inner.shared;
        let tree = shared.read();
        Status {
            revision: tree.revision,
            compacted: tree.compacted,
            n_keys: tree.live,
            live_bytes: tree.live_bytes,
            n_history: tree.root.len(),
            history_bytes: tree.history_bytes,
            n_leases: shared.n_leases(),
            log: self.inner.log.as_deref().map(|log| LogStatus {
                snapshot_revision: Revision(log.snapshot_revision.load(Ordering::Relaxed)),
                bytes_since_snapshot: log.log_bytes.load(Ordering::Relaxed),
                n_segments: log.n_segments.load(Ordering::Relaxed),
                n_groups: log.n_groups.load(Ordering::Relaxed),
                n_syncs: log.n_syncs.load(Ordering::Relaxed),
                is_full: log.is_full.load(Ordering::Relaxed),
            }),
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        match &self.inner.door {
            Door::Inline(writer) => {
                writer.lock().unwrap_or_else(PoisonError::into_inner).serve(&mut vec![request(answer)]);
            }
            Door::Thread(queue) => {
                // The queue closes with the writer; to close once more is no fault.
                queue.send(request(answer)).await.map_err(|_| Error::Closed)?;
            }
        }
        match answered.await {
            Ok(answer) => answer,
            // Still in the queue when the writer closed: it was not carried out.
            Err(_) if self.inner.shared.is_closed() => Err(Error::Closed),
            Err(_) => Err(Error::Unknown("the writer has stopped".to_owned())),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}
