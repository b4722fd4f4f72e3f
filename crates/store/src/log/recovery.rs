//! Opening a directory: the newest snapshot, the segments behind it in order, and the judgement where the log ends.
//!
//! ```text
//! frame whole, sequence as expected ─> apply, go on
//! seal                              ─> the next segment must be there
//! anything else ─> a whole frame header with a later sequence, here or in a later segment?
//!                    yes ─> damage: refuse, and name the place
//!                    no  ─> a write that was cut short, or the clean end: write on from here
//! ```
//!
//! The last group's own damage cannot be told from a torn write, which is why opening and closing leave a mark behind it.
//! Nothing is changed on disk before all of it was read and found sound.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entry::Entry;
use super::frame::{FILE_HEADER_LEN, FrameBuffer, frame_at, header_behind};
use super::segment::{self, Segment, name_of, number_in};
use super::snapshot::{self, Place, View, drop_replaced, read_snapshot};
use super::{Common, Job, Layout, Log};
use crate::change::Fault;
use crate::disk::{Disk, DiskFile, is_full, write_all_at};
use crate::history::{Marks, Past};
use crate::leases::Leases;
use crate::tree::Tree;
use crate::{Error, Event, Revision};

const FORMAT: &str = "FORMAT";
/// The past is trimmed this often while the log is read.
const N_TRIM: u64 = 1024;

pub(crate) struct Recovered {
    pub(crate) tree: Tree,
    pub(crate) leases: Leases,
    pub(crate) log: Log,
}

/// What the files have said so far.
struct State {
    tree: Tree,
    leases: Leases,
    sequence: u64,
    next_segment: u64,
}

pub(crate) fn open(disk: Arc<dyn Disk>, layout: Layout) -> Result<Recovered, Error> {
    // An earlier process may have ended between giving a name and syncing it.
    disk.sync_names().map_err(io_error)?;
    let store_id = match read_format(&*disk)? {
        Some(store_id) => store_id,
        None => create(&*disk, layout, None)?,
    };
    let names = disk.names().map_err(io_error)?;
    let mut state = read_newest_snapshot(&*disk, &names, store_id)?;
    let snapshot_revision = state.tree.compacted;
    let first_needed = state.next_segment;
    let Tail { active, next } = read_segments(&*disk, &names, store_id, &mut state, &layout)?;

    let common = Arc::new(Common::default());
    common.first_needed.store(first_needed, Ordering::Relaxed);
    common.snapshot_revision.store(snapshot_revision.0, Ordering::Relaxed);
    common.n_segments.store(names.iter().filter(|n| n.ends_with(".wal")).count() as u64, Ordering::Relaxed);
    for name in names.iter().filter(|n| n.ends_with(".tmp")) {
        disk.remove(name).map_err(io_error)?;
    }
    common.spares().extend(names.iter().filter(|n| n.ends_with(".free")).cloned());
    drop_replaced(&*disk, &common, snapshot_revision, first_needed).map_err(io_error)?;
    let mut log = Log {
        layout,
        store_id,
        active,
        next: next.map(|segment| Job::Done(Ok(segment))),
        sequence: state.sequence,
        buffer: FrameBuffer::new(),
        snapshot: None,
        common,
        disk,
    };
    match log.mark() {
        Ok(()) => {}
        // On a full disk the store opens for readers. The next frame, or the seal, will overwrite a torn one as the mark would.
        Err(Fault::NoSpace) => log.active.file.sync().map_err(io_error)?,
        Err(Fault::Dead(why)) => return Err(Error::Io(io::Error::other(why))),
    }
    if log.next.is_none() {
        log.prepare_next();
    }
    Ok(Recovered { tree: state.tree, leases: state.leases, log })
}

impl Log {
    /// Writes a mark, and with it makes durable what was read but may never have been synced.
    pub(crate) fn mark(&mut self) -> Result<(), Fault> {
        self.buffer = FrameBuffer::with(&[Entry::Mark]);
        if !self.active.has_room(self.buffer.frame_len()) {
            self.rotate()?;
        }
        self.append()
    }
}

