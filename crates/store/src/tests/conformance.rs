//! What every engine must do. Each case gets an empty store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::TempDir;
use super::sim_disk::SimDisk;
use super::{LIMITS, check, delete, done, put, put_expecting, put_leased, show, text, value};
use crate::log::Layout;
use crate::{At, Error, Expect, LeaseId, Options, Outcome, Revision, Store, WatchEnd};

type Case = fn(Store) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        const CASES: &[(&str, Case)] = &[$((stringify!($name), |store| Box::pin($name(store)))),*];
    };
}

cases!(
    a_write_is_judged_by_its_guards,
    a_transaction_is_all_or_nothing,
    senseless_transactions_are_refused,
    what_changes_nothing_has_no_revision,
    ranges_go_by_prefix_and_order,
    pages_stand_still_at_their_revision,
    long_lists_are_whole,
    what_remains_is_counted_at_the_revision,
    the_past_can_be_read_until_it_is_compacted,
    watches_see_everything_after_their_revision,
    watches_see_only_their_prefix,
    a_key_can_be_watched_alone,
    watches_start_in_the_past,
    a_transaction_is_seen_in_one_piece,
    positions_move_without_waking,
    quiet_watchers_outlive_compaction,
    slow_watchers_are_told,
    a_waiting_watcher_is_woken,
    leases_take_their_keys_along,
    leases_end_by_the_clock,
    the_past_is_trimmed_by_age,
    time_keeps_itself,
    a_closed_store_answers_reads_only,
);

fn run(make: impl Fn(&str) -> Store, skip: &[&str]) {
    for (name, case) in CASES.iter().filter(|(name, _)| !skip.contains(name)) {
        // Shown when the case fails.
        println!("case {name}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let store = make(name);
            case(store.clone()).await;
            store.close().await;
        });
    }
}

#[test]
fn memory() {
    run(|_| Store::memory_with(LIMITS), &[]);
}

#[test]
fn log_in_place() {
    let layout = Layout::new(&Options { history: LIMITS, ..Options::default() });
    run(|_| Store::open_disk(Arc::new(SimDisk::new(1)), Layout { has_threads: false, ..layout }).expect("opens"), &[]);
}

#[test]
fn log_on_this_host() {
    let dir = TempDir::new("conformance");
    let open = |name: &str| {
        let options = Options { segment_bytes: 2 << 20, history: LIMITS, ..Options::default() };
        Store::open(&dir.path().join(name), options).expect("opens")
    };
    // Paused time runs ahead while a thread is waited for.
    run(open, &["time_keeps_itself"]);
}

async fn a_write_is_judged_by_its_guards(store: Store) {
    assert_eq!(store.revision(), Revision(1), "zero never names a state");
    let first = done(&store, vec![put_expecting("/g/r/a", "1", Expect::Absent)]).await;
    assert_eq!(first, Revision(2));
    for (expect, holds) in [(Expect::Absent, false), (Expect::At(Revision(1)), false), (Expect::At(first), true), (Expect::Any, true)] {
        let outcome = store.write(vec![check("/g/r/a", expect)]).await.expect("an answer");
        assert_eq!(matches!(outcome, Outcome::Done { .. }), holds, "{expect:?}");
    }
    let Ok(Outcome::Conflict { current }) = store.write(vec![put_expecting("/g/r/a", "2", Expect::Absent)]).await else { panic!() };
    assert_eq!(text(&current[0].as_ref().expect("what stands there").value), "1");
    let Ok(Outcome::Done { revision, previous }) = store.write(vec![put_expecting("/g/r/a", "2", Expect::At(first))]).await else {
        panic!()
    };
    assert_eq!(previous[0].as_ref().expect("the one before").modified, first);
    let record = store.get("/g/r/a").expect("just written");
    assert_eq!((record.created, record.modified), (first, revision));
    done(&store, vec![delete("/g/r/a")]).await;
    assert_eq!(store.get("/g/r/a"), None);
    let again = done(&store, vec![put_expecting("/g/r/a", "3", Expect::Absent)]).await;
    assert_eq!(store.get("/g/r/a").expect("written").created, again);
}

