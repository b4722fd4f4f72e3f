//! Reading a container's log as a client asked for it, and following it.
//!
//! Following waits for the kernel to tell of changes (inotify); a log that is rotated meanwhile is read to its end first.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::inotify;
use tokio::fs::File;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio::sync::{mpsc, watch};

use super::line::{Line, Stream};

#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) follow: bool,
    pub(crate) since: Option<Timestamp>,
    pub(crate) with_times: bool,
    pub(crate) tail_lines: Option<usize>,
    pub(crate) limit_bytes: Option<u64>,
    /// All streams, or one.
    pub(crate) stream: Option<Stream>,
}

const CHUNK_BYTES: usize = 64 * 1024;
/// A line is cut by the runtime long before; what is longer is no log of ours.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Sends the log's text until its end; when following, until `has_ended` says that nothing more will be written.
pub(crate) async fn send(log: PathBuf, options: Options, has_ended: watch::Receiver<bool>, out: mpsc::Sender<Bytes>) {
    if let Err(e) = try_send(&log, options, has_ended, &out).await {
        tracing::debug!(path = %log.display(), error = %e, "cannot read a log");
    }
}

async fn try_send(log: &Path, options: Options, mut has_ended: watch::Receiver<bool>, out: &mpsc::Sender<Bytes>) -> std::io::Result<()> {
    let mut changes = if options.follow { Some(Changes::of(log)?) } else { None };
    let mut writer = Writer { options, out, left: None };
    writer.left = writer.options.limit_bytes;
    let mut file = File::open(log).await?;
    if let Some(lines) = writer.options.tail_lines {
        let start = tail_start(&mut file, lines).await?;
        file.seek(SeekFrom::Start(start)).await?;
    }
    let mut rest = Vec::new();
    loop {
        let was_over = *has_ended.borrow_and_update();
        if !writer.drain(&mut file, &mut rest).await? {
            return Ok(());
        }
        let Some(changes) = &mut changes else { return Ok(()) };
        if let Some(next) = successor(&file, log).await {
            // Rotated: what was written last to the old file comes first.
            if !writer.drain(&mut file, &mut rest).await? {
                return Ok(());
            }
            file = next;
            continue;
        }
        if was_over {
            return Ok(());
        }
        tokio::select! {
            changed = changes.next() => changed?,
            ended = has_ended.changed() => {
                if ended.is_err() {
                    return Ok(());
                }
            }
            () = out.closed() => return Ok(()),
        }
    }
}

/// The log, when it is another file than the one that is open.
async fn successor(file: &File, log: &Path) -> Option<File> {
    use std::os::unix::fs::MetadataExt;
    let there = tokio::fs::metadata(log).await.ok()?;
    let open = file.metadata().await.ok()?;
    if (there.dev(), there.ino()) == (open.dev(), open.ino()) {
        return None;
    }
    File::open(log).await.ok()
}

struct Writer<'a> {
    options: Options,
    out: &'a mpsc::Sender<Bytes>,
    /// Bytes that may still be sent.
    left: Option<u64>,
}

impl Writer<'_> {
    /// All whole lines that are there. False when the client wants no more.
    async fn drain(&mut self, file: &mut File, rest: &mut Vec<u8>) -> std::io::Result<bool> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let n = file.read(&mut chunk).await?;
            if n == 0 {
                return Ok(true);
            }
            rest.extend_from_slice(&chunk[..n]);
            let end = rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            let mut text = Vec::new();
            for bytes in rest[..end].split_inclusive(|b| *b == b'\n') {
                self.add(bytes, &mut text);
            }
            rest.drain(..end);
            if rest.len() > LINE_BYTES_MAX {
                rest.clear();
            }
            if !self.give(text).await {
                return Ok(false);
            }
        }
    }

    fn add(&self, bytes: &[u8], text: &mut Vec<u8>) {
        let Some(line) = Line::parse(bytes) else { return };
        let is_wanted = self.options.stream.is_none_or(|wanted| wanted == line.stream);
        let is_new = || self.options.since.is_none_or(|since| line.time.parse::<Timestamp>().is_ok_and(|at| at >= since));
        if !is_wanted || !is_new() {
            return;
        }
        if self.options.with_times {
            text.extend_from_slice(line.time.as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(line.text());
    }

    async fn give(&mut self, mut text: Vec<u8>) -> bool {
        if let Some(left) = &mut self.left {
            text.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= text.len() as u64;
        }
        let is_sent = text.is_empty() || self.out.send(text.into()).await.is_ok();
        is_sent && self.left != Some(0)
    }
}

/// Where the last `lines` lines begin, found from the end backwards.
async fn tail_start(file: &mut File, lines: usize) -> std::io::Result<u64> {
    const BLOCK: u64 = 4096;
    let length = file.metadata().await?.len();
    if lines == 0 {
        return Ok(length);
    }
    // The newest newlines, as many as lines and one more: behind that one they begin.
    let mut newlines: VecDeque<u64> = VecDeque::new();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start)).await?;
        file.read_exact(&mut block).await?;
        for (idx, byte) in block.iter().enumerate().rev() {
            let at = start + idx as u64;
            // The newline at the very end belongs to the last line.
            if *byte == b'\n' && at + 1 != length {
                newlines.push_back(at);
                if newlines.len() == lines {
                    return Ok(at + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

/// Tells when a file of the log's folder is written, made or moved.
struct Changes {
    fd: AsyncFd<OwnedFd>,
    name: Vec<u8>,
}

impl Changes {
    fn of(log: &Path) -> std::io::Result<Self> {
        let folder = log.parent().unwrap_or(Path::new("/"));
        let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let wanted = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, folder, wanted)?;
        let name = log.file_name().unwrap_or(OsStr::new("")).as_bytes().to_vec();
        #[expect(deprecated, reason = "its successor is unsafe; an `OwnedFd` keeps what that asks for")]
        let fd = AsyncFd::new(fd)?;
        Ok(Changes { fd, name })
    }

    async fn next(&mut self) -> std::io::Result<()> {
        loop {
            let mut guard = self.fd.readable().await?;
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let mut is_ours = false;
            let mut reader = inotify::Reader::new(guard.get_inner(), &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) => is_ours |= event.file_name().is_none_or(|name| name.to_bytes() == self.name),
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(e) => return Err(e.into()),
                }
            }
            guard.clear_ready();
            if is_ours {
                return Ok(());
            }
        }
    }
}
