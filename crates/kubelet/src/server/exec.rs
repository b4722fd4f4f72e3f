//! exec and attach: a command's streams, or a container's, carried to a client.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use oci_runtime::runtime::{ExecRequest, Result, Session, Terminal};
use oci_runtime::spec::ContainerId;
use oci_runtime::status::{ContainerState, ContainerStatus};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::answer::{Body, text};
use super::channels::{self, Encoding, Received};
use super::query::Query;
use super::spdy;
use super::upgrade::{Wish, to_spdy, to_web_socket, wish};
use crate::agent::Agent;
use crate::error_text::told;
use crate::lock::locked;
use crate::pods::Handle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Exec,
    Attach,
}

const WEB_SOCKET: [&str; 6] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"];
const SPDY: [&str; 3] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

const CHUNK_BYTES: usize = 32 * 1024;

/// What the client asked for.
struct Options {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

pub(super) fn answer(
    agent: &Agent,
    handle: &Handle,
    kind: Kind,
    container: &str,
    request: Request<Incoming>,
    query: &Query,
) -> Response<Body> {
    let status = match running(agent, handle, container) {
        Ok(status) => status,
        Err(why) => return text(StatusCode::NOT_FOUND, &why),
    };
    let tty = if kind == Kind::Attach { status.tty } else { query.is_set("tty") };
    let options = Options { stdin: query.is_set("input"), stdout: query.is_set("output"), stderr: query.is_set("error") && !tty, tty };
    if !(options.stdin || options.stdout || options.stderr) {
        return text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    }
    let command: Vec<String> = query.all("command").map(str::to_owned).collect();
    let wish = match wish(&request, &WEB_SOCKET, &SPDY) {
        Ok(wish) => wish,
        Err(refusal) => return refusal,
    };
    let (agent, id) = (agent.clone(), status.id);
    match wish {
        Wish::WebSocket { protocol } => {
            let encoding = Encoding::of(&protocol);
            let has_status = protocol.starts_with("v4") || protocol.starts_with("v5");
            to_web_socket(request, &protocol, move |socket| async move {
                let session = open(&agent, kind, id, command, &options).await;
                let (sender, mut receiver, writing) = channels::open(socket, encoding);
                let (input, from_client) = mpsc::channel(16);
                // Upstream: an empty message tells the client that it is connected.
                let first = if options.stdout {
                    STDOUT
                } else if options.stderr {
                    STDERR
                } else {
                    ERROR
                };
                sender.send(first, &[]).await;
                let reading = tokio::spawn(async move {
                    while let Some(received) = receiver.next().await {
                        let message = match received {
                            Received::Data(STDIN, data) => Input::Stdin(data),
                            Received::Data(RESIZE, data) => Input::Resize(data),
                            Received::Closed(STDIN) => Input::StdinEnds,
                            _ => continue,
                        };
                        if input.send(message).await.is_err() {
                            return;
                        }
                    }
                });
                let outputs = [Output::Channel(sender.clone(), STDOUT), Output::Channel(sender.clone(), STDERR)];
                let status = converse(session, &options, from_client, outputs).await;
                let answer = if has_status { status.to_string() } else { plain(&status) };
                if !answer.is_empty() {
                    sender.send(ERROR, answer.as_bytes()).await;
                }
                drop(sender);
                let _ = writing.await;
                reading.abort();
            })
        }
        Wish::Spdy { protocol } => {
            let has_status = protocol.starts_with("v4");
            to_spdy(request, &protocol, move |io| over_spdy(agent, kind, id, command, options, io, has_status))
        }
    }
}

fn running(agent: &Agent, handle: &Handle, container: &str) -> std::result::Result<ContainerStatus, String> {
    let known = locked(&handle.known).containers.clone();
    let statuses = known.iter().filter_map(|id| agent.node.runtime.container_status(id).ok());
    let runs = |s: &ContainerStatus| s.metadata.name == container && matches!(s.state, ContainerState::Running { .. });
    let found = statuses.into_iter().find(runs);
    found.ok_or_else(|| format!("container not found ({container:?})"))
}

async fn open(agent: &Agent, kind: Kind, container: ContainerId, command: Vec<String>, options: &Options) -> Result<Session> {
    match kind {
        Kind::Exec => agent.node.runtime.exec(ExecRequest { container, command, tty: options.tty, stdin: options.stdin }).await,
        Kind::Attach => agent.node.runtime.attach(&container).await,
    }
}

enum Input {
    Stdin(Bytes),
    StdinEnds,
    Resize(Bytes),
}

/// Where output goes.
enum Output {
    Channel(channels::Sender, u8),
    Stream(spdy::Outgoing),
    Nowhere,
}

impl Output {
    async fn write(&self, data: &[u8]) -> bool {
        match self {
            Output::Channel(sender, channel) => sender.send(*channel, data).await,
            Output::Stream(stream) => stream.write(Bytes::copy_from_slice(data)).await,
            Output::Nowhere => true,
        }
    }
    async fn finish(&self) {
        if let Output::Stream(stream) = self {
            stream.finish().await;
        }
    }
}

/// Carries bytes both ways until the command has ended and all it said is sent; answers the `Status` that tells how it ended.
async fn converse(session: Result<Session>, options: &Options, input: mpsc::Receiver<Input>, outputs: [Output; 2]) -> Value {
    let mut session = match session {
        Ok(session) => session,
        Err(e) => return failure(&told(&e)),
    };
    let [stdout, stderr] = outputs;
    let stdin = session.stdin.take().filter(|_| options.stdin);
    let feeding = tokio::spawn(feed(stdin, session.terminal.take(), input));
    let (wants_out, wants_err) = (options.stdout, options.stderr);
    let copying = async {
        tokio::join!(
            copy(session.stdout.take(), if wants_out { stdout } else { Output::Nowhere }),
            copy(session.stderr.take(), if wants_err { stderr } else { Output::Nowhere }),
        )
    };
    let (exit, _) = tokio::join!(session.exit, copying);
    feeding.abort();
    match exit {
        Ok(0) => json!({"metadata": {}, "status": "Success"}),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: exit code {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Err(e) => failure(&told(&e)),
    }
}

fn failure(text: &str) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
        "message": format!("Internal error occurred: {text}"),
        "details": {"causes": [{"message": text}]},
    })
}

