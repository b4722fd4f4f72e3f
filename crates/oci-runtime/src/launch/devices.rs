//! Device nodes: which a container finds in `/dev`, and which it may open.

use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Mode, Uid, chownat, major, makedev, minor, mknodat, symlinkat};

use super::root;
use crate::cgroup::{DeviceKind, DeviceRule};
use crate::spec::{ContainerConfig, Device};

pub(super) struct Node {
    path: PathBuf,
    kind: FileType,
    mode: u32,
    number: u64,
    owner: (u32, u32),
}

const DEFAULTS: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// What of the host's `/dev` a container has of its own, or nothing to do with.
const NOT_FOR_PRIVILEGED: [&str; 8] = ["pts", "shm", "fd", "mqueue", "console", "ptmx", ".lxc", ".lxd-mounts"];

/// What the cgroup lets the container open; `None` is everything.
pub(crate) fn rules(privileged: bool, devices: &[Device]) -> Result<Option<Vec<DeviceRule>>, String> {
    if privileged {
        return Ok(None);
    }
    let mut rules = DeviceRule::defaults();
    for device in devices {
        let node = host_node(&device.host_path, &device.container_path)?;
        let has = |letter| device.permissions.contains(letter);
        rules.push(DeviceRule {
            kind: if node.kind == FileType::BlockDevice { DeviceKind::Block } else { DeviceKind::Char },
            major: Some(major(node.number)),
            minor: Some(minor(node.number)),
            read: has('r'),
            write: has('w'),
            mknod: has('m'),
        });
    }
    Ok(Some(rules))
}

/// What to make in `/dev`, read from the host's.
pub(super) fn nodes(config: &ContainerConfig) -> Result<Vec<Node>, String> {
    let mut nodes: Vec<Node> = DEFAULTS
        .iter()
        .map(|(name, major, minor)| Node {
            path: Path::new("/dev").join(name),
            kind: FileType::CharacterDevice,
            mode: 0o666,
            number: makedev(*major, *minor),
            owner: (0, 0),
        })
        .collect();
    if config.security.privileged {
        host_nodes(Path::new("/dev"), &mut nodes);
    }
    for device in &config.devices {
        nodes.push(host_node(&device.host_path, &device.container_path)?);
    }
    Ok(nodes)
}

fn host_node(host_path: &Path, container_path: &Path) -> Result<Node, String> {
    let found = fs::metadata(host_path).map_err(|error| format!("device `{}`: {error}", host_path.display()))?;
    node(&found, container_path).ok_or_else(|| format!("`{}` is not a device node", host_path.display()))
}

fn node(found: &fs::Metadata, path: &Path) -> Option<Node> {
    let kind = match found.file_type() {
        kind if kind.is_char_device() => FileType::CharacterDevice,
        kind if kind.is_block_device() => FileType::BlockDevice,
        _ => return None,
    };
    let (mode, owner) = (found.mode() & 0o7777, (found.uid(), found.gid()));
    Some(Node { path: path.to_path_buf(), kind, mode, number: found.rdev(), owner })
}

fn host_nodes(dir: &Path, nodes: &mut Vec<Node>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(found)) = (entry.path(), entry.path().symlink_metadata()) else { continue };
        let is_skipped = NOT_FOR_PRIVILEGED.iter().any(|name| path == Path::new("/dev").join(name));
        if is_skipped {
            continue;
        }
        if found.is_dir() {
            host_nodes(&path, nodes);
        }
        nodes.extend(node(&found, &path));
    }
}

/// Fills `/dev`, which is a fresh file system of the container's own.
pub(super) fn make(root: BorrowedFd<'_>, nodes: &[Node]) -> Result<(), String> {
    let before = rustix::process::umask(Mode::empty());
    for node in nodes {
        let fail = |error: rustix::io::Errno| format!("make device `{}`: {error}", node.path.display());
        let parent = root::directory(root, node.path.parent().unwrap_or(Path::new("/dev")), 0o755)?;
        let name = node.path.file_name().ok_or_else(|| format!("`{}` names no device", node.path.display()))?;
        match mknodat(&parent, name, node.kind, Mode::from_raw_mode(node.mode), node.number) {
            Ok(()) if node.owner != (0, 0) => chownat(
                &parent,
                name,
                Some(Uid::from_raw(node.owner.0)),
                Some(Gid::from_raw(node.owner.1)),
                rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(fail)?,
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(fail(error)),
        }
    }
    let dev = root::directory(root, Path::new("/dev"), 0o755)?;
    for (name, target) in LINKS {
        symlinkat(target, &dev, name).map_err(|error| format!("make /dev/{name}: {error}"))?;
    }
    rustix::process::umask(before);
    Ok(())
}
