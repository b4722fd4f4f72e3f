//! Making room for a pod of higher priority by evicting lower ones, as upstream's DefaultPreemption.
//!
//! Pod disruption budgets are not weighed yet: victims are chosen by priority, number and age alone.

use std::sync::Arc;

use crate::cluster::{Cluster, Node};
use crate::filters::{Reasons, histogram};
use crate::pod::PodInfo;
use crate::resources::Resources;
use crate::topology::Prepared;

/// Evict `victims` (uids), and `pod` will fit on `node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    pub node: Arc<str>,
    pub victims: Vec<Victim>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    pub key: object::key::ObjectKey,
    pub uid: String,
}

/// The cheapest node to make room on, or upstream's words why there is none.
pub(crate) fn attempt(cluster: &Cluster, pod: &PodInfo, prepared: &Prepared, reasons: &[Reasons]) -> Result<Preemption, String> {
    let n_nodes = cluster.nodes.len();
    if !pod.may_preempt {
        return Err("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    let mut texts = Vec::with_capacity(n_nodes);
    let mut best: Option<(Cost, &Node, Vec<&Arc<PodInfo>>)> = None;
    for (node, why) in cluster.nodes.iter().zip(reasons) {
        if !why.is_resolvable {
            texts.push("Preemption is not helpful for scheduling".to_owned());
            continue;
        }
        let Some(victims) = victims(node, pod, prepared) else {
            texts.push("No preemption victims found for incoming pod".to_owned());
            continue;
        };
        let cost = Cost::of(&victims);
        if best.as_ref().is_none_or(|(least, _, _)| cost < *least) {
            best = Some((cost, node, victims));
        }
    }
    match best {
        Some((_, node, victims)) => Ok(Preemption {
            node: node.name.clone(),
            victims: victims.iter().map(|v| Victim { key: v.key.clone(), uid: v.uid.clone() }).collect(),
        }),
        None => Err(format!("0/{n_nodes} nodes are available: {}.", histogram(texts.into_iter()))),
    }
}

/// Upstream's order: the least important highest victim, then the smallest sum of priorities, then the fewest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Cost(i32, i64, usize);

impl Cost {
    fn of(victims: &[&Arc<PodInfo>]) -> Self {
        Cost(
            victims.iter().map(|v| v.priority).max().unwrap_or(i32::MIN),
            victims.iter().map(|v| i64::from(v.priority)).sum(),
            victims.len(),
        )
    }
}

/// Who must go: everything less important, less those that fit again, the most important first.
fn victims<'a>(node: &'a Node, pod: &PodInfo, prepared: &Prepared) -> Option<Vec<&'a Arc<PodInfo>>> {
    // Eviction changes counts that `prepared` holds, so only shortages of room and ports are solved here.
    if prepared.spread_fault(node).is_some() || prepared.affinity_fault(node).is_some() {
        return None;
    }
    let mut lower: Vec<&Arc<PodInfo>> = node.pods.iter().filter(|p| p.priority < pod.priority).collect();
    if lower.is_empty() {
        return None;
    }
    lower.sort_by_key(|p| (std::cmp::Reverse(p.priority), p.created));
    let mut used = node.used.clone();
    lower.iter().for_each(|p| used.add(&p.requests, -1));
    let mut ports: Vec<_> = node.pods.iter().filter(|p| p.priority >= pod.priority).flat_map(|p| &p.host_ports).collect();
    let port_free = |ports: &[&crate::pod::HostPort]| !ports.iter().any(|u| pod.host_ports.iter().any(|w| w.collides(u)));
    if !fits(&node.allocatable, &used, &pod.requests) || !port_free(&ports) {
        return None;
    }
    let mut victims = Vec::new();
    for candidate in lower {
        let mut with = used.clone();
        with.add(&candidate.requests, 1);
        let n_ports = ports.len();
        ports.extend(&candidate.host_ports);
        if fits(&node.allocatable, &with, &pod.requests) && port_free(&ports) {
            used = with;
        } else {
            ports.truncate(n_ports);
            victims.push(candidate);
        }
    }
    Some(victims).filter(|v| !v.is_empty())
}

fn fits(all: &Resources, used: &Resources, need: &Resources) -> bool {
    let enough = |all: i64, used: i64, need: i64| need == 0 || need <= all - used;
    enough(all.pods, used.pods, need.pods)
        && enough(all.cpu_millis, used.cpu_millis, need.cpu_millis)
        && enough(all.memory, used.memory, need.memory)
        && enough(all.ephemeral_storage, used.ephemeral_storage, need.ephemeral_storage)
        && need.others.iter().all(|(name, n)| enough(all.other(name), used.other(name), *n))
}
