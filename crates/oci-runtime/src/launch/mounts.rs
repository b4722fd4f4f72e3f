//! Mounts as descriptors: made detached, so that nobody can swap a path under them, then put in place.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, mount, move_mount, open_tree,
};

use super::root;
use crate::spec::{Mount, MountAccess, MountSource, Propagation, Rootfs};
use crate::sys;

/// An option of a file system: with a value or alone.
pub(super) type FsOption<'a> = (&'a str, Option<&'a str>);

/// A new file system, mounted nowhere yet.
pub(super) fn filesystem(kind: &str, options: &[FsOption<'_>], attributes: MountAttrFlags) -> Result<OwnedFd, String> {
    let attempt = || -> rustix::io::Result<OwnedFd> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in options {
            match value {
                Some(value) => fsconfig_set_string(&context, *key, *value)?,
                None => fsconfig_set_flag(&context, *key)?,
            }
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    attempt().map_err(|error| format!("make a {kind} mount: {error}"))
}

/// A detached copy of what is mounted at a path, with all below it.
pub(super) fn copy_of(path: &Path) -> rustix::io::Result<OwnedFd> {
    open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE)
}

pub(super) fn copy_of_fd(fd: impl AsFd) -> rustix::io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(fd, "", flags)
}

pub(super) fn attach(tree: impl AsFd, place: impl AsFd) -> rustix::io::Result<()> {
    move_mount(tree, "", place, "", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH)
}

/// Makes a file system and puts it at a directory of the container, which is made when missing.
pub(super) fn put(
    root: BorrowedFd<'_>,
    path: &str,
    kind: &str,
    options: &[FsOption<'_>],
    attributes: MountAttrFlags,
) -> Result<(), String> {
    let place = root::directory(root, Path::new(path), 0o755)?;
    let tree = filesystem(kind, options, attributes)?;
    attach(&tree, &place).map_err(|error| format!("mount {kind} on {path}: {error}"))
}

/// A mount whose source is already held, so that what happens to paths meanwhile cannot matter.
pub(super) struct Prepared {
    pub(super) destination: PathBuf,
    tree: OwnedFd,
}

/// Takes hold of a mount's source, in the mount namespace of the host.
pub(super) fn prepare(mount: &Mount) -> Result<Prepared, String> {
    let tree = match &mount.source {
        MountSource::Bind(source) => {
            let tree = match copy_of(source) {
                // Upstream: containerd makes a missing host path as a directory.
                Err(Errno::NOENT) => fs::create_dir_all(source).map_err(|_| Errno::NOENT).and_then(|()| copy_of(source)),
                result => result,
            };
            tree.map_err(|error| format!("mount `{}`: {error}", source.display()))?
        }
        MountSource::SubPath { volume, sub_path } => {
            let volume_fd = open_directory(volume)?;
            let found = root::below(&volume_fd, sub_path)?;
            copy_of_fd(&found).map_err(|error| format!("mount subPath `{}` of `{}`: {error}", sub_path.display(), volume.display()))?
        }
        MountSource::Tmpfs { size_bytes, mode } => {
            let (size, mode) = (size_bytes.map(|size| size.to_string()), format!("{mode:o}"));
            let options = [("mode", Some(mode.as_str()))].into_iter().chain(size.as_deref().map(|size| ("size", Some(size))));
            filesystem("tmpfs", &options.collect::<Vec<_>>(), MountAttrFlags::empty())?
        }
        MountSource::Image { layers, sub_path } => image(layers, sub_path)?,
    };
    spread(&tree, mount)?;
    let fail = |error: std::io::Error| format!("make `{}` read-only: {error}", mount.destination.display());
    match mount.access {
        MountAccess::ReadWrite => {}
        MountAccess::ReadOnly => sys::mount_setattr(&tree, false, sys::MOUNT_ATTR_RDONLY, 0, 0).map_err(fail)?,
        MountAccess::RecursiveReadOnly => sys::mount_setattr(&tree, true, sys::MOUNT_ATTR_RDONLY, 0, 0).map_err(fail)?,
    }
    Ok(Prepared { destination: mount.destination.clone(), tree })
}

fn image(layers: &[PathBuf], sub_path: &Path) -> Result<OwnedFd, String> {
    let fail = |error: Errno| format!("mount an image: {error}");
    let whole = match layers {
        [] => filesystem("tmpfs", &[], MountAttrFlags::empty())?,
        [only] => copy_of(only).map_err(fail)?,
        // Linux before 6.8 has no `lowerdir+`.
        all => match read_only_overlay(all) {
            Err(Errno::INVAL) => read_only_overlay_by_string(all)?,
            tree => tree.map_err(fail)?,
        },
    };
    let tree = if sub_path.as_os_str().is_empty() {
        whole
    } else {
        // Nothing is made here: the layers belong to every container of the image.
        let found = root::find(&whole, sub_path).map_err(|error| format!("subPath `{}` of an image: {error}", sub_path.display()))?;
        copy_of_fd(&found).map_err(|error| format!("mount subPath `{}` of an image: {error}", sub_path.display()))?
    };
    sys::mount_setattr(&tree, true, sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOEXEC, 0, 0)
        .map_err(|error| format!("make an image read-only: {error}"))?;
    Ok(tree)
}

fn read_only_overlay(layers: &[PathBuf]) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in layers.iter().rev() {
        fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// A value may have 256 bytes, which descriptors' names make enough of.
fn read_only_overlay_by_string(layers: &[PathBuf]) -> Result<OwnedFd, String> {
    use std::os::fd::AsRawFd;
    let opened = layers.iter().rev().map(|layer| open_directory(layer)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = opened.iter().map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd())).collect();
    filesystem("overlay", &[("lowerdir", Some(&names.join(":")))], MountAttrFlags::empty())
}

/// A copy of a shared mount is its peer; how much of that stays is the volume's propagation.
fn spread(tree: &OwnedFd, mount: &Mount) -> Result<(), String> {
    let (flag, name) = match mount.propagation {
        Propagation::Private => (libc::MS_PRIVATE, "private"),
        Propagation::HostToContainer => (libc::MS_SLAVE, "slave"),
        Propagation::Bidirectional => return require_shared(mount),
    };
    sys::mount_setattr(tree, true, 0, 0, flag).map_err(|error| format!("make `{}` {name}: {error}", mount.destination.display()))
}

fn require_shared(mount: &Mount) -> Result<(), String> {
    let MountSource::Bind(source) = &mount.source else { return Ok(()) };
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|error| format!("read the mount table: {error}"))?;
    let rows = table.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|row| row.len() > 6);
    let under = rows.filter(|row| source.starts_with(row[4])).max_by_key(|row| row[4].len());
    match under {
        Some(row) if row[6..].iter().take_while(|word| **word != "-").any(|word| word.starts_with("shared:")) => Ok(()),
        Some(row) => Err(format!("path \"{}\" is mounted on \"{}\" but it is not a shared mount", source.display(), row[4])),
        None => Err(format!("path \"{}\" is on no known mount", source.display())),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, String> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(|error| format!("open `{}`: {error}", path.display()))
}

