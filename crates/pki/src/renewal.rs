//! When a certificate is to be renewed.

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;
use object::time::Clock;

use crate::{Error, KeyPair, Subject};

/// Upstream: the kubelet renews when 70 to 90 % of a certificate's life are over, so that nodes which began together do not ask together.
const EARLIEST: f64 = 0.7;
const SPREAD: f64 = 0.2;
/// A timer does not run while the host sleeps; so the clock is looked at now and then.
const LOOK_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Near the end of their authority's life, certificates last no time at all.
const AGAIN_AFTER_MIN: Duration = Duration::from_secs(60);
/// After a refusal or a fault, doubled each time.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(600);

/// `chance` is in 0..1.
pub(crate) fn due(subject: &Subject, chance: f64) -> Timestamp {
    let life = subject.until.duration_since(subject.from);
    subject.from + life.mul_f64(EARLIEST + SPREAD * chance)
}

/// When to renew one certificate, and its successors.
///
/// ```text
///   loop { renewal.due().await; let renewed = …; renewal.note(renewed) }
/// ```
pub struct Renewal {
    what: &'static str,
    clock: Clock,
    subject: Subject,
    at: Timestamp,
    /// After how long it is tried again; there is none while all went well.
    retry: Option<Duration>,
}

impl Renewal {
    pub fn of(what: &'static str, pair: &KeyPair, clock: Clock) -> Result<Self, Error> {
        let subject = pair.subject()?;
        let at = due(&subject, chance()?).max(clock.now() + AGAIN_AFTER_MIN);
        Ok(Renewal { what, clock, at, subject, retry: None })
    }

    /// Returns when it is time, or time to try again.
    pub async fn due(&self) {
        if let Some(delay) = self.retry {
            tokio::time::sleep(delay).await;
        }
        while let Ok(left @ 1..) = u64::try_from(self.at.duration_since(self.clock.now()).as_millis()) {
            tokio::time::sleep(Duration::from_millis(left).min(LOOK_AFTER_MAX)).await;
        }
    }

    /// What came of it.
    pub fn note<E: Display>(&mut self, renewed: Result<KeyPair, E>) {
        let what = self.what;
        let fresh = match renewed {
            Ok(pair) => Renewal::of(what, &pair, self.clock.clone()).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match fresh {
            Ok(fresh) => {
                tracing::info!(what, until = %fresh.subject.until, "a certificate was renewed");
                *self = fresh;
            }
            Err(error) => {
                tracing::warn!(what, error, ends = %self.subject.until, "a certificate cannot be renewed yet");
                self.retry = Some(self.retry.map_or(RETRY_MIN, |delay| (delay * 2).min(RETRY_MAX)));
            }
        }
    }
}

fn chance() -> Result<f64, Error> {
    Ok(f64::from(u32::from_ne_bytes(crate::random()?)) / f64::from(u32::MAX))
}
