//! Files that are not what was written: every byte flipped, every file lost, cut short or zeroed in part. The store may refuse
//! to open, naming the file, or show everything that was acknowledged; nothing in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::crash::small;
use super::sim_disk::{Rng, SimDisk};
use super::{done, put};
use crate::log::Layout;
use crate::{At, Error, Record, Revision, Store};

type Files = BTreeMap<String, Vec<u8>>;

fn tiny() -> Layout {
    Layout { segment_bytes: 4 << 10, snapshot_after_bytes: 12 << 10, ..small(false) }
}

fn open(files: &Files) -> Result<Store, Error> {
    Store::open_disk(Arc::new(SimDisk::with_files(1, files.clone())), tiny())
}

fn all(store: &Store) -> (Revision, Vec<Arc<Record>>) {
    let page = store.range("", None, At::Latest, 0).expect("a page");
    (page.revision, page.records)
}

/// A snapshot, some full segments behind it, and a log that was closed in good order.
async fn written() -> (Files, (Revision, Vec<Arc<Record>>)) {
    let disk = SimDisk::new(7);
    let store = Store::open_disk(Arc::new(disk.clone()), tiny()).expect("opens");
    let mut rng = Rng(7);
    let lease = store.grant(std::time::Duration::from_secs(9)).await.expect("a lease");
    done(&store, vec![super::put_leased("/g/leased/a", "", lease)]).await;
    loop {
        let value = "v".repeat(rng.below(400) as usize);
        done(&store, vec![put(&format!("/g/r/{}", rng.below(20)), &value)]).await;
        let log = store.status().log.expect("the log engine");
        // A segment and a half behind the second snapshot.
        if log.snapshot_revision > Revision(60) && log.bytes_since_snapshot > 6 << 10 {
            break;
        }
    }
    let state = all(&store);
    store.close().await;
    (disk.contents(), state)
}

/// Whether the damage is noticed; if it is not, nothing may be lost.
fn check(files: &Files, name: &str, what: &str, state: &(Revision, Vec<Arc<Record>>)) -> bool {
    match open(files) {
        Ok(store) => {
            assert!(all(&store) == *state, "{what} of `{name}` went unnoticed and lost something");
            false
        }
        Err(Error::Corrupt(place)) => {
            // A lost or renumbered file may be missed by another name.
            assert!(place.contains(name) || place.contains("missing") || place.contains("FORMAT"), "{what} of `{name}`: {place}");
            true
        }
        Err(error) => panic!("{what} of `{name}`: {error}"),
    }
}

#[tokio::test]
async fn every_flipped_byte_is_noticed_or_in_dead_space() {
    let (files, state) = written().await;
    assert!(files.keys().any(|n| n.ends_with(".snap")) && files.keys().filter(|n| n.ends_with(".wal")).count() >= 3);
    let mut rng = Rng(8);
    let mut noticed = BTreeMap::new();
    for (name, bytes) in &files {
        let mut damaged = files.clone();
        for at in 0..bytes.len() {
            let bit = 1 << rng.below(8);
            damaged.get_mut(name).expect("it is there")[at] ^= bit;
            *noticed.entry(name.as_str()).or_insert(0) += usize::from(check(&damaged, name, &format!("byte {at}"), &state));
            damaged.get_mut(name).expect("it is there")[at] ^= bit;
        }
    }
    for (name, n) in noticed {
        let len = files[name].len();
        println!("{name}: {n} of {len} flips noticed");
        match name.rsplit_once('.') {
            Some((_, "snap")) => assert_eq!(n, len, "every byte of a snapshot counts"),
            Some((_, "free")) => assert_eq!(n, 0, "a spare holds nothing"),
            // At least the header.
            Some((_, "wal")) => assert!(n >= 64, "{name}"),
            _ => assert_eq!(n, len, "{name}"),
        }
    }
}

/// In a segment that was filled, only what lies behind the seal is dead.
#[tokio::test]
async fn full_segments_have_no_dead_bytes_before_their_seal() {
    let (files, state) = written().await;
    let sealed = files.keys().find(|n| n.ends_with(".wal")).expect("a segment").clone();
    let bytes = &files[&sealed];
    let mut unnoticed = Vec::new();
    for at in 0..bytes.len() {
        let mut damaged = files.clone();
        damaged.get_mut(&sealed).expect("it is there")[at] ^= 1;
        if !check(&damaged, &sealed, &format!("byte {at}"), &state) {
            unnoticed.push(at);
        }
    }
    let dead_from = unnoticed.first().copied().unwrap_or(bytes.len());
    assert!(dead_from > bytes.len() / 2);
    assert_eq!(unnoticed, (dead_from..bytes.len()).collect::<Vec<_>>());
}