async fn a_transaction_is_all_or_nothing(store: Store) {
    done(&store, vec![put("/g/r/a", "1")]).await;
    let refused = store.write(vec![put("/g/r/b", "1"), check("/g/r/a", Expect::Absent)]).await.expect("an answer");
    assert!(matches!(refused, Outcome::Conflict { .. }));
    assert_eq!(value(&store, "/g/r/b"), None);
    let revision = done(&store, vec![put("/g/r/b", "1"), delete("/g/r/a"), check("/g/r/c", Expect::Absent)]).await;
    assert_eq!(store.get("/g/r/b").expect("written").modified, revision);
    assert_eq!(store.get("/g/r/a"), None);
    assert_eq!(store.revision(), revision);
}

async fn senseless_transactions_are_refused(store: Store) {
    let big = "x".repeat((1536 << 10) + 1);
    assert!(matches!(store.write(vec![put("/g/r/a", &big)]).await, Err(Error::TooLarge { .. })));
    let large = "x".repeat(1 << 20);
    let many = (0..5).map(|n| put(&format!("/g/r/{n}"), &large)).collect();
    assert!(matches!(store.write(many).await, Err(Error::TooLarge { .. })));
    assert!(matches!(store.write(vec![put(&"k".repeat(5000), "")]).await, Err(Error::TooLarge { .. })));
    assert!(matches!(store.write(vec![put("/g/r/a", "1"), delete("/g/r/a")]).await, Err(Error::Invalid(_))));
    assert!(matches!(store.write(vec![put("", "1")]).await, Err(Error::Invalid(_))));
    assert!(matches!(store.write(vec![put_leased("/g/r/a", "1", LeaseId(7))]).await, Err(Error::LeaseNotFound(LeaseId(7)))));
    assert_eq!(store.revision(), Revision(1));
}

async fn what_changes_nothing_has_no_revision(store: Store) {
    done(&store, vec![put("/g/r/a", "1")]).await;
    let mut watcher = store.watch("/", store.revision()).expect("a watch");
    assert_eq!(done(&store, vec![delete("/g/r/none")]).await, Revision(2));
    assert_eq!(done(&store, vec![]).await, Revision(2));
    assert_eq!(show(&watcher.try_next().expect("open")), Vec::<String>::new());
}

async fn ranges_go_by_prefix_and_order(store: Store) {
    let keys = ["/a/b", "/a/b-c/x", "/a/b/x/1", "/a/b/x/2", "/a/b/x-/1", "/a/b/y/1", "/a/bc/x", "/z", "meta"];
    for key in keys.iter().rev() {
        done(&store, vec![put(key, key)]).await;
    }
    let range = |prefix: &str, after: Option<&str>, limit| {
        let page = store.range(prefix, after, At::Latest, limit).expect("a page");
        (page.records.iter().map(|r| text(&r.value)).collect::<Vec<_>>().join(" "), page.remaining)
    };
    let table: &[(&str, Option<&str>, usize, &str, usize)] = &[
        ("", None, 0, "/a/b /a/b-c/x /a/b/x-/1 /a/b/x/1 /a/b/x/2 /a/b/y/1 /a/bc/x /z meta", 0),
        ("/", None, 3, "/a/b /a/b-c/x /a/b/x-/1", 5),
        ("/a/b/", None, 0, "/a/b/x-/1 /a/b/x/1 /a/b/x/2 /a/b/y/1", 0),
        ("/a/b/", None, 1, "/a/b/x-/1", 3),
        ("/a/b/x/", None, 0, "/a/b/x/1 /a/b/x/2", 0),
        ("/a/b/x", None, 0, "/a/b/x-/1 /a/b/x/1 /a/b/x/2", 0),
        ("/a/b", None, 0, "/a/b /a/b-c/x /a/b/x-/1 /a/b/x/1 /a/b/x/2 /a/b/y/1 /a/bc/x", 0),
        ("/", Some("/a/b/x/1"), 2, "/a/b/x/2 /a/b/y/1", 2),
        ("/a/b/", Some("/a/b/x/1"), 0, "/a/b/x/2 /a/b/y/1", 0),
        ("/a/b/", Some("/a/a"), 1, "/a/b/x-/1", 3),
        ("/a/b/x/", Some("/a/b/y"), 0, "", 0),
        ("/none/", None, 0, "", 0),
    ];
    for (prefix, after, limit, expected, remaining) in table {
        assert_eq!(range(prefix, *after, *limit), ((*expected).to_owned(), *remaining), "{prefix} {after:?} {limit}");
    }
    for (prefix, n) in [("/a/b/", 4), ("/a/b/x/", 2), ("/", 8), ("", 9), ("/x/y/", 0)] {
        assert_eq!(store.count(prefix), n, "{prefix}");
    }
    done(&store, vec![delete("/a/b/x/1")]).await;
    assert_eq!(store.count("/a/b/"), 3);
    assert_eq!(range("/a/b/x/", None, 0), ("/a/b/x/2".to_owned(), 0));
}

