//! What a run of a probe's verdicts means, and when it asks again.
//!
//! Upstream: `pkg/kubelet/prober/worker.go`. A failed liveness or any finished startup probe rests until there is a new instance.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Probe};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => container.startup_probe.as_ref(),
            Kind::Liveness => container.liveness_probe.as_ref(),
            Kind::Readiness => container.readiness_probe.as_ref(),
        }
    }

    /// As events write it.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Success,
    Failure,
    /// The prober itself failed; nothing is concluded.
    Unknown,
}

/// What one probe of one instance has shown so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What the run of verdicts adds up to.
    pub result: Option<Verdict>,
    last: Option<Verdict>,
    run: i32,
    is_resting: bool,
    under_way: bool,
    began_at: Option<Timestamp>,
}

impl History {
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.under_way = true;
        self.began_at = Some(now);
    }

    pub(crate) fn finish(&mut self, kind: Kind, spec: &Probe, verdict: Verdict) {
        self.under_way = false;
        if verdict == Verdict::Unknown {
            return;
        }
        self.run = if self.last == Some(verdict) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(verdict);
        let threshold = if verdict == Verdict::Failure { spec.failure_threshold.unwrap_or(3) } else { spec.success_threshold.unwrap_or(1) };
        if self.run < threshold {
            return;
        }
        self.result = Some(verdict);
        if kind == Kind::Startup || (kind == Kind::Liveness && verdict == Verdict::Failure) {
            self.is_resting = true;
            self.run = 0;
        }
    }

    /// When it is to ask next; `None` while it does, and when there is nothing more to ask this instance.
    pub(crate) fn due_at(&self, spec: &Probe, started_at: Timestamp) -> Option<Timestamp> {
        if self.is_resting || self.under_way {
            return None;
        }
        let first = started_at + SignedDuration::from_secs(i64::from(spec.initial_delay_seconds.unwrap_or(0)));
        let period = SignedDuration::from_secs(i64::from(spec.period_seconds.unwrap_or(10).max(1)));
        Some(self.began_at.map_or(first, |began| began + period))
    }
}
