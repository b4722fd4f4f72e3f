//! SPDY/3.1 frames on the wire.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Headers;
use super::headers::{HeaderReader, encode_headers};

const VERSION: u16 = 3;
const FLAG_LAST: u8 = 1;
/// What one frame may hold; the format would allow 16 MiB.
const FRAME_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) enum Frame {
    SynStream {
        id: u32,
        headers: Headers,
        is_last: bool,
    },
    SynReply {
        id: u32,
    },
    Data {
        id: u32,
        data: Bytes,
        is_last: bool,
    },
    Reset {
        id: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// Settings, window updates and other things nobody acts on.
    Ignored,
}

mod kind {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const PING: u16 = 6;
    pub(super) const GOAWAY: u16 = 7;
}

/// `None` at the end of the connection.
pub(super) async fn read_frame(reader: &mut (impl AsyncRead + Unpin), headers: &mut HeaderReader) -> std::io::Result<Option<Frame>> {
    let mut head = [0; 8];
    match reader.read_exact(&mut head).await {
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let flags = head[4];
    let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(std::io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    if word >> 31 == 0 {
        return Ok(Some(Frame::Data { id: word, data: body.into(), is_last: flags & FLAG_LAST != 0 }));
    }
    let id = || body.first_chunk::<4>().map(|b| u32::from_be_bytes(*b) & 0x7fff_ffff).ok_or_else(|| std::io::Error::other("a short frame"));
    Ok(Some(match (word & 0xffff) as u16 {
        kind::SYN_STREAM => {
            let block = body.get(10..).ok_or_else(|| std::io::Error::other("a short SYN_STREAM"))?;
            Frame::SynStream { id: id()?, headers: headers.read(block)?, is_last: flags & FLAG_LAST != 0 }
        }
        kind::RST_STREAM => Frame::Reset { id: id()? },
        kind::PING => Frame::Ping { id: id()? },
        kind::GOAWAY => Frame::GoAway,
        _ => Frame::Ignored,
    }))
}

impl Frame {
    /// `is_first_reply`: header blocks of one direction are one zlib stream, which has its own head.
    pub(super) fn encode(&self, is_first_reply: &mut bool) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Frame::Data { id, data, is_last } => {
                out.put_u32(*id);
                put_flags_and_length(&mut out, if *is_last { FLAG_LAST } else { 0 }, data.len());
                out.put_slice(data);
            }
            Frame::SynReply { id } => {
                let block = encode_headers(&[], std::mem::take(is_first_reply));
                put_control(&mut out, kind::SYN_REPLY, 4 + block.len());
                out.put_u32(*id);
                out.put_slice(&block);
            }
            Frame::Ping { id } => {
                put_control(&mut out, kind::PING, 4);
                out.put_u32(*id);
            }
            Frame::SynStream { .. } | Frame::Reset { .. } | Frame::GoAway | Frame::Ignored => {}
        }
        out.freeze()
    }
}

fn put_control(out: &mut BytesMut, kind: u16, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    put_flags_and_length(out, 0, length);
}

fn put_flags_and_length(out: &mut BytesMut, flags: u8, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.put_slice(&[flags, length[1], length[2], length[3]]);
}
