//! Pipes and terminals from a shim, as async streams.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::Stream;
use crate::runtime::{BoxFuture, Result, Session, Terminal};

/// A descriptor that is read or written; several may share one (both directions of a terminal).
struct Channel(Arc<AsyncFd<OwnedFd>>);

impl AsyncRead for Channel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let unfilled = buffer.initialize_unfilled();
            match guard.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *unfilled)?)) {
                Ok(Ok(n)) => {
                    buffer.advance(n);
                    return Poll::Ready(Ok(()));
                }
                // So a terminal says that its last program has closed it.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            match guard.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Dropping closes.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Makes a session of the descriptors that came with an answer.
pub(super) fn session(streams: Vec<Stream>, fds: Vec<OwnedFd>, exit: BoxFuture<'static, Result<i32>>) -> io::Result<Session> {
    let mut session = Session { stdin: None, stdout: None, stderr: None, terminal: None, exit };
    let has_stdout = streams.contains(&Stream::Stdout);
    for (stream, fd) in streams.into_iter().zip(fds) {
        rustix::io::ioctl_fionbio(&fd, true)?;
        // SAFETY: an `OwnedFd` gives the same open descriptor for as long as it lives, and the `AsyncFd` owns it.
        let shared = Arc::new(unsafe { AsyncFd::register(fd) }?);
        let channel = || Box::new(Channel(shared.clone()));
        match stream {
            Stream::Stdin => session.stdin = Some(channel()),
            Stream::Stdout => session.stdout = Some(channel()),
            Stream::Stderr => session.stderr = Some(channel()),
            Stream::Terminal => {
                session.stdin = Some(channel());
                if !has_stdout {
                    session.stdout = Some(channel());
                }
                session.terminal = Some(Terminal(Box::new(move |columns, rows| resize(&shared, columns, rows))));
            }
        }
    }
    Ok(session)
}

fn resize(terminal: &AsyncFd<OwnedFd>, columns: u16, rows: u16) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let result: Result<(), Errno> = tcsetwinsize(terminal.get_ref(), size);
    Ok(result?)
}
