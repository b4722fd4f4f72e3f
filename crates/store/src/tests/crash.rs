//! Lives that end at a random disk operation, by a kill or a power cut, again and again on the same disk; after each, everything
//! that was acknowledged must be there, and of what was not, all or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::sim_disk::{Rng, SimDisk};
use super::{LIMITS, put, put_leased};
use crate::disk::Disk;
use crate::log::Layout;
use crate::{At, Error, Event, Expect, LeaseId, Op, Outcome, Revision, Store, Write};

const N_SEEDS: u64 = 400;
const N_LIVES: u64 = 5;

pub(crate) fn small(has_threads: bool) -> Layout {
    Layout { segment_bytes: 32 << 10, snapshot_after_bytes: 64 << 10, history: LIMITS, has_threads }
}

fn open(disk: &SimDisk, layout: Layout) -> Result<Store, Error> {
    Store::open_disk(Arc::new(disk.clone()), layout)
}

/// What has been acknowledged.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Model {
    revision: u64,
    live: BTreeMap<String, Bytes>,
    leases: BTreeMap<LeaseId, ()>,
    /// Every change ever, to be compared with what the store still knows.
    past: Vec<(u64, String, Option<Bytes>)>,
}

impl Model {
    fn apply(&mut self, writes: &[Write]) {
        let changes = |w: &&Write| match w.op {
            Op::Put { .. } => true,
            Op::Delete => self.live.contains_key(&*w.key),
            Op::Check => false,
        };
        let changing: Vec<_> = writes.iter().filter(changes).cloned().collect();
        self.revision += u64::from(!changing.is_empty());
        for write in changing {
            let value = match write.op {
                Op::Put { value, .. } => Some(value),
                _ => None,
            };
            match value.clone() {
                Some(value) => drop(self.live.insert(write.key.to_string(), value)),
                None => drop(self.live.remove(&*write.key)),
            }
            self.past.push((self.revision, write.key.to_string(), value));
        }
    }

    fn shown_by(&self, store: &Store) -> bool {
        let page = store.range("", None, At::Latest, 0).expect("a page");
        page.revision.0 == self.revision
            && page.records.len() == self.live.len()
            && page.records.iter().all(|r| self.live.get(&*r.key) == Some(&r.value))
    }

    /// Events and versions from the oldest kept on are those that happened.
    fn check_past(&self, store: &Store, seed: u64) {
        let oldest = store.status().compacted;
        let mut watcher = store.watch("/", oldest).expect("a watch");
        let mut events: Vec<Arc<Event>> = Vec::new();
        while let Ok(more) = watcher.try_next() {
            if more.is_empty() {
                break;
            }
            events.extend(more);
        }
        let told: Vec<_> = events.iter().map(|e| (e.revision.0, e.key.to_string(), e.current.as_ref().map(|r| r.value.clone()))).collect();
        let happened: Vec<_> = self.past.iter().filter(|(revision, ..)| *revision > oldest.0).cloned().collect();
        assert_eq!(told, happened, "seed {seed}");
        for revision in oldest.0.max(1)..=self.revision {
            let mut then = BTreeMap::new();
            for (_, key, value) in self.past.iter().take_while(|(at, ..)| *at <= revision) {
                match value {
                    Some(value) => drop(then.insert(key.as_str(), value)),
                    None => drop(then.remove(key.as_str())),
                }
            }
            let page = store.range("", None, At::Exact(Revision(revision)), 0).expect("kept");
            let shown: BTreeMap<_, _> = page.records.iter().map(|r| (&*r.key, &r.value)).collect();
            assert_eq!(shown, then, "seed {seed} at {revision}");
        }
    }
}

fn random_writes(rng: &mut Rng, model: &Model) -> Vec<Write> {
    let n = if rng.one_in(5) { 2 + rng.below(4) } else { 1 };
    let mut keys: Vec<_> = (0..n).map(|_| format!("/g/r{}/k{}", rng.below(3), rng.below(12))).collect();
    keys.sort();
    keys.dedup();
    let write = |key: String| {
        if rng.one_in(4) {
            return Write { key: key.as_str().into(), expect: Expect::Any, op: Op::Delete };
        }
        let len = if rng.one_in(10) { rng.below(1500) } else { rng.below(700) };
        // Only the first bytes differ: a torn write shall find old contents that look like the new.
        let mut value = vec![b'v'; len as usize];
        value.splice(..0, rng.next().to_le_bytes());
        let lease = model.leases.keys().next().copied().filter(|_| rng.one_in(6));
        Write { key: key.as_str().into(), expect: Expect::Any, op: Op::Put { value: value.into(), lease } }
    };
    keys.into_iter().map(write).collect()
}

