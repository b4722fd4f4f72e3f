//! Leases: keys that go when their time is up. Pure; time is given. Only the writer holds this.
//!
//! A lease's time starts with the first tick after it was granted, renewed or read from disk, so it lives for its whole time
//! or up to one tick longer, and starts anew in full after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::{Event, LeaseId};

#[derive(Default)]
pub(crate) struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    by_deadline: BTreeSet<(Duration, LeaseId)>,
    /// Granted or renewed since the last tick.
    unarmed: BTreeSet<LeaseId>,
    newest: u64,
}

struct Lease {
    ttl: Duration,
    deadline: Option<Duration>,
    keys: BTreeSet<Arc<str>>,
}

impl Leases {
    /// Ids up to `newest` have been given out before.
    pub(crate) fn starting_at(newest: u64) -> Self {
        Leases { newest, ..Leases::default() }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn next_id(&self) -> LeaseId {
        LeaseId(self.newest + 1)
    }

    pub(crate) fn contains(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn granted(&mut self, id: LeaseId, ttl: Duration) {
        self.newest = self.newest.max(id.0);
        self.leases.insert(id, Lease { ttl, deadline: None, keys: BTreeSet::new() });
        self.unarmed.insert(id);
    }

    pub(crate) fn revoked(&mut self, id: LeaseId) {
        self.unarmed.remove(&id);
        if let Some(deadline) = self.leases.remove(&id).and_then(|l| l.deadline) {
            self.by_deadline.remove(&(deadline, id));
        }
    }

    /// Starts the lease's time anew; false if there is no such lease.
    pub(crate) fn renew(&mut self, id: LeaseId) -> bool {
        let Some(lease) = self.leases.get_mut(&id) else { return false };
        if let Some(deadline) = lease.deadline.take() {
            self.by_deadline.remove(&(deadline, id));
        }
        self.unarmed.insert(id);
        true
    }

    /// Follows a key from lease to lease.
    pub(crate) fn follow(&mut self, event: &Event) {
        let lease_of = |record: &Option<Arc<crate::Record>>| record.as_ref().and_then(|r| r.lease);
        let (old, new) = (lease_of(&event.previous), lease_of(&event.current));
        if old == new {
            return;
        }
        if let Some(lease) = old.and_then(|id| self.leases.get_mut(&id)) {
            lease.keys.remove(&event.key);
        }
        if let Some(id) = new {
            self.attach(id, event.key.clone());
        }
    }

    pub(crate) fn attach(&mut self, id: LeaseId, key: Arc<str>) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.insert(key);
        }
    }

    pub(crate) fn keys(&self, id: LeaseId) -> Vec<Arc<str>> {
        self.leases.get(&id).map(|l| l.keys.iter().cloned().collect()).unwrap_or_default()
    }

    /// Starts the time of new leases and names those whose time is up.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<LeaseId> {
        for id in std::mem::take(&mut self.unarmed) {
            if let Some(lease) = self.leases.get_mut(&id) {
                let deadline = now + lease.ttl;
                lease.deadline = Some(deadline);
                self.by_deadline.insert((deadline, id));
            }
        }
        self.by_deadline.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, id)| *id).collect()
    }

    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (LeaseId, Duration)> {
        self.leases.iter().map(|(id, lease)| (*id, lease.ttl))
    }
}
