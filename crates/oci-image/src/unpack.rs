//! Unpacking a layer's tar into a folder that overlayfs can stack: whiteouts become its own, owners, modes, times and xattrs stay.
//!
//! Archives come from strangers. Every path is resolved by the kernel inside the layer's folder (`openat2` with
//! `RESOLVE_IN_ROOT`), so that neither `..` nor a link made by an earlier entry leads outside.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fsetxattr, linkat,
    makedev, mkdirat, mknodat, openat, openat2, statat, symlinkat, unlinkat, utimensat,
};
use tar::{Archive, Entry, EntryType};

use crate::Error;

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// More entries than any real layer has.
const ENTRIES_MAX: usize = 2_000_000;
const XATTR_PREFIX: &str = "SCHILY.xattr.";

/// Unpacks `tar` into `folder`, which must exist. Answers the bytes of file content written.
pub(crate) fn unpack(tar: &mut dyn Read, folder: &Path) -> Result<u64, Error> {
    let root = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| Error::File("open", folder.to_owned(), e.into()))?;
    let mut archive = Archive::new(tar);
    let mut layer = Layer { root, folder: folder.to_owned(), bytes: 0, folder_times: Vec::new() };
    let malformed = |e: &std::io::Error| Error::Malformed("the layer archive".to_owned(), e.to_string());
    for (count, entry) in archive.entries().map_err(|e| malformed(&e))?.enumerate() {
        if count >= ENTRIES_MAX {
            return Err(Error::Hostile(format!("more than {ENTRIES_MAX} entries")));
        }
        layer.add(&mut entry.map_err(|e| malformed(&e))?)?;
    }
    layer.finish()
}

struct Layer {
    root: OwnedFd,
    folder: PathBuf,
    bytes: u64,
    /// Writing into a folder changes its time, so folders get theirs last.
    folder_times: Vec<(PathBuf, i64)>,
}

