//! Frames and file headers: how bytes on disk prove that they are what was written, where and when.
//!
//! ```text
//! file header  magic kind | checksum | layout | store id | number | salt | length        64 bytes
//! frame        magic | header checksum | length | entries | sequence | checksum | 0      32 bytes, then the payload, padded to 8
//! ```
//!
//! The file's salt is 64 random bits that nobody outside can know: half of it is the frames' magic, all of it enters both
//! checksums. So neither a client's value nor what an earlier life of the file has left can pass for a frame. The header has a
//! checksum of its own because recovery looks for headers at every offset behind a torn frame and must not be made to sum up
//! payloads there.

use super::entry::Entry;

pub(crate) const FILE_HEADER_LEN: usize = 64;
pub(crate) const FRAME_HEADER_LEN: usize = 32;
/// The room that must stay free in a segment: a frame with one entry that has no fields.
pub(crate) const SEAL_LEN: u64 = FRAME_HEADER_LEN as u64 + 8;
const LAYOUT: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Segment,
    Snapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) kind: Kind,
    pub(crate) store_id: u128,
    /// A segment's place in the log; a snapshot's revision.
    pub(crate) number: u64,
    pub(crate) salt: u64,
    /// How long a segment's file is at least: one that has become shorter has lost something. Zero for a snapshot.
    pub(crate) len: u64,
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_LEN] {
        let mut bytes = [0; FILE_HEADER_LEN];
        bytes[..8].copy_from_slice(match self.kind {
            Kind::Segment => b"corawal\n",
            Kind::Snapshot => b"corasnap",
        });
        bytes[12..16].copy_from_slice(&LAYOUT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store_id.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.salt.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.len.to_le_bytes());
        let sum = crc32c::crc32c(&bytes);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FILE_HEADER_LEN] = bytes.first_chunk()?;
        let kind = match &bytes[..8] {
            b"corawal\n" => Kind::Segment,
            b"corasnap" => Kind::Snapshot,
            _ => return None,
        };
        let header = FileHeader {
            kind,
            store_id: u128::from_le_bytes(*bytes[16..].first_chunk()?),
            number: u64_at(bytes, 32),
            salt: u64_at(bytes, 40),
            len: u64_at(bytes, 48),
        };
        // Encoding again covers the checksum, the layout and the unused bytes.
        (header.encode() == *bytes).then_some(header)
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { salt: self.salt, number: self.number }
    }
}

/// What a file's frames are checked with.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    salt: u64,
    number: u64,
}

impl Stamp {
    fn magic(self) -> u32 {
        // Never zero, as files are filled with zeros.
        (self.salt as u32) | 1
    }

    fn sum(self, bytes: &[u8]) -> u32 {
        let seed = crc32c::crc32c(&self.salt.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(seed, &self.number.to_le_bytes()), bytes)
    }
}

/// A frame in the making.
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    /// Where the entries end; padding follows once the frame is sealed.
    end: usize,
    n_entries: u32,
}

impl FrameBuffer {
    pub(crate) fn new() -> Self {
        FrameBuffer { bytes: vec![0; FRAME_HEADER_LEN], end: FRAME_HEADER_LEN, n_entries: 0 }
    }

