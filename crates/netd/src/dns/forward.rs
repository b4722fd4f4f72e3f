//! Questions about the rest of the world go to the host's resolvers, as they are, and so do the answers come back.
//!
//! An answer is kept for a while (`cache`). Each question that is passed on has a socket, and so a port, of its own, which makes
//! answers hard to forge.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::cache::Cache;
use super::transport::Transport;

const PORT: u16 = 53;
/// As upstream's configuration has it (`max_concurrent 1000`). One more is told to try again.
const QUESTIONS_MAX: usize = 1000;
/// A resolver that has not answered by then is left for the next. Clients wait five seconds.
const TRY_TIMEOUT: Duration = Duration::from_millis(1500);
/// Rounds over all resolvers.
const ROUNDS: usize = 2;
/// The C library reads no more either.
const RESOLVERS_MAX: usize = 3;
const MESSAGE_BYTES_MAX: usize = 65_535;

pub(super) struct Forwarder {
    resolv_conf: PathBuf,
    /// Never asked: that would be ourselves.
    own: Vec<IpAddr>,
    questions: Semaphore,
    resolvers: Mutex<Resolvers>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Resolvers {
    read_at: Option<SystemTime>,
    list: Vec<SocketAddr>,
    /// Which one answered last.
    good: usize,
}

impl Forwarder {
    pub(super) fn new(resolv_conf: PathBuf, own: Vec<IpAddr>) -> Self {
        Forwarder { resolv_conf, own, questions: Semaphore::new(QUESTIONS_MAX), resolvers: Mutex::default(), cache: Mutex::default() }
    }

    /// An answer that is known, or that of the first resolver that gives one.
    pub(super) async fn ask(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        if let Some(answer) = self.cache().get(question, transport, Instant::now()) {
            return Some(answer);
        }
        let answer = self.ask_resolvers(question, transport).await?;
        self.cache().keep(question, transport, &answer, Instant::now());
        Some(answer)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_resolvers(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let _place = self.questions.try_acquire().ok()?;
        let (resolvers, good) = self.resolvers();
        for turn in 0..ROUNDS * resolvers.len() {
            let at = (good + turn) % resolvers.len();
            let answer = match timeout(TRY_TIMEOUT, over_udp(resolvers[at], question)).await {
                // A client over UDP is given the cut answer, as it then asks over TCP.
                Ok(Ok(answer)) if is_cut(&answer) && transport == Transport::Tcp => {
                    timeout(TRY_TIMEOUT, over_tcp(resolvers[at], question)).await
                }
                outcome => outcome,
            };
            if let Ok(Ok(answer)) = answer {
                self.resolvers.lock().unwrap_or_else(PoisonError::into_inner).good = at;
                return Some(answer);
            }
        }
        None
    }

    /// The resolvers of the host's file as it stands: networks come and go.
    fn resolvers(&self) -> (Vec<SocketAddr>, usize) {
        let mut resolvers = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
        let changed_at = std::fs::metadata(&self.resolv_conf).and_then(|facts| facts.modified()).ok();
        if changed_at.is_none() || changed_at != resolvers.read_at {
            let text = std::fs::read_to_string(&self.resolv_conf).unwrap_or_default();
            *resolvers = Resolvers { read_at: changed_at, list: name_servers(&text, &self.own), good: 0 };
        }
        (resolvers.list.clone(), resolvers.good)
    }
}

/// A port may follow in brackets, `[10.0.0.1]:5353`, as some resolvers understand it.
pub(super) fn name_servers(text: &str, own: &[IpAddr]) -> Vec<SocketAddr> {
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.split_ascii_whitespace().next());
    let addresses = words.filter_map(|word| match word.strip_prefix('[').and_then(|word| word.split_once("]:")) {
        Some((ip, port)) => Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)),
        None => Some(SocketAddr::new(word.split('%').next()?.parse().ok()?, PORT)),
    });
    addresses.filter(|address| !own.contains(&address.ip())).take(RESOLVERS_MAX).collect()
}

async fn over_udp(resolver: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = if resolver.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if answers(question, &buffer[..len]) {
            buffer.truncate(len);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(resolver: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    let mut framed = u16::try_from(question.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    framed.extend_from_slice(question);
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Same id, and a response; the kernel has seen to it that it comes from the resolver.
fn answers(question: &[u8], message: &[u8]) -> bool {
    message.len() >= 12 && message[..2] == question[..2] && message[2] & 0x80 != 0
}

fn is_cut(message: &[u8]) -> bool {
    message[2] & 0x02 != 0
}
