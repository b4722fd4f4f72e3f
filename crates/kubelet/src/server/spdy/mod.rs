//! SPDY/3.1 as port-forwarding clients and older kubectls speak it: streams with headers over one connection. Server side only.
//!
//! Flow control is not spoken, since those clients do not; each stream's reader is bounded and holds the connection back instead.

mod frame;
mod headers;

use std::collections::HashMap;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use frame::{Frame, read_frame};
use headers::HeaderReader;

pub(super) type Headers = HashMap<String, String>;

/// Frames that wait to be written or read; a frame of data is at most 16 MiB, in practice 32 KiB.
const PENDING_FRAMES_MAX: usize = 32;
/// Clients open two streams a forwarded connection.
const STREAMS_MAX: usize = 4096;

/// One stream the client opened.
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) headers: Headers,
    /// Ends when the client has sent all.
    pub(super) incoming: mpsc::Receiver<Bytes>,
    pub(super) outgoing: Outgoing,
}

#[derive(Clone)]
pub(super) struct Outgoing {
    id: u32,
    frames: mpsc::Sender<Frame>,
}

impl Outgoing {
    /// False when the connection is gone.
    pub(super) async fn write(&self, data: Bytes) -> bool {
        self.frames.send(Frame::Data { id: self.id, data, is_last: false }).await.is_ok()
    }
    /// Nothing more will be written.
    pub(super) async fn finish(&self) {
        let _ = self.frames.send(Frame::Data { id: self.id, data: Bytes::new(), is_last: true }).await;
    }
}

/// Answers the streams that clients open, until the connection ends.
pub(super) fn serve(io: impl AsyncRead + AsyncWrite + Send + 'static) -> mpsc::Receiver<Stream> {
    let (opened, streams) = mpsc::channel(PENDING_FRAMES_MAX);
    let (frames, to_write) = mpsc::channel(PENDING_FRAMES_MAX);
    let (reader, writer) = tokio::io::split(io);
    tokio::spawn(write_all(writer, to_write));
    tokio::spawn(async move {
        if let Err(e) = read_all(BufReader::new(reader), opened, frames).await {
            tracing::debug!(error = %e, "a SPDY connection broke off")
        }
    });
    streams
}

async fn write_all(mut writer: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Frame>) {
    let mut is_first_reply = true;
    while let Some(frame) = frames.recv().await {
        let bytes = frame.encode(&mut is_first_reply);
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

async fn read_all(mut reader: impl AsyncRead + Unpin, opened: mpsc::Sender<Stream>, frames: mpsc::Sender<Frame>) -> std::io::Result<()> {
    let mut header_reader = HeaderReader::default();
    let mut open: HashMap<u32, mpsc::Sender<Bytes>> = HashMap::new();
    while let Some(frame) = read_frame(&mut reader, &mut header_reader).await? {
        match frame {
            Frame::SynStream { id, headers, is_last } => {
                if open.len() >= STREAMS_MAX {
                    return Err(std::io::Error::other("too many streams"));
                }
                let (sender, incoming) = mpsc::channel(PENDING_FRAMES_MAX);
                if !is_last {
                    open.insert(id, sender);
                }
                if frames.send(Frame::SynReply { id }).await.is_err() {
                    return Ok(());
                }
                let stream = Stream { id, headers, incoming, outgoing: Outgoing { id, frames: frames.clone() } };
                if opened.send(stream).await.is_err() {
                    return Ok(());
                }
            }
            Frame::Data { id, data, is_last } => {
                if let Some(sender) = open.get(&id) {
                    // A reader that is gone wants no more.
                    let _ = if data.is_empty() { Ok(()) } else { sender.send(data).await };
                }
                if is_last {
                    open.remove(&id);
                }
            }
            Frame::Reset { id } => drop(open.remove(&id)),
            Frame::Ping { id } => {
                if frames.send(Frame::Ping { id }).await.is_err() {
                    return Ok(());
                }
            }
            Frame::GoAway => return Ok(()),
            Frame::SynReply { .. } | Frame::Ignored => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod fuzz;
