//! Container logs on disk, in the CRI's format: `2026-01-02T15:04:05.000000001Z stdout F text`.

pub(crate) mod line;
pub(crate) mod read;
pub(crate) mod rotate;

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use line::Line;
use tokio::sync::{mpsc, watch};

/// Pieces of a log that a reader may be behind.
const PENDING_PIECES_MAX: usize = 16;

/// The text of a log, without time and stream, as it is written; ends once `has_ended` says that no more is coming.
pub fn follow(log: PathBuf, has_ended: watch::Receiver<bool>) -> mpsc::Receiver<Bytes> {
    let (out, pieces) = mpsc::channel(PENDING_PIECES_MAX);
    tokio::spawn(read::send(log, read::Options { follow: true, ..read::Options::default() }, has_ended, out));
    pieces
}

/// The log and what rotation made of it: `0.log`, `0.log.20260101-000000`, `….gz`; oldest first, the log itself last.
pub(crate) fn parts(log: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name().and_then(|n| n.to_str())) else { return Vec::new() };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let rotated = entries.filter(|e| e.file_name().to_str().is_some_and(|n| n.strip_prefix(name).is_some_and(|r| r.starts_with('.'))));
    let mut parts: Vec<PathBuf> = rotated.map(|e| e.path()).collect();
    parts.sort();
    if log.exists() {
        parts.push(log.to_owned());
    }
    parts
}

pub(crate) fn remove(log: &Path) {
    for part in parts(log) {
        if let Err(e) = std::fs::remove_file(&part) {
            tracing::debug!(path = %part.display(), error = %e, "cannot remove a log");
        }
    }
}

/// The last lines of a log, for containers that left no other message. Upstream: 80 lines, 2048 bytes.
pub(crate) fn last_words(log: &Path) -> String {
    const LINES_MAX: usize = 80;
    const BYTES_MAX: usize = 2048;
    /// Of the file itself, which holds a time on each line.
    const FILE_BYTES_MAX: u64 = 16 * 1024;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(FILE_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let lines: Vec<Line> = bytes.split_inclusive(|b| *b == b'\n').filter_map(Line::parse).collect();
    let text: Vec<u8> = lines[lines.len().saturating_sub(LINES_MAX)..].iter().flat_map(|l| l.text().to_vec()).collect();
    String::from_utf8_lossy(&text[text.len().saturating_sub(BYTES_MAX)..]).into_owned()
}

#[cfg(test)]
mod fuzz;
