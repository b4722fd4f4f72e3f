//! Starting a shim, and the files it needs.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};
use serde::Serialize;

use crate::protocol::SandboxFiles;
use crate::shim::SHIM_NAME;
use crate::sys;

/// The running binary, also after its file was replaced, through a mount of its own that cannot be written: a process that
/// gets hold of a shim's executable (`/proc/<pid>/exe`) still cannot change the node's.
pub(super) struct Binary {
    path: OsString,
    _mount: Option<OwnedFd>,
}

impl Binary {
    pub(super) fn own() -> io::Result<Binary> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount = open_tree(CWD, "/proc/self/exe", flags).map_err(io::Error::from).and_then(|mount| {
            sys::mount_setattr(&mount, false, sys::MOUNT_ATTR_RDONLY, 0, 0)?;
            Ok(mount)
        });
        match mount {
            Ok(mount) => Ok(Binary { path: format!("/proc/self/fd/{}", mount.as_raw_fd()).into(), _mount: Some(mount) }),
            // Not root: then nothing else will work either, and will say so better.
            Err(_) => Ok(Binary { path: "/proc/self/exe".into(), _mount: None }),
        }
    }
}

/// Starts the shim of a sandbox whose record is written, and connects to it. Whether its pod stands, its first answer tells.
/// The shim's process id comes along, for it is a child of this process and needs to be reaped.
pub(super) fn shim(binary: &Binary, directory: &Path) -> io::Result<(UnixStream, i32)> {
    let files = SandboxFiles(directory);
    let log = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(files.shim_log())?;
    // Bound here, so that there is something to connect to from the first moment on.
    let listener = with_short_name(directory, |path| UnixListener::bind(path))?;
    let mut command = Command::new(&binary.path);
    command.arg0(SHIM_NAME).arg(directory).env_clear();
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::piped()).stderr(Stdio::from(log));
    let output = command.output()?;
    match String::from_utf8_lossy(&output.stdout).parse() {
        Ok(pid) if output.status.success() => Ok((connect(directory)?, pid)),
        _ => Err(io::Error::other(format!("the shim ended with {}: {}", output.status, last_line(&files.shim_log())))),
    }
}

pub(super) fn connect(directory: &Path) -> io::Result<UnixStream> {
    with_short_name(directory, |path| UnixStream::connect(path))
}

/// Socket addresses have 108 bytes, paths of sandboxes more.
fn with_short_name<T>(directory: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let dir = File::open(directory)?;
    let socket = SandboxFiles(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd()))).socket();
    act(&socket)
}

/// Kills a sandbox's shim, should it be alive and deaf, and what it forked for itself (the first process of a shared
/// process namespace). Found by command line, for a process id alone may be somebody else's by now.
pub(super) fn kill_shim(directory: &Path) {
    let wanted = [SHIM_NAME.as_bytes(), b"\0", directory.as_os_str().as_encoded_bytes(), b"\0"].concat();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if fs::read(process.path().join("cmdline")).is_ok_and(|line| line == wanted) {
            let _ = sys::kill(pid, libc::SIGKILL);
        }
    }
}

/// Why a shim ended, in its own words.
pub(super) fn last_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().last().unwrap_or("it left no message").to_string()
}

pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a new file.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(value).map_err(io::Error::other)?;
    fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?.write_all(&text)
}

/// 64 hexadecimal digits, as container ids have elsewhere.
pub(super) fn new_id() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    let n = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    debug_assert_eq!(n, bytes.len(), "short answers are for longer requests");
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
