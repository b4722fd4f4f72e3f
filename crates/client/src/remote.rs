//! The transport over the network: TLS, HTTP/2, as many connections as the open streams need, and the next server when one is away.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::kubeconfig::{Credentials, Target};
use crate::transport::{Body, Error, Transport};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// A peer that vanished is noticed after interval + timeout. Sooner than client-go's 30 s + 15 s: a node whose link was cut must
/// not wait for a retransmission of a connection long lost when the link is back.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIME_MAX: Duration = Duration::from_secs(10);
/// Servers allow at least 100 streams a connection; watches hold theirs, so leave room for short requests.
const STREAMS_PER_CONNECTION_MAX: usize = 80;
const WINDOW_BYTES: u32 = 4 << 20;

pub struct Remote(Arc<Shared>);

struct Shared {
    servers: Vec<Server>,
    tls: TlsConnector,
    credentials: Credentials,
    connections: Mutex<Vec<Connection>>,
    /// Where the last connection was made.
    current: AtomicUsize,
}

struct Server {
    authority: String,
    address: String,
    name: ServerName<'static>,
}

#[derive(Clone)]
struct Connection {
    requests: SendRequest<Full<Bytes>>,
    server: usize,
    n_streams: Arc<AtomicUsize>,
    /// Of the identity it was made with.
    generation: u64,
}

impl Remote {
    /// Connects to nothing yet.
    pub fn new(target: Target) -> Result<Self, Error> {
        let servers = target.servers.iter().map(|url| server(url, target.tls_server_name.as_deref())).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(Error::transport("no server to connect to"));
        }
        let tls = TlsConnector::from(Arc::new(tls_config(&target)?));
        let shared = Shared { servers, tls, credentials: target.credentials, connections: Mutex::default(), current: AtomicUsize::new(0) };
        Ok(Remote(Arc::new(shared)))
    }
}

impl Transport for Remote {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'static, Result<http::Response<Body>, Error>> {
        let shared = Arc::clone(&self.0);
        async move { shared.send(request).await }.boxed()
    }
}

impl Shared {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Error> {
        let (mut connection, stream) = match self.open_connection() {
            Some(found) => found,
            None => self.connect_to_any().await?,
        };
        let request = self.addressed(request, connection.server)?;
        match connection.requests.try_send_request(request).await {
            Ok(response) => Ok(guarded(response, stream)),
            // Handed back unsent: the connection ended before the request left, so sending it again cannot do it twice.
            Err(mut e) if e.message().is_some() => {
                let request = e.take_message().ok_or_else(|| Error::transport("the request was lost"))?;
                let (mut connection, stream) = self.connect_to_any().await?;
                let sent = connection.requests.send_request(request).await;
                sent.map(|r| guarded(r, stream)).map_err(|e| Error::caused("the request was not answered", e))
            }
            Err(e) => Err(Error::caused("the request was not answered", e.into_error())),
        }
    }

    /// Of the certificate that connections show.
    fn generation(&self) -> u64 {
        match &self.credentials {
            Credentials::Certificate(identity) => identity.generation(),
            _ => 0,
        }
    }

