//! All rows of a node, and the least change that leads from what stands to what one owner wants.
//!
//! Backends keep their slots: one that goes leaves its slot to the last, one that comes takes the end. So an endpoint that
//! changes costs a few rows in the kernel, not a list.
//!
//! Invariant: `rows()` after any sequence of `set` is what the last rows of each owner give, but for the order of slots.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use crate::rows::{Action, Front, FrontRow, Owner, Protocol, Rows, Target, TargetId};

/// One thing that stands in the kernel's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    Front(Front, FrontRow),
    Slot {
        target: TargetId,
        slot: u32,
        backend: SocketAddr,
    },
    /// Backend that a client may be held to (`sessionAffinity`).
    Live {
        target: TargetId,
        backend: SocketAddr,
    },
    Local(IpAddr),
}

/// Rows to take out, then rows to put in; carried out at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub delete: Vec<Row>,
    pub add: Vec<Row>,
    /// UDP "connections" that must be forgotten, for they would go on to a backend that is no longer one.
    pub stale: Vec<Stale>,
}

/// Flows to this front that lead anywhere else than to `keep`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    pub front: Front,
    pub keep: Vec<SocketAddr>,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.add.is_empty() && self.stale.is_empty()
    }
    /// One change that does what both do.
    pub fn merge(&mut self, mut later: Change) {
        later.delete.retain(|row| match self.add.iter().position(|added| added == row) {
            Some(at) => {
                self.add.swap_remove(at);
                false
            }
            None => true,
        });
        self.delete.append(&mut later.delete);
        self.add.append(&mut later.add);
        self.stale.append(&mut later.stale);
    }
}

#[derive(Default)]
pub struct Table {
    owners: HashMap<Owner, Rows>,
    /// Who wants a front. Nearly always one.
    claims: HashMap<Front, BTreeMap<(crate::rows::Rank, Owner), FrontRow>>,
    /// How many owners have a pod of this node among their backends.
    local: HashMap<IpAddr, u32>,
}

impl Table {
    /// Puts the rows of one owner in place of its former ones.
    pub fn set(&mut self, owner: &Owner, mut wanted: Rows) -> Change {
        let former = self.owners.remove(owner).unwrap_or_default();
        let mut change = Change::default();
        self.set_targets(&former, &mut wanted, &mut change);
        self.set_fronts(owner, &former, &wanted, &mut change);
        self.set_local(&former, &wanted, &mut change);
        if wanted != Rows::default() {
            self.owners.insert(owner.clone(), wanted);
        }
        change
    }

    /// Everything that is to stand in the kernel.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let fronts = self.claims.iter().filter_map(|(front, claims)| winner(claims).map(|row| Row::Front(*front, row)));
        let targets = self.owners.values().flat_map(|rows| &rows.targets).flat_map(target_rows);
        fronts.chain(targets).chain(self.local.keys().map(|ip| Row::Local(*ip)))
    }

    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.owners.keys()
    }

    fn set_targets(&self, former: &Rows, wanted: &mut Rows, change: &mut Change) {
        for target in &mut wanted.targets {
            let before = former.targets.iter().find(|before| before.id == target.id);
            target.backends = keep_slots(before.map_or(&[], |before| &before.backends), &target.backends);
            match before {
                Some(before) => change_target(before, target, change),
                None => change.add.extend(target_rows(target)),
            }
        }
        let is_gone = |before: &&Target| wanted.targets.iter().all(|target| target.id != before.id);
        change.delete.extend(former.targets.iter().filter(is_gone).flat_map(target_rows));
    }

    fn set_fronts(&mut self, owner: &Owner, former: &Rows, wanted: &Rows, change: &mut Change) {
        let touched: HashSet<Front> = former.fronts.iter().chain(&wanted.fronts).map(|(front, _)| *front).collect();
        let mut touched: Vec<Front> = touched.into_iter().collect();
        touched.sort();
        for front in touched {
            let find = |rows: &Rows| rows.fronts.iter().find(|(found, _)| *found == front).map(|(_, row)| *row);
            let (old, new) = (find(former), find(wanted));
            let claims = self.claims.entry(front).or_default();
            let stood = winner(claims);
            if let Some(row) = old {
                claims.remove(&(row.rank, owner.clone()));
            }
            if let Some(row) = new {
                claims.insert((row.rank, owner.clone()), row);
            }
            let stands = winner(claims);
            if claims.is_empty() {
                self.claims.remove(&front);
            }
            if stood != stands {
                change.delete.extend(stood.map(|row| Row::Front(front, row)));
                change.add.extend(stands.map(|row| Row::Front(front, row)));
            }
            if front.protocol == Protocol::Udp && stands == new {
                change.stale.extend(stale_flows(front, (old, former), (new, wanted)));
            }
        }
    }

    fn set_local(&mut self, former: &Rows, wanted: &Rows, change: &mut Change) {
        for ip in wanted.local_backends.iter().filter(|ip| !former.local_backends.contains(ip)) {
            let n_owners = self.local.entry(*ip).or_default();
            *n_owners += 1;
            if *n_owners == 1 {
                change.add.push(Row::Local(*ip));
            }
        }
        for ip in former.local_backends.iter().filter(|ip| !wanted.local_backends.contains(ip)) {
            let n_owners = self.local.get_mut(ip).expect("each owner was counted when it came");
            *n_owners -= 1;
            if *n_owners == 0 {
                self.local.remove(ip);
                change.delete.push(Row::Local(*ip));
            }
        }
    }
}

