//! A disk in memory that can be cut off at any operation, tear what was not synced, fail, and run full.
//!
//! What a crash leaves: every synced byte and name; of each unsynced write any of its 512-byte sectors; of unsynced names any
//! subset. What a kill leaves: everything, though still unsynced, so that a later crash may take it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// SplitMix64: small, and the same everywhere.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Sim>>);

struct Sim {
    rng: Rng,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    unsynced: Vec<NameOp>,
    files: HashMap<u64, SimFile>,
    newest: u64,
    /// Operations until the power goes.
    n_left: Option<u64>,
    /// Operations until one fails with EIO.
    n_until_fault: Option<u64>,
    is_sloppy: bool,
    space: Option<usize>,
    is_dead: bool,
    n_ops: u64,
}

#[derive(Clone, Default)]
struct SimFile {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    reserved: usize,
}

#[derive(Clone)]
enum NameOp {
    Link(String, u64),
    Unlink(String),
    Rename(String, String, u64),
}

struct Handle {
    disk: Arc<Mutex<Sim>>,
    id: u64,
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_files(seed, BTreeMap::new())
    }

    /// A disk on which these files lie, safe and sound.
    pub(crate) fn with_files(seed: u64, contents: BTreeMap<String, Vec<u8>>) -> Self {
        let mut sim = Sim {
            rng: Rng(seed),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            unsynced: Vec::new(),
            files: HashMap::new(),
            newest: 0,
            n_left: None,
            n_until_fault: None,
            is_sloppy: false,
            space: None,
            is_dead: false,
            n_ops: 0,
        };
        for (name, bytes) in contents {
            sim.newest += 1;
            sim.files.insert(sim.newest, SimFile { synced: bytes.clone(), bytes, ..SimFile::default() });
            sim.names.insert(name, sim.newest);
        }
        sim.synced_names = sim.names.clone();
        SimDisk(Arc::new(Mutex::new(sim)))
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().expect("no panic while locked")
    }

    pub(crate) fn cut_after(&self, n_ops: u64) {
        self.sim().n_left = Some(n_ops);
    }

    pub(crate) fn fail_after(&self, n_ops: u64) {
        self.sim().n_until_fault = Some(n_ops);
    }

    /// Short writes and interruptions, now and then.
    pub(crate) fn be_sloppy(&self) {
        self.sim().is_sloppy = true;
    }

    pub(crate) fn set_space(&self, bytes: Option<usize>) {
        self.sim().space = bytes;
    }

    pub(crate) fn used(&self) -> usize {
        self.sim().used()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.sim().is_dead
    }

    pub(crate) fn n_ops(&self) -> u64 {
        self.sim().n_ops
    }

    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let sim = self.sim();
        sim.names.iter().map(|(name, id)| (name.clone(), sim.files[id].bytes.clone())).collect()
    }

    /// What is there after the process was killed.
    pub(crate) fn after_kill(&self) -> SimDisk {
        let mut old = self.sim();
        let seed = old.rng.next();
        let new = Sim {
            rng: Rng(seed),
            names: old.names.clone(),
            synced_names: old.synced_names.clone(),
            unsynced: old.unsynced.clone(),
            files: old.files.clone(),
            newest: old.newest,
            n_left: None,
            n_until_fault: None,
            is_sloppy: old.is_sloppy,
            space: old.space,
            is_dead: false,
            n_ops: 0,
        };
        SimDisk(Arc::new(Mutex::new(new)))
    }

    /// What is there after the power was cut.
    pub(crate) fn after_crash(&self) -> SimDisk {
        let mut old = self.sim();
        let mut rng = Rng(old.rng.next());
        let mut names = old.synced_names.clone();
        let mood = Mood::of(&mut rng);
        for op in &old.unsynced {
            if !mood.keeps(&mut rng) {
                continue;
            }
            match op.clone() {
                NameOp::Link(name, id) => drop(names.insert(name, id)),
                NameOp::Unlink(name) => drop(names.remove(&name)),
                NameOp::Rename(from, to, id) => {
                    names.remove(&from);
                    names.insert(to, id);
                }
            }
        }
        let contents = names.into_iter().map(|(name, id)| (name, old.files[&id].torn(&mut rng))).collect();
        let new = SimDisk::with_files(rng.next(), contents);
        new.sim().space = old.space;
        new.sim().is_sloppy = old.is_sloppy;
        new
    }
}

/// How much of what was not synced survives: chance alone would hardly ever keep or lose all of it.
enum Mood {
    All,
    Nothing,
    Some(u64),
}

impl Mood {
    fn of(rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Mood::All,
            1 => Mood::Nothing,
            _ => Mood::Some(2 + rng.below(6)),
        }
    }

    fn keeps(&self, rng: &mut Rng) -> bool {
        match self {
            Mood::All => true,
            Mood::Nothing => false,
            Mood::Some(n) => !rng.one_in(*n),
        }
    }
}

impl SimFile {
    fn torn(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let mood = Mood::of(rng);
        for (offset, written) in &self.unsynced {
            let mut at = 0;
            while at < written.len() {
                // Sectors are where the disk has them, not where the write begins.
                let end = (at + SECTOR - (offset + at) % SECTOR).min(written.len());
                if mood.keeps(rng) {
                    let (from, to) = (offset + at, offset + end);
                    bytes.resize(bytes.len().max(to), 0);
                    bytes[from..to].copy_from_slice(&written[at..end]);
                }
                at = end;
            }
        }
        bytes
    }
}