async fn pages_stand_still_at_their_revision(store: Store) {
    for key in ["a", "b", "c", "d"] {
        done(&store, vec![put(&format!("/g/r/{key}"), "old")]).await;
    }
    let first = store.range("/g/r/", None, At::Latest, 2).expect("a page");
    assert_eq!((first.records.len(), first.remaining, first.revision), (2, 2, Revision(5)));
    done(&store, vec![delete("/g/r/c"), put("/g/r/d", "new"), put("/g/r/e", "new")]).await;
    let second = store.range("/g/r/", Some("/g/r/b"), At::Exact(first.revision), 1).expect("a page");
    assert_eq!((&*second.records[0].key, text(&second.records[0].value), second.remaining), ("/g/r/c", "old".to_owned(), 1));
    let third = store.range("/g/r/", Some("/g/r/c"), At::Exact(first.revision), 0).expect("a page");
    assert_eq!(third.records.iter().map(|r| text(&r.value)).collect::<Vec<_>>(), ["old"]);
    assert_eq!(third.revision, first.revision);
}

async fn long_lists_are_whole(store: Store) {
    for n in 0..50 {
        done(&store, (0..100).map(|m| put(&format!("/g/r/{n:02}-{m:02}"), "v")).collect()).await;
    }
    let page = store.range("/g/r/", None, At::Latest, 0).expect("a page");
    assert_eq!((page.records.len(), page.remaining), (5000, 0));
    assert!(page.records.is_sorted_by(|a, b| a.key < b.key));
    assert_eq!(store.count("/g/r/"), 5000);
}

async fn what_remains_is_counted_at_the_revision(store: Store) {
    for n in 0..200 {
        let keys = [format!("/g/r/n/{n:03}"), format!("/g/r/n\u{10ffff}/{n:03}"), format!("/g/s/{n:03}")];
        done(&store, keys.iter().map(|key| put(key, "")).collect()).await;
    }
    let then = store.revision();
    for n in (0..200).step_by(3) {
        done(&store, vec![delete(&format!("/g/r/n/{n:03}"))]).await;
        done(&store, vec![put(&format!("/g/r/n/{n:03}-new"), "")]).await;
        if n % 2 == 0 {
            done(&store, vec![put(&format!("/g/r/n/{n:03}"), "again")]).await;
        }
    }
    let totals = [("/g/r/n/", 200, 234), ("/g/r/n", 400, 434), ("/g/r/n\u{10ffff}/", 200, 200), ("/g/r/", 400, 434), ("/", 600, 634)];
    for n_more in [25, 0] {
        for (prefix, n_then, n_now) in totals {
            for (at, total) in [(At::Exact(then), n_then), (At::Latest, n_now)] {
                let (mut n_read, mut after) = (0, None::<String>);
                while n_read < total {
                    let page = store.range(prefix, after.as_deref(), at, 37).expect("a page");
                    n_read += page.records.len();
                    assert_eq!(n_read + page.remaining, total, "{prefix} {at:?} behind {after:?}");
                    after = page.records.last().map(|r| r.key.to_string());
                }
            }
        }
        // The second time there are too many changes to set the count right by them.
        for n in 0..n_more {
            let keys = (0..200).map(|m| format!("/g/r/n/{m:03}")).filter(|key| store.get(key).is_some());
            done(&store, keys.map(|key| put(&key, &n.to_string())).collect()).await;
        }
    }
}

