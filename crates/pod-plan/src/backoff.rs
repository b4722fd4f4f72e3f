//! How long what failed waits before it is tried again.

use jiff::{SignedDuration, Timestamp};

/// A wait that doubles with every failure. Upstream: `client-go/util/flowcontrol.Backoff`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub delay: SignedDuration,
    pub updated_at: Timestamp,
}

impl Backoff {
    const FIRST: SignedDuration = SignedDuration::from_secs(10);
    const MAX: SignedDuration = SignedDuration::from_secs(300);
    /// Who held out this long starts anew.
    const FORGIVEN_AFTER: SignedDuration = SignedDuration::from_secs(600);

    fn is_expired(self, event_at: Timestamp) -> bool {
        event_at.duration_since(self.updated_at) > Self::FORGIVEN_AFTER
    }

    /// The wait after one more failure, which happened at `event_at`.
    pub fn next(before: Option<Backoff>, event_at: Timestamp, now: Timestamp) -> Backoff {
        let delay = match before {
            Some(before) if !before.is_expired(event_at) => (before.delay * 2).min(Self::MAX),
            _ => Self::FIRST,
        };
        Backoff { delay, updated_at: now }
    }

    /// Until when what happened at `event_at` has to wait, if it still has to.
    pub fn holds(before: Option<Backoff>, event_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let until = event_at + before.filter(|b| !b.is_expired(event_at))?.delay;
        (now < until).then_some(until)
    }
}