impl Sim {
    /// Counts an operation; `true` if the power goes while it is under way.
    fn step(&mut self) -> io::Result<bool> {
        if self.is_dead {
            return Err(io::Error::other("the power is off"));
        }
        self.n_ops += 1;
        if let Some(n) = self.n_until_fault.as_mut() {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.n_until_fault = None;
                return Err(io::Error::from_raw_os_error(5));
            }
        }
        if self.is_sloppy && self.rng.one_in(20) {
            return Err(ErrorKind::Interrupted.into());
        }
        if let Some(n) = self.n_left.as_mut() {
            *n = n.saturating_sub(1);
            self.is_dead = *n == 0;
        }
        Ok(self.is_dead)
    }

    /// The power may go before an operation's work or after it.
    fn does(&mut self, is_dying: bool) -> bool {
        !is_dying || self.rng.one_in(2)
    }

    fn end(&self) -> io::Result<()> {
        if self.is_dead { Err(io::Error::other("the power went")) } else { Ok(()) }
    }

    fn used(&self) -> usize {
        self.names.values().map(|id| self.files[id].bytes.len().max(self.files[id].reserved)).sum()
    }

    fn claim(&self, id: u64, len: usize) -> io::Result<()> {
        let file = &self.files[&id];
        let more = len.saturating_sub(file.bytes.len().max(file.reserved));
        match self.space {
            Some(space) if more > 0 && self.used() + more > space => Err(io::Error::from_raw_os_error(28)),
            _ => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

/// Interruptions hit only reads and writes, as on the real thing.
fn uninterrupted(sim: &mut Sim) -> io::Result<bool> {
    let is_sloppy = std::mem::replace(&mut sim.is_sloppy, false);
    let step = sim.step();
    sim.is_sloppy = is_sloppy;
    step
}

impl Disk for SimDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.sim().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.sim().find(name)?;
        Ok(Box::new(Handle { disk: self.0.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut sim = self.sim();
        let is_dying = uninterrupted(&mut sim)?;
        if sim.does(is_dying) {
            sim.newest += 1;
            let id = sim.newest;
            sim.files.insert(id, SimFile::default());
            sim.names.insert(name.to_owned(), id);
            sim.unsynced.push(NameOp::Link(name.to_owned(), id));
        }
        sim.end()?;
        Ok(Box::new(Handle { disk: self.0.clone(), id: sim.newest }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut sim = self.sim();
        let is_dying = uninterrupted(&mut sim)?;
        let id = sim.find(from)?;
        if sim.does(is_dying) {
            sim.names.remove(from);
            sim.names.insert(to.to_owned(), id);
            sim.unsynced.push(NameOp::Rename(from.to_owned(), to.to_owned(), id));
        }
        sim.end()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut sim = self.sim();
        let is_dying = uninterrupted(&mut sim)?;
        sim.find(name)?;
        if sim.does(is_dying) {
            sim.names.remove(name);
            sim.unsynced.push(NameOp::Unlink(name.to_owned()));
        }
        sim.end()
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut sim = self.sim();
        let is_dying = uninterrupted(&mut sim)?;
        if sim.does(is_dying) {
            sim.synced_names = sim.names.clone();
            sim.unsynced.clear();
        }
        sim.end()
    }

    fn random(&self) -> u64 {
        self.sim().rng.next()
    }

    fn place(&self, name: &str) -> String {
        name.to_owned()
    }

    fn die(&self, _why: &str) {
        self.sim().is_dead = true;
    }
}

impl Handle {
    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.disk.lock().expect("no panic while locked")
    }
}

impl DiskFile for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.sim().files[&self.id].bytes.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let sim = self.sim();
        let file = &sim.files[&self.id].bytes;
        let start = (offset as usize).min(file.len());
        let n = bytes.len().min(file.len() - start);
        bytes[..n].copy_from_slice(&file[start..start + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut sim = self.sim();
        let is_dying = sim.step()?;
        let mut n = bytes.len();
        if is_dying || (sim.is_sloppy && sim.rng.one_in(4)) {
            n = 1 + sim.rng.below(n as u64) as usize;
        }
        let start = offset as usize;
        sim.claim(self.id, start + n)?;
        let file = sim.files.get_mut(&self.id).expect("files stay");
        let end = file.bytes.len().max(start + n);
        file.bytes.resize(end, 0);
        file.bytes[start..start + n].copy_from_slice(&bytes[..n]);
        file.unsynced.push((start, bytes[..n].to_vec()));
        sim.end()?;
        Ok(n)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let mut sim = self.sim();
        sim.claim(self.id, len as usize)?;
        sim.files.get_mut(&self.id).expect("files stay").reserved = len as usize;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut sim = self.sim();
        let is_dying = match uninterrupted(&mut sim) {
            Err(error) if error.raw_os_error() == Some(5) => {
                // As Linux does it: what could not be written is dropped, and the next sync will say that all is well.
                let file = sim.files.get_mut(&self.id).expect("files stay");
                file.unsynced.clear();
                return Err(error);
            }
            other => other?,
        };
        if sim.does(is_dying) {
            let file = sim.files.get_mut(&self.id).expect("files stay");
            let unsynced = std::mem::take(&mut file.unsynced);
            for (offset, written) in unsynced {
                let end = file.synced.len().max(offset + written.len());
                file.synced.resize(end, 0);
                file.synced[offset..offset + written.len()].copy_from_slice(&written);
            }
        }
        sim.end()
    }
}
