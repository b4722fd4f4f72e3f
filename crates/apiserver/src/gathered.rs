//! Writes of one connection, gathered over a turn of its task.
//!
//! HTTP/2 writes and flushes frame by frame, and each would be a TLS record and a system call of its own: with a hundred watchers
//! on a connection that is most of what an event costs. So while the connection's future is polled, small writes are only kept, and
//! sent together behind it. Where others keep adding to them they are held for a turn more, in which all that are ready have theirs;
//! where one client asks and waits, a turn more would only cost.
//!
//! ```text
//! frames of this turn --> waiting --a record is full, or the turn is over--> TLS
//!                                   held for a turn more while that pays, and tried now and then
//! ```
//!
//! Invariant: nothing waits while nobody drives the connection: what writes after that (an upgraded stream) writes through.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The content of the longest TLS record.
const FULL_LEN: usize = 16 * 1024;
/// To copy more than this costs as much as it saves.
const SMALL_LEN_MAX: usize = 4 * 1024;
/// Turns that nobody adds to before holding counts as useless, and turns without it before it is tried again.
const N_USELESS_MAX: u32 = 8;
const TRY_EVERY: u32 = 64;

pub(crate) struct Gathered<S>(Arc<Mutex<State<S>>>);

struct State<S> {
    stream: S,
    waiting: Vec<u8>,
    n_sent: usize,
    /// Bytes that ever waited here.
    n_kept: usize,
    is_driven: bool,
}

/// Whether to hold what waits for a turn more.
struct Holding {
    /// What had been kept when it was held last, until that turn is over.
    since: Option<usize>,
    n_useless: u32,
    n_at_once: u32,
}

impl Holding {
    fn new() -> Self {
        Holding { since: None, n_useless: N_USELESS_MAX, n_at_once: 0 }
    }

    /// After a turn that left something to send.
    fn is_held(&mut self, n_kept: usize) -> bool {
        if let Some(before) = self.since.take() {
            self.n_useless = if n_kept > before { 0 } else { (self.n_useless + 1).min(N_USELESS_MAX) };
            self.n_at_once = 0;
            return false;
        }
        self.n_at_once += 1;
        if self.n_useless < N_USELESS_MAX || self.n_at_once > TRY_EVERY {
            self.since = Some(n_kept);
        }
        self.since.is_some()
    }
}

impl<S> Clone for Gathered<S> {
    fn clone(&self) -> Self {
        Gathered(Arc::clone(&self.0))
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    pub(crate) fn new(stream: S) -> Self {
        Gathered(Arc::new(Mutex::new(State { stream, waiting: Vec::new(), n_sent: 0, n_kept: 0, is_driven: false })))
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what writes here to its end.
    pub(crate) async fn drive<F: Future + Unpin>(&self, mut connection: F) -> F::Output {
        let mut holding = Holding::new();
        poll_fn(|cx| {
            self.lock().is_driven = true;
            let polled = Pin::new(&mut connection).poll(cx);
            let mut state = self.lock();
            state.is_driven = false;
            if !state.waiting.is_empty() {
                if holding.is_held(state.n_kept) && polled.is_pending() {
                    cx.waker().wake_by_ref();
                } else {
                    // An error shows at the next write, and what is not sent yet goes on when this task is woken.
                    let _ = state.send(cx);
                }
            }
            polled
        })
        .await
    }
}

impl<S: AsyncWrite + Unpin> State<S> {
    /// Sends what waits, down to the socket.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.pass_on(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.n_sent < self.waiting.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting[self.n_sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.n_sent += n,
            }
        }
        // Idle connections keep no room.
        (self.waiting, self.n_sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut state.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if !state.is_driven || len > SMALL_LEN_MAX {
            ready!(state.pass_on(cx))?;
            return Pin::new(&mut state.stream).poll_write_vectored(cx, bufs);
        }
        if state.waiting.len() + len > FULL_LEN {
            ready!(state.pass_on(cx))?;
        }
        state.n_kept = state.n_kept.wrapping_add(len);
        bufs.iter().for_each(|buf| state.waiting.extend_from_slice(buf));
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if state.is_driven && !state.waiting.is_empty() { Poll::Ready(Ok(())) } else { state.send(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        ready!(state.send(cx))?;
        Pin::new(&mut state.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[test]
    fn what_waits_is_held_while_others_add_to_it() {
        let mut holding = Holding::new();
        let mut n_kept = 0;
        // How often it was held in so many turns, when as much is added in each turn, and in one that it was held for.
        let mut n_held = |n_turns: usize, added_meanwhile: usize| {
            let mut n_held = 0;
            for _ in 0..n_turns {
                n_kept += 1;
                if holding.is_held(n_kept) {
                    n_kept += added_meanwhile;
                    assert!(!holding.is_held(n_kept), "one turn is enough");
                    n_held += 1;
                }
            }
            n_held
        };
        assert_eq!(n_held(650, 0), 10, "it is only tried");
        assert_eq!(n_held(165, 1), 101, "it pays from the first try on");
        assert_eq!(n_held(8, 0), 8);
        assert_eq!(n_held(64, 0), 0);
    }

    #[tokio::test]
    async fn small_writes_of_a_turn_are_sent_together() {
        let (near, mut far) = duplex(64 * 1024);
        let gathered = Gathered::new(near);
        let mut writer = gathered.clone();
        let (wake, woken) = tokio::sync::oneshot::channel::<()>();
        let work = async move {
            for _ in 0..3 {
                writer.write_all(b"frame").await?;
                writer.flush().await?;
            }
            let _ = woken.await;
            writer.write_all(&[7; SMALL_LEN_MAX + 1]).await?;
            writer.write_all(b"last").await?;
            io::Result::Ok(writer)
        };
        let driven = tokio::spawn(async move { gathered.drive(Box::pin(work)).await });
        let mut seen = [0; 64];
        let n = far.read(&mut seen).await.expect("it is open");
        assert_eq!(&seen[..n], b"frameframeframe");
        wake.send(()).expect("it waits");
        let mut writer = driven.await.expect("no panic").expect("no fault");
        writer.write_all(b"after").await.expect("it is open");
        drop(writer);
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.expect("it is open");
        assert_eq!((rest.len(), &rest[SMALL_LEN_MAX + 1..]), (SMALL_LEN_MAX + 10, b"lastafter".as_slice()));
    }
}
