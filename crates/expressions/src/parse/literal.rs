//! What literals mean.

use crate::tree::Literal;

pub(super) fn int(text: &str, is_negative: bool) -> Option<Literal> {
    let sign = if is_negative { "-" } else { "" };
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(&format!("{sign}{digits}"), 16),
        None => format!("{sign}{text}").parse(),
    };
    parsed.ok().map(Literal::Int)
}

pub(super) fn uint(text: &str) -> Option<Literal> {
    let digits = &text[..text.len() - 1];
    let parsed = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    parsed.ok().map(Literal::Uint)
}

pub(super) fn double(text: &str, is_negative: bool) -> Option<Literal> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    Some(Literal::Double(if is_negative { -number } else { number }))
}

/// What stands between the quotes, as bytes; texts are valid UTF-8.
pub(super) fn unquoted(literal: &str, is_bytes: bool) -> Result<Vec<u8>, &'static str> {
    let literal = literal.replace("\r\n", "\n").replace('\r', "\n");
    let (is_raw, quoted) = match literal.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, literal.as_str()),
    };
    let n_quotes = if quoted.len() >= 6 && (quoted.starts_with("'''") || quoted.starts_with("\"\"\"")) { 3 } else { 1 };
    let inner = &quoted[n_quotes..quoted.len() - n_quotes];
    if is_raw {
        return Ok(inner.into());
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(inner.len()), inner.chars());
    while let Some(c) = rest.next() {
        if c == '\\' {
            escaped(&mut rest, is_bytes, &mut bytes)?;
        } else {
            push(c, &mut bytes);
        }
    }
    Ok(bytes)
}

fn push(c: char, bytes: &mut Vec<u8>) {
    bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn escaped(rest: &mut std::str::Chars<'_>, is_bytes: bool, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
    const NOT_ESCAPED: &str = "unable to unescape string";
    let kind = rest.next().ok_or(NOT_ESCAPED)?;
    let (n_digits, radix, first) = match kind {
        'x' | 'X' => (2, 16, 0),
        'u' | 'U' if is_bytes => return Err(NOT_ESCAPED),
        'u' => (4, 16, 0),
        'U' => (8, 16, 0),
        '0'..='3' => (2, 8, kind as u32 - '0' as u32),
        _ => {
            const PLAIN: [(char, char); 12] = [
                ('a', '\u{7}'),
                ('b', '\u{8}'),
                ('f', '\u{c}'),
                ('n', '\n'),
                ('r', '\r'),
                ('t', '\t'),
                ('v', '\u{b}'),
                ('\\', '\\'),
                ('\'', '\''),
                ('"', '"'),
                ('`', '`'),
                ('?', '?'),
            ];
            let meant = PLAIN.iter().find(|(escape, _)| *escape == kind).ok_or(NOT_ESCAPED)?;
            push(meant.1, bytes);
            return Ok(());
        }
    };
    let mut value = first;
    for _ in 0..n_digits {
        let digit = rest.next().and_then(|c| c.to_digit(radix)).ok_or(NOT_ESCAPED)?;
        value = value.wrapping_mul(radix) | digit;
    }
    match u8::try_from(value) {
        Ok(byte) if is_bytes => bytes.push(byte),
        _ => push(char::from_u32(value).ok_or("invalid unicode code point")?, bytes),
    }
    Ok(())
}
