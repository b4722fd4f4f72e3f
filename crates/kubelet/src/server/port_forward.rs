//! Port-forwarding: over SPDY, bare or within a web socket, two streams for each connection; or over web socket channels, two a port.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use oci_runtime::spec::SandboxId;
use oci_runtime::status::SandboxState;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::answer::{Body, text};
use super::channels::{self, Encoding, Received};
use super::query::Query;
use super::spdy;
use super::upgrade::{Socket, Wish, to_spdy, to_web_socket, wish};
use crate::agent::Agent;
use crate::error_text::told;
use crate::lock::locked;
use crate::pods::Handle;

const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const WEB_SOCKET: [&str; 3] = [TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
const SPDY: [&str; 1] = ["portforward.k8s.io"];
const CHUNK_BYTES: usize = 32 * 1024;
/// Between a tunnel's web socket and the frames in it.
const TUNNEL_BYTES: usize = 64 * 1024;

/// What a connection is made to.
#[derive(Clone)]
struct Target {
    agent: Agent,
    sandbox: SandboxId,
    pod_uid: String,
    pod_name: String,
}

pub(super) fn answer(agent: &Agent, handle: &Handle, request: Request<Incoming>, query: &Query) -> Response<Body> {
    let sandboxes = locked(&handle.known).sandboxes.clone();
    let is_ready = |id: &SandboxId| agent.node.runtime.pod_sandbox_status(id).is_ok_and(|s| matches!(s.state, SandboxState::Ready { .. }));
    let Some(sandbox) = sandboxes.into_iter().find(is_ready) else {
        return text(StatusCode::NOT_FOUND, "pod is not running");
    };
    let target = Target { agent: agent.clone(), sandbox, pod_uid: handle.pod.uid.clone(), pod_name: handle.pod.name.clone() };
    match wish(&request, &WEB_SOCKET, &SPDY) {
        Err(refusal) => refusal,
        Ok(Wish::Spdy { protocol }) => to_spdy(request, &protocol, move |io| over_spdy(target, io)),
        Ok(Wish::WebSocket { protocol }) if protocol == TUNNEL => {
            to_web_socket(request, &protocol, move |socket| over_spdy(target, tunnel(socket)))
        }
        Ok(Wish::WebSocket { protocol }) => {
            let ports: Vec<u16> =
                query.all("port").chain(query.all("ports")).flat_map(|p| p.split(',')).filter_map(|p| p.parse().ok()).collect();
            if ports.is_empty() {
                return text(StatusCode::BAD_REQUEST, "query parameter \"port\" is required");
            }
            let encoding = Encoding::of(&protocol);
            to_web_socket(request, &protocol, move |socket| over_channels(target, socket, encoding, ports))
        }
    }
}

/// The bytes within a web socket's binary messages, as one stream.
fn tunnel(socket: Socket) -> tokio::io::DuplexStream {
    let (ours, theirs) = tokio::io::duplex(TUNNEL_BYTES);
    let (mut reader, mut writer) = tokio::io::split(ours);
    let (mut sink, mut stream) = socket.split();
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let written = match message {
                Message::Binary(data) => writer.write_all(&data).await,
                Message::Text(text) => writer.write_all(text.as_bytes()).await,
                Message::Close(_) => break,
                _ => Ok(()),
            };
            if written.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    });
    tokio::spawn(async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(n) = reader.read(&mut chunk).await {
            if n == 0 || sink.send(Message::Binary(Bytes::copy_from_slice(&chunk[..n]))).await.is_err() {
                break;
            }
        }
        let _ = sink.close().await;
    });
    theirs
}

/// A connection begins when its error and its data stream are there; `requestid` says which belong together.
async fn over_spdy(target: Target, io: impl AsyncRead + AsyncWrite + Send + 'static) {
    let mut streams = spdy::serve(io);
    let mut halves: HashMap<String, spdy::Stream> = HashMap::new();
    while let Some(stream) = streams.recv().await {
        let header = |name: &str| stream.headers.get(name).cloned().unwrap_or_default();
        let request = match header("requestid") {
            // Clients before 1.5 number their streams in pairs, the error stream first.
            id if id.is_empty() => (if header("streamtype") == "error" { stream.id } else { stream.id.saturating_sub(2) }).to_string(),
            id => id,
        };
        match halves.remove(&request) {
            None => drop(halves.insert(request, stream)),
            Some(other) => {
                let (data, error) = if header("streamtype") == "data" { (stream, other) } else { (other, stream) };
                tokio::spawn(connect(target.clone(), data, error));
            }
        }
    }
}

