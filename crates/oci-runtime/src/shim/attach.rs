//! Clients attached to a running container: copies of its output, and its input itself.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use super::events::{Shim, Token};
use super::output::Sink;
use crate::protocol::{Answer, Refusal, Stream};

impl Shim {
    /// New readers of the output, and the input itself.
    pub(super) fn attach(&mut self, id: &str) -> Result<(Answer, Vec<OwnedFd>), Refusal> {
        let container = self.find(id)?;
        container.joinable()?;
        let fail = |error: std::io::Error| Refusal::Failed(format!("attach to container `{id}`: {error}"));
        let wanted: &[Stream] = if container.has_terminal { &[Stream::Stdout] } else { &[Stream::Stdout, Stream::Stderr] };
        let (mut streams, mut fds, mut sinks) = (Vec::new(), Vec::new(), Vec::new());
        for stream in wanted {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| fail(error.into()))?;
            rustix::io::ioctl_fionbio(&writer, true).map_err(|error| fail(error.into()))?;
            sinks.push((self.watch_sink(id, &writer)?, Sink::new(*stream, writer)));
            streams.push(*stream);
            fds.push(reader);
        }
        let container = self.containers.get_mut(id).expect("found above");
        container.sinks.extend(sinks);
        if let Some(stdin) = &container.stdin {
            if container.has_terminal || container.takes_stdin {
                streams.push(if container.has_terminal { Stream::Terminal } else { Stream::Stdin });
                fds.push(stdin.try_clone().map_err(fail)?);
            }
            if container.stdin_once && !container.has_terminal {
                // The one attached now holds the only end: when it leaves, the input has ended.
                container.stdin = None;
            }
        }
        Ok((Answer::Session { session: 0, streams }, fds))
    }

    pub(super) fn feed_sinks(&mut self, id: &str, stream: Stream, chunk: &[u8]) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if container.sinks.is_empty() {
            return;
        }
        let (mut behind, mut left) = (Vec::new(), Vec::new());
        for (token, sink) in container.sinks.iter_mut().filter(|(_, sink)| sink.stream == stream) {
            match sink.push(chunk) {
                Ok(()) if sink.is_behind() => behind.push(*token),
                Ok(()) => {}
                Err(_) => left.push(*token),
            }
        }
        left.into_iter().for_each(|token| self.drop_sink(id, token));
        behind.into_iter().for_each(|token| self.pause(id, token));
    }

    /// Waits for a slow reader instead of reading on.
    fn pause(&mut self, id: &str, token: Token) {
        let Some(container) = self.containers.get(id) else { return };
        let Some((_, sink)) = container.sinks.iter().find(|(own, _)| *own == token) else { return };
        self.rewatch(token, &sink.fd, EventFlags::OUT);
        if let Some(output) = container.outputs.iter().find(|output| output.stream == sink.stream) {
            self.rewatch(output.token, &output.fd, EventFlags::empty());
        }
    }

    pub(super) fn flush_sink(&mut self, id: &str, token: Token) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let is_over = container.pid().is_none();
        let Some((_, sink)) = container.sinks.iter_mut().find(|(own, _)| *own == token) else { return };
        // An event without anything to write is the reader's leaving.
        let result = if sink.is_behind() { sink.flush() } else { Err(std::io::ErrorKind::BrokenPipe.into()) };
        match (result, sink.is_behind()) {
            (Ok(()), true) => {}
            (Ok(()), false) if !is_over => self.resume(id, token),
            _ => self.drop_sink(id, token),
        }
    }

    fn resume(&mut self, id: &str, token: Token) {
        let Some(container) = self.containers.get(id) else { return };
        let Some((_, sink)) = container.sinks.iter().find(|(own, _)| *own == token) else { return };
        self.rewatch(token, &sink.fd, EventFlags::empty());
        self.read_on_if_all_keep_up(id, sink.stream);
    }

    fn read_on_if_all_keep_up(&self, id: &str, stream: Stream) {
        let Some(container) = self.containers.get(id) else { return };
        let is_waiting = container.sinks.iter().any(|(_, sink)| sink.stream == stream && sink.is_behind());
        if let (false, Some(output)) = (is_waiting, container.outputs.iter().find(|output| output.stream == stream)) {
            self.rewatch(output.token, &output.fd, EventFlags::IN);
        }
    }

    pub(super) fn drop_sink(&mut self, id: &str, token: Token) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(position) = container.sinks.iter().position(|(own, _)| *own == token) else { return };
        let (_, sink) = container.sinks.swap_remove(position);
        self.read_on_if_all_keep_up(id, sink.stream);
        self.unwatch(token, &sink.fd);
    }
}
