//! How far a run is, from the beginnings and ends that the suite notes: pure, and shown by `suite`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::causes;

/// One line of `events.jsonl`; without a state it is a beginning.
#[derive(Deserialize)]
struct Event {
    spec: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    message: String,
}

#[derive(Default)]
pub(crate) struct Progress {
    /// How many specs were chosen, once the runner has said so.
    pub(crate) n_all: Option<usize>,
    n_done: usize,
    n_failed: usize,
    /// Spec -> when it began.
    running: BTreeMap<String, Duration>,
}

/// A spec that has just failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) spec: String,
    pub(crate) message: String,
}

impl Progress {
    /// Takes a line that was noted `now` after the start; answers what is worth telling at once.
    pub(crate) fn take(&mut self, line: &str, now: Duration) -> Option<Failed> {
        let event: Event = serde_json::from_str(line).ok()?;
        if event.state.is_empty() {
            self.running.insert(event.spec, now);
            return None;
        }
        self.running.remove(&event.spec);
        // A spec that finds the cluster unfit for it is neither done nor failed.
        if event.state == "skipped" {
            return None;
        }
        self.n_done += 1;
        if event.state == "passed" {
            return None;
        }
        self.n_failed += 1;
        Some(Failed { spec: event.spec, message: causes::told(&event.state, &event.message) })
    }

    pub(crate) fn shown(&self, now: Duration) -> String {
        let all = self.n_all.map_or(String::new(), |n| format!(" of {n}"));
        let mut text = format!("{} {}{all} done, {} failed", seconds(now), self.n_done, self.n_failed);
        if let Some((spec, began)) = self.running.iter().min_by_key(|(_, began)| **began) {
            let more = match self.running.len() - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let short: String = spec.trim_end_matches(" [Conformance]").chars().take(90).collect();
            text.push_str(&format!(", running {} {short}{more}", seconds(now.saturating_sub(*began))));
        }
        if let Some(left) = self.left(now) {
            text.push_str(&format!(", about {} left", seconds(left)));
        }
        text
    }

    /// As if the specs to come took as long as those that are done.
    fn left(&self, now: Duration) -> Option<Duration> {
        let n_left = self.n_all?.checked_sub(self.n_done)?;
        (self.n_done > 0).then(|| now * u32::try_from(n_left).unwrap_or(u32::MAX) / u32::try_from(self.n_done).unwrap_or(u32::MAX))
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        s if s < 120 => format!("{s} s"),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}

/// How many specs the runner chose, from its log: `Will run 433 of 7231 specs`.
pub(crate) fn chosen(log: &str) -> Option<usize> {
    let (_, after) = log.split_once("Will run ")?;
    after.split(' ').next()?.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[(u64, &str)], now: u64, expected: &str) {
        let mut progress = Progress { n_all: Some(4), ..Progress::default() };
        for (at, line) in lines {
            progress.take(line, Duration::from_secs(*at));
        }
        assert_eq!(progress.shown(Duration::from_secs(now)), expected);
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        let (a, b) = (r#"{"spec":"a [Conformance]"}"#, r#"{"spec":"b"}"#);
        let (passed, failed) = (r#"{"spec":"a [Conformance]","state":"passed"}"#, r#"{"spec":"b","state":"failed","message":"no"}"#);
        check(&[], 0, "0 s 0 of 4 done, 0 failed");
        check(&[(1, a), (2, b)], 10, "10 s 0 of 4 done, 0 failed, running 9 s a and 1 more");
        check(&[(1, a), (2, b), (5, passed)], 10, "10 s 1 of 4 done, 0 failed, running 8 s b, about 30 s left");
        check(&[(1, a), (2, b), (5, passed), (9, failed)], 150, "2 min 30 s 2 of 4 done, 1 failed, about 2 min 30 s left");
        check(&[(1, a), (2, r#"{"spec":"a [Conformance]","state":"skipped"}"#), (3, "half a li")], 9, "9 s 0 of 4 done, 0 failed");
    }

    #[test]
    fn failures_are_told_at_once() {
        let mut progress = Progress::default();
        let failed = progress.take(r#"{"spec":"b","state":"timedout","message":"A node timeout occurred"}"#, Duration::ZERO);
        assert_eq!(failed, Some(Failed { spec: "b".to_owned(), message: causes::GIVEN_UP.to_owned() }));
    }

    #[test]
    fn the_runner_says_how_many() {
        assert_eq!(chosen("…\nWill run \u{1b}[1m433\u{1b}[0m of 7231 specs\n"), None);
        assert_eq!(chosen("Running in parallel\nWill run 433 of 7231 specs\n"), Some(433));
    }
}
