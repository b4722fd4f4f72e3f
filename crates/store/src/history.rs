//! How much of the past is kept: the automatic compaction policy. Pure; time is given, as a duration since any fixed moment.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Revision;

/// What stays readable behind the latest revision.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// Younger revisions are kept whatever their number, up to `bytes_max`; older ones go.
    pub age: Duration,
    /// Nothing beyond this is kept: the oldest goes first, however young.
    pub bytes_max: usize,
}

impl Default for HistoryLimits {
    /// Five minutes are upstream's own interval of compaction, and clients expect a cut list to expire by it. 64 MiB are twenty
    /// thousand updates of pods: a server that is busy for long must not hold five times what its objects take.
    fn default() -> Self {
        HistoryLimits { age: Duration::from_secs(300), bytes_max: 64 << 20 }
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
    /// Everything up to `revision` counts as old: what was compacted when the store was opened. The rest is kept as if just written.
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
        (past.compacted < self.aged).then_some(Goal { upto: self.aged, bytes: 0 })
    }
}

/// Compact up to `upto`, but no further than until `bytes` of history are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) upto: Revision,
    pub(crate) bytes: usize,
}
