//! The runtime in the CRI's words. The kubelet holds an `Arc<dyn Runtime>`: the embedded runtime, or a fake one in simulations.
//!
//! Invariant: every call may be repeated; stopping and removing what is already stopped or gone succeeds.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::broadcast;

use crate::spec::{ContainerConfig, ContainerId, Resources, SandboxConfig, SandboxId};
use crate::status::{ContainerStatus, Exit, SandboxStatus, Stats};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub trait Runtime: Send + Sync + 'static {
    /// Makes the pod's namespaces and cgroup. The network namespace is empty but for `lo`; attach links before starting containers.
    fn run_pod_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxId>>;
    /// Kills what still runs and lets the namespaces go; statuses stay until the sandbox is removed.
    fn stop_pod_sandbox(&self, id: &SandboxId) -> BoxFuture<'_, Result<()>>;
    /// Stops and forgets it, with its containers and directory.
    fn remove_pod_sandbox(&self, id: &SandboxId) -> BoxFuture<'_, Result<()>>;
    /// Everything there is, also from before this process started.
    fn list_pod_sandboxes(&self) -> Vec<SandboxStatus>;
    fn pod_sandbox_status(&self, id: &SandboxId) -> Result<SandboxStatus>;

    fn create_container(&self, sandbox: &SandboxId, config: ContainerConfig) -> BoxFuture<'_, Result<ContainerId>>;
    /// Returns when the command runs, or with [`Error::StartFailed`]; the container has then exited with code 128.
    fn start_container(&self, id: &ContainerId) -> BoxFuture<'_, Result<()>>;
    /// Sends `signal` (a number), waits `grace`, then kills. Zero grace kills at once.
    fn stop_container(&self, id: &ContainerId, signal: i32, grace: Duration) -> BoxFuture<'_, Result<()>>;
    /// Kills it if need be and forgets it; its log stays.
    fn remove_container(&self, id: &ContainerId) -> BoxFuture<'_, Result<()>>;
    fn list_containers(&self) -> Vec<ContainerStatus>;
    fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus>;

    /// Takes effect at once; `None` fields stay as they are.
    fn update_container_resources(&self, id: &ContainerId, resources: Resources) -> BoxFuture<'_, Result<()>>;
    fn update_sandbox_resources(&self, id: &SandboxId, resources: Resources) -> BoxFuture<'_, Result<()>>;
    fn container_stats(&self, id: &ContainerId) -> Result<Stats>;
    fn sandbox_stats(&self, id: &SandboxId) -> Result<Stats>;

    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session>>;
    /// Runs to its end or `timeout` ([`Error::DeadlineExceeded`], and it is killed). Output is cut at 16 MiB a stream.
    fn exec_sync(&self, id: &ContainerId, command: Vec<String>, timeout: Option<Duration>) -> BoxFuture<'_, Result<ExecOutput>>;
    /// Output from now on; `exit` ends when the container does.
    fn attach(&self, id: &ContainerId) -> BoxFuture<'_, Result<Session>>;
    /// A connection to `port` of the pod's loopback, IPv4 first.
    fn port_forward(&self, sandbox: &SandboxId, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>>;
    /// After the caller renamed the log file: further lines go to a new one.
    fn reopen_container_log(&self, id: &ContainerId) -> BoxFuture<'_, Result<()>>;

    /// Changes from now on. A receiver that lagged lists again; nothing is only told here.
    fn events(&self) -> broadcast::Receiver<Event>;
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    ContainerStarted {
        sandbox: SandboxId,
        container: ContainerId,
    },
    ContainerExited {
        sandbox: SandboxId,
        container: ContainerId,
        exit: Exit,
    },
    /// Its shim is gone without having been asked to go; its containers have exited.
    SandboxLost {
        sandbox: SandboxId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    pub container: ContainerId,
    pub command: Vec<String>,
    /// Standard error is then part of standard output.
    pub tty: bool,
    pub stdin: bool,
}

/// Streams of a command (exec) or of a container (attach). Dropping them all ends neither.
pub struct Session {
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub terminal: Option<Terminal>,
    /// The exit code, 128 + signal when killed.
    pub exit: BoxFuture<'static, Result<i32>>,
}

/// Sets the size (columns, rows) of a session's terminal.
pub struct Terminal(pub Box<dyn Fn(u16, u16) -> std::io::Result<()> + Send + Sync>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit_code: i32,
}

pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What callers branch on; the text is for people.
#[derive(Debug)]
pub enum Error {
    NotFound {
        what: &'static str,
        id: String,
    },
    /// The request cannot be right, whatever the state.
    Invalid(String),
    /// Right, but not now: exec in an exited container, start of a running one.
    WrongState(String),
    /// The command could not be started; said in upstream's words where clients see it.
    StartFailed(String),
    DeadlineExceeded(String),
    /// The sandbox's shim does not answer.
    ShimGone {
        id: String,
    },
    Io {
        step: String,
        source: std::io::Error,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::NotFound { what, id } => write!(f, "{what} `{id}` not found"),
            Error::Invalid(text) | Error::WrongState(text) | Error::StartFailed(text) | Error::DeadlineExceeded(text) => f.write_str(text),
            Error::ShimGone { id } => write!(f, "the shim of sandbox `{id}` is gone"),
            Error::Io { step, .. } => f.write_str(step),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
