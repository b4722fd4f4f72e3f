//! A registry on the other side: the OCI distribution protocol over HTTP/1.1, with mirrors, redirects and logins.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{Digest, Error, Reference};

/// Told what is being moved, the bytes done and the bytes in all.
pub type Progress<'a> = &'a (dyn Fn(&str, u64, u64) + Send + Sync);

/// Long enough for a far and busy registry, short enough that a dead one is noticed.
const PATIENCE: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: usize = 5;
const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
const UPLOAD_CHUNK_BYTES: usize = 256 * 1024;

/// A login for one host (`docker.io`, `localhost:5000`) or a path below it.
#[derive(Clone)]
pub struct Credentials {
    pub host: String,
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({} at {})", self.username, self.host)
    }
}

/// How registries are reached from this host.
#[derive(Clone, Debug)]
pub struct Registries {
    /// Host, or `*` -> base URLs to try before the registry itself.
    mirrors: BTreeMap<String, Vec<String>>,
    /// Logins that hold for every pull of this host.
    credentials: Vec<Credentials>,
    tls: Arc<rustls::ClientConfig>,
}

impl Registries {
    /// `extra_ca_pem` is trusted beside the roots everybody trusts.
    pub fn new(mirrors: BTreeMap<String, Vec<String>>, credentials: Vec<Credentials>, extra_ca_pem: Option<&str>) -> Self {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let extra = extra_ca_pem.map(|pem| rustls::pki_types::pem::PemObject::pem_slice_iter(pem.as_bytes()).flatten());
        roots.add_parsable_certificates(extra.into_iter().flatten());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring offers TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Registries { mirrors, credentials, tls: Arc::new(tls) }
    }

    /// Where to pull from: mirrors first, the registry last.
    pub(crate) fn endpoints(&self, reference: &Reference, credentials: &[Credentials]) -> Vec<Remote> {
        let mirrors = self.mirrors.get(&reference.host).or_else(|| self.mirrors.get("*"));
        let mirror = |url: &String| Remote { query: format!("?ns={}", reference.host), ..self.remote(url, reference, credentials) };
        let mut remotes: Vec<Remote> = mirrors.into_iter().flatten().map(mirror).collect();
        remotes.push(self.home(reference, credentials));
        remotes
    }

    pub(crate) fn home(&self, reference: &Reference, credentials: &[Credentials]) -> Remote {
        let scheme = if is_local(&reference.host) { "http" } else { "https" };
        let host = if reference.host == "docker.io" { "registry-1.docker.io" } else { reference.host.as_str() };
        self.remote(&format!("{scheme}://{host}"), reference, credentials)
    }

    fn remote(&self, base: &str, reference: &Reference, credentials: &[Credentials]) -> Remote {
        let base = base.trim_end_matches('/');
        let host = base.split_once("://").map_or(base, |(_, host)| host).to_owned();
        // A login for the mirror itself, or for the registry it stands for.
        let fits = |c: &&Credentials| {
            let name = c.host.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').trim_end_matches("/v1");
            let name = if name == "index.docker.io" { "docker.io" } else { name };
            name == host || name == reference.host || reference.name().starts_with(&format!("{name}/"))
        };
        let login = credentials.iter().chain(&self.credentials).find(fits).cloned();
        Remote {
            base: format!("{base}/v2/{}", reference.repository),
            query: String::new(),
            repository: reference.repository.clone(),
            login,
            authorization: None,
            tls: self.tls.clone(),
        }
    }
}

/// Upstream's rule, too: plain HTTP only to this host.
fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.starts_with("127.") || name == "[::1]"
}

/// One repository of one registry.
pub(crate) struct Remote {
    base: String,
    /// Tells a mirror which registry it stands for, in containerd's way; one mirror may stand for many.
    query: String,
    repository: String,
    login: Option<Credentials>,
    /// What the registry wanted to see, once it asked.
    authorization: Option<HeaderValue>,
    tls: Arc<rustls::ClientConfig>,
}

type Body = BoxBody<Bytes, std::io::Error>;

