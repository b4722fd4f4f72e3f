//! The file operations of the log engine and nothing more: one flat directory, files written at offsets, syncs asked for by name.
//!
//! Tests put a simulated disk behind the same trait, which cuts the power, tears writes, and runs out of space.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

pub(crate) trait Disk: Send + Sync {
    fn names(&self) -> io::Result<Vec<String>>;
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// An empty file, whatever stood there before.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_names(&self) -> io::Result<()>;
    fn random(&self) -> u64;
    /// Where a file lies, for people.
    fn place(&self, name: &str) -> String;
    /// What is on disk is no longer known, so nothing may be done any more: the real disk ends the process.
    fn die(&self, why: &str);
}

pub(crate) trait DiskFile: Send {
    fn len(&self) -> io::Result<u64>;
    /// May read or write less than asked for.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Claims space, so that later writes within `len` cannot run out of it.
    fn reserve(&self, len: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&self) -> io::Result<()>;
}

pub(crate) fn write_all_at(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads from `offset` until the buffer is full or the file ends; returns how much.
pub(crate) fn read_full_at(file: &dyn DiskFile, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut n_read = 0;
    while n_read < bytes.len() {
        match file.read_at(&mut bytes[n_read..], offset + n_read as u64) {
            Ok(0) => break,
            Ok(n) => n_read += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n_read)
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // So few bytes come whole; before the kernel has gathered its first entropy, this waits.
    let n = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    assert_eq!(n, Ok(8), "the kernel gives random numbers");
    u64::from_ne_bytes(bytes)
}

/// A directory of the host, locked for as long as this lives.
pub(crate) struct HostDisk {
    dir: PathBuf,
    names: File,
    _lock: File,
}

impl HostDisk {
    pub(crate) fn lock(dir: &Path) -> Result<Self, Error> {
        if !dir.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::Io)?;
            if let Some(parent) = dir.parent() {
                File::open(parent).and_then(|p| p.sync_all()).map_err(Error::Io)?;
            }
        }
        // Not truncated: another process may hold it.
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(dir.join("LOCK")).map_err(Error::Io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(Error::Io(error)),
        }
        let names = File::open(dir).map_err(Error::Io)?;
        Ok(HostDisk { dir: dir.to_owned(), names, _lock: lock })
    }
}

impl Disk for HostDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        // Names that are not text are not ours.
        let texts = std::fs::read_dir(&self.dir)?.filter_map(|e| e.map(|e| e.file_name().into_string().ok()).transpose());
        texts.collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(self.dir.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        Ok(Box::new(options.read(true).write(true).create(true).truncate(true).mode(0o600).open(self.dir.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.names.sync_all()
    }

    fn random(&self) -> u64 {
        random()
    }

    fn place(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn die(&self, why: &str) {
        // After a failed sync the kernel may drop what it could not write, and the next sync says all is well: there is
        // no way to go on that does not risk telling a lie. A restart reads what is really there.
        tracing::error!(dir = %self.dir.display(), why, "the store's disk failed; ending the process");
        std::process::abort();
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        use rustix::io::Errno;
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, len) {
            // Not every file system can; filling with zeros, which follows, is what counts.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
