//! Which of the feasible nodes is best. One row a score: raw values per node, brought to 0..=100, times upstream's weight.

use crate::cluster::{Cluster, Node, Packing};
use crate::node_terms;
use crate::pod::PodInfo;
use crate::topology::Prepared;

const SCORE_MAX: i64 = 100;
const MIB: i64 = 1024 * 1024;
/// Upstream's bounds of image locality: below them an image does not matter, above it cannot matter more.
const IMAGE_BYTES_MIN: i64 = 23 * MIB;
const IMAGE_BYTES_MAX: i64 = 1000 * MIB;

/// The best node's index.
pub(crate) fn best(cluster: &Cluster, pod: &PodInfo, prepared: &Prepared, feasible: &[usize], packing: Packing) -> Option<usize> {
    if feasible.len() <= 1 {
        return feasible.first().copied();
    }
    let mut totals = vec![0i64; feasible.len()];
    let mut add = |weight: i64, raw: &dyn Fn(&Node) -> i64, normal: fn(&mut [i64])| {
        let mut scores: Vec<i64> = feasible.iter().map(|at| raw(&cluster.nodes[*at])).collect();
        normal(&mut scores);
        totals.iter_mut().zip(scores).for_each(|(total, score)| *total += weight * score);
    };
    add(1, &|node| allocated(node, pod, packing), |_| {});
    add(1, &|node| balanced(node, pod), |_| {});
    add(3, &|node| unwelcome(node, pod), highest_is_worst);
    if !pod.preferred_nodes.is_empty() {
        add(
            2,
            &|node| pod.preferred_nodes.iter().filter(|(_, t)| t.matches(&node.name, &node.labels)).map(|(w, _)| w).sum(),
            highest_is_best,
        );
    }
    add(2, &|node| prepared.crowding(node).unwrap_or(0), lowest_is_best);
    if let Some(zones) = prepared.sibling_zones(cluster, feasible) {
        add(2, &|node| Prepared::zone_count(&zones, node), lowest_is_best);
    }
    if !prepared.preferred.is_empty() {
        add(2, &|node| node.labels.iter().filter_map(|(k, v)| prepared.preferred.get(&(k.clone(), v.clone()))).sum(), between);
    }
    if feasible.iter().any(|at| !cluster.nodes[*at].images.is_empty()) {
        add(1, &|node| image_locality(node, pod), |_| {});
    }
    let (at, _) = totals.iter().enumerate().max_by(|(i, a), (j, b)| a.cmp(b).then(j.cmp(i)))?;
    Some(feasible[at])
}

/// How free (or, when packing, how full) cpu and memory would be.
fn allocated(node: &Node, pod: &PodInfo, packing: Packing) -> i64 {
    let share = |used: i64, all: i64| {
        if all == 0 || used > all {
            return 0;
        }
        let part = match packing {
            Packing::Spread => all - used,
            Packing::BinPack => used,
        };
        part.saturating_mul(SCORE_MAX) / all
    };
    let cpu = share(node.scored.cpu_millis + pod.scored.cpu_millis, node.allocatable.cpu_millis);
    let memory = share(node.scored.memory + pod.scored.memory, node.allocatable.memory);
    i64::midpoint(cpu, memory)
}

/// High where cpu and memory would be used to the same degree.
fn balanced(node: &Node, pod: &PodInfo) -> i64 {
    let fraction = |used: i64, all: i64| if all == 0 { 1.0 } else { (used as f64 / all as f64).min(1.0) };
    let cpu = fraction(node.used.cpu_millis + pod.requests.cpu_millis, node.allocatable.cpu_millis);
    let memory = fraction(node.used.memory + pod.requests.memory, node.allocatable.memory);
    ((1.0 - (cpu - memory).abs() / 2.0) * SCORE_MAX as f64) as i64
}

/// Soft taints the pod does not tolerate.
fn unwelcome(node: &Node, pod: &PodInfo) -> i64 {
    let soft = node.taints.iter().filter(|t| t.effect == "PreferNoSchedule");
    soft.filter(|t| !node_terms::tolerates(&pod.tolerations, t)).count() as i64
}

fn image_locality(node: &Node, pod: &PodInfo) -> i64 {
    let present: i64 = pod.images.iter().filter_map(|i| node.images.get(i)).sum();
    let most = IMAGE_BYTES_MAX * (pod.images.len() as i64).max(1);
    SCORE_MAX * (present.clamp(IMAGE_BYTES_MIN, most) - IMAGE_BYTES_MIN) / (most - IMAGE_BYTES_MIN)
}

fn highest_is_best(scores: &mut [i64]) {
    let max = scores.iter().copied().max().unwrap_or(0);
    scores.iter_mut().for_each(|s| *s = if max == 0 { 0 } else { SCORE_MAX * *s / max });
}

fn highest_is_worst(scores: &mut [i64]) {
    let max = scores.iter().copied().max().unwrap_or(0);
    scores.iter_mut().for_each(|s| *s = if max == 0 { SCORE_MAX } else { SCORE_MAX - SCORE_MAX * *s / max });
}

/// Upstream's normalisation of topology spread.
fn lowest_is_best(scores: &mut [i64]) {
    let (min, max) = (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
    scores.iter_mut().for_each(|s| *s = if max == 0 { SCORE_MAX } else { SCORE_MAX * (max + min - *s) / max });
}

fn between(scores: &mut [i64]) {
    let (min, max) = (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
    scores.iter_mut().for_each(|s| *s = if max == min { 0 } else { SCORE_MAX * (*s - min) / (max - min) });
}
