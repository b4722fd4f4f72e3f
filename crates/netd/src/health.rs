//! Answers load balancers that ask whether this node has endpoints of a service (`healthCheckNodePort`). What is said is
//! `net_plan::health`'s; here the ports are opened and closed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use net_plan::health::{self, HealthCheck};
use object::key::ObjectKey;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Somebody who connects and asks nothing is sent away.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const BACKLOG: u32 = 128;

/// A service in one family, as kube-proxy has a server for each.
type Key = (ObjectKey, bool);

pub(crate) struct HealthPorts {
    wanted: BTreeMap<Key, (u16, usize)>,
    open: BTreeMap<Key, Port>,
    /// Whether the kernel has what was planned.
    is_proxy_healthy: watch::Sender<bool>,
}

struct Port {
    number: u16,
    n_local: watch::Sender<usize>,
    /// The listener, and whoever is being answered; all end with this.
    _server: JoinSet<()>,
}

impl HealthPorts {
    pub(crate) fn new() -> Self {
        HealthPorts { wanted: BTreeMap::new(), open: BTreeMap::new(), is_proxy_healthy: watch::Sender::new(false) }
    }

    pub(crate) fn set(&mut self, service: &ObjectKey, check: Option<HealthCheck>) {
        for is_ipv4 in [true, false] {
            let n_local = check.as_ref().and_then(|c| if is_ipv4 { c.n_local_ipv4 } else { c.n_local_ipv6 });
            match check.as_ref().map(|c| c.port).zip(n_local) {
                Some(wanted) => drop(self.wanted.insert((service.clone(), is_ipv4), wanted)),
                None => drop(self.wanted.remove(&(service.clone(), is_ipv4))),
            }
        }
    }

    pub(crate) fn set_proxy_health(&self, is_healthy: bool) {
        self.is_proxy_healthy.send_replace(is_healthy);
    }

    /// Closes and opens what has changed: first closes, for a port may have gone from one service to another. One that cannot be
    /// opened is tried again at the next change of any service.
    pub(crate) fn settle(&mut self) {
        let wanted = &self.wanted;
        self.open.retain(|key, port| wanted.get(key).is_some_and(|(number, _)| *number == port.number));
        for (key, (number, n_local)) in wanted {
            if let Some(port) = self.open.get(key) {
                port.n_local.send_replace(*n_local);
                continue;
            }
            match listen(key.1, *number) {
                Ok(listener) => {
                    let (n_local, counted) = watch::channel(*n_local);
                    let mut server = JoinSet::new();
                    server.spawn(serve(listener, key.0.clone(), counted, self.is_proxy_healthy.subscribe()));
                    self.open.insert(key.clone(), Port { number: *number, n_local, _server: server });
                }
                Err(error) => tracing::warn!(service = %key.0, port = number, %error, "cannot open a health check port"),
            }
        }
    }
}

/// Each family has a socket of its own, for each counts its own endpoints.
fn listen(is_ipv4: bool, port: u16) -> std::io::Result<TcpListener> {
    let (socket, any) = match is_ipv4 {
        true => (TcpSocket::new_v4()?, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        false => {
            let socket = TcpSocket::new_v6()?;
            rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
            (socket, IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        }
    };
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(any, port))?;
    socket.listen(BACKLOG)
}

async fn serve(listener: TcpListener, service: ObjectKey, n_local: watch::Receiver<usize>, is_proxy_healthy: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of file descriptors, most likely: not for long.
                let Ok((stream, _)) = accepted else { tokio::time::sleep(Duration::from_millis(100)).await; continue };
                let (service, n_local, is_proxy_healthy) = (service.clone(), n_local.clone(), is_proxy_healthy.clone());
                let answering = service_fn(move |_| {
                    let response = answer(&service, *n_local.borrow(), *is_proxy_healthy.borrow());
                    async { Ok::<_, Infallible>(response) }
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                connections.spawn(async move { drop(builder.serve_connection(TokioIo::new(stream), answering).await) });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn answer(service: &ObjectKey, n_local: usize, is_proxy_healthy: bool) -> Response<Full<Bytes>> {
    let is_good = n_local > 0 && is_proxy_healthy;
    let body = health::body(&service.namespace, &service.name, n_local, is_proxy_healthy);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    headers.insert("x-load-balancing-endpoint-weight", http::HeaderValue::from(n_local));
    response
}
