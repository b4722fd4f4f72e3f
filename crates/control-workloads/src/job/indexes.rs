//! Completion indexes: sets kept as runs (`1,3-5,7`), and which indexes of a job are done, failed, or still wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::{backoff, index_of, is_failed, is_tracked, policy, valid_index};
use crate::pods;

/// Runs of indexes, first and last, in order, with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs(Vec<(i32, i32)>);

impl Runs {
    /// Reads what a status or a rule says; parts that cannot be read, or lie beyond the completions, are left out.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let parts = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
            (first < completions).then_some((first, last.min(completions - 1)))
        });
        Runs(parts.collect()).merged()
    }

    pub(super) fn with(&self, indexes: impl IntoIterator<Item = i32>) -> Self {
        let runs = self.0.iter().copied().chain(indexes.into_iter().map(|i| (i, i)));
        Runs(runs.collect()).merged()
    }

    pub(super) fn and(&self, other: &Runs) -> Self {
        Runs(self.0.iter().chain(&other.0).copied().collect()).merged()
    }

    fn merged(mut self) -> Self {
        self.0.sort_unstable();
        let mut merged: Vec<(i32, i32)> = Vec::with_capacity(self.0.len());
        for (first, last) in self.0 {
            match merged.last_mut() {
                Some(run) if first <= run.1 + 1 => run.1 = run.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Runs(merged)
    }

    pub(super) fn len(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, index: i32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many indexes are in both.
    pub(super) fn n_common(&self, other: &Runs) -> i32 {
        let overlap = |a: &(i32, i32), b: &(i32, i32)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        let mut n = 0;
        let (mut i, mut j) = (0, 0);
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            n += overlap(a, b);
            if a.1 < b.1 { i += 1 } else { j += 1 }
        }
        n
    }

    /// The lowest `n` below `completions` that are not here. Costs nothing for what is.
    pub(super) fn missing(&self, n: usize, completions: i32) -> Vec<i32> {
        let ends = self.0.iter().copied().chain([(completions, completions)]);
        let mut next = 0;
        let gaps = ends.flat_map(|(first, last)| {
            let gap = next..first.min(completions);
            next = last + 1;
            gap
        });
        gaps.take(n).collect()
    }
}

/// Upstream: two neighbours stand as `1,2`, three as `1-3`.
impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// How the indexes of a job stand.
pub(super) struct Indexes {
    /// What the status says.
    pub(super) completed_before: Runs,
    /// With the pods that ended since.
    pub(super) succeeded: Runs,
    pub(super) failed: Runs,
    /// Indexes with a pod that is neither finished nor leaving.
    pub(super) active: BTreeSet<i32>,
    /// With a backoff limit per index: the failed pod that waits for its replacement, which takes over its count of failures.
    pub(super) awaiting: BTreeMap<i32, Arc<Pod>>,
}

impl Indexes {
    pub(super) fn of(job: &Job, status: &JobStatus, pods: &[Arc<Pod>], active: &[Arc<Pod>]) -> Self {
        let completions = job.spec.as_ref().and_then(|s| s.completions).unwrap_or(0);
        let parsed = |text: &Option<String>| text.as_deref().map(|t| Runs::parse(t, completions)).unwrap_or_default();
        let (completed_before, failed_before) = (parsed(&status.completed_indexes), parsed(&status.failed_indexes));
        let of_tracked = |is_so: &dyn Fn(&Pod) -> bool| {
            let tracked = pods.iter().filter(|pod| is_tracked(pod) && is_so(pod));
            tracked.filter_map(|pod| valid_index(job, pod)).collect::<Vec<_>>()
        };
        let succeeded = completed_before.with(of_tracked(&|pod| pods::phase(pod) == "Succeeded"));
        let failed = match backoff_limit(job) {
            Some(limit) => failed_before.with(of_tracked(&|pod| is_index_failed(job, pod, limit))),
            None => Runs::default(),
        };
        let active = active.iter().filter_map(|pod| index_of(pod)).collect();
        let mut indexes = Indexes { completed_before, succeeded, failed, active, awaiting: BTreeMap::new() };
        if backoff_limit(job).is_some() {
            indexes.find_awaiting(job, pods);
        }
        indexes
    }

    fn find_awaiting(&mut self, job: &Job, pods: &[Arc<Pod>]) {
        for pod in pods.iter().filter(|pod| is_tracked(pod) && is_failed(job, pod)) {
            let Some(index) = valid_index(job, pod) else { continue };
            if self.succeeded.contains(index) || self.failed.contains(index) || self.active.contains(&index) {
                continue;
            }
            let rank = |pod: &Pod| (n_failures(pod) + n_ignored_failures(pod), backoff::finished_at(pod));
            if self.awaiting.get(&index).is_none_or(|last| rank(last) <= rank(pod)) {
                self.awaiting.insert(index, Arc::clone(pod));
            }
        }
    }
}

pub(super) fn backoff_limit(job: &Job) -> Option<i32> {
    job.spec.as_ref().and_then(|s| s.backoff_limit_per_index)
}

fn is_index_failed(job: &Job, pod: &Pod, limit: i32) -> bool {
    let Some(spec) = job.spec.as_ref().filter(|_| is_failed(job, pod)) else { return false };
    let verdict = policy::verdict(spec, pod);
    verdict == policy::Verdict::FailIndex || (verdict.is_counted() && n_failures(pod) >= limit)
}

pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// Failures of the index before this pod.
pub(super) fn n_failures(pod: &Pod) -> i32 {
    count(pod, FAILURES)
}

pub(super) fn n_ignored_failures(pod: &Pod) -> i32 {
    count(pod, IGNORED_FAILURES)
}

fn count(pod: &Pod, annotation: &str) -> i32 {
    let text = pod.metadata.annotations.as_ref().and_then(|a| a.get(annotation));
    text.and_then(|t| t.parse().ok()).filter(|n| *n >= 0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_joined_and_shown() {
        for (text, completions, more, expected) in [
            ("", 10, vec![], ""),
            ("", 10, vec![3, 1, 2], "1-3"),
            ("1,2", 10, vec![4], "1,2,4"),
            ("0-3,5", 10, vec![4], "0-5"),
            ("0-9", 4, vec![], "0-3"),
            ("x,2-y,7", 10, vec![8], "7,8"),
        ] {
            assert_eq!(Runs::parse(text, completions).with(more).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn runs_answer() {
        let runs = Runs::parse("1,3-5,9", 12);
        assert_eq!(runs.len(), 5);
        assert_eq!((0..12).filter(|i| runs.contains(*i)).collect::<Vec<_>>(), [1, 3, 4, 5, 9]);
        assert_eq!(runs.missing(4, 12), [0, 2, 6, 7]);
        assert_eq!(runs.missing(100, 7), [0, 2, 6]);
        assert_eq!(Runs::default().missing(2, 3), [0, 1]);
        for (other, common) in [("0-11", 5), ("4-9", 3), ("2,6-8", 0), ("1,2,3", 2)] {
            assert_eq!(runs.n_common(&Runs::parse(other, 12)), common, "{other}");
        }
    }
}
