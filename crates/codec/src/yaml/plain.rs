//! What a plain scalar would be read as: decides which strings need quotes. Upstream: `resolve` of go-yaml v2.

/// Whether the text, unquoted, would be read as something other than itself.
pub(super) fn is_ambiguous(text: &str) -> bool {
    let Some(first) = text.bytes().next() else { return true };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => is_word(text),
        b'.' => is_word(text) || text.parse::<f64>().is_ok(),
        b'+' | b'-' | b'0'..=b'9' => is_word(text) || is_timestamp(text) || is_number(text) || is_base60(text),
        _ => false,
    }
}

fn is_word(text: &str) -> bool {
    const WORDS: [&str; 39] = [
        "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No", "NO", "false", "False", "FALSE",
        "off", "Off", "OFF", "~", "null", "Null", "NULL", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
        "-.inf", "-.Inf", "-.INF", "",
    ];
    WORDS.contains(&text)
}

fn is_number(text: &str) -> bool {
    let plain = text.replace('_', "");
    is_integer(&plain) || is_float(&plain)
}

/// As Go's `ParseInt` with base 0 reads it, within 64 bits.
fn is_integer(text: &str) -> bool {
    let (is_signed, digits) = match text.as_bytes().first() {
        Some(b'+' | b'-') => (true, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let is_all_digits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    if !is_all_digits {
        return false;
    }
    let limit = if text.starts_with('-') {
        1u64 << 63
    } else if is_signed {
        i64::MAX as u64
    } else {
        u64::MAX
    };
    u64::from_str_radix(digits, radix).is_ok_and(|n| n <= limit)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let is_number = match number.split_once('.') {
        None => is_digits(number),
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
    };
    let is_exponent = exponent.is_none_or(|e| is_digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    is_number && is_exponent && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// `[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?`: not read as a number any more, but still quoted.
fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let head = parts.next().unwrap_or("");
    let is_head = head.starts_with(|c: char| c.is_ascii_digit()) && head.bytes().all(|c| c.is_ascii_digit() || c == b'_');
    let mut rest: Vec<&str> = parts.collect();
    let Some(last) = rest.pop() else { return false };
    let is_sixtieth = |text: &str| match text.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    is_head && rest.iter().all(|part| is_sixtieth(part)) && is_sixtieth(last) && fraction.bytes().all(|c| c.is_ascii_digit() || c == b'_')
}

/// The forms Go's reader takes for a time: a date, alone or with a time of day.
fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    if year.len() != 4 || !year.bytes().all(|c| c.is_ascii_digit()) {
        return false;
    }
    let Some((month, rest)) = rest.split_once('-') else { return false };
    let day_len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (day, time) = rest.split_at(day_len);
    let number = |text: &str| if matches!(text.len(), 1 | 2) { text.parse::<i8>().ok() } else { None };
    let (Ok(year), Some(month), Some(day)) = (year.parse::<i16>(), number(month), number(day)) else { return false };
    if jiff::civil::Date::new(year, month, day).is_err() {
        return false;
    }
    match time.bytes().next() {
        None => true,
        Some(b' ') => is_time_of_day(&time[1..]).is_some_and(str::is_empty),
        Some(b'T' | b't') => is_time_of_day(&time[1..]).is_some_and(is_zone),
        _ => false,
    }
}

/// What follows `15:4:5` with an optional fraction.
fn is_time_of_day(text: &str) -> Option<&str> {
    let mut rest = text;
    for (i, limit) in [24u8, 60, 60].into_iter().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix(':')?;
        }
        let len = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        rest[..len].parse::<u8>().ok().filter(|n| *n < limit)?;
        rest = &rest[len..];
    }
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return Some(rest);
        }
        rest = &fraction[len..];
    }
    Some(rest)
}

fn is_zone(text: &str) -> bool {
    match text.as_bytes() {
        [b'Z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            [h1, h2, m1, m2].iter().all(|c| c.is_ascii_digit()) && (*h1 - b'0') * 10 + (*h2 - b'0') <= 24 && *m1 <= b'6'
        }
        _ => false,
    }
}
