//! `/containerLogs/<namespace>/<pod>/<container>`.

use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ContainerStatus as ShownStatus;
use oci_runtime::spec::ContainerId;
use oci_runtime::status::{ContainerState, ContainerStatus};
use tokio::sync::{mpsc, watch};

use super::answer::{self, Body, text};
use super::query::Query;
use crate::agent::Agent;
use crate::lock::locked;
use crate::logs::line::Stream;
use crate::logs::read::{self, Options};
use crate::pods::Handle;

const PENDING_PIECES_MAX: usize = 16;

pub(super) async fn answer(agent: &Agent, handle: &Handle, container: &str, query: &Query) -> Response<Body> {
    if handle.pod.container(container).is_none() {
        return text(StatusCode::NOT_FOUND, &format!("container {container:?} not found in pod {:?}", handle.pod.name));
    }
    let options = match options(query, agent.node.now()) {
        Ok(options) => options,
        Err(why) => return text(StatusCode::BAD_REQUEST, &why),
    };
    let status = match chosen(agent, handle, container, query.is_set("previous")) {
        Ok(status) => status,
        Err(why) => return text(StatusCode::BAD_REQUEST, &why),
    };
    let (out, pieces) = mpsc::channel(PENDING_PIECES_MAX);
    let ended = watch_end(agent, &status);
    tokio::spawn(read::send(status.log_path, options, ended, out));
    answer::stream(stream::unfold(pieces, |mut pieces: mpsc::Receiver<Bytes>| async move { Some((pieces.recv().await?, pieces)) }))
}

fn options(query: &Query, now: Timestamp) -> Result<Options, String> {
    let since_time = match query.get("sinceTime") {
        None => None,
        Some(given) => Some(given.parse::<Timestamp>().map_err(|_| format!("unable to decode sinceTime {given:?}"))?),
    };
    let since_seconds = query.number::<i64>("sinceSeconds").map(|seconds| now - SignedDuration::from_secs(seconds));
    Ok(Options {
        follow: query.is_set("follow"),
        since: since_time.or(since_seconds),
        with_times: query.is_set("timestamps"),
        tail_lines: query.number("tailLines"),
        limit_bytes: query.number("limitBytes"),
        stream: match query.get("stream") {
            None | Some("" | "All") => None,
            Some("Stdout") => Some(Stream::Stdout),
            Some("Stderr") => Some(Stream::Stderr),
            Some(other) => return Err(format!("invalid stream type {other:?}")),
        },
    })
}

/// The run whose log is meant. Upstream: `validateContainerLogStatus`.
fn chosen(agent: &Agent, handle: &Handle, container: &str, previous: bool) -> Result<ContainerStatus, String> {
    let known: Vec<ContainerId> = locked(&handle.known).containers.clone();
    let mut runs: Vec<ContainerStatus> = known.iter().filter_map(|id| agent.node.runtime.container_status(id).ok()).collect();
    runs.retain(|s| s.metadata.name == container && s.state != ContainerState::Created);
    runs.sort_by_key(|s| std::cmp::Reverse((s.created_at_ns, s.metadata.attempt)));
    let pod = &handle.pod.name;
    let shown = shown_status(handle, container);
    let waits = shown.and_then(|s| s.state.as_ref()?.waiting.as_ref());
    if previous {
        // One that waits has its last run behind it; else the present one comes first.
        let is_between_runs = waits.is_some() && runs.first().is_some_and(|s| matches!(s.state, ContainerState::Exited { .. }));
        let at = usize::from(!is_between_runs);
        return runs.into_iter().nth(at).ok_or_else(|| format!("previous terminated container {container:?} in pod {pod:?} not found"));
    }
    runs.into_iter().next().ok_or_else(|| match waits.map(|w| w.reason.clone().unwrap_or_default()) {
        Some(reason) if matches!(reason.as_str(), "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable") => {
            format!("container {container:?} in pod {pod:?} is waiting to start: image can't be pulled")
        }
        Some(reason) if !reason.is_empty() => format!("container {container:?} in pod {pod:?} is waiting to start: {reason}"),
        _ => format!("container {container:?} in pod {pod:?} is not available"),
    })
}

fn shown_status<'a>(handle: &'a Handle, container: &str) -> Option<&'a ShownStatus> {
    let status = &handle.pod.status;
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).chain(&status.ephemeral_container_statuses);
    all.flatten().find(|s| s.name == container)
}

/// Turns true when nothing more will be written.
fn watch_end(agent: &Agent, status: &ContainerStatus) -> watch::Receiver<bool> {
    let (ended, receiver) = watch::channel(!matches!(status.state, ContainerState::Running { .. }));
    let (runtime, id) = (agent.node.runtime.clone(), status.id.clone());
    let mut events = runtime.events();
    tokio::spawn(async move {
        loop {
            let runs = runtime.container_status(&id).is_ok_and(|s| matches!(s.state, ContainerState::Running { .. }));
            if !runs {
                let _ = ended.send(true);
                return;
            }
            tokio::select! {
                event = events.recv() => {
                    if matches!(event, Err(tokio::sync::broadcast::error::RecvError::Closed)) {
                        return;
                    }
                }
                () = ended.closed() => return,
            }
        }
    });
    receiver
}
