//! A client of the node agent's own server, with a certificate.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use pki::Leaf;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::cluster::{Cluster, loopback};

pub(crate) type Tls = tokio_rustls::client::TlsStream<TcpStream>;

pub(crate) async fn connect(cluster: &Cluster, user: Option<(&str, &str)>) -> Tls {
    let now = object::time::Clock::system().now();
    let pair = user.map(|(name, group)| cluster.authority.issue(&Leaf::client(name, group), now).expect("a certificate"));
    let identity = pair.map(|pair| pki::Identity::new(&pair).expect("an identity"));
    let config = pki::tls::client(cluster.authority.certificate_pem(), identity.as_ref(), pki::tls::Protocols::Http1).expect("settings");
    let stream = TcpStream::connect(cluster.address).await.expect("connects");
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
    connector.connect(loopback().into(), stream).await.expect("a handshake")
}

pub(crate) async fn get(cluster: &Cluster, user: Option<(&str, &str)>, path: &str) -> (StatusCode, String) {
    let stream = connect(cluster, user).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "node-1").body(Empty::<Bytes>::new()).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

pub(crate) const ADMIN: Option<(&str, &str)> = Some(("admin", "system:masters"));

pub(crate) async fn get_logs(cluster: &Cluster, pod: &str, query: &str) -> String {
    get(cluster, ADMIN, &format!("/containerLogs/default/{pod}/main{query}")).await.1
}

pub(crate) async fn socket(cluster: &Cluster, path: &str, protocol: &str) -> WebSocketStream<Tls> {
    let stream = connect(cluster, ADMIN).await;
    let mut request =
        tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(format!("wss://node-1{path}")).expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a value"));
    let (socket, response) = client_async(request, stream).await.expect("a socket");
    assert_eq!(response.headers().get("sec-websocket-protocol").and_then(|v| v.to_str().ok()), Some(protocol));
    socket
}

/// All that comes until the server says goodbye: standard output, standard error, the last status.
pub(crate) async fn drain(socket: &mut WebSocketStream<Tls>) -> (String, String, String) {
    let mut channels = [String::new(), String::new(), String::new(), String::new()];
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(data) => channels[usize::from(data[0])].push_str(&String::from_utf8_lossy(&data[1..])),
            Message::Close(_) => break,
            _ => {}
        }
    }
    let [_, stdout, stderr, status] = channels;
    (stdout, stderr, status)
}

pub(crate) async fn say(socket: &mut WebSocketStream<Tls>, channel: u8, data: &[u8]) {
    let mut message = vec![channel];
    message.extend_from_slice(data);
    socket.send(Message::Binary(message.into())).await.expect("sent");
}
