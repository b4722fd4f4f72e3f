//! When a CronJob runs: five fields, a word such as `@daily`, or `@every 90m`. Reads and counts as robfig/cron v3 does, which
//! upstream uses, and whose texts users see.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::{duration, zone};

/// No field fits for so long: the schedule names a day that does not exist, such as 30 February.
const YEARS_AHEAD_MAX: i16 = 5;

#[derive(Clone, Debug)]
pub struct Schedule {
    rule: Rule,
    zone: TimeZone,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Every(SignedDuration),
    Fields(Fields),
}

/// The fitting minutes, hours, days, months and weekdays, a bit each.
#[derive(Clone, Copy, Debug)]
struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
}

/// Set beside the bits of a field that stood as `*`.
const STAR: u64 = 1 << 63;

impl Schedule {
    /// In UTC, unless the text begins with `TZ=` or `CRON_TZ=`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let mut rest = text;
        let mut zone = TimeZone::UTC;
        if let Some(named) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            // Upstream: the parser panics here, and the panic's text is shown.
            let panic = "invalid schedule format: runtime error: slice bounds out of range [:-1]";
            let (name, schedule) = named.split_once(' ').ok_or(panic)?;
            zone = zone::named(name).map_err(|e| format!("provided bad location {name}: {e}"))?;
            rest = schedule.trim();
        }
        let rule = if rest.starts_with('@') { word(rest)? } else { Rule::Fields(fields(rest)?) };
        Ok(Schedule { rule, zone })
    }

    /// The same in another zone.
    #[must_use]
    pub fn within(self, zone: TimeZone) -> Self {
        Schedule { zone, ..self }
    }

    /// The first time after `after`; none if there is no such time.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let second = Timestamp::from_second(after.as_second()).ok()?;
        match &self.rule {
            Rule::Every(interval) => second.checked_add(*interval).ok(),
            Rule::Fields(fields) => fields.next(second, &self.zone),
        }
    }
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut at = Timestamp::from_second((after.as_second().div_euclid(60) + 1) * 60).ok()?;
        let last_year = zone.to_datetime(at).year() + YEARS_AHEAD_MAX;
        loop {
            let date = zone.to_datetime(at).date();
            if date.year() > last_year {
                return None;
            }
            let fitting = self.next_day(date, last_year)?;
            if fitting != date {
                at = fitting.to_zoned(zone.clone()).ok()?.timestamp();
            }
            match self.next_of_day(at, fitting, zone) {
                Ok(found) => return Some(found),
                Err(next_day) => at = next_day,
            }
        }
    }

    /// This day or the next one that fits.
    fn next_day(&self, mut date: Date, last_year: i16) -> Option<Date> {
        while !self.has_day(date) {
            let has_month = self.month & (1 << date.month()) != 0;
            date = if has_month { date.tomorrow().ok()? } else { date.first_of_month().checked_add(1.month()).ok()? };
            if date.year() > last_year {
                return None;
            }
        }
        Some(date)
    }

    /// Upstream: where both the day of the month and the weekday are named, one that fits is enough.
    fn has_day(&self, date: Date) -> bool {
        let day = self.day & (1 << date.day()) != 0;
        let weekday = self.weekday & (1 << date.weekday().to_sunday_zero_offset()) != 0;
        let is_either = (self.day | self.weekday) & STAR == 0;
        self.month & (1 << date.month()) != 0 && if is_either { day || weekday } else { day && weekday }
    }

    /// The first fitting minute from `at` on within the day, or when the next day begins. Goes by real hours, so that an hour that
    /// is skipped does not run, and one that comes twice runs twice.
    fn next_of_day(&self, mut at: Timestamp, date: Date, zone: &TimeZone) -> Result<Timestamp, Timestamp> {
        loop {
            let local = zone.to_datetime(at);
            if local.date() != date {
                return Err(at);
            }
            let has_hour = self.hour & (1 << local.hour()) != 0;
            if has_hour && self.minute & (1 << local.minute()) != 0 {
                return Ok(at);
            }
            let minutes = if has_hour { 1 } else { 60 - i64::from(local.minute()) };
            at += SignedDuration::from_mins(minutes);
        }
    }
}

fn word(text: &str) -> Result<Rule, String> {
    let spelled = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(interval) = text.strip_prefix("@every ") else { return Err(format!("unrecognized descriptor: {text}")) };
            let nanos = duration::parse(interval).map_err(|e| format!("failed to parse duration {text}: {e}"))?;
            return Ok(Rule::Every(SignedDuration::from_secs((nanos / 1_000_000_000).max(1))));
        }
    };
    fields(spelled).map(Rule::Fields)
}

struct Bounds {
    min: u64,
    max: u64,
    /// Names of the values from `min` on.
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOUR: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAY: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTH: Bounds =
    Bounds { min: 1, max: 12, names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] };
const WEEKDAY: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

fn fields(text: &str) -> Result<Fields, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = words[..] else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", words.len(), words.join(" ")));
    };
    Ok(Fields {
        minute: field(minute, &MINUTE)?,
        hour: field(hour, &HOUR)?,
        day: field(day, &DAY)?,
        month: field(month, &MONTH)?,
        weekday: field(weekday, &WEEKDAY)?,
    })
}