/// Older protocols have a sentence, and none for success.
fn plain(status: &Value) -> String {
    if status["status"] == "Success" { String::new() } else { status["message"].as_str().unwrap_or_default().to_owned() }
}

async fn feed(mut stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>, terminal: Option<Terminal>, mut input: mpsc::Receiver<Input>) {
    while let Some(message) = input.recv().await {
        match message {
            Input::Stdin(data) => {
                if let Some(writer) = &mut stdin
                    && (writer.write_all(&data).await.is_err() || writer.flush().await.is_err())
                {
                    stdin = None;
                }
            }
            Input::StdinEnds => {
                if let Some(mut writer) = stdin.take() {
                    let _ = writer.shutdown().await;
                }
            }
            Input::Resize(data) => {
                let size: Value = serde_json::from_slice(&data).unwrap_or_default();
                let side = |name: &str| size[name].as_u64().and_then(|n| u16::try_from(n).ok());
                if let (Some(terminal), Some(width), Some(height)) = (&terminal, side("Width"), side("Height")) {
                    let _ = (terminal.0)(width, height);
                }
            }
        }
    }
    // The client is gone: nobody will type any more.
    if let Some(mut writer) = stdin {
        let _ = writer.shutdown().await;
    }
}

async fn copy(reader: Option<Box<dyn AsyncRead + Send + Unpin>>, output: Output) {
    let Some(mut reader) = reader else { return output.finish().await };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut is_listening = true;
    loop {
        match reader.read(&mut chunk).await {
            Ok(0) | Err(_) => return output.finish().await,
            // Read on when the client is gone: the command must not stall on a full pipe.
            Ok(n) => is_listening = is_listening && output.write(&chunk[..n]).await,
        }
    }
}

/// The client opens a stream for each channel, named by a header; the error stream always, the others as it asked.
async fn over_spdy(
    agent: Agent,
    kind: Kind,
    id: ContainerId,
    command: Vec<String>,
    options: Options,
    io: impl AsyncRead + AsyncWrite + Send + 'static,
    has_status: bool,
) {
    const OPENING_MAX: std::time::Duration = std::time::Duration::from_secs(30);
    let mut streams = spdy::serve(io);
    let wanted = 1 + [options.stdin, options.stdout, options.stderr, options.tty].iter().filter(|is| **is).count();
    let mut by_type = std::collections::HashMap::new();
    while by_type.len() < wanted {
        match tokio::time::timeout(OPENING_MAX, streams.recv()).await {
            Ok(Some(stream)) => {
                let name = stream.headers.get("streamtype").cloned().unwrap_or_default();
                by_type.insert(name, stream);
            }
            Ok(None) | Err(_) => return,
        }
    }
    let session = open(&agent, kind, id, command, &options).await;
    let (input, from_client) = mpsc::channel(16);
    for (name, is_stdin) in [("stdin", true), ("resize", false)] {
        if let Some(stream) = by_type.remove(name) {
            tokio::spawn(forward(stream.incoming, input.clone(), is_stdin));
        }
    }
    drop(input);
    let mut output = |name: &str| by_type.remove(name).map_or(Output::Nowhere, |s| Output::Stream(s.outgoing));
    let outputs = [output("stdout"), output("stderr")];
    let status = converse(session, &options, from_client, outputs).await;
    if let Some(error) = by_type.remove("error") {
        let answer = if has_status { status.to_string() } else { plain(&status) };
        if !answer.is_empty() {
            error.outgoing.write(answer.into()).await;
        }
        error.outgoing.finish().await;
    }
    // The client closes the connection once it has read the end of all streams.
    while streams.recv().await.is_some() {}
}

async fn forward(mut incoming: mpsc::Receiver<Bytes>, input: mpsc::Sender<Input>, is_stdin: bool) {
    while let Some(data) = incoming.recv().await {
        let message = if is_stdin { Input::Stdin(data) } else { Input::Resize(data) };
        if input.send(message).await.is_err() {
            return;
        }
    }
    if is_stdin {
        let _ = input.send(Input::StdinEnds).await;
    }
}
