//! The trait's words, each handed to the part that does it; and what needs no part of its own.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::broadcast;

use super::{ANSWER_TIMEOUT, EmbeddedRuntime, START_TIMEOUT, blocking, io_error, streams};
use crate::protocol::{Answer, Request};
use crate::runtime::{BoxFuture, Duplex, Error, Event, ExecOutput, ExecRequest, Result, Runtime, Session};
use crate::spec::{ContainerConfig, ContainerId, Resources, SandboxConfig, SandboxId};
use crate::status::{ContainerStatus, SandboxStatus, Stats};

/// Output of a command that is kept, a stream. Upstream's limit.
const EXEC_OUTPUT_BYTES_MAX: usize = 16 << 20;
/// After a command has ended, something it left behind may hold its output open.
const EXEC_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

impl Runtime for EmbeddedRuntime {
    fn run_pod_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxId>> {
        Box::pin(self.make_sandbox(config))
    }

    fn stop_pod_sandbox(&self, id: &SandboxId) -> BoxFuture<'_, Result<()>> {
        let id = id.clone();
        Box::pin(async move { self.stop_sandbox(&id).await })
    }

    fn remove_pod_sandbox(&self, id: &SandboxId) -> BoxFuture<'_, Result<()>> {
        let id = id.clone();
        Box::pin(async move { self.forget_sandbox(&id).await })
    }

    fn list_pod_sandboxes(&self) -> Vec<SandboxStatus> {
        self.model().sandboxes.values().map(|sandbox| sandbox.status.clone()).collect()
    }

    fn pod_sandbox_status(&self, id: &SandboxId) -> Result<SandboxStatus> {
        self.model().sandbox(id).map(|sandbox| sandbox.status.clone())
    }

    fn create_container(&self, sandbox: &SandboxId, config: ContainerConfig) -> BoxFuture<'_, Result<ContainerId>> {
        let sandbox = sandbox.clone();
        Box::pin(async move { self.make_container(&sandbox, config).await })
    }

    fn start_container(&self, id: &ContainerId) -> BoxFuture<'_, Result<()>> {
        let id = id.clone();
        Box::pin(async move { self.start(&id).await })
    }

    fn stop_container(&self, id: &ContainerId, signal: i32, grace: Duration) -> BoxFuture<'_, Result<()>> {
        let id = id.clone();
        Box::pin(async move { self.stop(&id, signal, grace).await })
    }

    fn remove_container(&self, id: &ContainerId) -> BoxFuture<'_, Result<()>> {
        let id = id.clone();
        Box::pin(async move { self.forget_container(&id).await })
    }

    fn list_containers(&self) -> Vec<ContainerStatus> {
        self.model().containers.values().cloned().collect()
    }

    fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus> {
        self.model().container(id).cloned()
    }

    fn update_container_resources(&self, id: &ContainerId, resources: Resources) -> BoxFuture<'_, Result<()>> {
        let cgroup = self.model().place(id).map(|(_, sandbox)| sandbox.cgroup.child(&id.0));
        let cgroups = self.shared.cgroups.clone();
        Box::pin(async move {
            let cgroup = cgroup?;
            blocking(move || cgroups.update(&cgroup, &resources).map_err(Error::WrongState)).await
        })
    }

    fn update_sandbox_resources(&self, id: &SandboxId, resources: Resources) -> BoxFuture<'_, Result<()>> {
        let cgroup = self.model().sandbox(id).map(|sandbox| sandbox.cgroup.clone());
        let cgroups = self.shared.cgroups.clone();
        Box::pin(async move {
            let cgroup = cgroup?;
            blocking(move || cgroups.update(&cgroup, &resources).map_err(Error::WrongState)).await
        })
    }

    fn container_stats(&self, id: &ContainerId) -> Result<Stats> {
        let cgroup = self.model().place(id).map(|(_, sandbox)| sandbox.cgroup.child(&id.0))?;
        self.shared.cgroups.stats(&cgroup).ok_or_else(|| Error::WrongState(format!("container `{}` is not running", id.0)))
    }

    fn sandbox_stats(&self, id: &SandboxId) -> Result<Stats> {
        let cgroup = self.model().sandbox(id).map(|sandbox| sandbox.cgroup.clone())?;
        self.shared.cgroups.stats(&cgroup).ok_or_else(|| Error::WrongState(format!("sandbox `{}` is not running", id.0)))
    }

    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session>> {
        Box::pin(async move { self.start_session(request).await.map(|(_, session)| session) })
    }

    fn exec_sync(&self, id: &ContainerId, command: Vec<String>, timeout: Option<Duration>) -> BoxFuture<'_, Result<ExecOutput>> {
        let request = ExecRequest { container: id.clone(), command, tty: false, stdin: false };
        Box::pin(self.run_session(request, timeout))
    }

    fn attach(&self, id: &ContainerId) -> BoxFuture<'_, Result<Session>> {
        let id = id.clone();
        Box::pin(async move { self.attach_session(id).await })
    }

    fn port_forward(&self, sandbox: &SandboxId, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>> {
        let sandbox = sandbox.clone();
        Box::pin(async move {
            let addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))];
            let stream = match self.connect_inside(&sandbox, addresses[0]).await {
                Err(Error::Io { .. }) => self.connect_inside(&sandbox, addresses[1]).await?,
                result => result?,
            };
            Ok(Box::new(stream) as Box<dyn Duplex>)
        })
    }

    fn reopen_container_log(&self, id: &ContainerId) -> BoxFuture<'_, Result<()>> {
        let id = id.clone();
        Box::pin(async move {
            let link = self.model().place(&id)?.1.link()?;
            link.call(Request::ReopenLog { container: id.0 }, ANSWER_TIMEOUT).await.map(drop)
        })
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }
}

