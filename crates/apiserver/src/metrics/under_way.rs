//! A request from its admission to the last byte of its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use http::Response;

use super::series::Answered;
use crate::body::{Body, ByteStream};

/// Counts its request when it ends: with the answer's body, or with the stream a connection became.
pub(crate) struct UnderWay {
    pub(super) answered: Arc<Answered>,
    /// Of long-running requests: how many there are now.
    pub(super) n_long: Option<Arc<AtomicI64>>,
    pub(super) begun: Instant,
    pub(super) is_read: bool,
    /// 0 until there is an answer; a request whose client went away before is none.
    pub(super) code: u16,
    pub(super) n_bytes: u64,
}

impl UnderWay {
    /// The connection now speaks another protocol; to be kept until it ends.
    pub(crate) fn upgraded(mut self) -> Self {
        self.code = 101;
        self
    }

    /// The answer, which takes this with it.
    pub(crate) fn with(mut self, response: Response<Body>) -> Response<Body> {
        self.code = response.status().as_u16();
        let (head, body) = response.into_parts();
        let body = match body {
            Body::Pieces(pieces) => {
                self.n_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
                drop(self);
                Body::Pieces(pieces)
            }
            Body::Stream(pieces) => Body::stream(Counted { pieces, under_way: self }),
            Body::LongStream(pieces, len) => Body::long_stream(Counted { pieces, under_way: self }, len),
        };
        Response::from_parts(head, body)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(n_long) = &self.n_long {
            n_long.fetch_sub(1, Ordering::Relaxed);
        }
        let code = if self.code == 0 && std::thread::panicking() { 500 } else { self.code };
        if code == 0 {
            return;
        }
        self.answered.count(code);
        self.answered.observe(self.begun.elapsed());
        if self.is_read {
            self.answered.bytes.observe(self.n_bytes);
        }
    }
}

struct Counted {
    pieces: ByteStream,
    under_way: UnderWay,
}

impl Stream for Counted {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let polled = self.pieces.as_mut().poll_next(cx);
        if let Poll::Ready(Some(piece)) = &polled {
            self.under_way.n_bytes += piece.len() as u64;
        }
        polled
    }
}
