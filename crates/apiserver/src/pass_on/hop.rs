//! One request carried to another server and its answer back, upgraded connections included.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use object::status::Status;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::place::Place;
use crate::body::{Body, RequestBody};
use crate::call::Call;
use crate::metrics::UnderWay;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of an error's text.
const ERROR_LEN_MAX: usize = 16 * 1024;

/// Headers that belong to one connection and not to the request.
const HOP_HEADERS: &[&str] = &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
/// Who the client is was settled here; the other server is told by certificate who we are.
const OWN_HEADERS: &[&str] = &["authorization", "impersonate-user", "impersonate-group", "impersonate-uid"];

type Outgoing = http_body_util::Either<Full<Bytes>, Incoming>;

pub(super) async fn carry(
    call: &mut Call,
    body: RequestBody,
    place: &Place,
    path: &str,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Response<Body>, Status> {
    let unreachable = |cause: &dyn std::fmt::Display| Status::unavailable(format!("error trying to reach service: {cause}"));
    let connect = TcpStream::connect((place.ip, place.port));
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return Err(unreachable(&format!("dial tcp {}: {e}", place.authority()))),
        Err(_) => return Err(unreachable(&format!("dial tcp {}: i/o timeout", place.authority()))),
    };
    let _ = stream.set_nodelay(true);
    let request = outgoing(call, body, place, path)?;
    match tls {
        None => send(call, stream, request).await,
        Some(config) => {
            let connector = tokio_rustls::TlsConnector::from(config);
            let handshake = connector.connect(ServerName::IpAddress(place.ip.into()), stream);
            match tokio::time::timeout(CONNECT_TIMEOUT, handshake).await {
                Ok(Ok(stream)) => send(call, stream, request).await,
                Ok(Err(e)) => Err(unreachable(&format!("tls: {e}"))),
                Err(_) => Err(unreachable(&"tls: handshake timeout")),
            }
        }
    }
}

fn outgoing(call: &Call, body: RequestBody, place: &Place, path: &str) -> Result<Request<Outgoing>, Status> {
    let body = match body {
        RequestBody::Whole(bytes) => Outgoing::Left(Full::new(bytes)),
        RequestBody::Incoming(incoming) => Outgoing::Right(incoming),
    };
    let mut request = Request::builder().method(call.method.clone()).uri(path).body(body).map_err(Status::internal)?;
    let is_upgrade = call.headers.contains_key(header::UPGRADE);
    copy_headers(&call.headers, request.headers_mut(), is_upgrade);
    // Upstream: the other server hears by which name its client knows this one.
    let host = place.authority().parse().map_err(Status::internal)?;
    request.headers_mut().entry(header::HOST).or_insert(host);
    Ok(request)
}

fn copy_headers(from: &HeaderMap, to: &mut HeaderMap, is_upgrade: bool) {
    let is_kept = |name: &HeaderName| {
        let name = name.as_str();
        let of_upgrade = is_upgrade && matches!(name, "connection" | "upgrade");
        of_upgrade || !HOP_HEADERS.contains(&name) && !OWN_HEADERS.contains(&name) && !name.starts_with("impersonate-extra-")
    };
    for (name, value) in from.iter().filter(|(name, _)| is_kept(name)) {
        to.append(name.clone(), value.clone());
    }
}

async fn send<S>(call: &mut Call, stream: S, request: Request<Outgoing>) -> Result<Response<Body>, Status>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |e: hyper::Error| Status::unavailable(format!("error trying to reach service: {e}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with the answer's body, or with the upgraded stream.
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(broken)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(call, response);
    }
    let mut headers = HeaderMap::new();
    copy_headers(response.headers(), &mut headers, false);
    let status = response.status();
    let pieces = BodyStream::new(response.into_body())
        .take_while(|frame| std::future::ready(frame.is_ok()))
        .filter_map(|frame| std::future::ready(frame.ok().and_then(|f| f.into_data().ok())));
    // The sender lives as long as the body: dropping it would end the connection.
    let kept = futures_util::stream::unfold((Box::pin(pieces), sender), |(mut pieces, sender)| async move {
        pieces.next().await.map(|piece| (piece, (pieces, sender)))
    });
    let mut answer = Response::new(Body::stream(kept));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}

/// Both sides change their protocol; from now on bytes are copied.
fn switch(call: &mut Call, mut response: Response<Incoming>) -> Result<Response<Body>, Status> {
    let Some(client_side) = call.upgrade.take() else {
        return Err(Status::bad_request("this connection cannot be upgraded"));
    };
    let server_side = hyper::upgrade::on(&mut response);
    let under_way = call.under_way.take().map(UnderWay::upgraded);
    tokio::spawn(async move {
        let _under_way = under_way;
        let (client, server) = match tokio::try_join!(client_side, server_side) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "a stream could not be upgraded"),
        };
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
            tracing::debug!(%error, "a stream ended with an error");
        }
    });
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    copy_headers(response.headers(), answer.headers_mut(), true);
    Ok(answer)
}

/// Upstream: a kubelet's refusal is a text, and becomes a Status.
pub(super) async fn check_log(response: Response<Body>, call: &Call) -> Result<Response<Body>, Status> {
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.status().as_u16();
    let text = match Limited::new(response.into_body(), ERROR_LEN_MAX).collect().await {
        Ok(whole) => String::from_utf8_lossy(&whole.to_bytes()).into_owned(),
        Err(_) => String::new(),
    };
    Err(match code {
        400 => Status::bad_request(text),
        500 => Status::internal(text),
        404 => Status {
            details: serde_json::json!({"name": call.info.name, "kind": "pods/log"}),
            ..Status::new(404, "NotFound", format!("the server could not find the requested resource ( pods/log {})", call.info.name))
        },
        other => Status::new(other, "", text),
    })
}