#[tokio::test]
async fn lost_and_mangled_files_are_noticed() {
    let (files, state) = written().await;
    let mut n_torn_ends = 0;
    for (name, bytes) in &files {
        let mut without = files.clone();
        without.remove(name);
        let is_needed = !name.ends_with(".free");
        let is_last = files.keys().rfind(|n| n.ends_with(".wal")) == Some(name);
        // The last segment is one that was made ready and not begun.
        assert_eq!(check(&without, name, "loss", &state), is_needed && !is_last, "{name}");
        for cut in [0, 1, 63, 64, 65, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let mut damaged = files.clone();
            damaged.get_mut(name).expect("it is there").truncate(cut);
            check(&damaged, name, &format!("cut to {cut}"), &state);
        }
        for start in (0..bytes.len()).step_by(512) {
            let mut damaged = files.clone();
            let end = bytes.len().min(start + 512);
            damaged.get_mut(name).expect("it is there")[start..end].fill(0);
            // The last group together with the mark behind it is what a torn write looks like; it ends in one sector.
            let is_torn_end = || open(&damaged).is_ok_and(|store| all(&store) != state);
            if n_torn_ends == 0 && is_torn_end() {
                n_torn_ends += 1;
                continue;
            }
            check(&damaged, name, &format!("zeros at {start}"), &state);
        }
        // One file in the place of another.
        for (other, contents) in files.iter().filter(|(other, _)| *other != name && other.rsplit('.').next() == name.rsplit('.').next()) {
            let mut damaged = files.clone();
            damaged.insert(name.clone(), contents.clone());
            check(&damaged, name, &format!("replacement by {other}"), &state);
        }
    }
    let empty = Files::new();
    assert_eq!(all(&open(&empty).expect("a new store")).0, Revision(1));
}

/// Values that look like frames, in a log that is then torn behind them.
#[tokio::test]
async fn values_cannot_pass_for_frames() {
    let disk = SimDisk::new(9);
    let store = Store::open_disk(Arc::new(disk.clone()), small(false)).expect("opens");
    done(&store, vec![put("/g/r/a", "first")]).await;
    // What a client might know of: the very bytes of this store's own segment.
    let (_, segment) = disk.contents().into_iter().find(|(n, _)| n.ends_with("1.wal")).expect("a segment");
    let frames = &segment[64..512];
    let value = bytes::Bytes::copy_from_slice(&frames.repeat(10));
    let write = crate::Write { key: "/g/r/b".into(), expect: crate::Expect::Any, op: crate::Op::Put { value, lease: None } };
    let state = all(&store);
    store.write(vec![write]).await.expect("writes");
    let mut files = disk.contents();
    let (name, bytes) = files.iter_mut().find(|(n, _)| n.ends_with("1.wal")).expect("a segment");
    // The last frame's header is torn off; behind it frames with lower numbers show, which are no successors.
    let start = bytes.windows(6).position(|w| w == b"/g/r/b").expect("written");
    bytes[start - 40..start].fill(0);
    let name = name.clone();
    check(&files, &name, "a torn frame", &state);
}

/// Whatever the files hold, opening them answers.
#[tokio::test]
async fn random_damage_never_panics() {
    let (files, _) = written().await;
    let mut rng = Rng(10);
    for _ in 0..3000 {
        let mut damaged = files.clone();
        for _ in 0..1 + rng.below(4) {
            let (_, bytes) = damaged.iter_mut().nth(rng.below(files.len() as u64) as usize).expect("one of them");
            let (start, len) = (rng.below(bytes.len() as u64) as usize, 1 << rng.below(9));
            let end = bytes.len().min(start + len);
            match rng.below(3) {
                0 => bytes[start..end].iter_mut().for_each(|b| *b = rng.next() as u8),
                1 => bytes.truncate(end.max(1)),
                _ => bytes.copy_within(start..end, 0),
            }
        }
        let _ = open(&damaged);
    }
}

/// Entries whose checksum is right may still be nonsense, if a later version wrote them.
#[test]
fn random_entries_never_panic() {
    let mut rng = Rng(11);
    for _ in 0..200_000 {
        let mut bytes: Vec<u8> = (0..rng.below(64)).map(|_| if rng.one_in(2) { rng.below(4) as u8 } else { rng.next() as u8 }).collect();
        if let Some(kind) = bytes.first_mut() {
            *kind %= 12;
        }
        let mut left = &bytes[..];
        while crate::log::Entry::decode(&mut left).is_some() {}
    }
}
