//! The way of a write: requests are staged into a group, the group is made durable, then published, then answered.
//!
//! Staging judges each request against the tree with the group's earlier changes laid over it. Nothing of a group is visible
//! before all of it is durable, refusals included, since they may tell of the group's own changes. A group that cannot be
//! written leaves no trace in memory.
//!
//! Invariants: there is one writer, and it alone changes the tree, the leases and the log. It reads no clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::change::{Change, Fault, GROUP_BYTES_MAX};
use crate::history::{Marks, Past};
use crate::leases::Leases;
use crate::log::{Log, View};
use crate::shared::Shared;
use crate::tree::Tree;
use crate::{Error, Event, Expect, HistoryLimits, LeaseId, Note, Op, Outcome, Record, Revision, Write};

/// As etcd's limit of a request: clients' own limits were chosen with it in mind.
pub(crate) const VALUE_BYTES_MAX: usize = 1536 << 10;
pub(crate) const KEY_BYTES_MAX: usize = 4 << 10;
pub(crate) const N_GROUP_MAX: usize = 1024;
/// What a change costs in the log beside key and value, rounded up.
const CHANGE_OVERHEAD: usize = 64;
/// An expiring lease's keys go in transactions of this size.
const N_EXPIRE_MAX: usize = 512;
/// Compaction lets readers in after this many events.
const N_COMPACT_MAX: usize = 1024;

pub(crate) enum Request {
    Write { writes: Vec<Write>, answer: Answer<Outcome> },
    Grant { ttl: Duration, answer: Answer<LeaseId> },
    KeepAlive { lease: LeaseId, answer: Answer<()> },
    Revoke { lease: LeaseId, answer: Answer<()> },
    Compact { upto: Revision, answer: Answer<()> },
    Tick { now: Duration, answer: Answer<Option<Duration>> },
    View { answer: Answer<View> },
    Close { answer: Answer<()> },
}

pub(crate) type Answer<T> = oneshot::Sender<Result<T, Error>>;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    leases: Leases,
    marks: Marks,
    limits: HistoryLimits,
    /// `None`: the memory engine.
    log: Option<Log>,
    /// A compaction that the log has not heard of. It costs no sync of its own: forgetting it only keeps more of the past.
    compacted: Option<Revision>,
    group_bytes_max: usize,
    is_closed: bool,
}

/// Requests that become durable together.
struct Group {
    revision: Revision,
    changes: Vec<Change>,
    bytes: usize,
    overlay: HashMap<Arc<str>, Option<Arc<Record>>>,
    granted: Vec<LeaseId>,
    revoked: Vec<LeaseId>,
    answers: Vec<Pending>,
}

/// An answer that waits for its group.
enum Pending {
    Write(Answer<Outcome>, Outcome),
    Grant(Answer<LeaseId>, LeaseId),
    Done(Answer<()>),
    Tick(Answer<Option<Duration>>, Duration),
}

