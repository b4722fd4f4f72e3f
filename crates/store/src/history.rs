//! How much of the past is kept: the automatic compaction policy. Pure; time is given, as a duration since any fixed moment.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Revision;

/// What stays readable behind the latest revision.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// Younger revisions are kept whatever their number, up to `bytes_max`.
    pub age: Duration,
    /// Older ones are kept up to this number and `bytes_old_max`, for clients that come back after a quiet night.
    pub n_old_max: u64,
    pub bytes_old_max: usize,
    /// Nothing beyond this is kept: the oldest goes first, however young.
    pub bytes_max: usize,
}

impl Default for HistoryLimits {
    /// Five minutes are upstream's own interval of compaction. 16 MiB are 10,000 revisions of a small object: an idle
    /// server shall not hold yesterday's load in memory. 256 MiB are a minute of writes at full speed.
    fn default() -> Self {
        HistoryLimits { age: Duration::from_secs(300), n_old_max: 10_000, bytes_old_max: 16 << 20, bytes_max: 256 << 20 }
    }
}

/// A mark a minute is exact enough for an age of five.
const MARK_EVERY: Duration = Duration::from_secs(60);

/// Which revision the store had reached when.
#[derive(Default)]
pub(crate) struct Marks {
    marks: VecDeque<(Duration, Revision)>,
    /// Everything up to here is older than the limit.
    aged: Revision,
}

/// How the past stands.
#[derive(Clone, Copy)]
pub(crate) struct Past {
    pub(crate) current: Revision,
    pub(crate) compacted: Revision,
    pub(crate) bytes: usize,
}

impl Marks {
    /// Everything up to `revision` counts as old: what was there when the store was opened.
    pub(crate) fn starting_at(revision: Revision) -> Self {
        Marks { marks: VecDeque::new(), aged: revision }
    }

    pub(crate) fn tick(&mut self, now: Duration, past: Past, limits: &HistoryLimits) {
        if self.marks.back().map_or(self.aged, |(_, marked)| *marked) < past.current
            && self.marks.back().is_none_or(|(at, _)| *at + MARK_EVERY <= now)
        {
            self.marks.push_back((now, past.current));
        }
        while let Some((_, marked)) = self.marks.front().filter(|(at, _)| *at + limits.age <= now) {
            self.aged = *marked;
            self.marks.pop_front();
        }
    }

    /// When `tick` has something to do again; never, if nothing is written until then.
    pub(crate) fn wake_at(&self, now: Duration, past: Past, limits: &HistoryLimits) -> Option<Duration> {
        let is_marked = self.marks.back().map_or(self.aged, |(_, marked)| *marked) >= past.current;
        let next_mark = (!is_marked).then(|| self.marks.back().map_or(now, |(at, _)| *at) + MARK_EVERY);
        let next_aged = self.marks.front().map(|(at, _)| *at + limits.age);
        next_mark.into_iter().chain(next_aged).min()
    }

    /// What may go now; `None` when nothing must.
    pub(crate) fn compact_to(&self, past: Past, limits: &HistoryLimits) -> Option<Goal> {
        if past.bytes > limits.bytes_max {
            // Some slack, so that it is not one event at a time.
            return Some(Goal { upto: past.current, bytes: limits.bytes_max - limits.bytes_max / 8 });
        }
        if past.compacted >= self.aged {
            return None;
        }
        if past.bytes > limits.bytes_old_max {
            return Some(Goal { upto: self.aged, bytes: limits.bytes_old_max });
        }
        let upto = self.aged.min(Revision(past.current.0.saturating_sub(limits.n_old_max)));
        (upto > past.compacted).then_some(Goal { upto, bytes: 0 })
    }
}

/// Compact up to `upto`, but no further than until `bytes` of history are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) upto: Revision,
    pub(crate) bytes: usize,
}
