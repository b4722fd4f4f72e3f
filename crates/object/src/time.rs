//! Time as the API writes it, and the one clock of the house.
//!
//! Invariant: no crate above reads the system clock but through `Clock`.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

/// Where "now" comes from. A simulation hands in a function over its virtual clock.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Virtual(std::sync::Arc<dyn Fn() -> Timestamp + Send + Sync>),
}

impl Clock {
    pub fn system() -> Self {
        Clock(Source::System)
    }
    pub fn virtual_time(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Clock(Source::Virtual(std::sync::Arc::new(now)))
    }
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH),
            Source::Virtual(now) => now(),
        }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self.0, Source::System) { "Clock::System" } else { "Clock::Virtual" })
    }
}

/// `metav1.Time`: whole seconds, `2026-11-22T15:04:05Z`.
pub fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: six digits, `2026-11-22T15:04:05.000001Z`.
pub fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// How long ago `then` was; zero when it lies ahead.
pub fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}

/// A monotonic stopwatch for metrics, never for decisions.
pub fn stopwatch() -> Instant {
    Instant::now()
}
