//! What a frame holds: entries, one after the other, in fixed little-endian fields. Used by segments and snapshots alike.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::change::Change;
use crate::{LeaseId, Note, Record, Revision};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// `created` is written down because the record before may no longer be known when this one is read.
    Put {
        key: &'a str,
        value: &'a [u8],
        created: Revision,
        modified: Revision,
        lease: Option<LeaseId>,
    },
    Delete {
        key: &'a str,
        revision: Revision,
    },
    Grant {
        lease: LeaseId,
        ttl: Duration,
    },
    Revoke {
        lease: LeaseId,
    },
    Compact {
        upto: Revision,
    },
    /// The segment ends here and another follows.
    Seal,
    /// The store was opened or closed here. Takes the place of what a torn write has left, and stands behind the last group,
    /// whose damage could else not be told from a write that was cut short.
    Mark,
    /// A snapshot's first entry.
    Start {
        revision: Revision,
        sequence: u64,
        next_segment: u64,
        newest_lease: u64,
    },
    /// A snapshot's last entry.
    End {
        n_records: u64,
    },
}

impl<'a> Entry<'a> {
    pub(crate) fn of(change: &'a Change) -> Self {
        match change {
            Change::Event(event) => match &event.current {
                Some(record) => Entry::of_record(record),
                None => Entry::Delete { key: &event.key, revision: event.revision },
            },
            Change::Grant(lease, ttl) => Entry::Grant { lease: *lease, ttl: *ttl },
            Change::Revoke(lease) => Entry::Revoke { lease: *lease },
            Change::Compact(upto) => Entry::Compact { upto: *upto },
        }
    }

    pub(crate) fn of_record(record: &'a Record) -> Self {
        let Record { key, value, created, modified, lease, note: _ } = record;
        Entry::Put { key, value, created: *created, modified: *modified, lease: *lease }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut fields = |kind: u8, numbers: &[u64]| {
            out.push(kind);
            numbers.iter().for_each(|n| out.extend(n.to_le_bytes()));
        };
        match *self {
            Entry::Put { key, value, created, modified, lease } => {
                fields(1, &[modified.0, created.0, lease.map_or(0, |l| l.0)]);
                put_bytes(out, key.as_bytes());
                put_bytes(out, value);
            }
            Entry::Delete { key, revision } => {
                fields(2, &[revision.0]);
                put_bytes(out, key.as_bytes());
            }
            Entry::Grant { lease, ttl } => fields(3, &[lease.0, u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)]),
            Entry::Revoke { lease } => fields(4, &[lease.0]),
            Entry::Compact { upto } => fields(5, &[upto.0]),
            Entry::Seal => fields(6, &[]),
            Entry::Mark => fields(7, &[]),
            Entry::Start { revision, sequence, next_segment, newest_lease } => {
                fields(8, &[revision.0, sequence, next_segment, newest_lease]);
            }
            Entry::End { n_records } => fields(9, &[n_records]),
        }
    }

    /// Takes one entry off the front; `None` when the bytes are no entry.
    pub(crate) fn decode(from: &mut &'a [u8]) -> Option<Self> {
        let (kind, rest) = from.split_first()?;
        *from = rest;
        Some(match kind {
            1 => {
                let (modified, created, lease) = (Revision(take_u64(from)?), Revision(take_u64(from)?), take_u64(from)?);
                let key = take_text(from)?;
                Entry::Put { key, value: take_bytes(from)?, created, modified, lease: (lease != 0).then_some(LeaseId(lease)) }
            }
            2 => Entry::Delete { revision: Revision(take_u64(from)?), key: take_text(from)? },
            3 => Entry::Grant { lease: LeaseId(take_u64(from)?), ttl: Duration::from_millis(take_u64(from)?) },
            4 => Entry::Revoke { lease: LeaseId(take_u64(from)?) },
            5 => Entry::Compact { upto: Revision(take_u64(from)?) },
            6 => Entry::Seal,
            7 => Entry::Mark,
            8 => Entry::Start {
                revision: Revision(take_u64(from)?),
                sequence: take_u64(from)?,
                next_segment: take_u64(from)?,
                newest_lease: take_u64(from)?,
            },
            9 => Entry::End { n_records: take_u64(from)? },
            _ => return None,
        })
    }

    /// The record of a put, with memory of its own; any key already known lends its text.
    pub(crate) fn into_record(self, known: Option<&Arc<str>>) -> Option<Record> {
        let Entry::Put { key, value, created, modified, lease } = self else { return None };
        let key = known.cloned().unwrap_or_else(|| key.into());
        Some(Record { key, value: Bytes::copy_from_slice(value), created, modified, lease, note: Note::default() })
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("keys and values are limited");
    out.extend(len.to_le_bytes());
    out.extend(bytes);
}

fn take_u64(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_le_bytes(*number))
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = from.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *from = rest;
    Some(bytes)
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(from)?).ok()
}