    pub(crate) fn with(entries: &[Entry<'_>]) -> Self {
        let mut buffer = Self::new();
        entries.iter().for_each(|entry| buffer.push(entry));
        buffer
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(FRAME_HEADER_LEN);
        // One huge group shall not cost its memory for ever.
        self.bytes.shrink_to(1 << 20);
        self.end = FRAME_HEADER_LEN;
        self.n_entries = 0;
    }

    pub(crate) fn push(&mut self, entry: &Entry<'_>) {
        entry.encode(&mut self.bytes);
        self.end = self.bytes.len();
        self.n_entries += 1;
    }

    pub(crate) fn frame_len(&self) -> u64 {
        self.end.next_multiple_of(8) as u64
    }

    /// Fills in the header; may be done again for another place.
    pub(crate) fn seal(&mut self, stamp: Stamp, sequence: u64) -> &[u8] {
        let len = self.end - FRAME_HEADER_LEN;
        self.bytes.resize(self.end.next_multiple_of(8), 0);
        let payload_sum = stamp.sum(&self.bytes[FRAME_HEADER_LEN..]);
        let (header, _) = self.bytes.split_at_mut(FRAME_HEADER_LEN);
        header[8..12].copy_from_slice(&u32::try_from(len).expect("groups are limited").to_le_bytes());
        header[12..16].copy_from_slice(&self.n_entries.to_le_bytes());
        header[16..24].copy_from_slice(&sequence.to_le_bytes());
        header[24..28].copy_from_slice(&payload_sum.to_le_bytes());
        header[28..32].fill(0);
        let header_sum = stamp.sum(&header[8..]);
        header[..4].copy_from_slice(&stamp.magic().to_le_bytes());
        header[4..8].copy_from_slice(&header_sum.to_le_bytes());
        &self.bytes
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameHeader {
    len: usize,
    n_entries: u32,
    pub(crate) sequence: u64,
    payload_sum: u32,
}

impl FrameHeader {
    pub(crate) fn decode(bytes: &[u8], stamp: Stamp) -> Option<Self> {
        let bytes: &[u8; FRAME_HEADER_LEN] = bytes.first_chunk()?;
        if u32_at(bytes, 0) != stamp.magic() || u32_at(bytes, 4) != stamp.sum(&bytes[8..]) {
            return None;
        }
        Some(FrameHeader {
            len: u32_at(bytes, 8) as usize,
            n_entries: u32_at(bytes, 12),
            sequence: u64_at(bytes, 16),
            payload_sum: u32_at(bytes, 24),
        })
    }

    pub(crate) fn padded_len(&self) -> usize {
        self.len.next_multiple_of(8)
    }

    /// The entries, if `payload`, padding included, is the one this header was written for.
    pub(crate) fn entries<'a>(&self, payload: &'a [u8], stamp: Stamp) -> Option<Entries<'a>> {
        (payload.len() == self.padded_len() && stamp.sum(payload) == self.payload_sum)
            .then(|| Entries { left: &payload[..self.len], n_left: self.n_entries })
    }
}

/// The entries of a frame whose checksum is right; an `Err` says that something wrote what nobody can read.
pub(crate) struct Entries<'a> {
    left: &'a [u8],
    n_left: u32,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.n_left == 0 && self.left.is_empty() {
            return None;
        }
        match Entry::decode(&mut self.left).filter(|_| self.n_left > 0) {
            Some(entry) => {
                self.n_left -= 1;
                Some(Ok(entry))
            }
            None => {
                let place = self.left.len();
                (self.left, self.n_left) = (&[], 0);
                Some(Err(format!("an entry {place} bytes before the frame's end cannot be read")))
            }
        }
    }
}

/// The whole frame that begins at an offset, and where it ends.
pub(crate) fn frame_at(bytes: &[u8], offset: usize, stamp: Stamp) -> Option<(FrameHeader, Entries<'_>, usize)> {
    let header = FrameHeader::decode(bytes.get(offset..)?, stamp)?;
    let start = offset + FRAME_HEADER_LEN;
    let end = start.checked_add(header.padded_len())?;
    let entries = header.entries(bytes.get(start..end)?, stamp)?;
    Some((header, entries, end))
}

/// The first frame header at or behind an offset with a sequence of at least `sequence_min`.
pub(crate) fn header_behind(bytes: &[u8], offset: usize, stamp: Stamp, sequence_min: u64) -> Option<(usize, u64)> {
    let magic = stamp.magic();
    let mut offset = offset.next_multiple_of(8);
    while offset + FRAME_HEADER_LEN <= bytes.len() {
        if u32_at(bytes, offset) == magic
            && let Some(header) = FrameHeader::decode(&bytes[offset..], stamp)
            && header.sequence >= sequence_min
        {
            return Some((offset, header.sequence));
        }
        offset += 8;
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("within the bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("within the bytes"))
}
