//! One file of the log: making it ready, and reading it back.

use std::io;
use std::sync::atomic::Ordering;

use super::frame::{FILE_HEADER_LEN, FileHeader, Kind, SEAL_LEN, Stamp, header_behind};
use super::{Common, N_SPARES_MAX};
use crate::Error;
use crate::disk::{Disk, DiskFile, read_full_at, write_all_at};

const N_FILL: usize = 1 << 20;

pub(crate) struct Segment {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) header: FileHeader,
    pub(crate) number: u64,
    /// Where the next frame goes.
    pub(crate) position: u64,
}

pub(crate) fn name_of(number: u64) -> String {
    format!("{number:012}.wal")
}

/// The number in a name such as `000000000007.wal`.
pub(crate) fn number_in(name: &str, suffix: &str) -> Option<u64> {
    name.strip_suffix(suffix)?.parse().ok()
}

impl Segment {
    pub(crate) fn name(&self) -> String {
        name_of(self.number)
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.header.stamp()
    }

    /// Whether a frame fits and leaves room for the seal.
    pub(crate) fn has_room(&self, frame_len: u64) -> bool {
        self.position + frame_len + SEAL_LEN <= self.header.len
    }
}

/// Makes a segment that can be written without claiming space: from a spare if there is one, else filled with zeros. It has
/// its final name only when it is whole and durable.
pub(crate) fn make(disk: &dyn Disk, common: &Common, store_id: u128, number: u64, len: u64) -> io::Result<Segment> {
    let (raw, file) = match take_spare(disk, common, len)? {
        Some(spare) => spare,
        None => {
            let name = format!("{number:012}.tmp");
            let file = fill(disk, &name, len).inspect_err(|_| drop(disk.remove(&name)))?;
            common.synced();
            (name, file)
        }
    };
    let header = FileHeader { kind: Kind::Segment, store_id, number, salt: disk.random(), len };
    match write_all_at(&*file, &header.encode(), 0).and_then(|()| file.sync()) {
        Ok(()) => common.synced(),
        Err(error) => {
            let _ = disk.remove(&raw);
            return Err(error);
        }
    }
    disk.rename(&raw, &name_of(number))?;
    disk.sync_names()?;
    common.synced();
    Ok(Segment { file, header, number, position: FILE_HEADER_LEN as u64 })
}

fn take_spare(disk: &dyn Disk, common: &Common, len: u64) -> io::Result<Option<(String, Box<dyn DiskFile>)>> {
    loop {
        let Some(name) = common.spares().pop() else { return Ok(None) };
        let file = disk.open(&name)?;
        if file.len()? == len {
            return Ok(Some((name, file)));
        }
        // From before the segment size was changed.
        disk.remove(&name)?;
    }
}

fn fill(disk: &dyn Disk, name: &str, len: u64) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.create(name)?;
    file.reserve(len)?;
    let zeros = vec![0; N_FILL];
    let mut offset = 0;
    while offset < len {
        let n = usize::try_from(len - offset).unwrap_or(N_FILL).min(N_FILL);
        write_all_at(&*file, &zeros[..n], offset)?;
        offset += n as u64;
    }
    file.sync()?;
    Ok(file)
}

/// A segment's file with all its bytes, its header checked.
pub(crate) fn read(disk: &dyn Disk, store_id: u128, number: u64) -> Result<(Segment, Vec<u8>), Error> {
    let name = name_of(number);
    let file = disk.open(&name).map_err(Error::Io)?;
    let len = file.len().map_err(Error::Io)?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let n_read = read_full_at(&*file, &mut bytes, 0).map_err(Error::Io)?;
    bytes.truncate(n_read);
    let place = || disk.place(&name);
    let header = FileHeader::decode(&bytes).ok_or_else(|| Error::Corrupt(format!("`{}`: the header is damaged", place())))?;
    if (header.kind, header.store_id, header.number) != (Kind::Segment, store_id, number) {
        return Err(Error::Corrupt(format!("`{}`: the header belongs to another file", place())));
    }
    if (bytes.len() as u64) < header.len {
        return Err(Error::Corrupt(format!("`{}`: {} bytes are left of {}", place(), bytes.len(), header.len)));
    }
    Ok((Segment { file, header, number, position: FILE_HEADER_LEN as u64 }, bytes))
}

/// Whether anything was ever written behind a segment's header, as far as can be told.
pub(crate) fn has_frames(disk: &dyn Disk, number: u64) -> io::Result<bool> {
    let file = disk.open(&name_of(number))?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
    read_full_at(&*file, &mut bytes, 0)?;
    Ok(FileHeader::decode(&bytes).is_none_or(|h| header_behind(&bytes, FILE_HEADER_LEN, h.stamp(), 0).is_some()))
}

/// Puts dead segments aside for reuse and removes those that are too many.
pub(crate) fn retire(disk: &dyn Disk, common: &Common, numbers: &[u64]) -> io::Result<()> {
    let mut kept = Vec::new();
    for number in numbers {
        if common.spares().len() + kept.len() < N_SPARES_MAX {
            let name = format!("{number:012}.free");
            disk.rename(&name_of(*number), &name)?;
            kept.push(name);
        } else {
            disk.remove(&name_of(*number))?;
        }
        common.n_segments.fetch_sub(1, Ordering::Relaxed);
    }
    // Before a spare is written over, its old name must be gone for good.
    disk.sync_names()?;
    common.synced();
    common.spares().extend(kept);
    Ok(())
}
