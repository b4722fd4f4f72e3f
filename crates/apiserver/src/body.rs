//! Bodies of requests and answers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use object::status::Status;

/// Upstream: `MaxRequestBodyBytes`.
pub(crate) const BODY_LEN_MAX: usize = 3 * 1024 * 1024;

/// What a client sends: whole already when it is in this process.
pub(crate) enum RequestBody {
    Whole(Bytes),
    Incoming(Incoming),
}

impl RequestBody {
    pub(crate) async fn read(self) -> Result<Bytes, Status> {
        match self {
            RequestBody::Whole(bytes) if bytes.len() > BODY_LEN_MAX => Err(too_large()),
            RequestBody::Whole(bytes) => Ok(bytes),
            RequestBody::Incoming(incoming) => match Limited::new(incoming, BODY_LEN_MAX).collect().await {
                Ok(whole) => Ok(whole.to_bytes()),
                Err(e) if e.is::<LengthLimitError>() => Err(too_large()),
                Err(e) => Err(Status::bad_request(format!("the body could not be read: {e}"))),
            },
        }
    }
}

/// Upstream: `errors.NewRequestEntityTooLargeError`.
fn too_large() -> Status {
    Status::request_too_large(format!("Request entity too large: limit is {BODY_LEN_MAX}"))
}

pub(crate) type ByteStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// What a client gets: shared pieces, or a stream of them. It never fails; a broken stream ends.
pub enum Body {
    Pieces(VecDeque<Bytes>),
    Stream(ByteStream),
    /// A stream that will be about so long.
    LongStream(ByteStream, usize),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Body::Pieces(VecDeque::new())
    }
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Body::Pieces(VecDeque::from([bytes.into()]))
    }
    pub(crate) fn stream(stream: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Body::Stream(Box::pin(stream))
    }

    pub(crate) fn long_stream(stream: impl Stream<Item = Bytes> + Send + 'static, len: usize) -> Self {
        Body::LongStream(Box::pin(stream), len)
    }

    /// Bytes in all, about; `None` for a stream without an end in sight.
    pub(crate) fn expected_len(&self) -> Option<usize> {
        match self {
            Body::Pieces(pieces) => Some(pieces.iter().map(Bytes::len).sum()),
            Body::Stream(_) => None,
            Body::LongStream(_, len) => Some(*len),
        }
    }

    /// The pieces one after the other, whatever they come from.
    pub(crate) fn into_stream(self) -> ByteStream {
        match self {
            Body::Pieces(pieces) => Box::pin(futures_util::stream::iter(pieces)),
            Body::Stream(stream) | Body::LongStream(stream, _) => stream,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Body::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Body::Stream(stream) | Body::LongStream(stream, _) => {
                stream.as_mut().poll_next(cx).map(|piece| piece.map(|p| Ok(Frame::data(p))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Pieces(pieces) if pieces.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Pieces(_) => self.expected_len().map_or_else(SizeHint::default, |n| SizeHint::with_exact(n as u64)),
            Body::Stream(_) | Body::LongStream(..) => SizeHint::default(),
        }
    }
}