#[derive(Default)]
struct Tally {
    n_lives: u64,
    n_cut_while_opening: u64,
    n_acknowledged: u64,
    n_unknown_kept: u64,
    n_unknown_lost: u64,
    n_snapshots: u64,
}

/// One life on `disk`; returns what was asked for last and never answered.
async fn live(store: &Store, rng: &mut Rng, model: &mut Model, tally: &mut Tally) -> Option<Vec<Write>> {
    loop {
        if rng.one_in(40) {
            match store.grant(std::time::Duration::from_secs(1)).await {
                Ok(lease) => drop(model.leases.insert(lease, ())),
                Err(_) => return None,
            }
        }
        if rng.one_in(30) {
            let _ = store.compact(Revision(model.revision.saturating_sub(rng.below(20)))).await;
        }
        let writes = random_writes(rng, model);
        match store.write(writes.clone()).await {
            Ok(Outcome::Done { revision, .. }) => {
                model.apply(&writes);
                assert_eq!(revision.0, model.revision);
                tally.n_acknowledged += 1;
            }
            Ok(Outcome::Conflict { .. }) => panic!("nothing was expected of the key"),
            // The lease was granted in an earlier life, and that was never acknowledged.
            Err(Error::LeaseNotFound(lease)) => panic!("{lease:?} is gone"),
            Err(_) => return Some(writes),
        }
    }
}

