//! Durations and points in time as Go reads them.

const MIN_SECONDS: i64 = -62_135_596_800;
const MAX_SECONDS: i64 = 253_402_300_799;

/// Within the years 1 to 9999.
pub(super) fn is_in_range(seconds: i64) -> bool {
    (MIN_SECONDS..=MAX_SECONDS).contains(&seconds)
}

pub(super) fn is_duration(text: &str) -> bool {
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut total: u64 = 0;
    let mut n_parts = 0;
    while !rest.is_empty() {
        let Some((nanos, after)) = part(rest) else { return false };
        let Some(sum) = total.checked_add(nanos).filter(|sum| *sum <= 1 << 63) else { return false };
        (total, rest, n_parts) = (sum, after, n_parts + 1);
    }
    n_parts > 0 && (is_negative || total <= i64::MAX as u64)
}

/// A number with its unit, in nanoseconds, and what comes after.
fn part(text: &str) -> Option<(u64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let n_whole = digits(text);
    let whole: u64 = if n_whole == 0 { 0 } else { text[..n_whole].parse().ok().filter(|n| *n <= 1 << 63)? };
    let mut rest = &text[n_whole..];
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        let n = digits(after);
        (fraction, rest) = after.split_at(n);
    }
    if n_whole + fraction.len() == 0 {
        return None;
    }
    let n_unit = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(n_unit);
    let nanos: u64 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let whole = whole.checked_mul(nanos).filter(|n| *n <= 1 << 63)?;
    let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
    Some((whole.checked_add((fraction * nanos as f64) as u64)?, rest))
}

/// RFC 3339, with upper-case letters.
pub(super) fn is_timestamp(text: &str) -> bool {
    seconds(text).is_some_and(is_in_range)
}

fn seconds(text: &str) -> Option<i64> {
    let number = |text: &str, max: i64| {
        let is_digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        text.parse().ok().filter(|number: &i64| is_digits && *number <= max)
    };
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !text.is_ascii() || [4, 7, 10, 13, 16].map(|at| bytes[at]) != *b"--T::" {
        return None;
    }
    let (year, month, day) = (number(&text[..4], 9999)?, number(&text[5..7], 12)?, number(&text[8..10], 31)?);
    let (hour, minute, second) = (number(&text[11..13], 23)?, number(&text[14..16], 59)?, number(&text[17..19], 59)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let n_days = match month {
        0 => return None,
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day == 0 || day > n_days {
        return None;
    }
    let mut rest = &text[19..];
    if let Some(after) = rest.strip_prefix(['.', ',']) {
        let n = after.bytes().take_while(u8::is_ascii_digit).count();
        if n == 0 {
            return None;
        }
        rest = &after[n..];
    }
    let offset = match rest.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let ahead = number(&rest[1..3], 24)? * 3600 + number(&rest[4..6], 60)? * 60;
            if *sign == b'+' { ahead } else { -ahead }
        }
        _ => return None,
    };
    // Days since the year 1, which begins the range.
    let before = year - 1;
    let n_days_before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1] + i64::from(is_leap && month > 2);
    let days = before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) + n_days_before + day - 1;
    Some(MIN_SECONDS + days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}
