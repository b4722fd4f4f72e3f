//! Go's `time.Duration` as text.

/// Nanoseconds as Go writes them, canonical: `1h0m0s`, `1.5s`, `300ms`.
pub fn text(nanos: i64) -> String {
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
pub fn parse(written: &str) -> Result<i64, String> {
    let bad = || format!("time: invalid duration {written:?}");
    let (sign, mut rest) = match written.as_bytes().first() {
        Some(b'-') => (-1.0, &written[1..]),
        Some(b'+') => (1.0, &written[1..]),
        _ => (1.0, written),
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
                "" => return Err(format!("time: missing unit in duration {written:?}")),
                unit => return Err(format!("time: unknown unit {unit:?} in duration {written:?}")),
            };
        rest = &rest[unit_len..];
    }
    if nanos > i64::MAX as f64 { Err(bad()) } else { Ok((sign * nanos).round() as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for written in ["0s", "1ns", "1.5µs", "300ms", "1.5s", "1m0s", "1h2m3.5s", "-5s"] {
            assert_eq!(parse(written).map(text).as_deref(), Ok(written));
        }
        assert_eq!(parse("90m").map(text).as_deref(), Ok("1h30m0s"));
        for bad in ["", "5", "s", "5x", "1.2.3s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