impl EmbeddedRuntime {
    /// The session and its number.
    async fn start_session(&self, request: ExecRequest) -> Result<(u64, Session)> {
        let ExecRequest { container, command, tty, stdin } = request;
        let link = self.model().place(&container)?.1.link()?;
        let call = Request::Exec { container: container.0.clone(), command, tty, stdin };
        let answered = link.call(call, START_TIMEOUT).await?;
        let (Answer::Session { session, streams }, Some(ended)) = (answered.answer, answered.ended) else {
            return Err(Error::WrongState("the shim answered something else".to_string()));
        };
        let exit = Box::pin(async move { ended.await.map_err(|_| Error::ShimGone { id: container.0 }) });
        let session_streams = streams::session(streams, answered.fds, exit).map_err(io_error("watch a command's streams".to_string()))?;
        Ok((session, session_streams))
    }

    async fn run_session(&self, request: ExecRequest, timeout: Option<Duration>) -> Result<ExecOutput> {
        let link = self.model().place(&request.container)?.1.link()?;
        let command = request.command.join(" ");
        let (number, session) = self.start_session(request).await?;
        let run = collect(session);
        let Some(timeout) = timeout else { return run.await };
        match tokio::time::timeout(timeout, run).await {
            Ok(output) => output,
            Err(_) => {
                link.call(Request::KillSession { session: number }, ANSWER_TIMEOUT).await?;
                Err(Error::DeadlineExceeded(format!("command {command:?} timed out")))
            }
        }
    }

    async fn attach_session(&self, id: ContainerId) -> Result<Session> {
        let mut events = self.shared.events.subscribe();
        let link = self.model().place(&id)?.1.link()?;
        let answered = link.call(Request::Attach { container: id.0.clone() }, ANSWER_TIMEOUT).await?;
        let Answer::Session { streams, .. } = answered.answer else {
            return Err(Error::WrongState("the shim answered something else".to_string()));
        };
        let runtime = self.clone();
        let exit = Box::pin(async move { runtime.wait_for_exit(&id, &mut events).await.map(|exit| exit.code) });
        streams::session(streams, answered.fds, exit).map_err(io_error("watch a container's streams".to_string()))
    }

    async fn connect_inside(&self, sandbox: &SandboxId, address: SocketAddr) -> Result<TcpStream> {
        let link = self.model().sandbox(sandbox)?.link()?;
        let answered = link.call(Request::Socket { ipv6: address.is_ipv6() }, ANSWER_TIMEOUT).await?;
        let fd: OwnedFd = answered.fds.into_iter().next().ok_or_else(|| Error::WrongState("the shim sent no socket".to_string()))?;
        // A socket belongs to the namespace it was made in, wherever it is connected from.
        let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(fd));
        let connecting = tokio::time::timeout(ANSWER_TIMEOUT, socket.connect(address)).await;
        connecting
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(io_error(format!("connect to {address} in the pod")))
    }
}

/// Output and exit code of a command that runs to its end.
async fn collect(session: Session) -> Result<ExecOutput> {
    let Session { stdout, stderr, mut exit, .. } = session;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit_code = {
        let reading = async { tokio::join!(read(stdout, &mut out), read(stderr, &mut err)) };
        tokio::pin!(reading);
        tokio::select! {
            _ = &mut reading => exit.await?,
            code = &mut exit => {
                let _ = tokio::time::timeout(EXEC_DRAIN_TIMEOUT, &mut reading).await;
                code?
            }
        }
    };
    Ok(ExecOutput { stdout: out, stderr: err, exit_code })
}

/// Reads to the end, keeps the beginning.
async fn read(stream: Option<Box<dyn AsyncRead + Send + Unpin>>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        let room = EXEC_OUTPUT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&chunk[..n.min(room)]);
    }
}
