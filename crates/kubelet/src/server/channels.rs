//! Several byte streams over one web socket: each message begins with the number of its channel.
//!
//! `v5.channel.k8s.io` adds a message that closes a channel; the base64 forms carry text for clients in browsers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::upgrade::Socket;

const CLOSE: u8 = 255;
const PENDING_MESSAGES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Binary,
    Base64,
}

impl Encoding {
    pub(super) fn of(protocol: &str) -> Self {
        if protocol.contains("base64") { Encoding::Base64 } else { Encoding::Binary }
    }
}

pub(super) enum Received {
    Data(u8, Bytes),
    /// The client will send no more on this channel.
    Closed(u8),
}

pub(super) struct Receiver {
    stream: SplitStream<Socket>,
    encoding: Encoding,
}

impl Receiver {
    /// `None` when the client is gone. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Received> {
        loop {
            let (channel, data) = match (self.stream.next().await?.ok()?, self.encoding) {
                (Message::Binary(bytes), Encoding::Binary) => (*bytes.first()?, bytes.slice(1..)),
                (Message::Text(text), Encoding::Base64) => {
                    let channel = text.as_bytes().first()?.checked_sub(b'0')?;
                    (channel, STANDARD.decode(&text.as_bytes()[1..]).ok()?.into())
                }
                (Message::Close(_), _) => return None,
                _ => continue,
            };
            return match (channel, data.first()) {
                (CLOSE, Some(closed)) => Some(Received::Closed(*closed)),
                (CLOSE, None) => continue,
                _ => Some(Received::Data(channel, data)),
            };
        }
    }
}

/// Cheap to clone; messages of all clones go out in order.
#[derive(Clone)]
pub(super) struct Sender {
    messages: mpsc::Sender<Message>,
    encoding: Encoding,
}

impl Sender {
    /// False when the client is gone.
    pub(super) async fn send(&self, channel: u8, data: &[u8]) -> bool {
        let message = match self.encoding {
            Encoding::Binary => {
                let mut bytes = BytesMut::with_capacity(1 + data.len());
                bytes.put_u8(channel);
                bytes.put_slice(data);
                Message::Binary(bytes.freeze())
            }
            Encoding::Base64 => Message::text(format!("{}{}", char::from(b'0' + channel), STANDARD.encode(data))),
        };
        self.messages.send(message).await.is_ok()
    }
}

/// The task that writes ends when all senders are gone, with a proper goodbye; await it before the socket's end.
pub(super) fn open(socket: Socket, encoding: Encoding) -> (Sender, Receiver, tokio::task::JoinHandle<()>) {
    let (sink, stream) = socket.split();
    let (messages, to_write) = mpsc::channel(PENDING_MESSAGES_MAX);
    let writing = tokio::spawn(write_all(sink, to_write));
    (Sender { messages, encoding }, Receiver { stream, encoding }, writing)
}

async fn write_all(mut sink: SplitSink<Socket, Message>, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _ = sink.send(Message::Close(Some(goodbye))).await;
    let _ = sink.close().await;
}