#[tokio::test]
async fn no_acknowledged_write_is_lost() {
    let mut tally = Tally::default();
    for seed in 0..N_SEEDS {
        let mut rng = Rng(seed);
        let mut disk = SimDisk::new(rng.next());
        if rng.one_in(3) {
            disk.be_sloppy();
        }
        let mut model = Model { revision: 1, ..Model::default() };
        for _ in 0..N_LIVES {
            tally.n_lives += 1;
            let n_ops = 1 + if rng.one_in(4) { rng.below(20) } else { rng.below(600) };
            disk.cut_after(n_ops);
            let mut unknown = None;
            match open(&disk, small(false)) {
                Ok(store) => {
                    assert!(model.shown_by(&store), "seed {seed}");
                    unknown = live(&store, &mut rng, &mut model, &mut tally).await;
                    tally.n_snapshots += u64::from(store.status().log.expect("the log engine").snapshot_revision > Revision(0));
                }
                Err(error) => {
                    assert!(disk.is_dead(), "seed {seed}: {error}: {error:?}");
                    tally.n_cut_while_opening += 1;
                }
            }
            disk = if rng.one_in(3) { disk.after_kill() } else { disk.after_crash() };
            let store = open(&disk, small(false)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            if let Some(writes) = unknown {
                let mut with = model.clone();
                with.apply(&writes);
                if with.shown_by(&store) {
                    tally.n_unknown_kept += u64::from(with != model);
                    model = with;
                } else {
                    tally.n_unknown_lost += 1;
                }
            }
            assert!(model.shown_by(&store), "seed {seed}: what was acknowledged is gone");
            if rng.one_in(8) {
                model.check_past(&store, seed);
            }
            // This life ends before it has begun; the next one may lose what only the cache holds.
            disk = if rng.one_in(2) { disk.after_kill() } else { disk.after_crash() };
        }
    }
    assert!(tally.n_lives >= 1000);
    println!(
        "{} lives, {} ended while opening, {} writes acknowledged, of the unanswered {} kept and {} lost, {} with a snapshot",
        tally.n_lives, tally.n_cut_while_opening, tally.n_acknowledged, tally.n_unknown_kept, tally.n_unknown_lost, tally.n_snapshots
    );
    // The test must reach what it is there for.
    for n in [tally.n_cut_while_opening, tally.n_unknown_kept, tally.n_unknown_lost, tally.n_snapshots] {
        assert!(n > 20);
    }
}

/// The same with the real threads: groups of many clients, segments and snapshots made beside them.
#[tokio::test]
async fn no_acknowledged_write_of_many_clients_is_lost() {
    const N_CLIENTS: usize = 8;
    for seed in 0..150 {
        let mut rng = Rng(seed ^ 0xc11e);
        let mut disk = SimDisk::new(rng.next());
        // Per client: the last acknowledged value of its key, and the one it was never told of.
        let mut known = [(0_u64, 0_u64); N_CLIENTS];
        for _ in 0..3 {
            disk.cut_after(1 + rng.below(300));
            if let Ok(store) = open(&disk, small(true)) {
                let tasks = known.iter().enumerate().map(|(client, (acknowledged, _))| {
                    let (store, mut n) = (store.clone(), *acknowledged);
                    let mut rng = Rng(rng.0 ^ client as u64);
                    tokio::spawn(async move {
                        loop {
                            let mut value = (n + 1).to_le_bytes().to_vec();
                            value.resize(8 + rng.below(1500) as usize, 7);
                            let op = Op::Put { value: value.into(), lease: None };
                            match store.write(vec![Write { key: format!("/g/r/{client}").as_str().into(), expect: Expect::Any, op }]).await
                            {
                                Ok(_) => n += 1,
                                Err(_) => return (n, n + 1),
                            }
                        }
                    })
                });
                let tasks: Vec<_> = tasks.collect();
                for (client, task) in tasks.into_iter().enumerate() {
                    known[client] = task.await.expect("no panic");
                }
                store.close().await;
            }
            disk = if rng.one_in(3) { disk.after_kill() } else { disk.after_crash() };
            let store = open(&disk, small(true)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            for (client, (acknowledged, unknown)) in known.iter_mut().enumerate() {
                let record = store.get(&format!("/g/r/{client}"));
                let found = record.map_or(0, |r| u64::from_le_bytes(*r.value.first_chunk().expect("eight bytes")));
                assert!(found == *acknowledged || found == *unknown, "seed {seed}: client {client} found {found}, knew {acknowledged}");
                *acknowledged = found;
            }
            store.close().await;
            disk = disk.after_crash();
        }
    }
}

/// A failing disk ends the engine at once: whatever comes after a failed write or sync can't be trusted.
#[tokio::test]
async fn a_failing_disk_stops_everything() {
    let mut n_failed = 0;
    for n_ops in 1..120 {
        let disk = SimDisk::new(n_ops);
        let mut model = Model { revision: 1, ..Model::default() };
        let mut rng = Rng(n_ops);
        let store = open(&disk, small(false)).expect("opens");
        disk.fail_after(n_ops);
        let unknown = live(&store, &mut rng, &mut model, &mut Tally::default()).await.unwrap_or_default();
        assert!(disk.is_dead(), "{n_ops}");
        assert!(matches!(store.write(vec![put("/g/r/a", "")]).await, Err(Error::Unknown(_))));
        assert!(model.shown_by(&store), "what was not written must not be seen");
        n_failed += 1;
        let store = open(&disk.after_crash(), small(false)).expect("opens");
        let mut with = model.clone();
        with.apply(&unknown);
        assert!(model.shown_by(&store) || with.shown_by(&store), "{n_ops}");
    }
    assert_eq!(n_failed, 119);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_space() {
    let disk = SimDisk::new(1);
    let mut model = Model { revision: 1, ..Model::default() };
    let mut rng = Rng(1);
    let mut layout = small(false);
    // No snapshots, which would make space.
    layout.snapshot_after_bytes = u64::MAX;
    let store = open(&disk, layout).expect("opens");
    for round in 0..5 {
        disk.set_space(Some(disk.used()));
        let mut n_refused = 0;
        while n_refused < 20 {
            let writes = random_writes(&mut rng, &model);
            match store.write(writes.clone()).await {
                Ok(_) => model.apply(&writes),
                Err(Error::NoSpace) => n_refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(store.status().log.expect("the log engine").is_full);
        assert!(model.shown_by(&store) && !disk.is_dead());
        let reopened = open(&disk.after_crash(), layout).expect("opens for readers");
        assert!(model.shown_by(&reopened), "round {round}");
        assert!(matches!(reopened.write(vec![put("/g/r/a", &"x".repeat(4000))]).await, Err(Error::NoSpace)));
        disk.set_space(None);
        let writes = random_writes(&mut rng, &model);
        assert!(matches!(store.write(writes.clone()).await, Ok(Outcome::Done { .. })));
        model.apply(&writes);
        assert!(!store.status().log.expect("the log engine").is_full);
    }
    assert!(model.shown_by(&open(&disk.after_crash(), layout).expect("opens")));
}

#[tokio::test]
async fn a_full_disk_puts_snapshots_off() {
    let disk = SimDisk::new(2);
    let store = open(&disk, small(false)).expect("opens");
    let mut model = Model { revision: 1, ..Model::default() };
    let mut rng = Rng(2);
    let mut n_full = 0;
    for n in 0..3000 {
        if n % 200 == 0 {
            disk.set_space((n % 400 == 0).then(|| disk.used() + 1000));
        }
        let writes = random_writes(&mut rng, &model);
        match store.write(writes.clone()).await {
            Ok(_) => model.apply(&writes),
            Err(Error::NoSpace) => n_full += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(n_full > 0 && !disk.is_dead());
    let log = store.status().log.expect("the log engine");
    assert!(log.snapshot_revision > Revision(1));
    assert!(!disk.contents().keys().any(|name| name.ends_with(".tmp")));
    assert!(model.shown_by(&open(&disk.after_crash(), small(false)).expect("opens")));
}

/// The disk in use stays in proportion to what is live, however much is written.
#[tokio::test]
async fn the_log_is_bounded() {
    let disk = SimDisk::new(3);
    let store = open(&disk, small(false)).expect("opens");
    let mut rng = Rng(3);
    let model = Model::default();
    let mut used_max = 0;
    for _ in 0..6000 {
        store.write(random_writes(&mut rng, &model)).await.expect("writes");
        used_max = used_max.max(disk.used());
    }
    // Live: up to 36 keys of half a KiB. Log: 64 KiB and a segment; next, two spares, a snapshot and the one it replaces.
    assert!(used_max < 12 * (32 << 10), "{used_max}");
    assert!(store.status().log.expect("the log engine").snapshot_revision > Revision(1));
}

/// Restarted again and again, a store still comes to its snapshot: what is counted are the files, not this life's writes.
#[tokio::test]
async fn restarts_do_not_put_snapshots_off() {
    let mut disk = SimDisk::new(4);
    let mut rng = Rng(4);
    let model = Model::default();
    let mut used_max = 0;
    for _ in 0..400 {
        let store = open(&disk, small(false)).expect("opens");
        for _ in 0..5 {
            store.write(random_writes(&mut rng, &model)).await.expect("writes");
        }
        used_max = used_max.max(disk.used());
        disk = disk.after_kill();
    }
    assert!(used_max < 12 * (32 << 10), "{used_max}");
}

/// Nothing asked, nothing done.
#[tokio::test(start_paused = true)]
async fn an_idle_store_leaves_the_disk_alone() {
    let disk = SimDisk::new(5);
    let store = open(&disk, small(false)).expect("opens");
    let lease = store.grant(std::time::Duration::from_secs(3600)).await.expect("a lease");
    store.write(vec![put_leased("/g/r/a", "", lease)]).await.expect("writes");
    let keeper = store.clone();
    let keeping = tokio::spawn(async move { keeper.keep_time().await });
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let n_ops = disk.n_ops();
    for _ in 0..100 {
        assert!(store.get("/g/r/a").is_some());
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
        let refused = Write { key: "/g/r/a".into(), expect: Expect::Absent, op: Op::Delete };
        store.write(vec![refused]).await.expect("an answer");
    }
    assert_eq!(disk.n_ops(), n_ops);
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    assert!(store.get("/g/r/a").is_none());
    store.close().await;
    keeping.await.expect("ends with the store");
}

/// Of all names only these appear, so that a person can tell what is what.
#[tokio::test]
async fn files_have_the_names_they_should() {
    let disk = SimDisk::new(6);
    let store = open(&disk, small(false)).expect("opens");
    let mut rng = Rng(6);
    for _ in 0..600 {
        store.write(random_writes(&mut rng, &Model::default())).await.expect("writes");
    }
    store.close().await;
    for name in disk.names().expect("names") {
        let known = name == "FORMAT" || [".wal", ".free", ".snap"].iter().any(|suffix| name.ends_with(suffix));
        assert!(known, "{name}");
    }
}