impl Layer {
    fn add(&mut self, entry: &mut Entry<'_, &mut dyn Read>) -> Result<(), Error> {
        let path = relative(&entry.path_bytes())?;
        if path.as_os_str().is_empty() {
            return self.attributes_of(entry, &path);
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let parent_path = path.parent().unwrap_or(Path::new("")).to_owned();
        let parent = self.parent(&parent_path)?;
        let failed = |e: rustix::io::Errno| Error::File("unpack", path.clone(), e.into());
        if name == OPAQUE {
            return fsetxattr(&parent, "trusted.overlay.opaque", b"y", XattrFlags::empty()).map_err(failed);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            remove(&parent, hidden, &self.folder.join(&parent_path))?;
            return mknodat(&parent, hidden, FileType::CharacterDevice, Mode::empty(), makedev(0, 0)).map_err(failed);
        }
        let kind = entry.header().entry_type();
        let is_folder = statat(&parent, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        if !(kind == EntryType::Directory && is_folder) {
            remove(&parent, &name, &self.folder.join(&parent_path))?;
        }
        match kind {
            EntryType::Directory if !is_folder => mkdirat(&parent, name.as_str(), Mode::from(0o755)).map_err(failed)?,
            EntryType::Directory => {}
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.write(entry, &parent, &name, &path)?,
            EntryType::Symlink => symlinkat(target(entry, &path)?.as_path(), &parent, name.as_str()).map_err(failed)?,
            EntryType::Link => return self.link(entry, &parent, &name, &path),
            EntryType::Char | EntryType::Block | EntryType::Fifo => device(entry, &parent, &name, &path)?,
            // Headers that carry no file of their own.
            _ => return Ok(()),
        }
        self.attributes(entry, &parent, &name, &path)
    }

    /// The folder an entry goes into, made when no entry did.
    fn parent(&self, path: &Path) -> Result<OwnedFd, Error> {
        let open = |path: &Path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            openat2(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
        };
        let failed = |e: rustix::io::Errno| Error::File("open", path.to_owned(), e.into());
        match open(path) {
            Err(rustix::io::Errno::NOENT) => {}
            result => return result.map_err(failed),
        }
        let above = self.parent(path.parent().unwrap_or(Path::new("")))?;
        if let Some(name) = path.file_name() {
            match mkdirat(&above, name, Mode::from(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        open(path).map_err(failed)
    }

    fn write(&mut self, entry: &mut Entry<'_, &mut dyn Read>, parent: &OwnedFd, name: &str, path: &Path) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::from(0o600)).map_err(|e| Error::File("create", path.to_owned(), e.into()))?;
        let mut file = std::fs::File::from(file);
        self.bytes += std::io::copy(entry, &mut file).map_err(|e| Error::File("write", path.to_owned(), e))?;
        Ok(())
    }

    fn link(&self, entry: &Entry<'_, &mut dyn Read>, parent: &OwnedFd, name: &str, path: &Path) -> Result<(), Error> {
        let old = relative(target(entry, path)?.as_os_str().as_encoded_bytes())?;
        let old_parent = self.parent(old.parent().unwrap_or(Path::new("")))?;
        let old_name = old.file_name().ok_or_else(|| Error::Hostile(format!("`{}` links to the layer itself", path.display())))?;
        linkat(&old_parent, old_name, parent, name, AtFlags::empty()).map_err(|e| Error::File("link", path.to_owned(), e.into()))
    }

    fn attributes_of(&self, entry: &mut Entry<'_, &mut dyn Read>, path: &Path) -> Result<(), Error> {
        let folder = self.parent(path)?;
        let mode = entry.header().mode().unwrap_or(0o755);
        fchmod(&folder, Mode::from_raw_mode(mode & 0o7777)).map_err(|e| Error::File("set the mode of", path.to_owned(), e.into()))
    }

    fn attributes(&mut self, entry: &mut Entry<'_, &mut dyn Read>, parent: &OwnedFd, name: &str, path: &Path) -> Result<(), Error> {
        let failed = |e: rustix::io::Errno| Error::File("set the attributes of", path.to_owned(), e.into());
        let malformed = |e: std::io::Error| Error::Malformed(format!("the header of `{}`", path.display()), e.to_string());
        let header = entry.header();
        let (uid, gid) = (header.uid().map_err(malformed)? as u32, header.gid().map_err(malformed)? as u32);
        let (mode, kind) = (header.mode().map_err(malformed)?, header.entry_type());
        let modified = header.mtime().unwrap_or(0) as i64;
        // Owner first: changing it clears the setuid bit.
        chownat(parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if kind == EntryType::Directory || kind.is_file() || kind == EntryType::GNUSparse {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(parent, name, flags, Mode::empty()).map_err(failed)?;
            xattrs(entry, file.as_fd(), path)?;
            fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).map_err(failed)?;
        }
        if kind == EntryType::Directory {
            self.folder_times.push((path.to_owned(), modified));
            return Ok(());
        }
        utimensat(parent, name, &times(modified), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
    }

    fn finish(self) -> Result<u64, Error> {
        for (path, modified) in self.folder_times.iter().rev() {
            // A later entry may have replaced the folder: its time is then its own.
            if let Ok(folder) =
                openat2(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
            {
                let _ = rustix::fs::futimens(&folder, &times(*modified));
            }
        }
        Ok(self.bytes)
    }
}

fn times(modified: i64) -> Timestamps {
    let at = Timespec { tv_sec: modified, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

fn xattrs(entry: &mut Entry<'_, &mut dyn Read>, file: std::os::fd::BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    let Ok(Some(extensions)) = entry.pax_extensions() else { return Ok(()) };
    for extension in extensions.flatten() {
        let Some(name) = extension.key().ok().and_then(|k| k.strip_prefix(XATTR_PREFIX)) else { continue };
        // A layer may not mark its folders for overlayfs itself; the rest must fit the file system, or is not wanted by it.
        if name.starts_with("trusted.overlay.") {
            return Err(Error::Hostile(format!("`{}` sets `{name}`", path.display())));
        }
        match fsetxattr(file, name, extension.value_bytes(), XattrFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM) => {}
            Err(e) => return Err(Error::File("set an extended attribute of", path.to_owned(), e.into())),
        }
    }
    Ok(())
}

fn device(entry: &Entry<'_, &mut dyn Read>, parent: &OwnedFd, name: &str, path: &Path) -> Result<(), Error> {
    let header = entry.header();
    let kind = match header.entry_type() {
        EntryType::Char => FileType::CharacterDevice,
        EntryType::Block => FileType::BlockDevice,
        _ => FileType::Fifo,
    };
    let number = |n: std::io::Result<Option<u32>>| n.ok().flatten().unwrap_or(0);
    let device = makedev(number(header.device_major()), number(header.device_minor()));
    mknodat(parent, name, kind, Mode::from(0o600), device).map_err(|e| Error::File("make the device", path.to_owned(), e.into()))?;
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(header.mode().unwrap_or(0o600) & 0o7777), AtFlags::empty())
        .map_err(|e| Error::File("set the mode of", path.to_owned(), e.into()))
}

fn target(entry: &Entry<'_, &mut dyn Read>, path: &Path) -> Result<PathBuf, Error> {
    match entry.link_name() {
        Ok(Some(target)) => Ok(target.into_owned()),
        _ => Err(Error::Malformed(format!("the link `{}`", path.display()), "it has no target".to_owned())),
    }
}

/// The entry's path without a leading `/` or `./`; `..` is refused.
fn relative(path: &[u8]) -> Result<PathBuf, Error> {
    let path = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::Hostile(format!("`{}` leads out of the layer", path.display())));
            }
        }
    }
    Ok(clean)
}

/// Removes what lies under `name`, whatever it is; nothing there is fine.
fn remove(parent: &OwnedFd, name: &str, shown: &Path) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::File("replace", shown.join(name), e);
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => {
            // By way of the descriptor: a path could lead elsewhere through a link.
            let by_descriptor = format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(parent));
            std::fs::remove_dir_all(by_descriptor).map_err(failed)
        }
        Err(e) => Err(failed(e.into())),
    }
}
