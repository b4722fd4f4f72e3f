//! The node agent's own HTTPS server: logs, exec, attach, port-forward, pods, figures. Nobody is let in without credentials.

mod answer;
mod channels;
mod configz;
mod container_logs;
mod exec;
mod gate;
mod metrics;
mod port_forward;
mod query;
mod spdy;
mod stats;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use object::key::ObjectKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::agent::Agent;
use crate::pods::Handle;
use answer::{Body, text};
use gate::{Certified, Gate};
use query::Query;

const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Serves until it is dropped. `tls` asks clients for certificates but lets them come without one.
pub async fn serve(agent: Agent, listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
    let server = Arc::new(Server { gate: Gate::new(&agent.node.client, &agent.node.clock), agent });
    let acceptor = tokio_rustls::TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(Arc::clone(&server), acceptor.clone(), stream))),
                Err(e) => {
                    // Out of file descriptors, most likely: not for long.
                    tracing::warn!(error = %e, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

struct Server {
    agent: Agent,
    gate: Gate,
}

async fn connection(server: Arc<Server>, acceptor: tokio_rustls::TlsAcceptor, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await else { return };
    let certified = Arc::new(Certified::of(stream.get_ref().1.peer_certificates()));
    let service = service_fn(move |request| {
        let (server, certified) = (Arc::clone(&server), Arc::clone(&certified));
        async move { Ok::<_, std::convert::Infallible>(server.answer(request, &certified).await) }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    if let Err(e) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(error = %e, "a connection broke off");
    }
}

impl Server {
    async fn answer(&self, request: Request<Incoming>, certified: &Certified) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if let Err(refusal) = self.gate.admit(&request, certified, &path, &self.agent.node.config.node_name).await {
            return refusal;
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let is_get = request.method() == Method::GET;
        match (is_get, parts.as_slice()) {
            (_, ["exec", namespace, pod, rest @ ..]) => self.stream(exec::Kind::Exec, request, namespace, pod, rest, query),
            (_, ["attach", namespace, pod, rest @ ..]) => self.stream(exec::Kind::Attach, request, namespace, pod, rest, query),
            (_, ["portForward", namespace, pod, ..]) => match self.pod(namespace, pod) {
                Ok(handle) => port_forward::answer(&self.agent, &handle, request, &query),
                Err(refusal) => refusal,
            },
            (true, ["containerLogs", namespace, pod, container]) => match self.pod(namespace, pod) {
                Ok(handle) => container_logs::answer(&self.agent, &handle, container, &query).await,
                Err(refusal) => refusal,
            },
            (true, ["healthz" | "livez" | "readyz", ..]) => text(StatusCode::OK, "ok"),
            (true, ["pods" | "runningpods"]) => stats::pods(&self.agent),
            (true, ["configz"]) => answer::json(&configz::of(&self.agent)),
            (true, ["stats", "summary"]) => stats::summary(&self.agent).await,
            (true, ["metrics"]) => metrics::metrics(&self.agent),
            (true, ["metrics", "resource"]) => metrics::resource_metrics(&self.agent),
            (true, ["metrics", "cadvisor"]) => metrics::cadvisor_metrics(&self.agent),
            (true, ["metrics", "probes"]) => text(StatusCode::OK, ""),
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    #[expect(clippy::result_large_err, reason = "the refusal is the answer itself; there is one a request")]
    fn pod(&self, namespace: &str, name: &str) -> Result<Handle, Response<Body>> {
        let found = self.agent.pods.find(&ObjectKey::new(namespace, name));
        found.ok_or_else(|| text(StatusCode::NOT_FOUND, &format!("pod \"{name}_{namespace}\" not found")))
    }

    /// The path ends in the container, with the pod's uid before it or not.
    fn stream(
        &self,
        kind: exec::Kind,
        request: Request<Incoming>,
        namespace: &str,
        pod: &str,
        rest: &[&str],
        query: Query,
    ) -> Response<Body> {
        let handle = match self.pod(namespace, pod) {
            Ok(handle) => handle,
            Err(refusal) => return refusal,
        };
        match rest.last() {
            Some(container) => exec::answer(&self.agent, &handle, kind, container, request, &query),
            None => text(StatusCode::BAD_REQUEST, "missing container name"),
        }
    }
}
