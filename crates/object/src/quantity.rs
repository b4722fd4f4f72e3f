//! Resource quantities (`500m`, `1.5Gi`, `1e3`): parsing, canonical text, arithmetic.
//!
//! Upstream: `apimachinery/pkg/api/resource`. Kept as an exact count of nano-units in `i128`, so nothing is ever rounded but by
//! `value` and `milli_value`, which round up as upstream does.

use std::cmp::Ordering;
use std::fmt;

const NANO: i128 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    DecimalSi,
    BinarySi,
    DecimalExponent,
}

#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::DecimalSi };

    pub fn from_units(units: i64, format: Format) -> Self {
        Quantity { nanos: i128::from(units) * NANO, format }
    }
    pub fn from_millis(millis: i64) -> Self {
        Quantity { nanos: i128::from(millis) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// Reads a quantity, or says why not in upstream's words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const BAD: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
        let (sign, unsigned) = match text.as_bytes().first() {
            None => return Err(BAD),
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            Some(_) => (1, text),
        };
        let number_len = unsigned.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
        let (number, suffix) = unsigned.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(BAD);
        }
        let (scale, format) = scale(suffix).ok_or(BAD)?;
        Ok(Quantity { nanos: sign * scaled(whole, fraction, scale), format })
    }

    /// Whole units, rounded up (away from zero).
    pub fn value(self) -> i64 {
        clamp(div_up(self.nanos, NANO))
    }
    pub fn milli_value(self) -> i64 {
        clamp(div_up(self.nanos, NANO / 1000))
    }
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }
    /// No whole number of times nothing is anything.
    pub fn is_multiple_of(self, step: Quantity) -> bool {
        step.nanos != 0 && self.nanos % step.nanos == 0
    }
    #[must_use]
    pub fn plus(self, other: Quantity) -> Quantity {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Quantity { nanos: self.nanos.saturating_add(other.nanos), format }
    }
    #[must_use]
    pub fn minus(self, other: Quantity) -> Quantity {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Quantity { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

/// A suffix is a power of two or of ten.
enum Scale {
    Two(u32),
    Ten(i32),
}

fn scale(suffix: &str) -> Option<(Scale, Format)> {
    use Format::{BinarySi, DecimalExponent, DecimalSi};
    Some(match suffix {
        "" => (Scale::Ten(0), DecimalSi),
        "n" => (Scale::Ten(-9), DecimalSi),
        "u" => (Scale::Ten(-6), DecimalSi),
        "m" => (Scale::Ten(-3), DecimalSi),
        "k" => (Scale::Ten(3), DecimalSi),
        "M" => (Scale::Ten(6), DecimalSi),
        "G" => (Scale::Ten(9), DecimalSi),
        "T" => (Scale::Ten(12), DecimalSi),
        "P" => (Scale::Ten(15), DecimalSi),
        "E" => (Scale::Ten(18), DecimalSi),
        "Ki" => (Scale::Two(10), BinarySi),
        "Mi" => (Scale::Two(20), BinarySi),
        "Gi" => (Scale::Two(30), BinarySi),
        "Ti" => (Scale::Two(40), BinarySi),
        "Pi" => (Scale::Two(50), BinarySi),
        "Ei" => (Scale::Two(60), BinarySi),
        other => {
            let exponent = other.strip_prefix(['e', 'E'])?;
            (Scale::Ten(exponent.parse().ok().filter(|e: &i32| (-30..=30).contains(e))?), DecimalExponent)
        }
    })
}

/// Digits times scale in nano-units: what lies below a nano rounds up, what does not fit saturates, both as upstream.
fn scaled(whole: &str, fraction: &str, scale: Scale) -> i128 {
    const LIMIT: i128 = i64::MAX as i128 * NANO;
    let mut digits: i128 = 0;
    for c in whole.bytes().chain(fraction.bytes()) {
        digits = match digits.checked_mul(10).and_then(|d| d.checked_add(i128::from(c - b'0'))) {
            Some(d) if d < i128::MAX / 1_000 => d,
            _ => return LIMIT,
        };
    }
    let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    let (two, ten) = match scale {
        Scale::Two(power) => (1i128 << power, 9 - places),
        Scale::Ten(power) => (1, power + 9 - places),
    };
    let Some(digits) = digits.checked_mul(two) else { return LIMIT };
    let exact = if ten >= 0 {
        10i128.checked_pow(ten as u32).and_then(|p| digits.checked_mul(p)).unwrap_or(LIMIT)
    } else {
        10i128.checked_pow(ten.unsigned_abs()).map_or(i128::from(digits != 0), |p| div_up(digits, p))
    };
    exact.min(LIMIT)
}

fn div_up(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by == 0 { quotient } else { quotient + value.signum() }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// The canonical text: the largest suffix that leaves a whole number.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DECIMAL: [(&str, &str, i32); 10] = [
            ("E", "e18", 18),
            ("P", "e15", 15),
            ("T", "e12", 12),
            ("G", "e9", 9),
            ("M", "e6", 6),
            ("k", "e3", 3),
            ("", "", 0),
            ("m", "e-3", -3),
            ("u", "e-6", -6),
            ("n", "e-9", -9),
        ];
        const BINARY: [(&str, u32); 6] = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
        if self.nanos == 0 {
            return f.write_str("0");
        }
        // Upstream: binary quantities below 1024, or with a fraction, are written in decimal.
        if self.format == Format::BinarySi && self.nanos % NANO == 0 && self.nanos.abs() >= 1024 * NANO {
            let units = self.nanos / NANO;
            for (suffix, power) in BINARY {
                if units % (1i128 << power) == 0 {
                    return write!(f, "{}{suffix}", units >> power);
                }
            }
            return write!(f, "{units}");
        }
        for (si, exponent, power) in DECIMAL {
            let unit = 10i128.pow((power + 9) as u32);
            if self.nanos % unit == 0 {
                return write!(f, "{}{}", self.nanos / unit, if self.format == Format::DecimalExponent { exponent } else { si });
            }
        }
        unreachable!("every count of nano-units divides by one")
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_texts_are_upstreams() {
        for (text, canonical, value, milli) in [
            ("0", "0", 0, 0),
            ("500m", "500m", 1, 500),
            ("0.5", "500m", 1, 500),
            ("1500m", "1500m", 2, 1500),
            ("1", "1", 1, 1000),
            ("1000", "1k", 1000, 1_000_000),
            ("1Gi", "1Gi", 1 << 30, (1i64 << 30) * 1000),
            ("1024Mi", "1Gi", 1 << 30, (1i64 << 30) * 1000),
            ("1.5Gi", "1536Mi", 3 << 29, (3i64 << 29) * 1000),
            ("1e3", "1e3", 1000, 1_000_000),
            ("100n", "100n", 1, 1),
            ("-2", "-2", -2, -2000),
            ("512Ki", "512Ki", 512 << 10, (512i64 << 10) * 1000),
            (".5Gi", "512Mi", 1 << 29, (1i64 << 29) * 1000),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!((quantity.to_string().as_str(), quantity.value(), quantity.milli_value()), (canonical, value, milli), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "1x", "1.2.3", ".", "1 Gi", "1KiB", "--1"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }
}