impl Remote {
    /// A whole manifest or index.
    pub(crate) async fn document(&mut self, path: &str, accept: &str) -> Result<Vec<u8>, Error> {
        let mut answer = self.get(path, accept).await?;
        let mut content = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            content.extend_from_slice(&chunk);
            if content.len() > DOCUMENT_BYTES_MAX {
                return Err(Error::Malformed(answer.url, format!("longer than {DOCUMENT_BYTES_MAX} bytes")));
            }
        }
        Ok(content)
    }

    pub(crate) async fn get(&mut self, path: &str, accept: &str) -> Result<Answer, Error> {
        let url = format!("{}/{path}{}", self.base, self.query);
        let response = self.call(&Method::GET, &url, &[(ACCEPT.as_str(), accept)], &|| empty()).await?;
        refuse(&url, response).await
    }

    pub(crate) async fn has(&mut self, path: &str) -> Result<bool, Error> {
        let url = format!("{}/{path}", self.base);
        Ok(self.call(&Method::HEAD, &url, &[], &|| empty()).await?.status().is_success())
    }

    pub(crate) async fn send_document(&mut self, method: Method, path: &str, media_type: &str, content: Vec<u8>) -> Result<(), Error> {
        let url = format!("{}/{path}", self.base);
        let content = Bytes::from(content);
        let response = self.call(&method, &url, &[(CONTENT_TYPE.as_str(), media_type)], &|| full(content.clone())).await?;
        refuse(&url, response).await.map(drop)
    }

    /// Sends a blob in one piece.
    pub(crate) async fn upload(&mut self, digest: &Digest, file: &Path, size: u64, progress: Progress<'_>) -> Result<(), Error> {
        let start = format!("{}/blobs/uploads/", self.base);
        let response = self.call(&Method::POST, &start, &[(CONTENT_LENGTH.as_str(), "0")], &|| empty()).await?;
        let answer = refuse(&start, response).await?;
        let place = answer.header(LOCATION).ok_or_else(|| Error::Malformed(start.clone(), "no Location for the upload".to_owned()))?;
        let place = absolute(&start, &place);
        let joint = if place.contains('?') { '&' } else { '?' };
        let url = format!("{place}{joint}digest={digest}");
        let length = size.to_string();
        let headers = [(CONTENT_TYPE.as_str(), "application/octet-stream"), (CONTENT_LENGTH.as_str(), length.as_str())];
        let path = file.to_owned();
        let response = self.call(&Method::PUT, &url, &headers, &|| streamed(path.clone())).await?;
        refuse(&url, response).await?;
        progress(&digest.to_string(), size, size);
        Ok(())
    }

    /// Sends a request, follows redirects, and logs in when asked to.
    async fn call(
        &mut self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &(dyn Fn() -> Body + Sync),
    ) -> Result<Response<Incoming>, Error> {
        let mut url = url.to_owned();
        let home = host_of(&url);
        let mut asked = false;
        for _ in 0..=REDIRECTS_MAX {
            // A login is for the registry alone, never for where it sends us.
            let authorization = self.authorization.clone().filter(|_| host_of(&url) == home);
            let response = send(&self.tls, method, &url, headers, authorization, body()).await?;
            if response.status() == StatusCode::UNAUTHORIZED && !asked {
                asked = true;
                if self.log_in(&response).await? {
                    continue;
                }
                return Ok(response);
            }
            let Some(next) = response.headers().get(LOCATION).filter(|_| response.status().is_redirection()) else { return Ok(response) };
            url = absolute(&url, next.to_str().unwrap_or(""));
        }
        Err(Error::Unreachable { url, cause: format!("more than {REDIRECTS_MAX} redirects") })
    }

    /// Does what `WWW-Authenticate` asks for; false when it asks for nothing we know.
    async fn log_in(&mut self, response: &Response<Incoming>) -> Result<bool, Error> {
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let basic = self.login.as_ref().map(|l| format!("Basic {}", STANDARD.encode(format!("{}:{}", l.username, l.password))));
        let basic = basic.and_then(|b| HeaderValue::try_from(b).ok());
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((&challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            self.authorization = basic;
            return Ok(self.authorization.is_some());
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Ok(false);
        }
        let parameters = parameters(rest);
        let Some(realm) = parameters.get("realm") else { return Ok(false) };
        let default_scope = format!("repository:{}:pull", self.repository);
        let scope = parameters.get("scope").unwrap_or(&default_scope);
        let service = parameters.get("service").map(|s| format!("&service={}", escaped(s))).unwrap_or_default();
        let joint = if realm.contains('?') { '&' } else { '?' };
        let url = format!("{realm}{joint}scope={}{service}", escaped(scope));
        let response = send(&self.tls, &Method::GET, &url, &[], basic, empty()).await?;
        let answer = refuse(&url, response).await?.whole(DOCUMENT_BYTES_MAX).await?;
        let token: serde_json::Value = crate::store::parse(&answer, &format!("the token from {realm}"))?;
        let token = token["token"].as_str().or_else(|| token["access_token"].as_str()).unwrap_or("");
        self.authorization = HeaderValue::try_from(format!("Bearer {token}")).ok();
        Ok(self.authorization.is_some())
    }
}

/// A good answer whose body is still to be read.
pub(crate) struct Answer {
    url: String,
    response: Response<Incoming>,
}

