//! One conformance suite runs over each engine; what only the log engine has to fear is tested beside it.

mod conformance;
mod crash;
mod damage;
mod kill;
mod reopen;
mod sim_disk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Expect, HistoryLimits, LeaseId, Op, Outcome, Revision, Store, Write};

/// Small enough for a test to reach.
pub(crate) const LIMITS: HistoryLimits = HistoryLimits { age: Duration::from_secs(300), bytes_max: 2 << 20 };

pub(crate) fn put(key: &str, value: &str) -> Write {
    put_expecting(key, value, Expect::Any)
}

pub(crate) fn put_expecting(key: &str, value: &str, expect: Expect) -> Write {
    Write { key: key.into(), expect, op: Op::Put { value: Bytes::copy_from_slice(value.as_bytes()), lease: None } }
}

pub(crate) fn put_leased(key: &str, value: &str, lease: LeaseId) -> Write {
    Write { key: key.into(), expect: Expect::Any, op: Op::Put { value: Bytes::copy_from_slice(value.as_bytes()), lease: Some(lease) } }
}

pub(crate) fn delete(key: &str) -> Write {
    Write { key: key.into(), expect: Expect::Any, op: Op::Delete }
}

pub(crate) fn check(key: &str, expect: Expect) -> Write {
    Write { key: key.into(), expect, op: Op::Check }
}

/// Writes what must succeed.
pub(crate) async fn done(store: &Store, writes: Vec<Write>) -> Revision {
    match store.write(writes).await {
        Ok(Outcome::Done { revision, .. }) => revision,
        other => panic!("expected a write, got {other:?}"),
    }
}

pub(crate) fn value(store: &Store, key: &str) -> Option<String> {
    store.get(key).map(|r| text(&r.value))
}

pub(crate) fn text(value: &Bytes) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// `key=value@revision` or `key deleted@revision`, one a line.
pub(crate) fn show(events: &[Arc<crate::Event>]) -> Vec<String> {
    let line = |e: &Arc<crate::Event>| match &e.current {
        Some(record) => format!("{}={}@{}", e.key, text(&record.value), e.revision.0),
        None => format!("{} deleted@{}", e.key, e.revision.0),
    };
    events.iter().map(line).collect()
}

/// A directory of its own, gone with the test, also when that fails.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("store-{name}-{}-{:x}", std::process::id(), crate::disk::random()));
        std::fs::create_dir(&dir).expect("a directory of our own");
        TempDir(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
