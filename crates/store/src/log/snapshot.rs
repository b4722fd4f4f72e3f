//! Everything live at one revision, as a file of frames: the log's own snapshots, and backups that leave the machine.
//!
//! The first entry says what the snapshot is of, the last how many records there were, so a part of one is never taken for
//! the whole. Written by a thread of its own at low priority; what it shows are shared records that nobody changes.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Common;
use super::entry::Entry;
use super::frame::{FILE_HEADER_LEN, FRAME_HEADER_LEN, FileHeader, FrameBuffer, FrameHeader, Kind};
use super::segment::{self, number_in};
use crate::disk::{Disk, is_full, write_all_at};
use crate::leases::Leases;
use crate::tree::Tree;
use crate::{At, Error, LeaseId, Record, Revision};

const FRAME_BYTES: u64 = 256 << 10;
/// A frame holds one value more than it should at most.
const FRAME_BYTES_MAX: usize = 8 << 20;
/// Small steps, so that the writer's own syncs find a short queue.
const SYNC_EVERY: u64 = 4 << 20;

/// The live state at one revision.
pub(crate) struct View {
    pub(crate) revision: Revision,
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) leases: Vec<(LeaseId, Duration)>,
    pub(crate) newest_lease: u64,
    /// Keys and values.
    pub(crate) live_bytes: usize,
}

impl View {
    pub(crate) fn of(tree: &Tree, leases: &Leases) -> Self {
        let page = tree.range("", None, At::Latest, 0, false).expect("the latest revision is always kept");
        View {
            revision: tree.revision,
            records: page.records,
            leases: leases.all().collect(),
            newest_lease: leases.newest(),
            live_bytes: tree.live_bytes,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.live_bytes as u64
    }
}

/// Where in the log a snapshot stands: behind this frame, so this segment is the first still needed.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) sequence: u64,
    pub(crate) next_segment: u64,
}

pub(crate) fn name_of(revision: Revision) -> String {
    format!("{:020}.snap", revision.0)
}

pub(crate) fn write_snapshot(
    view: &View,
    place: Place,
    (store_id, salt): (u128, u64),
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let header = FileHeader { kind: Kind::Snapshot, store_id, number: view.revision.0, salt, len: 0 };
    sink(&header.encode())?;
    let start = Entry::Start {
        revision: view.revision,
        sequence: place.sequence,
        next_segment: place.next_segment,
        newest_lease: view.newest_lease,
    };
    let leases = view.leases.iter().map(|(lease, ttl)| Entry::Grant { lease: *lease, ttl: *ttl });
    let records = view.records.iter().map(|record| Entry::of_record(record));
    let end = Entry::End { n_records: view.records.len() as u64 };
    let mut frame = FrameBuffer::new();
    let mut sequence = 0;
    for entry in [start].into_iter().chain(leases).chain(records).chain([end]) {
        frame.push(&entry);
        if frame.frame_len() >= FRAME_BYTES || entry == end {
            sequence += 1;
            sink(frame.seal(header.stamp(), sequence))?;
            frame.clear();
        }
    }
    Ok(())
}