async fn the_past_can_be_read_until_it_is_compacted(store: Store) {
    let key = "/g/r/a";
    let first = done(&store, vec![put(key, "1")]).await;
    let second = done(&store, vec![put(key, "2")]).await;
    let gone = done(&store, vec![delete(key)]).await;
    let third = done(&store, vec![put(key, "3")]).await;
    let at = |revision| store.get_at(key, revision).map(|r| r.map(|r| text(&r.value)));
    let expect = [(Revision(1), None), (first, Some("1")), (second, Some("2")), (gone, None), (third, Some("3"))];
    for (revision, value) in expect {
        assert_eq!(at(revision).expect("kept").as_deref(), value, "{revision:?}");
    }
    assert!(matches!(at(Revision(third.0 + 1)), Err(Error::Future { .. })));
    for (upto, kept) in [(second, &expect[2..]), (gone, &expect[3..]), (third, &expect[4..])] {
        store.compact(upto).await.expect("compacts");
        assert!(matches!(at(Revision(upto.0 - 1)), Err(Error::Compacted { oldest }) if oldest == upto));
        for (revision, value) in kept {
            assert_eq!(at(*revision).expect("kept").as_deref(), *value, "{revision:?} after {upto:?}");
        }
    }
    assert!(matches!(store.compact(first).await, Err(Error::Compacted { .. })));
    assert!(matches!(store.compact(Revision(99)).await, Err(Error::Future { .. })));
    done(&store, vec![delete(key)]).await;
    store.compact(store.revision()).await.expect("compacts");
    let status = store.status();
    assert_eq!((status.n_keys, status.n_history, status.live_bytes, status.history_bytes), (0, 0, 0, 0));
}

async fn watches_see_everything_after_their_revision(store: Store) {
    let mut watcher = store.watch("/", store.revision()).expect("a watch");
    done(&store, vec![put("/g/r/a", "1")]).await;
    done(&store, vec![put("/g/s/b", "2")]).await;
    done(&store, vec![put("/g/r/a", "3")]).await;
    done(&store, vec![delete("/g/s/b")]).await;
    let events = watcher.next().await.expect("events");
    assert_eq!(show(&events), ["/g/r/a=1@2", "/g/s/b=2@3", "/g/r/a=3@4", "/g/s/b deleted@5"]);
    let previous: Vec<_> = events.iter().map(|e| e.previous.as_ref().map(|r| text(&r.value))).collect();
    assert_eq!(previous, [None, None, Some("1".to_owned()), Some("2".to_owned())]);
    assert!(matches!(store.watch("/", Revision(9)), Err(Error::Future { current: Revision(5) })));
}

async fn watches_see_only_their_prefix(store: Store) {
    let prefixes = ["/", "/g/", "/g/r/", "/g/r/n", "/g/r/n/", "/g/r/n/a", "/g/none/"];
    let mut watchers: Vec<_> = prefixes.iter().map(|p| store.watch(p, Revision(1)).expect("a watch")).collect();
    for key in ["/g/r/n/a", "/g/r/n/ab", "/g/r/nm/a", "/g/r/x", "/g/s/n/a", "/h/r/n/a"] {
        done(&store, vec![put(key, "")]).await;
    }
    let seen: Vec<_> = watchers.iter_mut().map(|w| w.try_next().expect("open").iter().map(|e| e.revision.0).collect::<Vec<_>>()).collect();
    let expected: [&[u64]; 7] = [&[2, 3, 4, 5, 6, 7], &[2, 3, 4, 5, 6], &[2, 3, 4, 5], &[2, 3, 4], &[2, 3], &[2, 3], &[]];
    assert_eq!(seen, expected);
}

async fn a_key_can_be_watched_alone(store: Store) {
    let mut watcher = store.watch_key("/g/r/n/a", Revision(1)).expect("a watch");
    for key in ["/g/r/n/ab", "/g/r/n/a", "/g/r/n/a/b"] {
        done(&store, vec![put(key, "")]).await;
    }
    assert_eq!(show(&watcher.try_next().expect("open")), ["/g/r/n/a=@3"]);
}

async fn watches_start_in_the_past(store: Store) {
    for n in 0..5 {
        done(&store, vec![put("/g/r/n/a", &n.to_string()), put("/g/r/m/a", &n.to_string())]).await;
    }
    // In this order: the second must reach further back than the first has asked for.
    for (prefix, from, n_events) in [("/g/r/n/", 5, 1), ("/g/r/n/", 3, 3), ("/g/r/n/a", 1, 5), ("/g/r/", 4, 4), ("/", 1, 10)] {
        let mut watcher = store.watch(prefix, Revision(from)).expect("a watch");
        let mut newer = store.watch(prefix, Revision(from + 1)).expect("a watch");
        assert_eq!(watcher.try_next().expect("open").len(), n_events, "{prefix} from {from}");
        assert_eq!(newer.try_next().expect("open").len(), n_events - if n_events > 5 || prefix == "/g/r/" { 2 } else { 1 });
    }
    store.compact(Revision(4)).await.expect("compacts");
    assert!(matches!(store.watch("/g/r/", Revision(3)), Err(Error::Compacted { oldest: Revision(4) })));
    assert!(matches!(store.watch("/g/r/n/", Revision(3)), Err(Error::Compacted { oldest: Revision(4) })));
    assert_eq!(store.watch("/g/r/", Revision(4)).expect("a watch").try_next().expect("open").len(), 4);
}