fn field(text: &str, bounds: &Bounds) -> Result<u64, String> {
    text.split(',').filter(|part| !part.is_empty()).try_fold(0, |bits, part| Ok(bits | range(part, bounds)?))
}

fn range(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let mut parts = text.split('/');
    let (span, step, more) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let ends: Vec<&str> = span.split('-').collect();
    let is_star = matches!(ends[0], "*" | "?");
    let (first, mut last) = match ends[..] {
        _ if is_star => (bounds.min, bounds.max),
        [only] => (value(only, bounds)?, value(only, bounds)?),
        [first, last] => (value(first, bounds)?, value(last, bounds)?),
        _ => return Err(format!("too many hyphens: {text}")),
    };
    let mut n_step = 1;
    if let Some(step) = step {
        if more.is_some() {
            return Err(format!("too many slashes: {text}"));
        }
        n_step = number(step)?;
        // `5/15` means from 5 to the end.
        if ends.len() == 1 {
            last = bounds.max;
        }
    }
    let Bounds { min, max, .. } = bounds;
    match () {
        () if first < *min => Err(format!("beginning of range ({first}) below minimum ({min}): {text}")),
        () if last > *max => Err(format!("end of range ({last}) above maximum ({max}): {text}")),
        () if first > last => Err(format!("beginning of range ({first}) beyond end of range ({last}): {text}")),
        () if n_step == 0 => Err(format!("step of range should be a positive number: {text}")),
        () => {
            let star = if is_star && n_step == 1 { STAR } else { 0 };
            let values = (first..=last).step_by(usize::try_from(n_step).unwrap_or(usize::MAX));
            Ok(values.fold(star, |bits, value| bits | 1 << value))
        }
    }
}

fn value(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(i) => Ok(bounds.min + i as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    let failed = || format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}");
    let number: i64 = text.parse().map_err(|_| failed())?;
    u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, after: &str, expected: &[&str]) {
        let schedule = Schedule::parse(text).unwrap();
        let mut at: Timestamp = after.parse().unwrap();
        for time in expected {
            at = schedule.next(at).unwrap();
            assert_eq!(at.to_string(), *time, "{text}");
        }
    }

    #[test]
    fn times_follow() {
        check("*/15 * * * *", "2026-01-01T00:10:30Z", &["2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"]);
        check("* * * * *", "2026-01-01T00:10:00.5Z", &["2026-01-01T00:11:00Z"]);
        check("30 6-16/4 * * 1-5", "2026-01-02T14:30:00Z", &["2026-01-05T06:30:00Z", "2026-01-05T10:30:00Z"]);
        check("0 12 1,15 * FRI", "2026-01-01T13:00:00Z", &["2026-01-02T12:00:00Z", "2026-01-09T12:00:00Z", "2026-01-15T12:00:00Z"]);
        check("0 0 29 2 ?", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        check("5/20 0 * dec *", "2026-01-01T00:00:00Z", &["2026-12-01T00:05:00Z", "2026-12-01T00:25:00Z", "2026-12-01T00:45:00Z"]);
        check("@weekly", "2026-01-01T00:00:00Z", &["2026-01-04T00:00:00Z"]);
        check("@every 1h30m", "2026-01-01T00:00:00.7Z", &["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"]);
        assert_eq!(Schedule::parse("0 0 30 2 *").unwrap().next("2026-01-01T00:00:00Z".parse().unwrap()), None);
    }

    #[test]
    fn zones_and_their_summer_time() {
        let berlin = "CRON_TZ=Europe/Berlin";
        check(&format!("{berlin} 0 8 * * *"), "2026-03-28T00:00:00Z", &["2026-03-28T07:00:00Z", "2026-03-29T06:00:00Z"]);
        // The hour from two to three is left out on 29 March and comes twice on 25 October.
        check(&format!("{berlin} 30 2 * * *"), "2026-03-28T02:00:00Z", &["2026-03-30T00:30:00Z"]);
        check(&format!("{berlin} 30 2 * * *"), "2026-10-24T01:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
        let everywhere = Schedule::parse("0 0 * * *").unwrap().within(zone::named("Asia/Kolkata").unwrap());
        assert_eq!(everywhere.next("2026-01-01T00:00:00Z".parse().unwrap()).unwrap().to_string(), "2026-01-01T18:30:00Z");
    }

    #[test]
    fn faults_in_upstreams_words() {
        for (text, fault) in [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("* * * * -1", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax"),
            ("@often", "unrecognized descriptor: @often"),
            ("@every soon", "failed to parse duration @every soon: time: invalid duration \"soon\""),
            ("TZ=Nowhere/Land * * * * *", "provided bad location Nowhere/Land: unknown time zone Nowhere/Land"),
            ("TZ=0", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
        ] {
            assert_eq!(Schedule::parse(text).err().as_deref(), Some(fault), "{text}");
        }
        assert!(zone::named("europe/berlin").is_err(), "names are letter for letter");
        assert!(zone::named("Europe/Berlin").is_ok());
    }
}