async fn connect(target: Target, data: spdy::Stream, error: spdy::Stream) {
    let port = data.headers.get("port").and_then(|p| p.parse::<u16>().ok()).unwrap_or(0);
    let outcome = match target.agent.node.runtime.port_forward(&target.sandbox, port).await {
        Ok(connection) => {
            carry(connection, data.incoming, &data.outgoing).await;
            Ok(())
        }
        Err(e) => Err(told(&e)),
    };
    if let Err(why) = outcome {
        let text = format!("error forwarding port {port} to pod {}, uid {}: {why}", target.pod_name, target.pod_uid);
        error.outgoing.write(text.into()).await;
    }
    data.outgoing.finish().await;
    error.outgoing.finish().await;
}

/// Where a client hears what the pod says.
trait Outlet: Sync {
    /// False when nobody listens any more.
    fn tell(&self, data: &[u8]) -> impl Future<Output = bool> + Send;
}

impl Outlet for spdy::Outgoing {
    async fn tell(&self, data: &[u8]) -> bool {
        self.write(Bytes::copy_from_slice(data)).await
    }
}

impl Outlet for (channels::Sender, u8) {
    async fn tell(&self, data: &[u8]) -> bool {
        self.0.send(self.1, data).await
    }
}

/// Both ways, until the pod's side has said all; what the client says goes on until then.
async fn carry(connection: impl AsyncRead + AsyncWrite + Send, mut incoming: mpsc::Receiver<Bytes>, outlet: &impl Outlet) {
    let (mut reader, mut writer) = tokio::io::split(connection);
    let sending = async {
        while let Some(data) = incoming.recv().await {
            if writer.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    let receiving = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(n) = reader.read(&mut chunk).await {
            if n == 0 || !outlet.tell(&chunk[..n]).await {
                return;
            }
        }
    };
    tokio::pin!(receiving);
    tokio::select! {
        () = &mut receiving => {}
        () = sending => receiving.await,
    }
}

/// Channels 2n and 2n + 1 are the data and the errors of the nth port; each begins with the port's number.
async fn over_channels(target: Target, socket: Socket, encoding: Encoding, ports: Vec<u16>) {
    let (sender, mut receiver, writing) = channels::open(socket, encoding);
    let mut inputs = Vec::new();
    for (idx, port) in ports.iter().enumerate() {
        let Ok(channel) = u8::try_from(idx * 2) else { break };
        sender.send(channel, &port.to_le_bytes()).await;
        sender.send(channel + 1, &port.to_le_bytes()).await;
        let (input, from_client) = mpsc::channel(16);
        inputs.push(input);
        tokio::spawn(one_channel(target.clone(), *port, channel, sender.clone(), from_client));
    }
    drop(sender);
    while let Some(received) = receiver.next().await {
        let Received::Data(channel, data) = received else { continue };
        let input = inputs.get(usize::from(channel / 2)).filter(|_| channel % 2 == 0);
        if let Some(input) = input {
            let _ = input.send(data).await;
        }
    }
    drop(inputs);
    let _ = writing.await;
}

async fn one_channel(target: Target, port: u16, channel: u8, sender: channels::Sender, incoming: mpsc::Receiver<Bytes>) {
    let connection = match target.agent.node.runtime.port_forward(&target.sandbox, port).await {
        Ok(connection) => connection,
        Err(e) => {
            let text = format!("error forwarding port {port} to pod {}, uid {}: {}", target.pod_name, target.pod_uid, told(&e));
            sender.send(channel + 1, text.as_bytes()).await;
            return;
        }
    };
    carry(connection, incoming, &(sender, channel)).await;
}
