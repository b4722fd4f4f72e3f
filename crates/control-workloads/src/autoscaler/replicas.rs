//! How many replicas one metric asks for (upstream: `replica_calculator.go`).
//!
//! Pods that are not ready yet, or tell nothing, are counted so that they can only soften a change, never turn it around.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::samples::{Sample, Samples};
use crate::pods;

/// Upstream: `--horizontal-pod-autoscaler-cpu-initialization-period`.
const INITIALIZATION: SignedDuration = SignedDuration::from_mins(5);
/// Upstream: `--horizontal-pod-autoscaler-initial-readiness-delay`.
const READINESS_DELAY: SignedDuration = SignedDuration::from_secs(30);

/// How far usage may be off before anything is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerances {
    pub(super) down: f64,
    pub(super) up: f64,
}

impl Tolerances {
    fn holds(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

pub(super) struct Target<'a> {
    pub(super) current: i32,
    pub(super) tolerances: Tolerances,
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) now: Timestamp,
}

/// What to compare usage with.
pub(super) enum Goal {
    /// An average, in thousandths.
    Average(i64),
    /// A share of what each pod asks for, in percent.
    Utilization { percent: i32, requests: BTreeMap<String, i64> },
}

/// Replicas, and what status shows of the usage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Proposal {
    pub(super) replicas: i32,
    pub(super) average_milli: i64,
    pub(super) utilization: Option<i32>,
}

impl Goal {
    /// Usage over goal, the share in percent, and the average.
    fn ratio(&self, samples: &Samples) -> Result<(f64, Option<i32>, i64), String> {
        match self {
            Goal::Average(wanted) => {
                let average = samples.values().map(|s| s.milli).sum::<i64>() / samples.len() as i64;
                Ok((average as f64 / *wanted as f64, None, average))
            }
            Goal::Utilization { percent, requests } => {
                let known = || samples.iter().filter_map(|(name, sample)| Some((sample.milli, *requests.get(name)?)));
                let (used, requested) = known().fold((0_i64, 0_i64), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                if requested == 0 {
                    return Err("no metrics returned matched known pods".to_owned());
                }
                let share = (used * 100 / requested) as i32;
                Ok((f64::from(share) / f64::from(*percent), Some(share), used / known().count() as i64))
            }
        }
    }

    /// What a pod that tells nothing is thought to use when fewer pods are wanted.
    fn fallback(&self, pod: &str) -> i64 {
        match self {
            Goal::Average(wanted) => *wanted,
            Goal::Utilization { percent, requests } => requests.get(pod).copied().unwrap_or(0) * i64::from(*percent.max(&100)) / 100,
        }
    }
}

pub(super) fn by_pods(target: &Target<'_>, mut samples: Samples, goal: &Goal, is_cpu: bool) -> Result<Proposal, String> {
    if target.pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = Groups::of(target, &samples, is_cpu);
    samples.retain(|pod, _| !groups.ignored.contains(pod.as_str()) && !groups.unready.contains(pod.as_str()));
    if samples.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let (ratio, utilization, average_milli) = goal.ratio(&samples)?;
    let proposal = |replicas| Proposal { replicas, average_milli, utilization };
    let grows_with_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !grows_with_unready && groups.missing.is_empty() {
        let replicas = if target.tolerances.holds(ratio) { target.current } else { rounded_up(ratio * groups.n_ready as f64) };
        return Ok(proposal(replicas));
    }
    for pod in &groups.missing {
        if ratio < 1.0 {
            samples.insert((*pod).to_owned(), Sample::assumed(goal.fallback(pod)));
        } else if ratio > 1.0 {
            samples.insert((*pod).to_owned(), Sample::assumed(0));
        }
    }
    if grows_with_unready {
        samples.extend(groups.unready.iter().map(|pod| ((*pod).to_owned(), Sample::assumed(0))));
    }
    let (softened, ..) = goal.ratio(&samples)?;
    let is_turned = (ratio < 1.0 && softened > 1.0) || (ratio > 1.0 && softened < 1.0);
    if target.tolerances.holds(softened) || is_turned {
        return Ok(proposal(target.current));
    }
    let replicas = rounded_up(softened * samples.len() as f64);
    let is_backwards = (softened < 1.0 && replicas > target.current) || (softened > 1.0 && replicas < target.current);
    Ok(proposal(if is_backwards { target.current } else { replicas }))
}

/// One value for the whole target against a value.
pub(super) fn by_value(target: &Target<'_>, usage: i64, wanted: i64) -> Result<i32, String> {
    let ratio = usage as f64 / wanted as f64;
    if target.current == 0 {
        return Ok(rounded_up(ratio));
    }
    if target.tolerances.holds(ratio) {
        return Ok(target.current);
    }
    if target.pods.is_empty() {
        return Err("unable to calculate ready pods: no pods returned by selector while calculating replica count".to_owned());
    }
    let n_ready = target.pods.iter().filter(|pod| pods::phase(pod) == "Running" && pods::is_ready(pod)).count();
    Ok(rounded_up(ratio * n_ready as f64))
}

/// One value for the whole target against a value for each replica. Answers also the usage of one.
pub(super) fn by_value_per_pod(n_replicas: i32, tolerances: Tolerances, usage: i64, wanted: i64) -> (i32, i64) {
    let ratio = usage as f64 / (wanted as f64 * f64::from(n_replicas));
    let replicas = if tolerances.holds(ratio) { n_replicas } else { rounded_up(usage as f64 / wanted as f64) };
    (replicas, (usage as f64 / f64::from(n_replicas)).ceil() as i64)
}

/// Saturates, as `as` does.
fn rounded_up(replicas: f64) -> i32 {
    replicas.ceil() as i32
}

struct Groups<'a> {
    n_ready: usize,
    unready: BTreeSet<&'a str>,
    missing: BTreeSet<&'a str>,
    ignored: BTreeSet<&'a str>,
}

impl<'a> Groups<'a> {
    fn of(target: &Target<'a>, samples: &Samples, is_cpu: bool) -> Self {
        let mut groups = Groups { n_ready: 0, unready: BTreeSet::new(), missing: BTreeSet::new(), ignored: BTreeSet::new() };
        for pod in target.pods {
            let name = pod.metadata.name.as_deref().unwrap_or("");
            let sample = samples.get(name);
            if pods::is_leaving(pod) || pods::phase(pod) == "Failed" {
                groups.ignored.insert(name);
            } else if pods::phase(pod) == "Pending" {
                groups.unready.insert(name);
            } else if let Some(sample) = sample {
                if is_cpu && is_starting(pod, sample, target.now) {
                    groups.unready.insert(name);
                } else {
                    groups.n_ready += 1;
                }
            } else {
                groups.missing.insert(name);
            }
        }
        groups
    }
}

/// The work of starting says nothing of the load.
fn is_starting(pod: &Pod, sample: &Sample, now: Timestamp) -> bool {
    let started = pod.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
    let (Some(ready), Some(started)) = (pods::condition(pod, "Ready"), started) else { return true };
    let since = ready.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0);
    let is_unready = ready.status == "False";
    if started + INITIALIZATION > now {
        return is_unready || sample.at < since + sample.window;
    }
    is_unready && started + READINESS_DELAY > since
}
