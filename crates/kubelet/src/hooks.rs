//! Lifecycle hooks.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Probe};
use oci_runtime::spec::ContainerId;
use pod_plan::pod::BoundPod;

use crate::error_text::told;
use crate::node::Node;
use crate::observe::STOP_SIGNAL;
use crate::seams::{ProbeAnswer, ProbeRequest};

/// Runs to its end; the caller bounds the time. A hook over HTTP is a probe whose answer only has to be there.
pub(crate) async fn run(
    node: &Node,
    pod: &BoundPod,
    container: &Container,
    id: &ContainerId,
    hook: &LifecycleHandler,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let shown = command.join(" ");
        let output = node.runtime.exec_sync(id, command, None).await.map_err(|e| told(&e))?;
        if output.exit_code == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        return Err(format!("command '{shown}' exited with {}: {text}", output.exit_code));
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    if let Some(http) = &hook.http_get {
        const HTTP_SECONDS_MAX: i32 = 30;
        let probe = Probe { http_get: Some(http.clone()), timeout_seconds: Some(HTTP_SECONDS_MAX), ..Probe::default() };
        let pod_ip = node.pod_ips(pod).first().copied();
        let request = ProbeRequest { container_id: id.clone(), container: container.clone(), probe, pod_ip };
        return match node.prober.probe(request).await {
            ProbeAnswer::Success | ProbeAnswer::Warning(_) => Ok(()),
            ProbeAnswer::Failure(text) | ProbeAnswer::Error(text) => Err(text),
        };
    }
    // Upstream: `tcpSocket` is accepted and never was carried out.
    Ok(())
}

/// What was written down when the container was made.
pub(crate) fn stop_signal(node: &Node, id: &ContainerId) -> i32 {
    const TERM: i32 = 15;
    let status = node.runtime.container_status(id).ok();
    status.and_then(|s| s.annotations.get(STOP_SIGNAL)?.parse().ok()).unwrap_or(TERM)
}