async fn a_transaction_is_seen_in_one_piece(store: Store) {
    let mut watcher = store.watch("/g/r/", Revision(1)).expect("a watch");
    for _ in 0..4 {
        done(&store, (0..300).map(|n| put(&format!("/g/r/{n}"), "v")).collect()).await;
    }
    let mut sizes = Vec::new();
    while let Ok(events) = watcher.try_next() {
        if events.is_empty() {
            break;
        }
        sizes.push(events.len());
    }
    assert_eq!(sizes, [600, 600]);
}

async fn positions_move_without_waking(store: Store) {
    let mut watchers = [
        store.watch("/g/r/", Revision(1)).expect("a watch"),
        store.watch("/g/r/n/", Revision(1)).expect("a watch"),
        store.watch("/other/thing/", Revision(1)).expect("a watch"),
    ];
    done(&store, vec![put("/g/s/a", "")]).await;
    let mut positions = || watchers.iter_mut().map(|w| w.position().0).collect::<Vec<_>>();
    assert_eq!(positions(), [2, 2, 2]);
    done(&store, vec![put("/g/r/n/a", "")]).await;
    done(&store, vec![put("/g/s/b", "")]).await;
    // An event waits to be read, so a bookmark must not pass it.
    assert_eq!(positions(), [2, 2, 4]);
    watchers[0].try_next().expect("open");
    assert_eq!(watchers[0].position(), Revision(4));
}

async fn quiet_watchers_outlive_compaction(store: Store) {
    let mut quiet = [store.watch("/g/s/", Revision(1)).expect("a watch"), store.watch("/g/r/n/", Revision(1)).expect("a watch")];
    let mut idle_key = store.watch_key("/g/r/n/x", Revision(1)).expect("a watch");
    for n in 0..50 {
        done(&store, vec![put("/g/r/m/a", &n.to_string())]).await;
        store.compact(store.revision()).await.expect("compacts");
    }
    done(&store, vec![put("/g/r/n/x", "at last"), put("/g/s/x", "at last")]).await;
    for watcher in quiet.iter_mut().chain([&mut idle_key]) {
        assert_eq!(watcher.try_next().expect("nothing was lost").len(), 1);
    }
}

async fn slow_watchers_are_told(store: Store) {
    let mut watcher = store.watch("/g/r/", Revision(1)).expect("a watch");
    let mut narrow = store.watch("/g/r/n/", Revision(1)).expect("a watch");
    for n in 0..5 {
        done(&store, vec![put("/g/r/n/a", &n.to_string())]).await;
    }
    store.compact(Revision(3)).await.expect("compacts");
    assert_eq!(watcher.try_next(), Err(WatchEnd::Compacted { oldest: Revision(3) }));
    assert_eq!(narrow.next().await, Err(WatchEnd::Compacted { oldest: Revision(3) }));
    // By bytes: a writer that outruns its watchers.
    let mut watcher = store.watch("/g/r/", store.revision()).expect("a watch");
    let value = "x".repeat(100 << 10);
    for _ in 0..40 {
        done(&store, vec![put("/g/r/n/a", &value)]).await;
    }
    assert!(store.status().history_bytes <= LIMITS.bytes_max);
    assert!(matches!(watcher.try_next(), Err(WatchEnd::Compacted { .. })));
}

async fn a_waiting_watcher_is_woken(store: Store) {
    let mut watchers = [store.watch("/", Revision(1)), store.watch("/g/r/", Revision(1)), store.watch_key("/g/r/n/a", Revision(1))]
        .map(|w| w.expect("a watch"));
    let writer = store.clone();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let waiting = tokio::task::spawn_local(async move {
                for watcher in &mut watchers {
                    assert_eq!(watcher.next().await.expect("events").len(), 1);
                }
                watchers
            });
            tokio::task::yield_now().await;
            done(&writer, vec![put("/g/r/n/a", "")]).await;
            let mut watchers = waiting.await.expect("woken");
            let closing = tokio::task::spawn_local(async move { watchers[1].next().await });
            tokio::task::yield_now().await;
            writer.close().await;
            assert_eq!(closing.await.expect("woken"), Err(WatchEnd::Closed));
        })
        .await;
}

