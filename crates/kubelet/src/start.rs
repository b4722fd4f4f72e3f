//! Starting one container: image, variables, mounts, create, start, postStart hook. Each step's failure has the reason the status shows.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::{Container, Service};
use oci_runtime::spec::{ContainerId, SandboxId, Seccomp};
use oci_runtime::status::ContainerState;
use pod_plan::effect::{Failure, Note};
use pod_plan::pod::{BoundPod, Role};
use pod_plan::{environment, references, security};
use tokio::sync::watch;

use crate::error_text::told;
use crate::hooks;
use crate::images;
use crate::lock::locked;
use crate::node::Node;
use crate::observe::Known;
use crate::recipe::{self, Ingredients};
use crate::seams::{Image, MountRequest};

pub(crate) struct Start {
    pub(crate) pod: Arc<BoundPod>,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) attempt: u32,
    pub(crate) sandbox: SandboxId,
    /// Where the new container is noted as soon as the runtime knows it.
    pub(crate) known: Arc<Mutex<Known>>,
    /// Turns true when the pod is to end.
    pub(crate) is_cancelled: watch::Receiver<bool>,
}

const CONFIG_ERROR: &str = "CreateContainerConfigError";

pub(crate) async fn start(node: &Node, mut start: Start) -> Result<(), Failure> {
    let pod = Arc::clone(&start.pod);
    let Some((_, container)) = pod.container(&start.name) else {
        return Err(Failure::new(CONFIG_ERROR, format!("no container {}", start.name)));
    };
    let mut is_cancelled = start.is_cancelled.clone();
    let prepared = tokio::select! {
        biased;
        _ = is_cancelled.wait_for(|is| *is) => return Err(cancelled()),
        prepared = prepare(node, &start, container) => prepared?,
    };
    let tell = |note: Note| node.tell(&pod, &note.about(start.role, &start.name));
    let id = node.runtime.create_container(&start.sandbox, prepared).await.map_err(|e| Failure::new("CreateContainerError", told(&e)))?;
    locked(&start.known).containers.push(id.clone());
    tell(Note::normal("Created", "Container created"));
    if *start.is_cancelled.borrow_and_update() {
        return Err(cancelled());
    }
    node.runtime.start_container(&id).await.map_err(|e| Failure::new("RunContainerError", told(&e)))?;
    tell(Note::normal("Started", "Container started"));
    let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else { return Ok(()) };
    let outcome = tokio::select! {
        biased;
        _ = is_cancelled.wait_for(|is| *is) => return Err(cancelled()),
        outcome = hooks::run(node, &pod, container, &id, hook) => outcome,
    };
    if let Err(text) = outcome {
        tell(Note::warning("FailedPostStartHook", "PostStartHook failed"));
        tell(Note::normal("Killing", "FailedPostStartHook"));
        let grace = std::time::Duration::from_secs(u64::try_from(pod.grace_seconds()).unwrap_or(0));
        let signal = hooks::stop_signal(node, &id);
        if let Err(e) = node.runtime.stop_container(&id, signal, grace).await {
            tracing::warn!(namespace = pod.namespace, name = pod.name, container = start.name, error = %e, "cannot stop after a failed hook");
        }
        return Err(Failure::new("PostStartHookError", text));
    }
    Ok(())
}

fn cancelled() -> Failure {
    Failure::new("", "the pod is being ended")
}

async fn prepare(node: &Node, start: &Start, container: &Container) -> Result<oci_runtime::spec::ContainerConfig, Failure> {
    let pod = &start.pod;
    let image = images::ensure(node, pod, start.role, container).await?;
    let volumes = images::ensure_volumes(node, pod, start.role, container).await?;
    let config_error = |text: String| Failure::new(CONFIG_ERROR, text);
    security::check_non_root(pod, container, &image.user).map_err(config_error)?;
    let env = variables(node, pod, container).await.map_err(config_error)?;
    let seccomp = seccomp(node, pod, container).map_err(config_error)?;
    let target = target(node, start, container).map_err(config_error)?;
    let request = MountRequest {
        pod: Arc::clone(pod),
        container: start.name.clone(),
        attempt: start.attempt,
        pod_ips: node.pod_ips(pod),
        env: env.clone(),
        images: volumes.iter().map(|(name, image)| (name.clone(), image.layers.clone())).collect(),
    };
    let mounts = node.disk.mounts(request).await?;
    check_command(container, &image)?;
    let config = &node.config;
    let attempt = start.attempt;
    Ok(recipe::container(Ingredients { config, pod, container, attempt, image: &image, volumes, env, mounts, target, seccomp }))
}

/// The running instance of `targetContainerName`.
fn target(node: &Node, start: &Start, container: &Container) -> Result<Option<ContainerId>, String> {
    let debugging = start.pod.spec.ephemeral_containers.iter().flatten().find(|c| c.name == container.name);
    let Some(name) = debugging.and_then(|c| c.target_container_name.as_deref()).filter(|n| !n.is_empty()) else { return Ok(None) };
    let known = locked(&start.known).containers.clone();
    let is_it = |id: &&ContainerId| {
        let status = node.runtime.container_status(id);
        status.is_ok_and(|s| s.metadata.name == name && matches!(s.state, ContainerState::Running { .. }))
    };
    known.iter().find(is_it).cloned().map(Some).ok_or_else(|| format!("unable to find target container {name}"))
}

fn check_command(container: &Container, image: &Image) -> Result<(), Failure> {
    let has_own = container.command.as_ref().is_some_and(|c| !c.is_empty()) || container.args.as_ref().is_some_and(|a| !a.is_empty());
    if has_own || !image.entrypoint.is_empty() || !image.cmd.is_empty() {
        return Ok(());
    }
    Err(Failure::new("CreateContainerError", "failed to generate container spec: no command specified"))
}

async fn variables(node: &Node, pod: &BoundPod, container: &Container) -> Result<Vec<(String, String)>, String> {
    let names = references::of_environment(container);
    let objects = node.objects.fetch(&pod.namespace, &names).await.map_err(|e| e.to_string())?;
    node.services.synced().await;
    let mut services = node.services.list_in(&pod.namespace);
    if pod.namespace != "default" {
        services.extend(node.services.get(&object::key::ObjectKey::new("default", "kubernetes")));
    }
    let services: Vec<&Service> = services.iter().map(AsRef::as_ref).collect();
    environment::environment(pod, container, &services, &objects, &node.surroundings(pod))
}

fn seccomp(node: &Node, pod: &BoundPod, container: &Container) -> Result<Seccomp, String> {
    let context = security::effective(pod, container);
    let Some(profile) = security::seccomp(&context) else { return Ok(Seccomp::Unconfined) };
    match profile.type_.as_str() {
        "RuntimeDefault" => Ok(Seccomp::RuntimeDefault),
        "Localhost" => {
            let name = profile.localhost_profile.as_deref().unwrap_or_default();
            if name.split('/').any(|part| part == "..") || name.starts_with('/') || name.is_empty() {
                return Err(format!("invalid seccomp profile path {name:?}"));
            }
            let path = node.config.root_dir.join("seccomp").join(name);
            let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot load seccomp profile {name:?}: {e}"))?;
            Ok(Seccomp::Localhost(text))
        }
        _ => Ok(Seccomp::Unconfined),
    }
}
