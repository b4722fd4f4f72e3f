//! Connections: TLS, HTTP/2 and 1.1, timeouts, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::ApiServer;
use crate::body::RequestBody;
use crate::gathered::Gathered;
use crate::handler::Peer;
use crate::users::user_of_certificate;

/// A client that does not finish its handshake or its request head in this time is cut off.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Upstream: `http2.Server.MaxConcurrentStreams` of kube-apiserver.
const N_STREAMS_MAX: u32 = 250;
/// Each open connection is a file; this leaves room below the usual limit of 65,536 for everything else.
const N_CONNECTIONS_MAX: usize = 50_000;
/// How long requests under way may take when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Dead peers of idle connections are noticed after this.
const PING_EVERY: Duration = Duration::from_secs(30);

/// TLS of one listener.
pub type Tls = Arc<ServerConfig>;

impl ApiServer {
    /// Serves until `stop` says so, then drains.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Tls, mut stop: watch::Receiver<bool>) {
        let acceptor = TlsAcceptor::from(tls);
        let permits = Arc::new(Semaphore::new(N_CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut stop) => break,
            };
            while connections.try_join_next().is_some() {}
            match (accepted, Arc::clone(&permits).try_acquire_owned()) {
                (Ok((stream, peer)), Ok(permit)) => {
                    let (server, acceptor, stop) = (Arc::clone(&self), acceptor.clone(), stop.clone());
                    connections.spawn(async move {
                        server.connection(stream, peer, acceptor, stop).await;
                        drop(permit);
                    });
                }
                (Ok((_, peer)), Err(_)) => tracing::warn!(%peer, "too many connections: one was refused"),
                (Err(error), _) => {
                    // Out of file handles, mostly: others must end first.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        self.is_stopping.store(true, Ordering::Release);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            tracing::info!("requests still under way were cut off at the end");
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, acceptor: TlsAcceptor, mut stop: watch::Receiver<bool>) {
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let (user, until) = certificate.and_then(|der| user_of_certificate(der)).unzip();
        let ip = peer.ip().to_canonical();
        let client = Peer { user: user.map(Arc::new), until, ip: Some(ip), is_near: false };
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, client) = (Arc::clone(&self), client.clone());
            async move {
                let (parts, body) = request.into_parts();
                Ok::<_, std::convert::Infallible>(server.handle(parts, RequestBody::Incoming(body), client).await)
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(N_STREAMS_MAX)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY);
        let stream = Gathered::new(stream);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream.clone()), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = stream.drive(connection.as_mut()) => ended,
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                stream.drive(connection).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, error = %error, "a connection ended with an error");
        }
    }
}

/// Returns when the server is to stop, also when whoever says so is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
