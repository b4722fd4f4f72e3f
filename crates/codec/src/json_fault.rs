//! What Go's JSON scanner says about text that is no JSON. Only for messages: the text has been refused already.

/// Go: `maxNestingDepth`; ours is lower because it recurses, and no one sends such text but to try us.
const DEPTH_MAX: usize = 500;

const END: &str = "unexpected end of JSON input";

/// The first fault; `None` when Go would find none.
pub fn find(text: &[u8]) -> Option<String> {
    let mut scan = Scan { text, at: 0 };
    scan.value(0).and_then(|()| scan.end()).err()
}

/// Passes over values from `at` on.
pub(crate) struct Scan<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
}

impl Scan<'_> {
    fn skip_space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is no space; the end is a fault.
    pub(crate) fn peek(&mut self) -> Result<u8, String> {
        self.skip_space();
        self.text.get(self.at).copied().ok_or_else(|| END.to_owned())
    }

    fn unexpected(&self, context: &str) -> String {
        match self.text.get(self.at) {
            // Go feeds its scanner a blank at the end.
            None => format!("invalid character ' ' {context}"),
            Some(byte) => format!("invalid character {} {context}", quoted(*byte)),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.unexpected("after top-level value")) }
    }

    pub(crate) fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err("exceeded max depth".to_owned());
        }
        match self.peek()? {
            b'{' => self.members(&mut |scan, _| scan.value(depth + 1)),
            b'[' => self.items(&mut |scan, _| scan.value(depth + 1)),
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    /// The members of an object; `each` reads a value, given its key's text with the quotes.
    pub(crate) fn members(&mut self, each: &mut dyn FnMut(&mut Self, &[u8]) -> Result<(), String>) -> Result<(), String> {
        self.at += 1;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let from = self.at;
            self.string()?;
            let key = &self.text[from..self.at];
            if self.peek()? != b':' {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            each(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    /// The items of an array; `each` reads one, given its index.
    pub(crate) fn items(&mut self, each: &mut dyn FnMut(&mut Self, usize) -> Result<(), String>) -> Result<(), String> {
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        for idx in 0.. {
            each(self, idx)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    break;
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                None => return Err(END.to_owned()),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(byte) if *byte < b' ' => return Err(self.unexpected("in string literal")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.text.get(self.at) {
            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => self.at += 1,
            Some(b'u') => {
                for _ in 0..4 {
                    self.at += 1;
                    if !self.text.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(self.unexpected("in \\u hexadecimal character escape"));
                    }
                }
                self.at += 1;
            }
            _ => return Err(self.unexpected("in string escape code")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if self.text[self.at] == b'-' {
            self.at += 1;
        }
        if self.text.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self, context: &str) -> Result<(), String> {
        let from = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(self.unexpected(context)) }
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.chars() {
            if self.text.get(self.at).map(|b| char::from(*b)) != Some(expected) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// Go: `quoteChar`.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x20..=0x7e => format!("'{}'", char::from(byte)),
        // Go takes the byte for a code point.
        0x80..=0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        0xa1.. => format!("'{}'", char::from(byte)),
        _ => format!("'\\x{byte:02x}'"),
    }
}

/// Go: `summarizeData`, as messages about unreadable bodies end.
pub fn summary(body: &[u8]) -> String {
    const LEN_MAX: usize = 30;
    let (shown, more) = if body.len() > LEN_MAX { (&body[..LEN_MAX], " ...") } else { (body, "") };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => format!("{}{more}", shown.iter().map(|b| format!("{b:02x}")).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_in_gos_words() {
        for (text, expected) in [
            ("{\"a\":1}", None),
            ("", Some(END)),
            ("{\"a\":", Some(END)),
            ("{bad", Some("invalid character 'b' looking for beginning of object key string")),
            ("{\"a\" 1}", Some("invalid character '1' after object key")),
            ("{\"a\":1 \"b\"}", Some("invalid character '\"' after object key:value pair")),
            ("[1 2]", Some("invalid character '2' after array element")),
            ("{} x", Some("invalid character 'x' after top-level value")),
            ("{\"a\":tru}", Some("invalid character '}' in literal true (expecting 'e')")),
            ("{\"a\":\"\\q\"}", Some("invalid character 'q' in string escape code")),
            ("{\"a\":1.}", Some("invalid character '}' after decimal point in numeric literal")),
            ("-x", Some("invalid character 'x' in numeric literal")),
            ("\"a\nb\"", Some("invalid character '\\n' in string literal")),
        ] {
            assert_eq!(find(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }
}
