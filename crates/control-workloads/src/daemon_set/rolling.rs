//! Replacing daemon pods of an older template, node by node (upstream: `daemon/update.go`).

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::{Daemons, Wishes, placement};
use crate::pods;
use crate::rounding::{Round, scaled};

/// How many nodes may have two pods, and how many none, at a time.
pub(super) fn limits(daemons: &Daemons<'_>) -> (i32, i32) {
    let strategy = daemons.set.spec.update_strategy.as_ref();
    if strategy.and_then(|s| s.type_.as_deref()) == Some("OnDelete") {
        return (0, 0);
    }
    let wanted = daemons.view.nodes.iter().filter(|node| placement::of(daemons.set, node).should_run).count() as i32;
    let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
    let surge = scaled(rolling.and_then(|r| r.max_surge.as_ref()), wanted, Round::Up);
    let unavailable = match rolling.and_then(|r| r.max_unavailable.as_ref()) {
        None => 1,
        some => scaled(some, wanted, Round::Up),
    };
    if surge > 0 { (surge, 0) } else { (0, unavailable.max(1)) }
}

pub(super) fn update(daemons: &Daemons<'_>, wishes: &mut Wishes) {
    if daemons.set.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref()) == Some("OnDelete") {
        return;
    }
    match limits(daemons) {
        (0, unavailable_max) => replace(daemons, unavailable_max, wishes),
        (surge_max, _) => surge(daemons, surge_max, wishes),
    }
}

/// The newer and the older pod of a node that are not leaving.
struct Pair<'a> {
    node: &'a str,
    new: Option<&'a Arc<Pod>>,
    old: Option<&'a Arc<Pod>>,
}

fn pairs<'a>(daemons: &'a Daemons<'_>) -> impl Iterator<Item = Pair<'a>> {
    let wanted = daemons.view.nodes.iter().filter(|node| placement::of(daemons.set, node).should_run);
    wanted.map(|node| {
        let name = node.metadata.name.as_deref().unwrap_or("");
        let here = daemons.by_node.get(name).map_or(&[][..], Vec::as_slice);
        let find = |is_new: bool| here.iter().find(|pod| !pods::is_leaving(pod) && daemons.is_updated(pod) == is_new);
        Pair { node: name, new: find(true), old: find(false) }
    })
}

/// Takes old pods away; the gap is filled by the next plan.
fn replace(daemons: &Daemons<'_>, unavailable_max: i32, wishes: &mut Wishes) {
    let mut n_unavailable = 0;
    let (mut broken, mut healthy) = (Vec::new(), Vec::new());
    for pair in pairs(daemons) {
        match (pair.new, pair.old) {
            (Some(new), _) => n_unavailable += i32::from(!daemons.is_available(new)),
            (None, None) => n_unavailable += 1,
            (None, Some(old)) if !daemons.is_available(old) => broken.push(Arc::clone(old)),
            (None, Some(old)) => healthy.push(Arc::clone(old)),
        }
    }
    // What does not work may be replaced at once; of what works only so many.
    let room = usize::try_from(unavailable_max - n_unavailable).unwrap_or(0);
    let n_broken = broken.len();
    let going = broken.into_iter().chain(healthy.into_iter().take(room.saturating_sub(n_broken)));
    wishes.delete.extend(going.map(|pod| (pod, None)));
}

/// Puts new pods beside old ones, and takes the old away when the new are available.
fn surge(daemons: &Daemons<'_>, surge_max: i32, wishes: &mut Wishes) {
    let mut n_surging = 0;
    let (mut broken, mut healthy) = (Vec::new(), Vec::new());
    for pair in pairs(daemons) {
        match (pair.new, pair.old) {
            (_, None) => {}
            (None, Some(old)) if !daemons.is_available(old) => broken.push(pair.node.to_owned()),
            (None, Some(_)) => healthy.push(pair.node.to_owned()),
            (Some(new), Some(old)) if daemons.is_available(new) => wishes.delete.push((Arc::clone(old), None)),
            (Some(_), Some(_)) => n_surging += 1,
        }
    }
    let room = usize::try_from(surge_max - n_surging).unwrap_or(0);
    let n_broken = broken.len();
    wishes.create_on.extend(broken);
    wishes.create_on.extend(healthy.into_iter().take(room.saturating_sub(n_broken)));
}
