//! Times and durations as Go reads and writes them.

use jiff::Timestamp;

const LAYOUT_SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const LAYOUT_MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// `metav1.Time`: RFC 3339 with any fraction and offset, written in UTC with whole seconds.
pub(crate) fn canonical_time(text: &str) -> Result<String, String> {
    read_time(text, Fraction::Any).map(object::time::seconds).map_err(|at| parse_error(text, LAYOUT_SECONDS, at))
}

/// `metav1.MicroTime`: exactly six digits of fraction.
pub(crate) fn canonical_micro_time(text: &str) -> Result<String, String> {
    read_time(text, Fraction::SixDigits).map(object::time::micros).map_err(|at| parse_error(text, LAYOUT_MICROS, at))
}

#[derive(Clone, Copy, PartialEq)]
enum Fraction {
    Any,
    SixDigits,
}

/// Where reading stopped: the element of the layout, and the position in the text.
struct Stop {
    element: &'static str,
    at: usize,
}

fn parse_error(text: &str, layout: &str, stop: Stop) -> String {
    let rest = text.get(stop.at..).unwrap_or("");
    if stop.element.is_empty() {
        return format!("parsing time {text:?}: extra text: {rest:?}");
    }
    format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {:?}", stop.element)
}

fn read_time(text: &str, fraction: Fraction) -> Result<Timestamp, Stop> {
    const ELEMENTS: [(&str, usize); 11] =
        [("2006", 4), ("-", 0), ("01", 2), ("-", 0), ("02", 2), ("T", 0), ("15", 2), (":", 0), ("04", 2), (":", 0), ("05", 2)];
    let bytes = text.as_bytes();
    let mut at = 0;
    for (element, n_digits) in ELEMENTS {
        let is_good = if n_digits == 0 {
            bytes.get(at) == element.as_bytes().first()
        } else {
            bytes.get(at..at + n_digits).is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
        };
        if !is_good {
            return Err(Stop { element, at });
        }
        at += n_digits.max(1);
    }
    let n_fraction = match bytes.get(at) {
        Some(b'.') => bytes[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count(),
        _ => 0,
    };
    if fraction == Fraction::SixDigits && n_fraction != 6 {
        return Err(Stop { element: ".000000", at });
    }
    at += if n_fraction > 0 { n_fraction + 1 } else { 0 };
    let zone = &bytes[at..];
    let digits = |from: usize| zone.get(from..from + 2).is_some_and(|d| d.iter().all(u8::is_ascii_digit));
    let zone_len = match zone.first() {
        Some(b'Z') => 1,
        Some(b'+' | b'-') if digits(1) && zone.get(3) == Some(&b':') && digits(4) => 6,
        _ => return Err(Stop { element: "Z07:00", at }),
    };
    if zone.len() > zone_len {
        return Err(Stop { element: "", at: at + zone_len });
    }
    // What is left is a value out of range (month 13): Go says so in other words, which no client matches.
    text.parse().map_err(|_| Stop { element: "Z07:00", at })
}

/// Go's `time.Duration` text, canonical: `1h0m0s`, `1.5s`, `300ms`.
pub(crate) fn duration_text(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = |value: u64, unit: u64| {
        let digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() { (value / unit).to_string() } else { format!("{}.{digits}", value / unit) }
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(magnitude, 1_000_000)),
        _ => {
            let minutes = magnitude / 60_000_000_000;
            let seconds = fraction(magnitude % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// Reads Go's duration text into nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let bad = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
        let number: f64 = rest[..number_len].parse().map_err(|_| bad())?;
        rest = &rest[number_len..];
        let unit_len = rest.bytes().take_while(|c| !c.is_ascii_digit() && *c != b'.').count();
        nanos += number
            * match &rest[..unit_len] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                "" => return Err(format!("time: missing unit in duration {text:?}")),
                unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
            };
        rest = &rest[unit_len..];
    }
    if nanos > i64::MAX as f64 { Err(bad()) } else { Ok((sign * nanos).round() as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("2026-11-22T15:04:05Z", "2026-11-22T15:04:05Z"),
            ("2026-11-22T15:04:05+02:00", "2026-11-22T13:04:05Z"),
            ("2026-11-22T15:04:05.999Z", "2026-11-22T15:04:05Z"),
        ] {
            assert_eq!(canonical_time(text).as_deref(), Ok(expected));
        }
        for (text, error) in [
            ("soon", r#"parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006""#),
            ("2026-11-22", r#"parsing time "2026-11-22" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#),
            ("2026-11-22T15:04:05Zx", r#"parsing time "2026-11-22T15:04:05Zx": extra text: "x""#),
        ] {
            assert_eq!(canonical_time(text), Err(error.to_owned()));
        }
        assert_eq!(canonical_micro_time("2026-11-22T15:04:05.000001Z").as_deref(), Ok("2026-11-22T15:04:05.000001Z"));
        assert!(canonical_micro_time("2026-11-22T15:04:05Z").is_err());
    }

    #[test]
    fn durations_are_gos() {
        for text in ["0s", "1ns", "1.5µs", "300ms", "1.5s", "1m0s", "1h2m3.5s", "-5s"] {
            assert_eq!(parse_duration(text).map(duration_text).as_deref(), Ok(text));
        }
        assert_eq!(parse_duration("90m").map(duration_text).as_deref(), Ok("1h30m0s"));
        for bad in ["", "5", "s", "5x", "1.2.3s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
