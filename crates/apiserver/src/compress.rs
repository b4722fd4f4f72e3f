//! gzip of large answers for clients that ask for it.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Response, header};

use crate::body::Body;
use crate::call::Call;

/// Upstream: `defaultGzipThresholdBytes`. Below it the time is better spent sending.
const LEN_MIN: usize = 128 * 1024;

pub(crate) fn is_accepted(call: &Call) -> bool {
    call.header(header::ACCEPT_ENCODING).is_some_and(|text| text.split(',').any(|word| word.trim() == "gzip"))
}

/// Compresses piece by piece while the answer is sent, so that it is never there twice.
pub(crate) fn apply(response: Response<Body>) -> Response<Body> {
    let is_large = response.body().expected_len().is_some_and(|len| len >= LEN_MIN);
    if !is_large || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    // Upstream: the fastest level.
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = stream::unfold((body.into_stream(), Some(encoder)), |(mut pieces, encoder)| async move {
        let mut encoder = encoder?;
        let fine = "memory takes all bytes";
        while let Some(piece) = pieces.next().await {
            encoder.write_all(&piece).expect(fine);
            if !encoder.get_ref().is_empty() {
                let out = Bytes::from(std::mem::take(encoder.get_mut()));
                return Some((out, (pieces, Some(encoder))));
            }
        }
        Some((Bytes::from(encoder.finish().expect(fine)), (pieces, None)))
    });
    Response::from_parts(parts, Body::stream(packed))
}