/// A directory that holds one given state: what `Store::restore` makes.
pub(crate) fn create_from(disk: &dyn Disk, layout: Layout, view: &View) -> Result<(), Error> {
    if read_format(disk)?.is_some() {
        return Err(Error::Invalid(format!("`{}` already holds a store", disk.place(""))));
    }
    create(disk, layout, Some(view)).map(|_| ())
}

/// The FORMAT file comes last: without it nothing has been stored here yet.
fn create(disk: &dyn Disk, layout: Layout, view: Option<&View>) -> Result<u128, Error> {
    for name in disk.names().map_err(io_error)? {
        let is_used = name.ends_with(".snap")
            || match number_in(&name, ".wal") {
                // The first segment is made before FORMAT is, but nothing is written to it.
                Some(1) => segment::has_frames(disk, 1).map_err(io_error)?,
                number => number.is_some(),
            };
        if is_used {
            return Err(Error::Corrupt(format!("`{}` is missing, but `{name}` is there", disk.place(FORMAT))));
        }
        if [".wal", ".tmp", ".free"].iter().any(|suffix| name.ends_with(suffix)) {
            disk.remove(&name).map_err(io_error)?;
        }
    }
    let store_id = u128::from(disk.random()) << 64 | u128::from(disk.random());
    let common = Common::default();
    segment::make(disk, &common, store_id, 1, layout.segment_bytes).map_err(io_error)?;
    if let Some(view) = view {
        let tmp = "restored.tmp";
        snapshot::write_file(disk, &common, store_id, view, Place { sequence: 0, next_segment: 1 }, tmp).map_err(io_error)?;
        disk.rename(tmp, &snapshot::name_of(view.revision)).map_err(io_error)?;
    }
    let tmp = "FORMAT.tmp";
    let write = || {
        let file = disk.create(tmp)?;
        write_all_at(&*file, format_text(store_id).as_bytes(), 0)?;
        file.sync()?;
        disk.sync_names()?;
        disk.rename(tmp, FORMAT)?;
        disk.sync_names()
    };
    write().map_err(io_error)?;
    Ok(store_id)
}

fn read_format(disk: &dyn Disk) -> Result<Option<u128>, Error> {
    let mut bytes = [0; 128];
    let n = match disk.open(FORMAT) {
        Ok(file) => crate::disk::read_full_at(&*file, &mut bytes, 0).map_err(Error::Io)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Io(error)),
    };
    let text = std::str::from_utf8(&bytes[..n]).unwrap_or("");
    let layout = text.strip_prefix("coracle store\nlayout ").and_then(|rest| rest.lines().next());
    if let Some(layout) = layout.filter(|layout| layout.parse::<u32>().is_ok_and(|layout| layout > 1)) {
        return Err(Error::Corrupt(format!("`{}` names layout {layout}, which this version does not know", disk.place(FORMAT))));
    }
    let id = text.lines().nth(2).and_then(|line| u128::from_str_radix(line.strip_prefix("id ")?, 16).ok());
    let whole = id.filter(|id| format_text(*id) == text);
    whole.map(Some).ok_or_else(|| Error::Corrupt(format!("`{}` is damaged", disk.place(FORMAT))))
}

