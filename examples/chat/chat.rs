//! A chat in one file: a page, a list of messages, and peers that tell each other what was said.
//!
//! Compile with `rustc -O -C target-feature=+crt-static chat.rs`. Environment: `PORT` (8080), `ROOM` (a title), `PEERS` (a name
//! whose addresses are all replicas, `chat-peers:8080`: every message is passed on to them, so each replica shows all).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const MESSAGES_MAX: usize = 1000;
const MESSAGE_BYTES_MAX: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Room {
    /// Ids are given once by the replica that heard the message first, so that passing on twice is harmless.
    messages: Mutex<Vec<(String, String)>>,
    news: Condvar,
}

fn main() {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let (port, host) = (setting("PORT", "8080"), setting("HOSTNAME", "chat"));
    let listener = TcpListener::bind(format!("[::]:{port}")).or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}"))).expect("the port is free");
    println!("{host} listens on {port}");
    let room = Arc::new(Room::default());
    for stream in listener.incoming().flatten() {
        let (room, host) = (room.clone(), host.clone());
        std::thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = answer(stream, &room, &host);
        });
    }
}

fn answer(stream: TcpStream, room: &Room, host: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("/").to_owned());
    let (mut length, mut id) = (0, None);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "x-message-id" => id = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = String::new();
    reader.by_ref().take(MESSAGE_BYTES_MAX.min(length)).read_to_string(&mut body)?;
    let (kind, text) = match (method.as_str(), path.split('?').next().unwrap_or("")) {
        ("GET", "/") => ("text/html; charset=utf-8", page(host)),
        ("GET", "/healthz") => ("text/plain", format!("{host} is well\n")),
        ("GET", "/messages") => ("text/plain; charset=utf-8", listen(room, &path)),
        ("POST", "/messages") => {
            hear(room, host, id, body.trim());
            ("text/plain", "ok\n".to_owned())
        }
        _ => ("text/plain", format!("{host} knows no {path}\n")),
    };
    let stream = reader.get_mut();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\nX-Pod: {host}\r\n\r\n{text}", text.len())
}

/// All messages after `?after=N`, waiting a while for the next one.
fn listen(room: &Room, path: &str) -> String {
    let after: usize = path.split_once("after=").and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
    let messages = room.messages.lock().expect("nobody panics with it");
    let (messages, _) = room.news.wait_timeout_while(messages, Duration::from_secs(20), |m| m.len() <= after && path.contains("wait")).expect("the same");
    let mut text = format!("{}\n", messages.len());
    messages.iter().skip(after).for_each(|(_, message)| {
        text.push_str(&message.replace('\n', " "));
        text.push('\n');
    });
    text
}

fn hear(room: &Room, host: &str, id: Option<String>, message: &str) {
    let first = id.is_none();
    let mut messages = room.messages.lock().expect("nobody panics with it");
    let id = id.unwrap_or_else(|| format!("{host}-{}", messages.len()));
    if message.is_empty() || messages.len() >= MESSAGES_MAX || messages.iter().any(|(known, _)| *known == id) {
        return;
    }
    messages.push((id.clone(), message.to_owned()));
    room.news.notify_all();
    drop(messages);
    if let (true, Ok(peers)) = (first, std::env::var("PEERS")) {
        let message = message.to_owned();
        std::thread::spawn(move || {
            for peer in peers.to_socket_addrs().into_iter().flatten() {
                if let Ok(mut stream) = TcpStream::connect_timeout(&peer, PATIENCE) {
                    let _ = write!(stream, "POST /messages HTTP/1.1\r\nHost: chat\r\nX-Message-Id: {id}\r\nContent-Length: {}\r\n\r\n{message}", message.len());
                    let _ = stream.read(&mut [0; 64]);
                }
            }
        });
    }
}

fn page(host: &str) -> String {
    let room = std::env::var("ROOM").unwrap_or_else(|_| "Chat".to_owned());
    PAGE.replace("{room}", &room).replace("{host}", host)
}

const PAGE: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{room}</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;background:#f6f7f9;color:#1c2733}
h1{font-size:1.4rem}small{color:#68788a}#log{background:#fff;border-radius:.6rem;padding:1rem;min-height:14rem;white-space:pre-wrap}
form{display:flex;gap:.5rem;margin-top:1rem}input{flex:1;font:inherit;padding:.5rem .8rem;border:1px solid #cbd3dc;border-radius:.4rem}
button{font:inherit;padding:.5rem 1.2rem;border:0;border-radius:.4rem;background:#2563eb;color:#fff}</style></head>
<body><h1>{room}</h1><div id="log" aria-live="polite"></div>
<form><input id="text" autocomplete="off" placeholder="Say something" aria-label="Message"><button>Send</button></form>
<p><small>This page came from pod {host}.</small></p><script>
let seen = 0; const log = document.getElementById('log'), text = document.getElementById('text');
async function listen() { for (;;) { try {
  const lines = (await (await fetch('/messages?wait&after=' + seen)).text()).split('\n');
  const total = Number(lines[0]);
  if (total < seen) { seen = 0; log.textContent = ''; continue; }
  log.textContent += lines.slice(1).join('\n'); seen = total;
} catch { await new Promise(again => setTimeout(again, 500)); } } }
document.querySelector('form').onsubmit = event => { event.preventDefault();
  if (text.value) fetch('/messages', { method: 'POST', body: text.value }); text.value = ''; };
listen();</script></body></html>
"#;
