//! Which pods go first when there are too many (upstream: `controller.ActivePodsWithRanks`).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::pods;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The pods in the order in which they should go. `related` are all pods of the same workload, also those of its other sets:
/// a node that holds many of them gives one up first.
pub(crate) fn in_order_of_deletion(pods: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Vec<Arc<Pod>> {
    let mut n_on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in related.iter().filter(|pod| pods::is_active(pod)) {
        *n_on_node.entry(pods::node_name(pod)).or_default() += 1;
    }
    let crowd = |pod: &Pod| n_on_node.get(pods::node_name(pod)).copied().unwrap_or(0);
    let mut ordered = pods.to_vec();
    ordered.sort_by(|a, b| compare(a, b, &crowd, now));
    ordered
}

fn compare(a: &Pod, b: &Pod, crowd: &dyn Fn(&Pod) -> usize, now: Timestamp) -> Ordering {
    let assigned = |pod: &Pod| !pods::node_name(pod).is_empty();
    let readiness = pods::is_ready(a).cmp(&pods::is_ready(b));
    (assigned(a).cmp(&assigned(b)))
        .then_with(|| phase_rank(a).cmp(&phase_rank(b)))
        .then(readiness)
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| crowd(b).cmp(&crowd(a)))
        .then_with(
            || if pods::is_ready(a) { younger_first(pods::ready_since(a), pods::ready_since(b), a, b, now) } else { Ordering::Equal },
        )
        .then_with(|| pods::restarts_max(b).cmp(&pods::restarts_max(a)))
        .then_with(|| younger_first(created(a), created(b), a, b, now))
        .then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

fn phase_rank(pod: &Pod) -> u8 {
    match pods::phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let cost = pod.metadata.annotations.as_ref().and_then(|a| a.get(DELETION_COST));
    cost.and_then(|c| c.parse().ok()).unwrap_or(0)
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|t| t.0)
}

/// Upstream: ages are compared by powers of two, and within one the uid decides, so that not always the newest replica goes.
fn younger_first(a_time: Option<Timestamp>, b_time: Option<Timestamp>, a: &Pod, b: &Pod, now: Timestamp) -> Ordering {
    match (a_time, b_time) {
        (a_time, b_time) if a_time == b_time => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(a_time), Some(b_time)) => age_rank(a_time, now).cmp(&age_rank(b_time, now)).then_with(|| a.metadata.uid.cmp(&b.metadata.uid)),
    }
}

fn age_rank(since: Timestamp, now: Timestamp) -> i64 {
    let age = now.duration_since(since).as_nanos();
    if age <= 0 { -1 } else { i64::from(age.ilog2()) }
}