impl Answer {
    fn header(&self, name: http::HeaderName) -> Option<String> {
        Some(self.response.headers().get(name)?.to_str().ok()?.to_owned())
    }

    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let unreachable = |cause: String| Error::Unreachable { url: self.url.clone(), cause };
        loop {
            let frame = timeout(PATIENCE, self.response.body_mut().frame()).await.map_err(|_| unreachable("timeout".to_owned()))?;
            match frame {
                None => return Ok(None),
                Some(Err(e)) => return Err(unreachable(e.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn whole(mut self, bytes_max: usize) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            content.extend_from_slice(&chunk);
            if content.len() > bytes_max {
                break;
            }
        }
        Ok(content)
    }
}

/// Turns a refusal into an error that carries the registry's words.
async fn refuse(url: &str, response: Response<Incoming>) -> Result<Answer, Error> {
    let status = response.status();
    let answer = Answer { url: url.to_owned(), response };
    if status.is_success() {
        return Ok(answer);
    }
    if status == StatusCode::NOT_FOUND {
        return Err(Error::NotFound(url.to_owned()));
    }
    let text = answer.whole(4096).await.unwrap_or_default();
    let said = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let message = said
        .and_then(|v| v["errors"][0]["message"].as_str().map(str::to_owned))
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("").to_owned());
    Err(Error::Refused { url: url.to_owned(), status: status.as_u16(), message })
}

async fn send(
    tls: &Arc<rustls::ClientConfig>,
    method: &Method,
    url: &str,
    headers: &[(&str, &str)],
    authorization: Option<HeaderValue>,
    body: Body,
) -> Result<Response<Incoming>, Error> {
    let unreachable = |cause: String| Error::Unreachable { url: url.to_owned(), cause };
    let uri: Uri = url.parse().map_err(|_| unreachable("not a URL".to_owned()))?;
    let host = uri.host().ok_or_else(|| unreachable("no host".to_owned()))?.to_owned();
    let is_https = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let mut request = Request::builder().method(method).uri(uri.path_and_query().map_or("/", |p| p.as_str()));
    request = request.header(HOST, uri.authority().map_or(host.as_str(), |a| a.as_str())).header(USER_AGENT, "coracle");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.body(body).map_err(|e| unreachable(e.to_string()))?;
    let attempt = async {
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        stream.set_nodelay(true)?;
        if !is_https {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
        exchange(TlsConnector::from(tls.clone()).connect(name, stream).await?, request).await
    };
    timeout(PATIENCE, attempt).await.map_err(|_| unreachable("timeout".to_owned()))?.map_err(|e| unreachable(e.to_string()))
}

async fn exchange(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    request: Request<Body>,
) -> std::io::Result<Response<Incoming>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    // The connection lives as long as the answer's body is read, and ends with it.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(std::io::Error::other)
}

fn empty() -> Body {
    full(Bytes::new())
}

fn full(content: Bytes) -> Body {
    Full::new(content).map_err(|never| match never {}).boxed()
}

/// A file as a body, read as it is sent.
pub fn streamed(path: std::path::PathBuf) -> BoxBody<Bytes, std::io::Error> {
    let chunks = futures_util::stream::try_unfold(None::<tokio::fs::File>, move |file| {
        let path = path.clone();
        async move {
            let mut file = match file {
                Some(file) => file,
                None => tokio::fs::File::open(&path).await?,
            };
            let mut buffer = vec![0; UPLOAD_CHUNK_BYTES];
            let n = file.read(&mut buffer).await?;
            buffer.truncate(n);
            std::io::Result::Ok((n > 0).then_some((Bytes::from(buffer), Some(file))))
        }
    });
    BodyExt::boxed(StreamBody::new(
        Box::pin(chunks.map_ok(http_body::Frame::data)) as std::pin::Pin<Box<dyn futures_util::Stream<Item = _> + Send + Sync>>
    ))
}

fn host_of(url: &str) -> String {
    url.parse::<Uri>().ok().and_then(|u| u.authority().map(ToString::to_string)).unwrap_or_default()
}

/// A redirect may leave out scheme and host.
fn absolute(base: &str, target: &str) -> String {
    if target.contains("://") {
        return target.to_owned();
    }
    let end = base.find("://").and_then(|at| base[at + 3..].find('/').map(|slash| at + 3 + slash)).unwrap_or(base.len());
    format!("{}{}{target}", &base[..end], if target.starts_with('/') { "" } else { "/" })
}

/// `realm="…",service="…"`.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        parameters.insert(key.trim_matches([',', ' ']).to_ascii_lowercase(), value.to_owned());
        rest = next;
    }
    parameters
}

fn escaped(text: &str) -> String {
    let keep = |c: u8| c.is_ascii_alphanumeric() || b"-._~:/".contains(&c);
    text.bytes().map(|c| if keep(c) { char::from(c).to_string() } else { format!("%{c:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let read = parameters(r#"realm="https://auth.example/token",service="reg", scope="repository:a/b:pull,push""#);
        assert_eq!(read["realm"], "https://auth.example/token");
        assert_eq!(read["scope"], "repository:a/b:pull,push");
    }

    #[test]
    fn redirects_may_be_relative() {
        assert_eq!(absolute("http://h:1/v2/a/blobs/uploads/", "/v2/x?y=1"), "http://h:1/v2/x?y=1");
        assert_eq!(absolute("http://h:1/v2/a", "https://other/x"), "https://other/x");
    }
}
