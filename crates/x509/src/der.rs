//! Reading DER piece by piece, with the faults of Go's `encoding/asn1`.

/// What stood before a value.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    class: u8,
    tag: u32,
    length: usize,
    is_compound: bool,
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// A reader of the values of one level.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

/// A value with its header (`whole`) and without.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) identifier: u8,
    pub(crate) whole: &'a [u8],
    pub(crate) inner: &'a [u8],
}

impl<'a> Value<'a> {
    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::new(self.inner)
    }
}

fn syntax(text: &str) -> String {
    format!("asn1: syntax error: {text}")
}

fn structure(text: &str) -> String {
    format!("asn1: structure error: {text}")
}

pub(crate) fn trailing() -> String {
    syntax("trailing data")
}

impl<'a> Reader<'a> {
    pub(crate) fn new(all: &'a [u8]) -> Self {
        Reader { all, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    /// The first byte of the next value.
    pub(crate) fn next_identifier(&self) -> Option<u8> {
        self.all.get(self.at).copied()
    }

    /// A value of any type.
    pub(crate) fn any(&mut self) -> Result<Value<'a>, String> {
        let (header, start) = self.header()?;
        self.body(header, start)
    }

    /// A value of the type; `go_type` is what Go would have read it into.
    pub(crate) fn expect(&mut self, identifier: u8, go_type: &str) -> Result<Value<'a>, String> {
        let (header, start) = self.header()?;
        if self.all[self.at] != identifier {
            let Header { class, tag, length, is_compound } = header;
            return Err(structure(&format!(
                "tags don't match ({} vs {{class:{class} tag:{tag} length:{length} isCompound:{is_compound}}}) {{optional:false explicit:false application:false private:false defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false}} {go_type} @{start}",
                identifier & 0x1f,
            )));
        }
        self.body(header, start)
    }

    /// The same where only a word is said of whatever is wrong.
    pub(crate) fn want(&mut self, identifier: u8, fault: &str) -> Result<Value<'a>, String> {
        self.expect(identifier, "").map_err(|_| format!("x509: {fault}"))
    }

    /// The value when it is the next.
    pub(crate) fn optional(&mut self, identifier: u8) -> Result<Option<Value<'a>>, String> {
        if self.next_identifier() == Some(identifier) { self.any().map(Some) } else { Ok(None) }
    }

    fn header(&self) -> Result<(Header, usize), String> {
        let truncated = || syntax("truncated tag or length");
        let first = self.next_identifier().ok_or_else(|| syntax("sequence truncated"))?;
        let mut at = self.at + 1;
        let mut next = || {
            let byte = self.all.get(at).copied();
            at += 1;
            byte.ok_or_else(truncated)
        };
        let mut tag = u32::from(first & 0x1f);
        if tag == 0x1f {
            tag = 0;
            loop {
                let byte = next()?;
                tag = tag.checked_mul(128).ok_or_else(|| structure("base 128 integer too large"))? | u32::from(byte & 0x7f);
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        let mut length = usize::from(next()?);
        if length & 0x80 != 0 {
            let n_bytes = length & 0x7f;
            if n_bytes == 0 {
                return Err(syntax("indefinite length found (not DER)"));
            }
            length = 0;
            for _ in 0..n_bytes {
                let byte = next()?;
                if length >= 1 << 23 {
                    return Err(structure("length too large"));
                }
                length = length << 8 | usize::from(byte);
                if length == 0 {
                    return Err(structure("superfluous leading zeros in length"));
                }
            }
            if length < 0x80 {
                return Err(structure("non-minimal length"));
            }
        }
        Ok((Header { class: first >> 6, tag, length, is_compound: first & 0x20 != 0 }, at))
    }

    fn body(&mut self, header: Header, start: usize) -> Result<Value<'a>, String> {
        let end = start + header.length;
        let inner = self.all.get(start..end).ok_or_else(|| syntax("data truncated"))?;
        let value = Value { identifier: self.all[self.at], whole: &self.all[self.at..end], inner };
        self.at = end;
        Ok(value)
    }
}

/// The bits of a bit string, which here are always whole bytes.
pub(crate) fn bits(value: &Value<'_>) -> Result<Vec<u8>, String> {
    match value.inner {
        [] => Err(syntax("zero length BIT STRING")),
        [unused, rest @ ..] if *unused > 7 || (rest.is_empty() && *unused > 0) => Err(syntax("invalid padding bits in BIT STRING")),
        [_, rest @ ..] => Ok(rest.to_vec()),
    }
}
