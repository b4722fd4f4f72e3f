//! From a container's output to its log file and to whoever is attached.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::lines::{Lines, timestamp};
use crate::protocol::Stream;
use crate::sys;

/// A container's log file. One that cannot be written (a full disk) loses lines; the container must not stop for it.
pub(super) struct Log {
    /// Empty throws the output away.
    path: PathBuf,
    file: Option<File>,
    stdout: Lines,
    stderr: Lines,
}

impl Log {
    pub(super) fn open(path: PathBuf) -> Result<Log, String> {
        let file = open(&path).map_err(|error| format!("open the log {}: {error}", path.display()))?;
        Ok(Log { path, file, stdout: Lines::default(), stderr: Lines::default() })
    }

    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }

    /// An empty chunk is the end of the stream. `scratch` is empty before and after.
    pub(super) fn write(&mut self, stream: Stream, chunk: &[u8], scratch: &mut Vec<u8>) {
        let (lines, name) = match stream {
            Stream::Stderr => (&mut self.stderr, "stderr"),
            _ => (&mut self.stdout, "stdout"),
        };
        let Some(file) = &mut self.file else { return };
        let time = timestamp(sys::now_ns());
        if chunk.is_empty() {
            lines.finish(name, &time, scratch);
        }
        // Short lines grow tenfold, and the buffer lives as long as the shim: it is written before it gets large.
        for piece in chunk.chunks(PIECE_BYTES) {
            lines.push(name, &time, piece, scratch);
            if scratch.len() > SCRATCH_BYTES {
                let _ = file.write_all(scratch);
                scratch.clear();
            }
        }
        if !scratch.is_empty() {
            let _ = file.write_all(scratch);
            scratch.clear();
        }
    }
}

const PIECE_BYTES: usize = 1024;
const SCRATCH_BYTES: usize = 24 * 1024;

fn open(path: &Path) -> io::Result<Option<File>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::OpenOptions::new().create(true).append(true).mode(0o640).open(path).map(Some)
}

/// One attached reader of one stream.
pub(super) struct Sink {
    pub(super) stream: Stream,
    pub(super) fd: OwnedFd,
    /// What it has not taken yet. While there is some the container's stream is not read, as a slow reader at a pipe would do.
    pending: Vec<u8>,
}

impl Sink {
    pub(super) fn new(stream: Stream, fd: OwnedFd) -> Sink {
        Sink { stream, fd, pending: Vec::new() }
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// An error means that the reader has left.
    pub(super) fn push(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(chunk);
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match rustix::io::write(&self.fd, &self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.pending = Vec::new();
        Ok(())
    }
}
