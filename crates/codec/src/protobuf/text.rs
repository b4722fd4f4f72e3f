//! JSON text read once from front to back, value by value, for a reader that knows what it wants where it stands.
//!
//! It reads what `stored::encode` wrote: JSON without spaces. Of other text it takes more than JSON allows, refuses the rest and
//! never panics. Asked for what does not stand there, it passes over the value and answers as if it were absent.

use std::borrow::Cow;

pub(super) struct Text<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Text { bytes, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn is_over(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What is between a place read before and this one.
    pub(super) fn since(&self, from: usize) -> &'a [u8] {
        &self.bytes[from..self.at]
    }

    pub(super) fn is_at(&self, byte: u8) -> bool {
        self.bytes.get(self.at) == Some(&byte)
    }

    /// Into an array or object: whether there is anything before its closing byte.
    pub(super) fn enter(&mut self, close: u8) -> Option<bool> {
        self.at += 1;
        let is_empty = *self.bytes.get(self.at)? == close;
        self.at += usize::from(is_empty);
        Some(!is_empty)
    }

    /// Behind a part of an array or object: whether another one follows.
    pub(super) fn goes_on(&mut self, close: u8) -> Option<bool> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        if byte == close { Some(false) } else { (byte == b',').then_some(true) }
    }

    /// A member's name and its colon.
    pub(super) fn name(&mut self) -> Option<Cow<'a, [u8]>> {
        let name = self.string()?;
        let is_named = self.is_at(b':');
        self.at += 1;
        is_named.then_some(name)
    }

    /// A string's content; nothing for all else.
    pub(super) fn string_or_empty(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.is_at(b'"') { self.string() } else { self.raw().map(|_| Cow::Borrowed(b"".as_slice())) }
    }

    pub(super) fn bool(&mut self) -> Option<bool> {
        self.raw().map(|raw| raw == b"true")
    }

    pub(super) fn int(&mut self) -> Option<i64> {
        let raw = self.raw()?;
        Some(small(raw).or_else(|| std::str::from_utf8(raw).ok()?.parse().ok()).unwrap_or(0))
    }

    /// As a tree's numbers are read: the two must not differ in the last bit.
    pub(super) fn double(&mut self) -> Option<f64> {
        self.raw().map(|raw| serde_json::from_slice(raw).unwrap_or(0.0))
    }

    /// Any value as it stands there.
    pub(super) fn raw(&mut self) -> Option<&'a [u8]> {
        let from = self.at;
        match *self.bytes.get(from)? {
            b'"' => drop(self.skip_string()?),
            b'{' | b'[' => self.skip_nested()?,
            b'n' => self.skip_word(b"null")?,
            b't' => self.skip_word(b"true")?,
            b'f' => self.skip_word(b"false")?,
            b'-' | b'0'..=b'9' => {
                let is_of_number = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                self.at += self.rest().iter().take_while(is_of_number).count();
            }
            _ => return None,
        }
        Some(self.since(from))
    }

    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn skip_word(&mut self, word: &[u8]) -> Option<()> {
        self.rest().starts_with(word).then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let from = self.at;
        let is_plain = self.skip_string()?;
        let quoted = self.since(from);
        if is_plain {
            return Some(Cow::Borrowed(&quoted[1..quoted.len() - 1]));
        }
        Some(Cow::Owned(serde_json::from_slice::<String>(quoted).unwrap_or_default().into_bytes()))
    }

    /// Whether it has no backslashes.
    fn skip_string(&mut self) -> Option<bool> {
        if !self.is_at(b'"') {
            return None;
        }
        self.at += 1;
        let mut is_plain = true;
        loop {
            self.at = end_of_plain(self.bytes, self.at)?;
            if self.bytes[self.at] == b'"' {
                self.at += 1;
                return Some(is_plain);
            }
            is_plain = false;
            self.at += 2;
            if self.at > self.bytes.len() {
                return None;
            }
        }
    }
}

/// A number of few digits, as most are.
fn small(digits: &[u8]) -> Option<i64> {
    let is_small = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_small.then(|| digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
}

/// Where the next quote or backslash stands: eight bytes at a time.
fn end_of_plain(text: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    // The lowest byte with its high bit set is the first that is equal; those above it may be wrong.
    let equal_to = |word: u64, byte: u8| {
        let zero_where_equal = word ^ (ONES * u64::from(byte));
        zero_where_equal.wrapping_sub(ONES) & !zero_where_equal & (ONES << 7)
    };
    while let Some(eight) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().ok()?);
        let found = equal_to(word, b'"') | equal_to(word, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).map(|n| at + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_passed_over_whole() {
        for value in [r#"{"f:a":{"}\"":[{}]}}"#, r#"["]",1]"#, r#""a\\""#, "-2.5e3", "null", "true", "false"] {
            let text = format!("{value},1");
            let mut reader = Text::new(text.as_bytes());
            assert_eq!(reader.raw(), Some(value.as_bytes()));
            assert_eq!(reader.goes_on(b']'), Some(true));
            for len in 0..value.len() {
                let is_number = value.starts_with('-') && len > 0;
                assert_eq!(Text::new(&text.as_bytes()[..len]).raw().is_some(), is_number, "{}", &value[..len]);
            }
        }
        for bad in [" ", "nul", ":", "]", "\"\\"] {
            assert_eq!(Text::new(bad.as_bytes()).raw(), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_read_exactly() {
        for n in [0, 7, -7, 999_999_999, 1_000_000_000, i64::MAX, i64::MIN] {
            assert_eq!(Text::new(n.to_string().as_bytes()).int(), Some(n));
        }
        assert_eq!(Text::new(b"1.5").int(), Some(0));
        assert_eq!(Text::new(b"0.1").double(), Some(0.1));
        assert_eq!(Text::new(b"\"7\"").int(), Some(0));
    }
}
