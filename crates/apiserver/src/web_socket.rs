//! A body sent over a web socket, for clients that cannot read a plain one while it comes (browsers). Upstream: `wsstream.Reader`.
//!
//! One message a piece, and an empty one before the first, so that the client knows at once that it is heard. What the client
//! sends is read and forgotten; when it leaves, the stream ends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use object::status::Status;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::body::Body;
use crate::call::Call;
use crate::metrics::UnderWay;

/// The second one is for clients that take text only.
const PROTOCOLS: [&str; 2] = ["binary.k8s.io", "base64.binary.k8s.io"];

pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers 101 and sends `body` once the client has it.
pub(crate) fn send(call: &mut Call, body: Body) -> Result<Response<Body>, Status> {
    let (Some(key), Some(upgrade)) = (call.headers.get(header::SEC_WEBSOCKET_KEY), call.upgrade.take()) else {
        return Err(Status::bad_request("this connection cannot be upgraded"));
    };
    let accept = derive_accept_key(key.as_bytes());
    let protocol = protocol(&call.headers)?;
    let is_text = protocol == Some(PROTOCOLS[1]);
    let under_way = call.under_way.take().map(UnderWay::upgraded);
    tokio::spawn(async move {
        let _under_way = under_way;
        match upgrade.await {
            Ok(io) => copy(WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, None).await, body, is_text).await,
            Err(error) => tracing::debug!(%error, "a stream could not be upgraded"),
        }
    });
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.parse().map_err(Status::internal)?);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(answer)
}

/// The first that the client offers and we know; none where it offers none.
fn protocol(headers: &HeaderMap) -> Result<Option<&'static str>, Status> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect();
    if offered.is_empty() {
        return Ok(None);
    }
    let known = offered.iter().find_map(|word| PROTOCOLS.into_iter().find(|ours| ours == word));
    known.map(Some).ok_or_else(|| {
        Status::new(403, "Forbidden", format!("requested protocol(s) are not supported: {offered:?}; supports {PROTOCOLS:?}"))
    })
}

async fn copy<S>(socket: WebSocketStream<S>, body: Body, is_text: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sink, mut received) = socket.split();
    let message = |bytes: Bytes| if is_text { Message::text(STANDARD.encode(&bytes)) } else { Message::Binary(bytes) };
    let sending = async {
        let mut pieces = body.into_stream();
        sink.send(message(Bytes::new())).await?;
        while let Some(piece) = pieces.next().await {
            sink.send(message(piece)).await?;
        }
        sink.close().await
    };
    let leaving = async { while let Some(Ok(_)) = received.next().await {} };
    tokio::select! {
        sent = sending => {
            if let Err(error) = sent {
                tracing::debug!(%error, "a client left its stream");
            }
        }
        () = leaving => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_one_that_both_know() {
        for (offered, expected) in [
            ("", Some(None)),
            ("binary.k8s.io", Some(Some("binary.k8s.io"))),
            ("chat, base64.binary.k8s.io", Some(Some("base64.binary.k8s.io"))),
            ("chat", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered.parse().unwrap());
            assert_eq!(protocol(&headers).ok(), expected, "{offered}");
        }
    }

    #[tokio::test]
    async fn pieces_become_messages() {
        for (is_text, expected) in [(false, vec!["", "one\n", "two\n"]), (true, vec!["", "b25lCg==", "dHdvCg=="])] {
            let (near, far) = tokio::io::duplex(1024);
            let body = Body::stream(futures_util::stream::iter([Bytes::from("one\n"), Bytes::from("two\n")]));
            let server = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
            let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
            let (_, received) = tokio::join!(copy(server, body, is_text), client.collect::<Vec<_>>());
            let data = received.into_iter().flatten().filter(|m| !m.is_close()).map(|m| m.into_text().unwrap().to_string());
            assert_eq!(data.collect::<Vec<_>>(), expected);
        }
    }
}
