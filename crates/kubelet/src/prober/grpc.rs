//! gRPC probes: one call of `grpc.health.v1.Health/Check` over plaintext HTTP/2, framed by hand.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::GRPCAction;

use super::{dial, joined};
use crate::seams::ProbeAnswer;

const SERVING: u8 = 1;
const UNIMPLEMENTED: &str = "12";
/// An answer is a few bytes; who sends more is no health service.
const ANSWER_BYTES_MAX: usize = 4096;

pub(super) async fn probe(ip: IpAddr, action: &GRPCAction, timeout: Duration) -> ProbeAnswer {
    let host = ip.to_string();
    let Ok(port) = u16::try_from(action.port) else { return ProbeAnswer::Error(format!("invalid port number: {}", action.port)) };
    let address = joined(&host, port);
    let stream = match dial(&host, port, timeout).await {
        Ok(stream) => stream,
        Err(_) => {
            let seconds = timeout.as_secs();
            let text = format!("timeout: failed to connect service {address:?} within {seconds}s: context deadline exceeded");
            return ProbeAnswer::Failure(text);
        }
    };
    match tokio::time::timeout(timeout, call(stream, &address, action.service.as_deref().unwrap_or_default())).await {
        Err(_) => ProbeAnswer::Failure(format!("timeout: health rpc did not complete within {}s", timeout.as_secs())),
        Ok(Err(text)) => ProbeAnswer::Failure(text),
        Ok(Ok(SERVING)) => ProbeAnswer::Success,
        Ok(Ok(status)) => ProbeAnswer::Failure(format!("service unhealthy (responded with {:?})", name(status))),
    }
}

fn name(status: u8) -> &'static str {
    match status {
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

async fn call(stream: tokio::net::TcpStream, authority: &str, service: &str) -> Result<u8, String> {
    let failed = |e: &dyn std::fmt::Display| format!("error: health rpc probe failed: {e}");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|e| failed(&e))?;
    tokio::spawn(connection);
    let request = Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, "kube-probe/1.37")
        .body(Full::new(framed(service)))
        .map_err(|e| failed(&e))?;
    let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
    let mut status = response.headers().clone();
    let collected = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| failed(&e))?;
    if let Some(trailers) = collected.trailers() {
        status.extend(trailers.clone());
    }
    check(&status)?;
    Ok(serving_status(&collected.to_bytes()))
}

/// One uncompressed message `{service = 1}`.
fn framed(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&message);
    frame.into()
}

fn check(headers: &HeaderMap) -> Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "0" => Ok(()),
        UNIMPLEMENTED => {
            let message = text("grpc-message");
            Err(format!("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"))
        }
        code => Err(format!("error: health rpc probe failed: rpc error: code = {code} desc = {}", text("grpc-message"))),
    }
}

/// Field 1 of the message, an enum; absent is 0.
fn serving_status(frame: &[u8]) -> u8 {
    match frame.get(5..) {
        Some([0x08, status, ..]) => *status,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(framed("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(framed("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 0x08, 1]), SERVING);
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), 0);
    }
}
