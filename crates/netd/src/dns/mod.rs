//! The node's DNS server: cluster names from memory, all others from the host's resolvers.
//!
//! Each node answers its own pods, at the cluster's DNS address, which is an address of the node's service link.
//! `reply` turns a question about the cluster into a message, `forward` asks the host's resolvers, `cache` keeps what they said.
//!
//! Invariant: an answer about the cluster needs no I/O and no lock that is held over a wait.

mod cache;
mod forward;
mod reply;
mod transport;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use net_plan::names::Names;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use forward::Forwarder;
use reply::Reply;
use transport::Transport;

/// Largest message over UDP that is neither ours to send nor likely to be cut on its way (the DNS flag day's figure is 1232).
const UDP_BYTES_MAX: usize = 4096;
/// Each connection costs a task and a socket; a pod's resolver opens one for a large answer and closes it.
const CONNECTIONS_MAX: usize = 256;
/// A connection without a question is closed.
const CONNECTION_IDLE: Duration = Duration::from_secs(10);
/// How long until a port that somebody else holds is tried again.
const BIND_RETRY: Duration = Duration::from_secs(2);

/// Names that informers keep up to date and the server reads.
#[derive(Clone)]
pub struct SharedNames(Arc<RwLock<Names>>);

impl SharedNames {
    pub fn new(names: Names) -> Self {
        SharedNames(Arc::new(RwLock::new(names)))
    }
    pub fn read<T>(&self, look: impl FnOnce(&Names) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
    pub fn change(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

pub struct DnsSettings {
    pub addresses: Vec<IpAddr>,
    /// 53, but in tests.
    pub port: u16,
    /// The host's `resolv.conf`; its servers are asked for all names outside the cluster.
    pub resolv_conf: PathBuf,
}

/// The host's resolver configuration that is of use in other network namespaces too: where `/etc/resolv.conf` names the local
/// stub of systemd-resolved, the file that names the servers behind it.
pub fn host_resolv_conf() -> PathBuf {
    const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";
    let usual = Path::new("/etc/resolv.conf");
    let names_stub = std::fs::read_to_string(usual).is_ok_and(|text| text.lines().any(|line| line.trim() == "nameserver 127.0.0.53"));
    if names_stub && Path::new(BEHIND_STUB).exists() { PathBuf::from(BEHIND_STUB) } else { usual.to_owned() }
}

/// Serves until the set is dropped. Tasks wait for an address that is not there yet or a port that is taken, and say so.
pub fn serve(settings: DnsSettings, names: SharedNames) -> JoinSet<()> {
    let forwarder = Forwarder::new(settings.resolv_conf, settings.addresses.clone());
    let server = Arc::new(Server { names, forwarder, connections: Semaphore::new(CONNECTIONS_MAX) });
    let mut tasks = JoinSet::new();
    for ip in settings.addresses {
        let address = SocketAddr::new(ip, settings.port);
        tasks.spawn(serve_udp(Arc::clone(&server), address));
        tasks.spawn(serve_tcp(Arc::clone(&server), address));
    }
    tasks
}

struct Server {
    names: SharedNames,
    forwarder: Forwarder,
    connections: Semaphore,
}

async fn serve_udp(server: Arc<Server>, address: SocketAddr) {
    let socket = Arc::new(bound(address, || UdpSocket::bind(address)).await);
    let mut buffer = [0; UDP_BYTES_MAX];
    // Answers that wait for a resolver; dropped with the server.
    let mut waiting = JoinSet::new();
    loop {
        while waiting.try_join_next().is_some() {}
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        let question = &buffer[..len];
        match reply::from_memory(&server.names, question, Transport::Udp) {
            Reply::Ready(bytes) => drop(socket.send_to(&bytes, from).await),
            Reply::Silence => {}
            Reply::Ask(ask) => {
                let (server, socket, question) = (Arc::clone(&server), Arc::clone(&socket), question.to_vec());
                waiting.spawn(async move {
                    let bytes = reply::with_resolvers(&server.forwarder, ask, &question, Transport::Udp).await;
                    drop(socket.send_to(&bytes, from).await);
                });
            }
        }
    }
}

async fn serve_tcp(server: Arc<Server>, address: SocketAddr) {
    let listener = bound(address, || TcpListener::bind(address)).await;
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let server = Arc::clone(&server);
        open.spawn(async move {
            // One too many is closed at once: the client asks again.
            if let Ok(_place) = server.connections.try_acquire() {
                let _ = converse(&server, stream).await;
            }
        });
    }
}

async fn converse(server: &Server, mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let len = tokio::time::timeout(CONNECTION_IDLE, stream.read_u16()).await??;
        let mut question = vec![0; usize::from(len)];
        tokio::time::timeout(CONNECTION_IDLE, stream.read_exact(&mut question)).await??;
        let bytes = match reply::from_memory(&server.names, &question, Transport::Tcp) {
            Reply::Ready(bytes) => bytes,
            Reply::Silence => return Ok(()),
            Reply::Ask(ask) => reply::with_resolvers(&server.forwarder, ask, &question, Transport::Tcp).await,
        };
        let mut framed = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        tokio::time::timeout(CONNECTION_IDLE, stream.write_all(&framed)).await??;
    }
}

async fn bound<S, F: Future<Output = std::io::Result<S>>>(address: SocketAddr, bind: impl Fn() -> F) -> S {
    let mut is_told = false;
    loop {
        match bind().await {
            Ok(socket) => return socket,
            Err(error) => {
                if !is_told {
                    tracing::warn!(%address, %error, "cannot listen for DNS questions yet; trying on");
                    is_told = true;
                }
                tokio::time::sleep(BIND_RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod fuzz;
