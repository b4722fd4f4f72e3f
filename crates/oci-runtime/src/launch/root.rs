//! Paths inside a container's root, where every name may have been put by somebody hostile: nothing here can leave the root.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;

const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// A place that can be mounted on, but not read.
pub(super) fn find(root: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), IN_ROOT)
}

/// The directory at `path`, made with all above it when missing.
pub(super) fn directory(root: BorrowedFd<'_>, path: &Path, mode: u32) -> Result<OwnedFd, String> {
    match find(root, path) {
        Err(Errno::NOENT) => {}
        result => return result.map_err(|error| format!("open {} in the container: {error}", path.display())),
    }
    make_directories(root, &without_links(root, path)?, mode)
}

fn make_directories(root: BorrowedFd<'_>, path: &Path, mode: u32) -> Result<OwnedFd, String> {
    let mut current = find(root, Path::new("/")).map_err(|error| format!("open the container's root: {error}"))?;
    let mut so_far = PathBuf::from("/");
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        so_far.push(name);
        current = match find(root, &so_far) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                make(&current, Path::new(name), mode).map_err(|error| format!("make {} in the container: {error}", so_far.display()))?
            }
            Err(error) => return Err(format!("open {} in the container: {error}", so_far.display())),
        };
    }
    Ok(current)
}

/// Where `path` leads when its links are followed inside the root, even if nothing is there yet: images have links such as
/// `/var/run -> /run` without their targets. What is opened or made there is checked again by the kernel.
fn without_links(root: BorrowedFd<'_>, path: &Path) -> Result<PathBuf, String> {
    let mut rest: VecDeque<OsString> = path.components().map(|part| part.as_os_str().to_os_string()).collect();
    let (mut clean, mut n_links) = (PathBuf::from("/"), 0);
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => clean.push(name),
            Some(Component::ParentDir) => {
                clean.pop();
                continue;
            }
            Some(Component::RootDir) => {
                clean = PathBuf::from("/");
                continue;
            }
            _ => continue,
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let Ok(found) = openat2(root, &clean, flags, Mode::empty(), IN_ROOT) else { continue };
        let Ok(target) = readlinkat(&found, "", Vec::new()) else { continue };
        n_links += 1;
        if n_links > LINKS_MAX {
            return Err(format!("{} in the container has too many links", path.display()));
        }
        clean.pop();
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        target.components().rev().for_each(|part| rest.push_front(part.as_os_str().to_os_string()));
    }
    Ok(clean)
}

/// The kernel's own limit.
const LINKS_MAX: u32 = 40;

/// Makes and opens one directory without following links.
fn make(parent: &OwnedFd, name: &Path, mode: u32) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// The file at `path`, made empty when missing.
pub(super) fn file(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, String> {
    match find(root, path) {
        Err(Errno::NOENT) => {}
        result => return result.map_err(|error| format!("open {} in the container: {error}", path.display())),
    }
    let clean = without_links(root, path)?;
    let parent = make_directories(root, clean.parent().unwrap_or(Path::new("/")), 0o755)?;
    let name = clean.file_name().ok_or_else(|| format!("`{}` names no file", path.display()))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(&parent, name, flags, Mode::from_raw_mode(0o755)).map_err(|error| format!("make {} in the container: {error}", path.display()))
}

/// `sub_path` below `volume`, where links may point around inside the volume but not out of it. Missing directories are made.
pub(super) fn below(volume: &OwnedFd, sub_path: &Path) -> Result<OwnedFd, String> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path| openat2(volume, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    let fail = |error: Errno| match error {
        Errno::XDEV | Errno::LOOP => format!("subPath `{}` leads out of its volume", sub_path.display()),
        error => format!("subPath `{}`: {error}", sub_path.display()),
    };
    match open(sub_path) {
        Ok(found) => return Ok(found),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(fail(error)),
    }
    let mut current = open(Path::new(".")).map_err(fail)?;
    let mut so_far = PathBuf::new();
    for part in sub_path.components() {
        let Component::Normal(name) = part else { return Err(format!("subPath `{}` is not plain", sub_path.display())) };
        so_far.push(name);
        current = match open(&so_far) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                make(&current, Path::new(name), 0o750).map_err(|error| format!("subPath `{}`: {error}", sub_path.display()))?
            }
            Err(error) => return Err(fail(error)),
        };
    }
    Ok(current)
}

pub(super) fn is_directory(fd: impl AsFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