    fn open_connection(&self) -> Option<(Connection, Stream)> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        // One that shows an exchanged certificate serves its open streams to their end, and no more.
        let generation = self.generation();
        connections.retain(|c| !c.requests.is_closed() && c.generation == generation);
        let free = connections.iter().find(|c| c.n_streams.load(Ordering::Relaxed) < STREAMS_PER_CONNECTION_MAX)?.clone();
        let stream = Stream::open(&free);
        Some((free, stream))
    }

    /// Tries every server once, beginning with the one that served last.
    async fn connect_to_any(&self) -> Result<(Connection, Stream), Error> {
        let first = self.current.load(Ordering::Relaxed);
        let mut failure = Error::transport("no server to connect to");
        for i in 0..self.servers.len() {
            let idx = (first + i) % self.servers.len();
            let generation = self.generation();
            match self.connect(idx).await {
                Ok(requests) => {
                    self.current.store(idx, Ordering::Relaxed);
                    let connection = Connection { requests, server: idx, n_streams: Arc::default(), generation };
                    let stream = Stream::open(&connection);
                    self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection.clone());
                    return Ok((connection, stream));
                }
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }

    async fn connect(&self, idx: usize) -> Result<SendRequest<Full<Bytes>>, Error> {
        let server = &self.servers[idx];
        let step = |what: &str| format!("cannot connect to `{}`: {what}", server.authority);
        let open = async {
            let tcp = TcpStream::connect(&server.address).await.map_err(|e| Error::caused(step("TCP"), e))?;
            tcp.set_nodelay(true).map_err(|e| Error::caused(step("TCP"), e))?;
            let tls = self.tls.connect(server.name.clone(), tcp).await.map_err(|e| Error::caused(step("TLS"), e))?;
            let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL).keep_alive_timeout(PING_TIME_MAX);
            builder.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
            let (requests, driver) = builder.handshake(TokioIo::new(tls)).await.map_err(|e| Error::caused(step("HTTP/2"), e))?;
            // Ends by itself when the last `SendRequest` and body are dropped or the peer is gone.
            tokio::spawn(async move {
                if let Err(e) = driver.await {
                    tracing::debug!(error = %e, "connection ended");
                }
            });
            Ok(requests)
        };
        tokio::time::timeout(CONNECT_TIME_MAX, open).await.map_err(|_| Error::transport(step("no answer in time")))?
    }

    fn addressed(&self, request: http::Request<Bytes>, server: usize) -> Result<http::Request<Full<Bytes>>, Error> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let uri = Uri::builder().scheme("https").authority(self.servers[server].authority.as_str()).path_and_query(path).build();
        parts.uri = uri.map_err(|e| Error::caused("the request has no usable path", e))?;
        let token = match &self.credentials {
            Credentials::Anonymous | Credentials::Certificate(_) => None,
            Credentials::Token(token) => Some(token.clone()),
            Credentials::TokenFile(file) => {
                let text = std::fs::read_to_string(file);
                Some(text.map_err(|e| Error::caused(format!("cannot read the token file `{}`", file.display()), e))?.trim().to_owned())
            }
        };
        if let Some(token) = token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {token}")).map_err(|e| Error::caused("the token has odd characters", e))?;
            value.set_sensitive(true);
            parts.headers.insert(header::AUTHORIZATION, value);
        }
        Ok(http::Request::from_parts(parts, Full::new(body)))
    }
}

/// Counts one open stream of a connection for as long as it lives.
struct Stream(Arc<AtomicUsize>);

impl Stream {
    fn open(connection: &Connection) -> Self {
        connection.n_streams.fetch_add(1, Ordering::Relaxed);
        Stream(Arc::clone(&connection.n_streams))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that holds its stream's count.
struct Guarded {
    body: hyper::body::Incoming,
    _stream: Stream,
}

fn guarded(response: http::Response<hyper::body::Incoming>, stream: Stream) -> http::Response<Body> {
    response.map(|body| Guarded { body, _stream: stream }.boxed_unsync())
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map(|frame| frame.map(|result| result.map_err(|e| Error::caused("the connection broke off", e))))
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

fn server(url: &str, tls_name: Option<&str>) -> Result<Server, Error> {
    let bad = || Error::transport(format!("`{url}` is no https URL of a server"));
    let uri: Uri = url.parse().map_err(|_| bad())?;
    if uri.scheme_str() != Some("https") {
        return Err(bad());
    }
    let authority = uri.authority().ok_or_else(bad)?.as_str().to_owned();
    let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(tls_name.unwrap_or(&host).to_owned()).map_err(|_| bad())?;
    let address = if host.contains(':') {
        format!("[{host}]:{}", uri.port_u16().unwrap_or(443))
    } else {
        format!("{host}:{}", uri.port_u16().unwrap_or(443))
    };
    Ok(Server { authority, address, name })
}

fn tls_config(target: &Target) -> Result<rustls::ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::caused("cannot set up TLS", e))?;
    let builder = if target.is_insecure {
        builder.dangerous().with_custom_certificate_verifier(pki::trust_anyone::verifier(provider))
    } else {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(target.ca.as_deref().unwrap_or_default()) {
            let certificate = certificate.map_err(|e| Error::caused("the CA is no PEM certificate", e))?;
            roots.add(certificate).map_err(|e| Error::caused("the CA is no usable certificate", e))?;
        }
        builder.with_root_certificates(roots)
    };
    let mut config = match &target.credentials {
        Credentials::Certificate(identity) => pki::tls::with_identity(builder, identity),
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
