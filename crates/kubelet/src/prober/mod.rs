//! Probes as they are carried out: exec in the container; HTTP, TCP and gRPC from the node. Texts are upstream's.
//!
//! What a verdict leads to is decided in `pod-plan`.

mod grpc;
mod http;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use oci_runtime::runtime::{BoxFuture, Error, Runtime};
use oci_runtime::spec::ContainerId;
use tokio::net::TcpStream;

use crate::error_text::told;
use crate::seams::{ProbeAnswer, ProbeRequest, Prober};

/// Of a command's output and of an HTTP body, no more is looked at.
const OUTPUT_BYTES_MAX: usize = 10 << 10;

pub struct HostProber {
    runtime: Arc<dyn Runtime>,
    tls: Arc<rustls::ClientConfig>,
}

impl HostProber {
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        HostProber { runtime, tls: pki::trust_anyone::tls() }
    }
}

impl Prober for HostProber {
    fn probe(&self, request: ProbeRequest) -> BoxFuture<'static, ProbeAnswer> {
        let (runtime, tls) = (Arc::clone(&self.runtime), Arc::clone(&self.tls));
        Box::pin(async move {
            let probe = &request.probe;
            if let Some(exec) = &probe.exec {
                return by_command(runtime.as_ref(), &request.container_id, exec.command.clone().unwrap_or_default(), timeout(probe)).await;
            }
            if let Some(get) = &probe.http_get {
                return http::probe(&request, get, timeout(probe), tls).await;
            }
            if let Some(socket) = &probe.tcp_socket {
                return by_connection(&request, socket.host.as_deref(), &socket.port, timeout(probe)).await;
            }
            if let Some(grpc) = &probe.grpc {
                let Some(ip) = request.pod_ip else { return ProbeAnswer::Error("the pod has no address".to_owned()) };
                return grpc::probe(ip, grpc, timeout(probe)).await;
            }
            ProbeAnswer::Error("missing probe handler".to_owned())
        })
    }
}

fn timeout(probe: &Probe) -> Duration {
    Duration::from_secs(u64::try_from(probe.timeout_seconds.unwrap_or(1)).unwrap_or(1).max(1))
}

async fn by_command(runtime: &dyn Runtime, id: &ContainerId, command: Vec<String>, timeout: Duration) -> ProbeAnswer {
    let shown = command.join(" ");
    match runtime.exec_sync(id, command, Some(timeout)).await {
        Ok(output) if output.exit_code == 0 => ProbeAnswer::Success,
        Ok(output) => {
            let mut text = [output.stdout, output.stderr].concat();
            text.truncate(OUTPUT_BYTES_MAX);
            ProbeAnswer::Failure(String::from_utf8_lossy(&text).into_owned())
        }
        Err(Error::DeadlineExceeded(_)) => {
            ProbeAnswer::Failure(format!("command timed out: {shown:?} timed out after {}s", timeout.as_secs()))
        }
        Err(e) => ProbeAnswer::Error(told(&e)),
    }
}

async fn by_connection(request: &ProbeRequest, host: Option<&str>, port: &IntOrString, timeout: Duration) -> ProbeAnswer {
    let port = match port_number(port, &request.container) {
        Ok(port) => port,
        Err(text) => return ProbeAnswer::Error(text),
    };
    let host = host_or_pod(host, request.pod_ip);
    match dial(&host, port, timeout).await {
        Ok(_) => ProbeAnswer::Success,
        Err(text) => ProbeAnswer::Failure(text),
    }
}

fn host_or_pod(host: Option<&str>, pod_ip: Option<IpAddr>) -> String {
    host.filter(|h| !h.is_empty()).map_or_else(|| pod_ip.map(|ip| ip.to_string()).unwrap_or_default(), str::to_owned)
}

/// By number, or by the name of a port of the container.
fn port_number(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name)).map(|p| p.container_port);
            named.or_else(|| name.parse().ok())
        }
    };
    let valid = number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0);
    valid.ok_or_else(|| match port {
        IntOrString::Int(number) => format!("invalid port number: {number}"),
        IntOrString::String(name) => format!("couldn't find port: {name}"),
    })
}

fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Failures read as Go's net package says them.
async fn dial(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, String> {
    let address = joined(host, port);
    let connected = match host.parse::<IpAddr>() {
        Ok(ip) => tokio::time::timeout(timeout, TcpStream::connect(SocketAddr::new(ip, port))).await,
        Err(_) => tokio::time::timeout(timeout, TcpStream::connect(address.clone())).await,
    };
    match connected {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) => Err(format!("dial tcp {address}: {}", reason(&e))),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

fn reason(e: &std::io::Error) -> String {
    match e.kind() {
        ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        ErrorKind::ConnectionReset => "connect: connection reset by peer".to_owned(),
        _ => e.to_string(),
    }
}