fn winner(claims: &BTreeMap<(crate::rows::Rank, Owner), FrontRow>) -> Option<FrontRow> {
    claims.first_key_value().map(|(_, row)| *row)
}

fn target_rows(target: &Target) -> impl Iterator<Item = Row> {
    let slots = (0..).zip(&target.backends).map(|(slot, backend)| Row::Slot { target: target.id, slot, backend: *backend });
    let live = target.backends.iter().filter(|_| target.is_sticky).map(|backend| Row::Live { target: target.id, backend: *backend });
    slots.chain(live)
}

fn change_target(before: &Target, after: &Target, change: &mut Change) {
    let id = after.id;
    let n_slots = before.backends.len().max(after.backends.len());
    for slot in 0..n_slots {
        let (old, new) = (before.backends.get(slot), after.backends.get(slot));
        if old != new {
            let row = |backend: &SocketAddr| Row::Slot { target: id, slot: slot as u32, backend: *backend };
            change.delete.extend(old.map(row));
            change.add.extend(new.map(row));
        }
    }
    let live = |backend: &SocketAddr| Row::Live { target: id, backend: *backend };
    let was: HashSet<_> = before.backends.iter().filter(|_| before.is_sticky).collect();
    let is: HashSet<_> = after.backends.iter().filter(|_| after.is_sticky).collect();
    change.delete.extend(before.backends.iter().filter(|backend| was.contains(backend) && !is.contains(backend)).map(live));
    change.add.extend(after.backends.iter().filter(|backend| is.contains(backend) && !was.contains(backend)).map(live));
}

/// `wanted` in an order that moves the least.
fn keep_slots(former: &[SocketAddr], wanted: &[SocketAddr]) -> Vec<SocketAddr> {
    let set: HashSet<_> = wanted.iter().collect();
    let known: HashSet<_> = former.iter().collect();
    let mut newcomers = wanted.iter().filter(|backend| !known.contains(backend));
    let mut slots: Vec<Option<SocketAddr>> = former.iter().map(|backend| set.contains(backend).then_some(*backend)).collect();
    for slot in &mut slots {
        if slot.is_none() {
            *slot = newcomers.next().copied();
        }
    }
    slots.extend(newcomers.map(|backend| Some(*backend)));
    // The holes that are left are filled from the end.
    let mut kept = Vec::with_capacity(wanted.len());
    let mut at = 0;
    while at < slots.len() {
        match slots[at] {
            Some(backend) => kept.push(backend),
            None => {
                while slots.last() == Some(&None) {
                    slots.pop();
                }
                if at < slots.len() {
                    kept.extend(slots.pop().flatten());
                }
            }
        }
        at += 1;
    }
    kept
}

fn stale_flows(front: Front, old: (Option<FrontRow>, &Rows), new: (Option<FrontRow>, &Rows)) -> Option<Stale> {
    let reached = |(row, rows): (Option<FrontRow>, &Rows)| -> Vec<SocketAddr> {
        let actions = row.iter().flat_map(|row| std::iter::once(&row.action).chain(&row.inside)).copied().collect::<Vec<_>>();
        let is_used = |target: &&Target| actions.iter().any(|action| matches!(action, Action::Pick { target: id, .. } if *id == target.id));
        rows.targets.iter().filter(is_used).flat_map(|target| target.backends.iter().copied()).collect()
    };
    let (before, keep) = (reached(old), reached(new));
    // Packets that came before there was a backend went past the front, and their flow with them.
    let has_come = before.is_empty() && !keep.is_empty();
    let has_gone = before.iter().any(|backend| !keep.contains(backend));
    (has_come || has_gone).then_some(Stale { front, keep })
}
