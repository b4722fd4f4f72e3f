//! Varints, tags and payloads: protobuf below the level of messages.

use super::Error;

pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_key(out: &mut Vec<u8>, tag: u32, wire_type: u8) {
    put_varint(out, u64::from(tag) << 3 | u64::from(wire_type));
}

/// Negative numbers take ten bytes, as Go writes them.
pub(crate) fn put_int(out: &mut Vec<u8>, tag: u32, n: i64) {
    put_key(out, tag, 0);
    put_varint(out, n as u64);
}

pub(crate) fn put_double(out: &mut Vec<u8>, tag: u32, n: f64) {
    put_key(out, tag, 1);
    out.extend_from_slice(&n.to_le_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    put_len(out, tag, bytes.len());
    out.extend_from_slice(bytes);
}

/// What stands before so many bytes.
pub(super) fn put_len(out: &mut Vec<u8>, tag: u32, len: usize) {
    put_key(out, tag, 2);
    put_varint(out, len as u64);
}

/// What `put_bytes` writes for so many bytes.
pub(super) fn bytes_len(tag: u32, len: usize) -> usize {
    let mut before = Vec::with_capacity(16);
    put_len(&mut before, tag, len);
    before.len() + len
}

/// Writes a nested message in place.
pub(crate) fn put_message(out: &mut Vec<u8>, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = open_message(out, tag);
    write(out);
    close_message(out, start, start + 1);
}

/// Begins a nested message; answers where its length belongs. It is not known yet: one byte is kept free for it, which is enough
/// for most.
pub(super) fn open_message(out: &mut Vec<u8>, tag: u32) -> usize {
    put_key(out, tag, 2);
    out.push(0);
    out.len() - 1
}

/// Ends a nested message that lies from `from` on and whose length belongs at `start`, what is between being room; answers where
/// it lies then.
pub(super) fn close_message(out: &mut Vec<u8>, start: usize, from: usize) -> usize {
    let len = out.len() - from;
    let n_digits = len.max(1).ilog2() as usize / 7 + 1;
    let to = start + n_digits;
    if to != from {
        out.resize(out.len().max(to + len), 0);
        out.copy_within(from..from + len, to);
        out.truncate(to + len);
    }
    for (i, digit) in out[start..to].iter_mut().enumerate() {
        *digit = (len >> (7 * i)) as u8 | if i + 1 < n_digits { 0x80 } else { 0 };
    }
    to
}

#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// A wire type that no field of the API has.
    Other(u8),
}

impl<'a> Payload<'a> {
    fn wrong<T>(self, tag: u32) -> Result<T, Error> {
        let wire_type = match self {
            Payload::Varint(_) => 0,
            Payload::Fixed64(_) => 1,
            Payload::Bytes(_) => 2,
            Payload::Other(wire_type) => wire_type,
        };
        Err(Error::Malformed(format!("proto: wrong wireType = {wire_type} for field {tag}")))
    }
    pub(super) fn bytes(self, tag: u32) -> Result<&'a [u8], Error> {
        if let Payload::Bytes(bytes) = self { Ok(bytes) } else { self.wrong(tag) }
    }
    /// Go takes any bytes for a string, and its JSON encoder replaces what is not UTF-8.
    pub(super) fn text(self, tag: u32) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(self.bytes(tag)?).into_owned())
    }
    pub(super) fn int(self, tag: u32) -> Result<i64, Error> {
        if let Payload::Varint(n) = self { Ok(n as i64) } else { self.wrong(tag) }
    }
    pub(super) fn double(self, tag: u32) -> Result<f64, Error> {
        if let Payload::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { self.wrong(tag) }
    }
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next tag and payload, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Payload<'a>)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let tag = u32::try_from(key >> 3).ok().filter(|tag| *tag > 0);
        let Some(tag) = tag else { return Err(Error::Malformed(format!("proto: illegal tag {} (wire type {})", key >> 3, key & 7))) };
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| cut_short())?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| cut_short())?;
                Payload::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Payload::Other(5)
            }
            // Groups are not written by any version of the API; upstream would skip them.
            other => return Err(Error::Malformed(format!("proto: illegal wireType {other}"))),
        };
        Ok(Some((tag, payload)))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Error> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or_else(cut_short)?;
            self.rest = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(Error::Malformed("proto: integer overflow".to_owned()))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn cut_short() -> Error {
    Error::Malformed("unexpected EOF".to_owned())
}

/// The zero time is an empty message.
pub(super) fn put_time(text: &[u8], out: &mut Vec<u8>) {
    if let Some(at) = std::str::from_utf8(text).ok().and_then(object::time::parse) {
        put_int(out, 1, at.as_second());
        put_int(out, 2, i64::from(at.subsec_nanosecond()));
    }
}
