//! What outlives a restart, and what a backup brings back.

use std::sync::Arc;
use std::time::Duration;

use super::crash::small;
use super::sim_disk::SimDisk;
use super::{TempDir, delete, done, put, put_leased, show, value};
use crate::{At, Error, Options, Revision, Store};

fn open(disk: &SimDisk) -> Store {
    Store::open_disk(Arc::new(disk.clone()), small(false)).expect("opens")
}

#[tokio::test]
async fn records_and_recent_history_outlive_a_restart() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let created = done(&store, vec![put("/g/r/a", "1"), put("/g/r/b", "1")]).await;
    let changed = done(&store, vec![put("/g/r/a", "2")]).await;
    done(&store, vec![delete("/g/r/b")]).await;
    store.close().await;
    let store = open(&disk);
    let record = store.get("/g/r/a").expect("kept");
    assert_eq!((record.created, record.modified, store.revision()), (created, changed, Revision(4)));
    let mut watcher = store.watch("/g/r/", created).expect("the past is still there");
    assert_eq!(show(&watcher.try_next().expect("open")), ["/g/r/a=2@3", "/g/r/b deleted@4"]);
    assert_eq!(store.range("/g/r/", None, At::Exact(created), 0).expect("kept").records.len(), 2);
    assert_eq!(done(&store, vec![put("/g/r/c", "")]).await, Revision(5));
}

#[tokio::test]
async fn compaction_outlives_a_restart() {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    for n in 0..5 {
        done(&store, vec![put("/g/r/a", &n.to_string())]).await;
    }
    store.compact(Revision(4)).await.expect("compacts");
    done(&store, vec![put("/g/r/b", "")]).await;
    store.close().await;
    let store = open(&disk);
    assert!(matches!(store.get_at("/g/r/a", Revision(3)), Err(Error::Compacted { oldest: Revision(4) })));
    assert!(store.get_at("/g/r/a", Revision(4)).is_ok());
    assert!(matches!(store.watch("/g/r/", Revision(2)), Err(Error::Compacted { .. })));
}

#[tokio::test]
async fn leases_start_anew_after_a_restart() {
    let disk = SimDisk::new(3);
    let minute = Duration::from_secs(60);
    let store = open(&disk);
    let (lease, revoked) = (store.grant(minute).await.expect("a lease"), store.grant(minute).await.expect("a lease"));
    store.revoke(revoked).await.expect("revokes");
    done(&store, vec![put_leased("/g/r/a", "", lease)]).await;
    store.tick(minute / 2).await.expect("ticks");
    // Through a snapshot as well as through the log.
    for n in 0..400 {
        done(&store, vec![put(&format!("/g/r/x{}", n % 7), &"x".repeat(500))]).await;
    }
    assert!(store.status().log.expect("the log engine").snapshot_revision > Revision(1));
    store.close().await;
    let store = open(&disk);
    assert_eq!(store.status().n_leases, 1);
    assert_ne!(store.grant(minute).await.expect("a lease"), revoked);
    store.tick(minute).await.expect("ticks");
    store.tick(minute + minute * 9 / 10).await.expect("ticks");
    assert!(store.get("/g/r/a").is_some());
    store.tick(minute * 2).await.expect("ticks");
    assert!(store.get("/g/r/a").is_none());
}

#[tokio::test]
async fn a_backup_is_restored_ahead_of_its_time() {
    let dir = TempDir::new("restore");
    for store in [Store::memory(), open(&SimDisk::new(4))] {
        let lease = store.grant(Duration::from_secs(60)).await.expect("a lease");
        for n in 0..300 {
            done(&store, vec![put(&format!("/g/r/{n}"), &"v".repeat(n * 10))]).await;
        }
        let last = done(&store, vec![put_leased("/g/r/leased", "", lease)]).await;
        let mut backup = Vec::new();
        assert_eq!(store.snapshot(&mut backup).await.expect("a backup"), last);
        let target = dir.path().join(format!("{}", store.status().log.is_some()));
        let revision = Store::restore(&target, &mut &backup[..], 1000, Options::default()).expect("restores");
        assert_eq!(revision, Revision(last.0 + 1000));
        assert!(matches!(Store::restore(&target, &mut &backup[..], 0, Options::default()), Err(Error::Invalid(_))));
        let restored = Store::open(&target, Options::default()).expect("opens");
        assert_eq!(restored.revision(), revision);
        let records = |s: &Store| s.range("/", None, At::Latest, 0).expect("a page").records;
        assert_eq!(records(&restored), records(&store));
        assert!(matches!(restored.watch("/", last), Err(Error::Compacted { .. })));
        assert_eq!(done(&restored, vec![put("/g/r/new", "")]).await.0, revision.0 + 1);
        restored.revoke(lease).await.expect("the lease came along");
        assert_eq!(value(&restored, "/g/r/leased"), None);
        restored.close().await;
        // A backup that was damaged or cut short on its way.
        for at in (0..backup.len()).step_by(backup.len() / 50) {
            let mut damaged = backup.clone();
            damaged[at] ^= 4;
            let flipped = Store::restore(&dir.path().join("no"), &mut &damaged[..], 0, Options::default());
            assert!(matches!(flipped, Err(Error::Corrupt(_))), "{at}");
            let cut = Store::restore(&dir.path().join("no"), &mut &backup[..at], 0, Options::default());
            assert!(matches!(cut, Err(Error::Corrupt(_))), "{at}");
        }
    }
}

#[tokio::test]
async fn a_directory_belongs_to_one_store() {
    let dir = TempDir::new("lock");
    let path = dir.path().join("deep/er");
    let store = Store::open(&path, Options::default()).expect("opens, and makes its directory");
    assert!(matches!(Store::open(&path, Options::default()), Err(Error::InUse(_))));
    store.close().await;
    let store = Store::open(&path, Options::default()).expect("free again");
    store.close().await;
    std::fs::remove_file(path.join("FORMAT")).expect("removes");
    assert!(matches!(Store::open(&path, Options::default()), Err(Error::Corrupt(why)) if why.contains("FORMAT")));
}

/// Sizes may change from one life to the next.
#[tokio::test]
async fn segments_may_change_their_size() {
    let disk = SimDisk::new(5);
    for (life, segment_bytes) in [32 << 10, 128 << 10, 16 << 10, 256 << 10].into_iter().enumerate() {
        let mut layout = small(false);
        layout.segment_bytes = segment_bytes;
        let store = Store::open_disk(Arc::new(disk.clone()), layout).expect("opens");
        let value = "v".repeat(layout.group_bytes_max() - 200);
        for n in 0..40 {
            done(&store, vec![put(&format!("/g/r/{n}"), &value)]).await;
        }
        assert_eq!(store.count("/g/r/"), 40, "life {life}");
        store.close().await;
    }
    assert_eq!(open(&disk).count("/g/r/"), 40);
}
