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
    parse_seconds(text.as_bytes()).or_else(|| text.parse().ok())
}

/// `2026-11-22T10:00:00Z`, as nearly all times of the API are written: many times faster than the general way.
fn parse_seconds(text: &[u8]) -> Option<Timestamp> {
    let &[y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'Z'] = text else { return None };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| (byte - b'0') as i8);
    let two = |tens, ones| Some(digit(tens)? * 10 + digit(ones)?);
    let year = i16::from(two(y1, y2)?) * 100 + i16::from(two(y3, y4)?);
    let date = jiff::civil::Date::new(year, two(o1, o2)?, two(d1, d2)?).ok()?;
    let time = jiff::civil::Time::new(two(h1, h2)?, two(m1, m2)?, two(s1, s2)?, 0).ok()?;
    jiff::tz::Offset::UTC.to_timestamp(date.to_datetime(time)).ok()
}

/// How long ago `then` was; zero when it lies ahead.
pub fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO)
}

/// A monotonic stopwatch for metrics, never for decisions.
pub fn stopwatch() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_form_is_read_as_any_other() {
        for text in [
            "2026-11-22T10:20:30Z",
            "0001-01-01T00:00:00Z",
            "2024-02-29T23:59:59Z",
            "2025-02-29T00:00:00Z",
            "2026-11-22T10:20:60Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:20:30+02:00",
            "2026-11-22T10:20:30.5Z",
            "2026-1a-22T10:20:30Z",
            "",
        ] {
            assert_eq!(parse(text), text.parse().ok(), "{text}");
        }
    }
}
