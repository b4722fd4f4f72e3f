//! Turning a request into a stream: web sockets, and SPDY for older clients.

use std::future::Future;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::answer::{Body, empty, text};

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What a client may send at once.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What the request wants to become.
pub(super) enum Wish {
    WebSocket { protocol: String },
    Spdy { protocol: String },
}

const STREAM_PROTOCOL: &str = "x-stream-protocol-version";

/// `web_socket` and `spdy`: the protocols we speak, the best first.
#[expect(clippy::result_large_err, reason = "the refusal is the answer itself; there is one a request")]
pub(super) fn wish(request: &Request<Incoming>, web_socket: &[&str], spdy: &[&str]) -> Result<Wish, Response<Body>> {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let offered = |name: &str| -> Vec<String> {
        let values = request.headers().get_all(name).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).map(|v| v.trim().to_owned()).collect()
    };
    let choose = |ours: &[&str], theirs: Vec<String>| ours.iter().find(|p| theirs.iter().any(|t| t == *p)).map(|p| (*p).to_owned());
    if upgrade.eq_ignore_ascii_case("websocket") {
        let theirs = offered("sec-websocket-protocol");
        let protocol = if theirs.is_empty() { Some(String::new()) } else { choose(web_socket, theirs) };
        return protocol
            .map(|protocol| Wish::WebSocket { protocol })
            .ok_or_else(|| text(StatusCode::FORBIDDEN, "unable to negotiate protocol"));
    }
    if upgrade.eq_ignore_ascii_case("SPDY/3.1") {
        let protocol = choose(spdy, offered(STREAM_PROTOCOL));
        return protocol.map(|protocol| Wish::Spdy { protocol }).ok_or_else(|| text(StatusCode::FORBIDDEN, "unable to negotiate protocol"));
    }
    Err(text(StatusCode::BAD_REQUEST, "Upgrade request required"))
}

/// Answers 101 and runs `talk` on the socket once the client has it.
pub(super) fn to_web_socket<F: Future<Output = ()> + Send>(
    mut request: Request<Incoming>,
    protocol: &str,
    talk: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response<Body> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return text(StatusCode::BAD_REQUEST, "missing Sec-WebSocket-Key");
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(io) => {
                let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
                talk(WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await).await;
            }
            Err(e) => tracing::debug!(error = %e, "a client left before its stream began"),
        }
    });
    let mut response = switching("websocket");
    if let Ok(value) = HeaderValue::from_str(&accept) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, value);
    }
    if let Some(value) = HeaderValue::from_str(protocol).ok().filter(|v| !v.is_empty()) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
    response
}

pub(super) fn to_spdy<F: Future<Output = ()> + Send>(
    mut request: Request<Incoming>,
    protocol: &str,
    talk: impl FnOnce(TokioIo<Upgraded>) -> F + Send + 'static,
) -> Response<Body> {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(io) => talk(TokioIo::new(io)).await,
            Err(e) => tracing::debug!(error = %e, "a client left before its stream began"),
        }
    });
    let mut response = switching("SPDY/3.1");
    if let Ok(value) = HeaderValue::from_str(protocol) {
        response.headers_mut().insert(STREAM_PROTOCOL, value);
    }
    response
}

fn switching(protocol: &'static str) -> Response<Body> {
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}