fn format_text(store_id: u128) -> String {
    let text = format!("coracle store\nlayout 1\nid {store_id:032x}\n");
    format!("{text}sum {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

fn read_newest_snapshot(disk: &dyn Disk, names: &[String], store_id: u128) -> Result<State, Error> {
    let fresh = || State { tree: Tree::new(Revision(1), Revision(0)), leases: Leases::default(), sequence: 0, next_segment: 1 };
    let Some(revision) = names.iter().filter_map(|n| number_in(n, ".snap")).max() else { return Ok(fresh()) };
    let name = snapshot::name_of(Revision(revision));
    let file = disk.open(&name).map_err(io_error)?;
    let mut reader = io::BufReader::with_capacity(1 << 20, FileReader { file: &*file, offset: 0 });
    let mut state = None;
    let header = read_snapshot(&mut reader, &disk.place(&name), &mut |entry| load(&mut state, entry))?;
    match state {
        Some(state) if header.store_id == store_id && state.tree.revision.0 == revision => Ok(state),
        _ => Err(Error::Corrupt(format!("`{}`: the header belongs to another file", disk.place(&name)))),
    }
}

/// A backup's state, at its own revision.
pub(crate) fn read_backup(from: &mut dyn io::Read) -> Result<View, Error> {
    let mut state = None;
    read_snapshot(from, "backup", &mut |entry| load(&mut state, entry))?;
    let State { tree, leases, .. } = state.ok_or_else(|| Error::Corrupt("`backup` is empty".to_owned()))?;
    Ok(View::of(&tree, &leases))
}

fn load(state: &mut Option<State>, entry: Entry<'_>) -> Result<(), String> {
    match (entry, state) {
        (Entry::Start { revision, sequence, next_segment, newest_lease }, state @ None) => {
            let leases = Leases::starting_at(newest_lease);
            *state = Some(State { tree: Tree::new(revision, revision), leases, sequence, next_segment });
        }
        (Entry::Grant { lease, ttl }, Some(state)) => state.leases.granted(lease, ttl),
        (entry @ Entry::Put { .. }, Some(state)) => {
            let record = entry.into_record(None).expect("a put is a record");
            if let Some(lease) = record.lease {
                state.leases.attach(lease, record.key.clone());
            }
            state.tree.load(record);
        }
        _ => return Err("an entry is out of place".to_owned()),
    }
    Ok(())
}

/// Where the log ends.
struct Tail {
    active: Segment,
    /// One that was made ready and not begun.
    next: Option<Segment>,
}

fn read_segments(disk: &dyn Disk, names: &[String], store_id: u128, state: &mut State, layout: &Layout) -> Result<Tail, Error> {
    let mut numbers: Vec<_> = names.iter().filter_map(|n| number_in(n, ".wal")).filter(|n| *n >= state.next_segment).collect();
    numbers.sort_unstable();
    for (expected, found) in (state.next_segment..).zip(&numbers) {
        if *found != expected {
            return Err(Error::Corrupt(format!("`{}` is missing", disk.place(&name_of(expected)))));
        }
    }
    let mut numbers = numbers.into_iter();
    let mut expected = state.next_segment;
    loop {
        let number = numbers.next().ok_or_else(|| Error::Corrupt(format!("`{}` is missing", disk.place(&name_of(expected)))))?;
        let (mut active, bytes) = segment::read(disk, store_id, number)?;
        if read_frames(disk, &mut active, &bytes, state, layout)? {
            // A process that was killed may have left the seal unsynced, and soon something will stand behind it.
            active.file.sync().map_err(io_error)?;
            expected = number + 1;
            continue;
        }
        // The end of the log, unless anything that was written later can still be read.
        let torn = state.sequence + 1;
        let offset = active.position;
        let broken = |place: String, sequence: u64| {
            let here = disk.place(&active.name());
            Err(Error::Corrupt(format!("`{here}` at offset {offset}: frame {torn} is damaged, for frame {sequence} follows it {place}")))
        };
        if let Some((at, sequence)) = header_behind(&bytes, offset as usize, active.stamp(), torn + 1) {
            return broken(format!("at offset {at}"), sequence);
        }
        let mut next = None;
        if let Some(number) = numbers.next() {
            let (segment, bytes) = segment::read(disk, store_id, number)?;
            if let Some((at, sequence)) = header_behind(&bytes, FILE_HEADER_LEN, segment.stamp(), 0) {
                return broken(format!("in `{}` at offset {at}", disk.place(&segment.name())), sequence);
            }
            next = Some(segment);
        }
        // A segment is made ready when the one before it is begun.
        if let Some(number) = numbers.next() {
            let later = disk.place(&name_of(number));
            let here = disk.place(&active.name());
            return Err(Error::Corrupt(format!("`{here}` at offset {offset}: frame {torn} is damaged, for `{later}` was begun after it")));
        }
        return Ok(Tail { active, next });
    }
}

/// Applies a segment's frames and leaves its position behind the last; true if it is sealed.
fn read_frames(disk: &dyn Disk, segment: &mut Segment, bytes: &[u8], state: &mut State, layout: &Layout) -> Result<bool, Error> {
    let marks = |state: &State| Marks::starting_at(state.tree.compacted);
    let mut at = FILE_HEADER_LEN;
    while let Some((header, entries, end)) = frame_at(bytes, at, segment.stamp()) {
        let damage = |what: String| Error::Corrupt(format!("`{}` at offset {at}: {what}", disk.place(&segment.name())));
        if header.sequence != state.sequence + 1 {
            return Err(damage(format!("frame {} where {} was expected", header.sequence, state.sequence + 1)));
        }
        let mut is_sealed = false;
        for entry in entries {
            let entry = entry.map_err(damage)?;
            is_sealed = entry == Entry::Seal;
            replay(state, entry).map_err(damage)?;
        }
        state.sequence = header.sequence;
        at = end;
        segment.position = end as u64;
        if is_sealed {
            return Ok(true);
        }
        if state.sequence.is_multiple_of(N_TRIM) {
            trim(state, marks(state), layout);
        }
    }
    trim(state, marks(state), layout);
    Ok(false)
}

fn replay(state: &mut State, entry: Entry<'_>) -> Result<(), String> {
    let State { tree, leases, .. } = state;
    let (key, revision) = match entry {
        Entry::Put { key, modified, .. } => (key, modified),
        Entry::Delete { key, revision } => (key, revision),
        Entry::Grant { lease, ttl } => {
            leases.granted(lease, ttl);
            return Ok(());
        }
        Entry::Revoke { lease } => {
            leases.revoked(lease);
            return Ok(());
        }
        Entry::Compact { upto } => {
            tree.compact(upto, usize::MAX);
            return Ok(());
        }
        Entry::Seal | Entry::Mark => return Ok(()),
        Entry::Start { .. } | Entry::End { .. } => return Err("an entry is out of place".to_owned()),
    };
    if revision != tree.revision && revision.0 != tree.revision.0 + 1 {
        return Err(format!("revision {} follows {}", revision.0, tree.revision.0));
    }
    let previous = tree.get(key).cloned();
    let known = previous.as_ref().map(|r| r.key.clone());
    let current = entry.into_record(known.as_ref()).map(Arc::new);
    if current.is_none() && previous.is_none() {
        return Err(format!("`{key}` is deleted but is not there"));
    }
    let key = known.unwrap_or_else(|| current.as_ref().map_or_else(|| key.into(), |r| r.key.clone()));
    let event = Arc::new(Event { revision, key, current, previous });
    leases.follow(&event);
    tree.apply(&event);
    tree.feeds_of(&event.key).for_each(|feed| feed.push(std::slice::from_ref(&event)));
    Ok(())
}

/// All of it is old: nobody has seen it yet in this life.
fn trim(state: &mut State, marks: Marks, layout: &Layout) {
    let tree = &mut state.tree;
    let past = |tree: &Tree| Past { current: tree.revision, compacted: tree.compacted, bytes: tree.history_bytes };
    let Some(goal) = marks.compact_to(past(tree), &layout.history) else { return };
    while tree.compacted < goal.upto && (goal.bytes == 0 || tree.history_bytes > goal.bytes) {
        tree.compact(goal.upto, N_TRIM as usize);
    }
}

struct FileReader<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
}

impl io::Read for FileReader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(bytes, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}

fn io_error(error: io::Error) -> Error {
    if is_full(&error) { Error::NoSpace } else { Error::Io(error) }
}