async fn leases_take_their_keys_along(store: Store) {
    let lease = store.grant(Duration::from_secs(60)).await.expect("a lease");
    let other = store.grant(Duration::from_secs(60)).await.expect("a lease");
    assert_ne!(lease, other);
    done(&store, vec![put_leased("/g/r/a", "", lease), put_leased("/g/r/b", "", lease), put_leased("/g/r/c", "", other)]).await;
    done(&store, vec![put("/g/r/b", "let go")]).await;
    done(&store, vec![put_leased("/g/r/c", "taken over", lease)]).await;
    let mut watcher = store.watch("/", store.revision()).expect("a watch");
    store.revoke(lease).await.expect("revokes");
    assert_eq!(show(&watcher.try_next().expect("open")), ["/g/r/a deleted@5", "/g/r/c deleted@5"]);
    assert_eq!(value(&store, "/g/r/b").as_deref(), Some("let go"));
    assert!(matches!(store.revoke(lease).await, Err(Error::LeaseNotFound(_))));
    assert!(matches!(store.keep_alive(lease).await, Err(Error::LeaseNotFound(_))));
    store.revoke(other).await.expect("revokes");
    assert_eq!(store.status().n_leases, 0);
}

async fn leases_end_by_the_clock(store: Store) {
    let second = Duration::from_secs(1);
    // When what was there at the start is to be forgotten.
    assert_eq!(store.tick(second).await.expect("ticks"), Some(301 * second));
    let lease = store.grant(10 * second).await.expect("a lease");
    done(&store, (0..1500).map(|n| put_leased(&format!("/g/r/{n}"), "", lease)).collect()).await;
    store.tick(5 * second).await.expect("ticks");
    assert_eq!(store.tick(14 * second).await.expect("ticks"), Some(15 * second));
    assert_eq!(store.count("/g/r/"), 1500);
    store.keep_alive(lease).await.expect("renews");
    assert_eq!(store.tick(15 * second).await.expect("ticks"), Some(25 * second));
    store.tick(25 * second).await.expect("ticks");
    assert_eq!((store.count("/g/r/"), store.status().n_leases), (0, 0));
}

async fn the_past_is_trimmed_by_age(store: Store) {
    let minute = Duration::from_secs(60);
    store.tick(minute).await.expect("ticks");
    for n in 0..100 {
        done(&store, vec![put("/g/r/a", &n.to_string())]).await;
    }
    let mut at = minute;
    while let Some(next) = store.tick(at).await.expect("ticks") {
        assert!(store.status().compacted <= Revision(1), "at {at:?}");
        at = next;
    }
    assert_eq!(at, 7 * minute);
    assert_eq!(store.status().compacted, Revision(101));
    assert!(store.watch("/g/r/", Revision(101)).expect("a watch").try_next().expect("open").is_empty());
}

async fn time_keeps_itself(store: Store) {
    let keeper = store.clone();
    let user = async {
        tokio::time::sleep(Duration::from_secs(1000)).await;
        let lease = store.grant(Duration::from_secs(30)).await.expect("a lease");
        done(&store, vec![put_leased("/g/r/a", "", lease)]).await;
        let start = tokio::time::Instant::now();
        let mut watcher = store.watch("/g/r/", store.revision()).expect("a watch");
        assert_eq!(show(&watcher.next().await.expect("events")), ["/g/r/a deleted@3"]);
        let lived = start.elapsed();
        assert!(lived >= Duration::from_secs(30) && lived < Duration::from_secs(32), "{lived:?}");
        store.close().await;
    };
    tokio::join!(keeper.keep_time(), user);
}

async fn a_closed_store_answers_reads_only(store: Store) {
    done(&store, vec![put("/g/r/a", "1")]).await;
    let mut watcher = store.watch("/", Revision(1)).expect("a watch");
    store.close().await;
    store.close().await;
    assert!(matches!(store.write(vec![put("/g/r/a", "2")]).await, Err(Error::Closed)));
    assert!(matches!(store.grant(Duration::from_secs(1)).await, Err(Error::Closed)));
    assert_eq!(value(&store, "/g/r/a").as_deref(), Some("1"));
    assert_eq!(watcher.next().await.expect("the rest").len(), 1);
    assert_eq!(watcher.next().await, Err(WatchEnd::Closed));
}