impl Prepared {
    pub(super) fn bind(source: OwnedFd, destination: &str) -> Prepared {
        Prepared { destination: PathBuf::from(destination), tree: source }
    }

    /// Puts it in the container, on a directory or file made for it when missing.
    pub(super) fn place(&self, root: BorrowedFd<'_>) -> Result<(), String> {
        let place = match root::is_directory(&self.tree) {
            true => root::directory(root, &self.destination, 0o755)?,
            false => root::file(root, &self.destination)?,
        };
        attach(&self.tree, &place).map_err(|error| format!("mount on `{}`: {error}", self.destination.display()))
    }
}

/// Mounts the root file system on `place` and gives its root. `writable` holds `upper` and `work`.
pub(super) fn rootfs(rootfs: &Rootfs, writable: &Path, place: &Path) -> Result<OwnedFd, String> {
    match rootfs {
        Rootfs::Directory(path) => {
            let tree = copy_of(path).map_err(|error| format!("open the root directory `{}`: {error}", path.display()))?;
            sys::mount_setattr(&tree, true, 0, 0, libc::MS_PRIVATE).map_err(|error| format!("make the root private: {error}"))?;
            move_mount(&tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(|error| format!("mount the root directory: {error}"))?;
        }
        Rootfs::Overlay { layers } => overlay(layers, writable, place)?,
    }
    open_directory(place)
}

fn overlay(layers: &[PathBuf], writable: &Path, place: &Path) -> Result<(), String> {
    let empty = [writable.join("empty")];
    let layers = if layers.is_empty() { &empty[..] } else { layers };
    let (upper, work) = (writable.join("upper"), writable.join("work"));
    let made = layers.iter().filter(|layer| layer.starts_with(writable)).chain([&upper, &work]);
    for dir in made {
        fs::create_dir_all(dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
    }
    match overlay_by_layers(layers, &upper, &work) {
        Ok(tree) => {
            move_mount(&tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(|error| format!("mount the image: {error}"))
        }
        // Linux before 6.8 has no `lowerdir+`.
        Err(Errno::INVAL) => overlay_by_string(layers, &upper, &work, place).map_err(|error| format!("mount the image's layers: {error}")),
        Err(error) => Err(format!("mount the image's layers: {error}")),
    }
}

/// The writable layer goes with the container, so nothing needs to reach the disk (`volatile`), above all not when it is unmounted.
fn overlay_by_layers(layers: &[PathBuf], upper: &Path, work: &Path) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in layers.iter().rev() {
        fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    fsconfig_set_string(&context, "upperdir", upper)?;
    fsconfig_set_string(&context, "workdir", work)?;
    fsconfig_set_flag(&context, "volatile")?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// mount(2) takes a page of options: descriptors make short names, and names without colons and commas.
fn overlay_by_string(layers: &[PathBuf], upper: &Path, work: &Path, place: &Path) -> Result<(), String> {
    use std::os::fd::AsRawFd;
    let open = |path: &Path| open_directory(path).map(|fd| (format!("/proc/self/fd/{}", fd.as_raw_fd()), fd));
    let opened = layers.iter().rev().map(|layer| open(layer)).collect::<Result<Vec<_>, _>>()?;
    let (upper, work) = (open(upper)?, open(work)?);
    let lower = opened.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(":");
    let options = format!("lowerdir={lower},upperdir={},workdir={},volatile", upper.0, work.0);
    let options = CString::new(options).map_err(|error| error.to_string())?;
    mount("overlay", place, "overlay", MountFlags::empty(), options.as_c_str())
        .map_err(|error| format!("mount the image's layers: {error}"))
}
