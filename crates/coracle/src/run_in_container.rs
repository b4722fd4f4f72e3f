//! Running one command of a build in the embedded runtime, over the layers made so far.
//!
//! It has the host's network, for builds fetch packages, and otherwise the namespaces, capabilities and limits of any container.

use std::path::{Path, PathBuf};

use image_build::RunRequest;
use oci_runtime::embedded::{EmbeddedRuntime, Options};
use oci_runtime::runtime::{Event, Runtime};
use oci_runtime::spec::{
    ContainerConfig, ContainerId, NamespaceMode, Namespaces, Rootfs, SandboxConfig, SandboxId, Seccomp, Security, User,
};
use oci_runtime::status::ContainerState;
use tokio::sync::broadcast::Receiver;
use tokio::sync::watch;

use crate::node;
use crate::options::Place;

/// Answers the exit code; `keep` gets the folder of changes when it is zero.
pub(crate) async fn run(place: &Place, request: &RunRequest<'_>, keep: &mut dyn FnMut(&Path)) -> Result<i32, String> {
    // Apart from the pods' runtime, which a server may be using.
    let id = format!("build-{}", std::process::id());
    let root = place.images_dir().join(&id);
    let cgroup = format!("{}/{id}", node::cgroup(place));
    let runtime = EmbeddedRuntime::open(Options { root: root.clone(), shims_cgroup: format!("{cgroup}/shims") }).await.map_err(chain)?;
    let config = SandboxConfig {
        hostname: "build".to_owned(),
        namespaces: Namespaces { network: NamespaceMode::Host, ..Namespaces::default() },
        cgroup_parent: format!("{cgroup}/run"),
        log_directory: root.clone(),
        resolv_conf: std::fs::read_to_string("/etc/resolv.conf").ok(),
        ..SandboxConfig::default()
    };
    let sandbox = runtime.run_pod_sandbox(config).await.map_err(chain)?;
    let result = in_sandbox(&runtime, &sandbox, &root, request, keep).await;
    let removed = runtime.remove_pod_sandbox(&sandbox).await.map_err(chain);
    let cleared = oci_runtime::embedded::destroy_cgroup(&cgroup).await.map_err(chain);
    let _ = std::fs::remove_dir_all(&root);
    result.and_then(|code| removed.and(cleared).map(|()| code))
}

async fn in_sandbox(
    runtime: &EmbeddedRuntime,
    sandbox: &SandboxId,
    root: &Path,
    request: &RunRequest<'_>,
    keep: &mut dyn FnMut(&Path),
) -> Result<i32, String> {
    let config = ContainerConfig {
        rootfs: Rootfs::Overlay { layers: request.layers.to_vec() },
        args: request.args.clone(),
        env: request.env.iter().filter_map(|e| e.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        working_dir: request.working_dir.to_owned(),
        user: User { user: request.user.to_owned(), ..User::default() },
        security: Security { seccomp: Seccomp::RuntimeDefault, ..Security::default() },
        log_path: PathBuf::from("run.log"),
        ..ContainerConfig::default()
    };
    let container = runtime.create_container(sandbox, config).await.map_err(chain)?;
    let mut events = runtime.events();
    runtime.start_container(&container).await.map_err(chain)?;
    let (ended, has_ended) = watch::channel(false);
    let mut output = kubelet::logs::follow(root.join("run.log"), has_ended);
    let code = async {
        let code = end_of(runtime, &container, &mut events).await;
        let _ = ended.send(true);
        code
    };
    let show = async {
        while let Some(piece) = output.recv().await {
            String::from_utf8_lossy(&piece).lines().for_each(|line| eprintln!("  {line}"));
        }
    };
    let (code, ()) = tokio::join!(code, show);
    let code = code?;
    if code == 0 {
        let status = runtime.container_status(&container).map_err(chain)?;
        keep(&status.writable_layer.ok_or("the container has no layer of its own")?);
    }
    Ok(code)
}

async fn end_of(runtime: &EmbeddedRuntime, container: &ContainerId, events: &mut Receiver<Event>) -> Result<i32, String> {
    let is_other = |event: &Event| !matches!(event, Event::ContainerExited { container: ended, .. } if ended == container);
    loop {
        if let Some(code) = exit_code(runtime, container)? {
            return Ok(code);
        }
        // One that was missed is as good as one that came: we look again.
        while matches!(events.recv().await, Ok(event) if is_other(&event)) {}
    }
}

fn exit_code(runtime: &EmbeddedRuntime, container: &ContainerId) -> Result<Option<i32>, String> {
    match runtime.container_status(container).map_err(chain)?.state {
        ContainerState::Exited { exit, .. } => Ok(Some(exit.code)),
        _ => Ok(None),
    }
}

fn chain(error: oci_runtime::runtime::Error) -> String {
    crate::failure::Failure::caused("the container runtime", &error).text().to_owned()
}