impl Group {
    fn new(revision: Revision) -> Self {
        Group {
            revision,
            changes: Vec::new(),
            bytes: 0,
            overlay: HashMap::new(),
            granted: Vec::new(),
            revoked: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn is_full(&self, bytes_max: usize) -> bool {
        self.answers.len() >= N_GROUP_MAX || self.bytes >= bytes_max
    }

    fn current(&self, tree: &Tree, key: &str) -> Option<Arc<Record>> {
        match self.overlay.get(key) {
            Some(staged) => staged.clone(),
            None => tree.get(key).cloned(),
        }
    }

    fn has_lease(&self, leases: &Leases, id: LeaseId) -> bool {
        !self.revoked.contains(&id) && (leases.contains(id) || self.granted.contains(&id))
    }

    /// Adds one transaction's changes, all at the next revision.
    fn push(&mut self, events: Vec<Event>) {
        for event in events {
            self.bytes += CHANGE_OVERHEAD + event.key.len() + event.current.as_ref().map_or(0, |r| r.value.len());
            self.overlay.insert(event.key.clone(), event.current.clone());
            self.changes.push(Change::Event(Arc::new(event)));
        }
    }

    /// Deletes what is still bound to the lease, for one transaction.
    fn push_expiry(&mut self, tree: &Tree, keys: &[Arc<str>], lease: LeaseId) {
        let revision = Revision(self.revision.0 + 1);
        let bound = keys.iter().filter_map(|key| self.current(tree, key)).filter(|r| r.lease == Some(lease));
        let events: Vec<_> = bound.map(|r| Event { revision, key: r.key.clone(), current: None, previous: Some(r) }).collect();
        if !events.is_empty() {
            self.revision = revision;
            self.push(events);
        }
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, leases: Leases, limits: HistoryLimits, log: Option<Log>) -> Self {
        let marks = Marks::starting_at(shared.read().compacted);
        let group_bytes_max = log.as_ref().map_or(GROUP_BYTES_MAX, |log| log.layout().group_bytes_max());
        shared.set_n_leases(leases.len());
        Writer { shared, leases, marks, limits, log, compacted: None, group_bytes_max, is_closed: false }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Carries out requests in order, in as few groups as the limits allow.
    pub(crate) fn serve(&mut self, requests: &mut Vec<Request>) {
        let mut group = Group::new(self.shared.published());
        for request in requests.drain(..) {
            if group.is_full(self.group_bytes_max) {
                // Whoever is concerned has been told.
                let _ = self.flush(&mut group);
            }
            self.stage(request, &mut group);
        }
        let _ = self.finish(group);
    }

    /// Finishes what is staged so far and begins anew.
    fn flush(&mut self, group: &mut Group) -> Result<(), Fault> {
        let finished = self.finish(std::mem::replace(group, Group::new(Revision(0))));
        group.revision = self.shared.published();
        finished
    }

    fn stage(&mut self, request: Request, group: &mut Group) {
        if self.is_closed {
            return request.refuse();
        }
        match request {
            Request::Write { writes, answer } => match self.stage_write(writes, group) {
                Ok(outcome) => group.answers.push(Pending::Write(answer, outcome)),
                Err(error) => drop(answer.send(Err(error))),
            },
            Request::Grant { ttl, answer } => {
                let id = group.granted.last().map_or(self.leases.next_id(), |last| LeaseId(last.0 + 1));
                group.granted.push(id);
                group.changes.push(Change::Grant(id, ttl));
                group.answers.push(Pending::Grant(answer, id));
            }
            Request::KeepAlive { lease, answer } => {
                let found = self.leases.renew(lease) || group.has_lease(&self.leases, lease);
                drop(answer.send(if found { Ok(()) } else { Err(Error::LeaseNotFound(lease)) }));
            }
            Request::Revoke { lease, answer } => {
                if !group.has_lease(&self.leases, lease) {
                    return drop(answer.send(Err(Error::LeaseNotFound(lease))));
                }
                match self.stage_expiry(lease, group) {
                    Ok(()) => group.answers.push(Pending::Done(answer)),
                    Err(fault) => drop(answer.send(Err(fault.error()))),
                }
            }
            Request::Compact { upto, answer } => drop(answer.send(self.compact(upto))),
            Request::Tick { now, answer } => {
                self.marks.tick(now, self.past(), &self.limits);
                self.compact_if_due();
                let ended = self.leases.tick(now);
                match ended.into_iter().try_for_each(|lease| self.stage_expiry(lease, group)) {
                    Ok(()) => group.answers.push(Pending::Tick(answer, now)),
                    Err(fault) => drop(answer.send(Err(fault.error()))),
                }
            }
            Request::View { answer } => {
                let _ = self.flush(group);
                drop(answer.send(Ok(View::of(&self.shared.read(), &self.leases))));
            }
            Request::Close { answer } => {
                let _ = self.flush(group);
                self.is_closed = true;
                if let Some(log) = self.log.take() {
                    log.close();
                }
                self.shared.close();
                drop(answer.send(Ok(())));
            }
        }
    }

    fn stage_write(&self, writes: Vec<Write>, group: &mut Group) -> Result<Outcome, Error> {
        check_shape(&writes, self.group_bytes_max)?;
        let tree = self.shared.read();
        let before: Vec<_> = writes.iter().map(|w| group.current(&tree, &w.key)).collect();
        let holds = |(write, record): (&Write, &Option<Arc<Record>>)| match write.expect {
            Expect::Any => true,
            Expect::Absent => record.is_none(),
            Expect::At(revision) => record.as_ref().is_some_and(|r| r.modified == revision),
        };
        if !writes.iter().zip(&before).all(holds) {
            return Ok(Outcome::Conflict { current: before });
        }
        let revision = Revision(group.revision.0 + 1);
        let mut events = Vec::new();
        for (write, previous) in writes.into_iter().zip(&before) {
            let current = match write.op {
                Op::Check => continue,
                Op::Delete if previous.is_none() => continue,
                Op::Delete => None,
                Op::Put { value, lease } => {
                    if let Some(id) = lease.filter(|id| !group.has_lease(&self.leases, *id)) {
                        return Err(Error::LeaseNotFound(id));
                    }
                    // The first record's key serves all later ones, so that there is one copy of it.
                    let (key, created) = match previous {
                        Some(old) => (old.key.clone(), old.created),
                        None => (write.key.clone(), revision),
                    };
                    Some(Arc::new(Record { key, value, created, modified: revision, lease, note: Note::default() }))
                }
            };
            let key = previous.as_ref().map_or(write.key, |old| old.key.clone());
            events.push(Event { revision, key, current, previous: previous.clone() });
        }
        drop(tree);
        if !events.is_empty() {
            group.revision = revision;
            group.push(events);
        }
        Ok(Outcome::Done { revision: group.revision, previous: before })
    }

    /// Ends a lease after its keys, so that a fault between leaves it to the next tick.
    fn stage_expiry(&mut self, lease: LeaseId, group: &mut Group) -> Result<(), Fault> {
        // Keys that the group itself binds become known to the lease only when it is published.
        self.flush(group)?;
        for keys in self.leases.keys(lease).chunks(N_EXPIRE_MAX) {
            if group.is_full(self.group_bytes_max) {
                self.flush(group)?;
            }
            group.push_expiry(&self.shared.read(), keys, lease);
        }
        group.revoked.push(lease);
        group.changes.push(Change::Revoke(lease));
        Ok(())
    }

    fn finish(&mut self, group: Group) -> Result<(), Fault> {
        let Group { mut changes, answers, .. } = group;
        if let Err(fault) = self.commit(&mut changes) {
            answers.into_iter().for_each(|answer| answer.fail(&fault));
            return Err(fault);
        }
        // Watchers first: a client that was answered looks into its cache next, and wants to find its own write there.
        self.publish(changes).iter().for_each(|feed| feed.wake());
        for answer in answers {
            match answer {
                Pending::Write(to, outcome) => drop(to.send(Ok(outcome))),
                Pending::Grant(to, id) => drop(to.send(Ok(id))),
                Pending::Done(to) => drop(to.send(Ok(()))),
                Pending::Tick(to, now) => drop(to.send(Ok(self.wake_at(now)))),
            }
        }
        self.compact_if_due();
        Ok(())
    }

    /// Makes the changes durable; the memory engine has nothing to do.
    fn commit(&mut self, changes: &mut Vec<Change>) -> Result<(), Fault> {
        let Some(log) = self.log.as_mut().filter(|_| !changes.is_empty()) else { return Ok(()) };
        // Before the group's own changes, which it does not concern.
        changes.splice(0..0, self.compacted.map(Change::Compact));
        let (shared, leases) = (&self.shared, &self.leases);
        log.commit(changes, &|| View::of(&shared.read(), leases))?;
        self.compacted = None;
        Ok(())
    }

    fn publish(&mut self, changes: Vec<Change>) -> Vec<Arc<crate::feed::Feed>> {
        let mut events = Vec::with_capacity(changes.len());
        let mut has_leases_changed = false;
        for change in changes {
            match change {
                Change::Event(event) => {
                    self.leases.follow(&event);
                    events.push(event);
                }
                Change::Grant(id, ttl) => {
                    self.leases.granted(id, ttl);
                    has_leases_changed = true;
                }
                Change::Revoke(id) => self.leases.revoked(id),
                Change::Compact(_) => {}
            }
        }
        let feeds = self.shared.publish(&events);
        self.shared.set_n_leases(self.leases.len());
        if has_leases_changed {
            self.shared.nudge();
        }
        feeds
    }

    fn past(&self) -> Past {
        let tree = self.shared.read();
        Past { current: tree.revision, compacted: tree.compacted, bytes: tree.history_bytes }
    }

    fn wake_at(&self, now: Duration) -> Option<Duration> {
        let wake_at = self.marks.wake_at(now, self.past(), &self.limits).into_iter().chain(self.leases.wake_at()).min();
        self.shared.set_quiet(wake_at.is_none());
        wake_at
    }

    fn compact(&mut self, upto: Revision) -> Result<(), Error> {
        self.shared.read().check_kept(upto)?;
        self.compact_until(upto, 0);
        Ok(())
    }

    fn compact_if_due(&mut self) {
        if let Some(goal) = self.marks.compact_to(self.past(), &self.limits) {
            self.compact_until(goal.upto, goal.bytes);
        }
    }

    fn compact_until(&mut self, upto: Revision, bytes: usize) {
        loop {
            let mut tree = self.shared.write();
            self.compacted = Some(tree.compacted);
            if tree.compacted >= upto || (bytes > 0 && tree.history_bytes <= bytes) {
                return;
            }
            let dropped = tree.compact(upto, N_COMPACT_MAX);
            drop(tree);
            // Values are freed here, where nobody waits for the lock.
            drop(dropped);
        }
    }
}

impl Request {
    fn refuse(self) {
        match self {
            Request::Write { answer, .. } => drop(answer.send(Err(Error::Closed))),
            Request::Grant { answer, .. } => drop(answer.send(Err(Error::Closed))),
            Request::Tick { answer, .. } => drop(answer.send(Err(Error::Closed))),
            Request::View { answer } => drop(answer.send(Err(Error::Closed))),
            Request::KeepAlive { answer, .. } | Request::Revoke { answer, .. } | Request::Compact { answer, .. } => {
                drop(answer.send(Err(Error::Closed)));
            }
            // Closing twice is closing.
            Request::Close { answer } => drop(answer.send(Ok(()))),
        }
    }
}

impl Pending {
    fn fail(self, fault: &Fault) {
        match self {
            Pending::Write(to, _) => drop(to.send(Err(fault.error()))),
            Pending::Grant(to, _) => drop(to.send(Err(fault.error()))),
            Pending::Done(to) => drop(to.send(Err(fault.error()))),
            Pending::Tick(to, _) => drop(to.send(Err(fault.error()))),
        }
    }
}

/// What can be refused without looking at the store.
fn check_shape(writes: &[Write], bytes_max: usize) -> Result<(), Error> {
    let mut bytes = 0;
    for write in writes {
        if write.key.is_empty() {
            return Err(Error::Invalid("a key is empty".to_owned()));
        }
        if write.key.len() > KEY_BYTES_MAX {
            return Err(Error::TooLarge { bytes: write.key.len(), limit: KEY_BYTES_MAX });
        }
        bytes += CHANGE_OVERHEAD + write.key.len();
        if let Op::Put { value, .. } = &write.op {
            if value.len() > VALUE_BYTES_MAX.min(bytes_max) {
                return Err(Error::TooLarge { bytes: value.len(), limit: VALUE_BYTES_MAX.min(bytes_max) });
            }
            bytes += value.len();
        }
    }
    if bytes > bytes_max {
        return Err(Error::TooLarge { bytes, limit: bytes_max });
    }
    if writes.len() > 1 {
        let mut keys = BTreeSet::new();
        if let Some(twice) = writes.iter().find(|w| !keys.insert(&w.key)) {
            return Err(Error::Invalid(format!("`{}` is named twice", twice.key)));
        }
    }
    Ok(())
}