/// Reads a snapshot to its end, handing out each entry. `name` is for people.
pub(crate) fn read_snapshot(
    from: &mut dyn Read,
    name: &str,
    take: &mut dyn FnMut(Entry<'_>) -> Result<(), String>,
) -> Result<FileHeader, Error> {
    let damaged = |at: u64, what: &str| Error::Corrupt(format!("`{name}` at offset {at}: {what}"));
    let mut bytes = vec![0; FILE_HEADER_LEN];
    read_exact(from, &mut bytes)?;
    let header = FileHeader::decode(&bytes).filter(|h| h.kind == Kind::Snapshot).ok_or_else(|| damaged(0, "the header is damaged"))?;
    let (mut at, mut sequence, mut n_records) = (FILE_HEADER_LEN as u64, 0, 0);
    let mut n_records_expected = None;
    while n_records_expected.is_none() {
        bytes.resize(FRAME_HEADER_LEN, 0);
        read_exact(from, &mut bytes)?;
        let frame = FrameHeader::decode(&bytes, header.stamp())
            .filter(|f| f.sequence == sequence + 1 && f.padded_len() <= FRAME_BYTES_MAX)
            .ok_or_else(|| damaged(at, &format!("frame {} is damaged", sequence + 1)))?;
        bytes.resize(frame.padded_len(), 0);
        read_exact(from, &mut bytes)?;
        let entries = frame
            .entries(&bytes, header.stamp())
            .ok_or_else(|| damaged(at, &format!("the contents of frame {} are damaged", frame.sequence)))?;
        for entry in entries {
            let entry = entry.map_err(|what| damaged(at, &what))?;
            match entry {
                Entry::Put { .. } => n_records += 1,
                Entry::End { n_records } => n_records_expected = Some(n_records),
                _ => {}
            }
            if n_records_expected.is_none() {
                take(entry).map_err(|what| damaged(at, &what))?;
            }
        }
        sequence = frame.sequence;
        at += (FRAME_HEADER_LEN + frame.padded_len()) as u64;
    }
    if n_records_expected != Some(n_records) {
        return Err(damaged(at, "records are missing"));
    }
    match from.read(&mut [0]) {
        Ok(0) => Ok(header),
        Ok(_) => Err(damaged(at, "something follows the end")),
        Err(error) => Err(Error::Io(error)),
    }
}

/// Bytes that end early are zeros to the caller, whose checksums will not hold.
fn read_exact(from: &mut dyn Read, bytes: &mut [u8]) -> Result<(), Error> {
    let mut n_read = 0;
    while n_read < bytes.len() {
        match from.read(&mut bytes[n_read..]) {
            Ok(0) => break,
            Ok(n) => n_read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Io(error)),
        }
    }
    bytes[n_read..].fill(0);
    Ok(())
}

/// The background job: writes the snapshot, then lets go of what it replaces. Without space it changes nothing, and the
/// next one is tried at the next segment.
pub(crate) fn replace_log(disk: &dyn Disk, common: &Common, store_id: u128, view: &View, place: Place) {
    lower_priority();
    let tmp = format!("{:020}.tmp", view.revision.0);
    let written = write_file(disk, common, store_id, view, place, &tmp);
    let done = written.and_then(|()| {
        disk.rename(&tmp, &name_of(view.revision))?;
        disk.sync_names()?;
        common.synced();
        common.snapshot_revision.store(view.revision.0, Ordering::Release);
        common.first_needed.store(place.next_segment, Ordering::Release);
        drop_replaced(disk, common, view.revision, place.next_segment)
    });
    let Err(error) = done else { return };
    if error.kind() == io::ErrorKind::Interrupted || is_full(&error) {
        tracing::warn!(error = %error, "a snapshot of the store was given up");
        let _ = disk.remove(&tmp);
        return;
    }
    disk.die(&format!("cannot write the snapshot `{}`: {error}", disk.place(&tmp)));
}

pub(crate) fn write_file(disk: &dyn Disk, common: &Common, store_id: u128, view: &View, place: Place, name: &str) -> io::Result<()> {
    let file = disk.create(name)?;
    let (mut offset, mut n_unsynced) = (0, 0);
    write_snapshot(view, place, (store_id, disk.random()), &mut |bytes| {
        if common.stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        write_all_at(&*file, bytes, offset)?;
        offset += bytes.len() as u64;
        n_unsynced += bytes.len() as u64;
        if n_unsynced >= SYNC_EVERY {
            n_unsynced = 0;
            file.sync()?;
            common.synced();
        }
        Ok(())
    })?;
    common.synced();
    file.sync()
}

/// Removes older snapshots and retires the segments before `next_segment`.
pub(crate) fn drop_replaced(disk: &dyn Disk, common: &Common, revision: Revision, next_segment: u64) -> io::Result<()> {
    let names = disk.names()?;
    for name in names.iter().filter(|n| number_in(n, ".snap").is_some_and(|r| r < revision.0)) {
        disk.remove(name)?;
    }
    let mut dead: Vec<_> = names.iter().filter_map(|n| number_in(n, ".wal")).filter(|n| *n < next_segment).collect();
    // From the oldest on, so that what is left after a crash in between has no hole.
    dead.sort_unstable();
    segment::retire(disk, common, &dead)
}

fn lower_priority() {
    // On Linux this means the calling thread alone; the test's inline jobs run on whatever thread calls.
    if std::thread::current().name() == Some("store-snapshot") {
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
    }
}
