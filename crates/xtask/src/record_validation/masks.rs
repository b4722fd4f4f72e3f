//! What differs from one recording to the next, as fixed words: uids, and the time of the recording.

/// The golden test's own time (`strategies`).
const NOW: &str = "2026-01-01T00:00:00";
const UID_LEN: usize = 36;

/// `text` with each uid as `UID` and each time since `began` (as written in RFC 3339, without a zone) as that of the golden test.
pub(super) fn masked_text(text: &str, began: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let len = if rest.get(..UID_LEN).is_some_and(is_uid) {
            out.push_str("UID");
            UID_LEN
        } else if rest.get(..NOW.len()).is_some_and(|start| is_time(start) && start >= began) {
            out.push_str(NOW);
            NOW.len()
        } else {
            out.push(next);
            next.len_utf8()
        };
        rest = &rest[len..];
    }
    out
}

fn is_uid(text: &str) -> bool {
    let is_fine = |(i, c): (usize, u8)| if matches!(i, 8 | 13 | 18 | 23) { c == b'-' } else { c.is_ascii_hexdigit() };
    text.bytes().enumerate().all(is_fine)
}

fn is_time(text: &str) -> bool {
    let is_fine = |(c, shown): (u8, u8)| if shown.is_ascii_digit() { c.is_ascii_digit() } else { c == shown };
    text.bytes().zip(NOW.bytes()).all(is_fine)
}
