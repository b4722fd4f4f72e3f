//! The text of JSON where a tree does not tell enough: what Go reads and serde_json refuses, and how a number is written.
//! Only for text with a fault: it is read a second time here.

use std::ops::Range;

use crate::json_fault::Scan;

/// A step down in a document.
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// What stands for a number that no float64 holds; serde_json reads it exactly.
pub(crate) const STAND_IN: f64 = 1e308;

/// `bytes` with what Go takes in the form it takes it in: U+FFFD for each byte that is no UTF-8 and for each half of a surrogate
/// pair, `STAND_IN` for a number that no float64 holds. And the first such number as it is written.
pub(crate) fn repaired(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    let text = text.as_bytes();
    let mut out = Vec::with_capacity(text.len());
    let mut too_large = None;
    let mut is_string = false;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let len = match rest[0] {
            b'\\' if is_string => escape_len(rest),
            b'-' | b'0'..=b'9' if !is_string => {
                rest.iter().take_while(|b| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')).count()
            }
            _ => 1,
        };
        is_string ^= rest[0] == b'"';
        let token = &rest[..len];
        match std::str::from_utf8(token) {
            Ok(number) if !is_string && number.parse().is_ok_and(f64::is_infinite) => {
                out.extend(format!("{STAND_IN:e}").bytes());
                too_large.get_or_insert_with(|| number.to_owned());
            }
            _ if len == 6 && surrogate(token).is_some() => out.extend(b"\\ufffd"),
            _ => out.extend(token),
        }
        at += len;
    }
    (out, too_large)
}

/// The length of the escape at the front; a pair of surrogates is one.
fn escape_len(text: &[u8]) -> usize {
    const HIGH: Range<u16> = 0xd800..0xdc00;
    match surrogate(text) {
        Some(high) if HIGH.contains(&high) && surrogate(&text[6..]).is_some_and(|low| !HIGH.contains(&low)) => 12,
        Some(_) => 6,
        None => text.len().min(2),
    }
}

fn surrogate(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let code = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..0xe000).contains(&code).then_some(code)
}

/// The text of the number that stands at the end of `steps`.
pub(crate) fn number_at<'a>(body: &'a [u8], steps: &[Step]) -> Option<&'a str> {
    let place = find(&mut Scan { text: body, at: 0 }, steps).ok()??;
    std::str::from_utf8(&body[place]).ok()
}

fn find(scan: &mut Scan<'_>, steps: &[Step]) -> Result<Option<Range<usize>>, String> {
    let mut found = None;
    match (steps.split_first(), scan.peek()?) {
        (None, _) => {
            let from = scan.at;
            scan.value(0)?;
            found = Some(from..scan.at);
        }
        // Of a key that stands twice the last one counts.
        (Some((Step::Key(wanted), rest)), b'{') => scan.members(&mut |scan, key| {
            if serde_json::from_slice::<String>(key).is_ok_and(|key| key == *wanted) {
                found = find(scan, rest)?;
                return Ok(());
            }
            scan.value(0)
        })?,
        (Some((Step::Index(wanted), rest)), b'[') => scan.items(&mut |scan, idx| {
            if idx == *wanted {
                found = find(scan, rest)?;
                return Ok(());
            }
            scan.value(0)
        })?,
        _ => scan.value(0)?,
    }
    Ok(found)
}
