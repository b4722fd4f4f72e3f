//! HTTP probes: any answer from 200 to 399 is good; redirects are followed as long as they stay on the host.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{OUTPUT_BYTES_MAX, dial, host_or_pod, joined, port_number};
use crate::seams::{ProbeAnswer, ProbeRequest};

const REDIRECTS_MAX: usize = 10;
const USER_AGENT: &str = "kube-probe/1.37";

pub(super) async fn probe(request: &ProbeRequest, get: &HTTPGetAction, timeout: Duration, tls: Arc<rustls::ClientConfig>) -> ProbeAnswer {
    let port = match port_number(&get.port, &request.container) {
        Ok(port) => port,
        Err(text) => return ProbeAnswer::Error(text),
    };
    let host = host_or_pod(get.host.as_deref(), request.pod_ip);
    let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let path = get.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{scheme}://{}{slash}{path}", joined(&host, port));
    let whole = tokio::time::timeout(timeout, follow(url.clone(), get, tls, timeout));
    match whole.await {
        Ok(answer) => answer,
        Err(_) => ProbeAnswer::Failure(format!("Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)")),
    }
}

async fn follow(first: String, get: &HTTPGetAction, tls: Arc<rustls::ClientConfig>, timeout: Duration) -> ProbeAnswer {
    let mut url = first.clone();
    for _ in 0..REDIRECTS_MAX {
        let Ok(uri) = url.parse::<Uri>() else { return ProbeAnswer::Error(format!("invalid URL {url:?}")) };
        let response = match send(&uri, get, &tls, timeout).await {
            Ok(response) => response,
            Err(text) => return ProbeAnswer::Failure(format!("Get {url:?}: {text}")),
        };
        let code = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        match (code, location) {
            (200..=299, _) => return ProbeAnswer::Success,
            (301 | 302 | 303 | 307 | 308, Some(location)) => match resolved(&uri, &location) {
                Some(next) if next.host() == uri.host() => url = next.to_string(),
                _ => return ProbeAnswer::Warning(format!("Probe terminated redirects, Response body: {}", body(response).await)),
            },
            (300..=399, _) => return ProbeAnswer::Warning(format!("Probe terminated redirects, Response body: {}", body(response).await)),
            _ => return ProbeAnswer::Failure(format!("HTTP probe failed with statuscode: {code}")),
        }
    }
    ProbeAnswer::Failure(format!("Get {url:?}: stopped after {REDIRECTS_MAX} redirects"))
}

fn resolved(base: &Uri, location: &str) -> Option<Uri> {
    if location.contains("://") {
        return location.parse().ok();
    }
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    format!("{}://{}{path}", base.scheme_str()?, base.authority()?).parse().ok()
}

async fn body(response: Response<Incoming>) -> String {
    let mut bytes = Vec::new();
    let mut body = response.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() >= OUTPUT_BYTES_MAX {
            break;
        }
    }
    bytes.truncate(OUTPUT_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn send(uri: &Uri, get: &HTTPGetAction, tls: &Arc<rustls::ClientConfig>, timeout: Duration) -> Result<Response<Incoming>, String> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let request = request(uri, get)?;
    let stream = dial(&host, port, timeout).await?;
    if !is_tls {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
    let stream = tokio_rustls::TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|e| e.to_string())?;
    exchange(stream, request).await
}

fn request(uri: &Uri, get: &HTTPGetAction) -> Result<Request<Empty<Bytes>>, String> {
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut request = Request::get(path).body(Empty::new()).map_err(|e| e.to_string())?;
    let headers = request.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|e| e.to_string());
    headers.insert(header::HOST, value(&authority)?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    for own in get.http_headers.iter().flatten() {
        let name: HeaderName = own.name.parse().map_err(|_| format!("invalid header name {:?}", own.name))?;
        match (&name, own.value.is_empty()) {
            (name, true) if name == header::ACCEPT => drop(headers.remove(name)),
            _ => drop(headers.insert(name, value(&own.value)?)),
        }
    }
    Ok(request)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let said = |e: hyper::Error| if e.is_incomplete_message() { "EOF".to_owned() } else { e.to_string() };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    // Ends with the connection, which the answer's body keeps open.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(said)
}
