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

/// Base64 as it is written again; the error is Go's text.
pub(crate) fn canonical_base64(text: &str) -> Result<String, String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    // Go's decoder skips line breaks.
    let joined: String;
    let plain = if text.contains(['\n', '\r']) {
        joined = text.replace(['\n', '\r'], "");
        &joined
    } else {
        text
    };
    let is_good = STANDARD.decode(plain).is_ok();
    if is_good { Ok(plain.to_owned()) } else { Err(format!("illegal base64 data at input byte {}", first_bad_base64(plain))) }
}

fn first_bad_base64(text: &str) -> usize {
    let is_letter = |c: u8| c.is_ascii_alphanumeric() || c == b'+' || c == b'/';
    text.bytes().position(|c| !is_letter(c)).unwrap_or(text.len() / 4 * 4)
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
}
