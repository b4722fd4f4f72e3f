//! Running one command of a build in the embedded runtime, over the layers made so far.
//!
//! It has the host's network, for builds fetch packages, and otherwise the namespaces, capabilities and limits of any container.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image_build::RunRequest;
use oci_runtime::embedded::{EmbeddedRuntime, Options};
use oci_runtime::runtime::{Event, Runtime};
use oci_runtime::spec::{
    ContainerConfig, ContainerId, NamespaceMode, Namespaces, Rootfs, SandboxConfig, SandboxId, Seccomp, Security, User,
};
use oci_runtime::status::ContainerState;

use crate::node;
use crate::options::Place;

/// The output is shown as it comes; the log file is looked at this often.
const OUTPUT_EVERY: Duration = Duration::from_millis(50);

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
    let mut output = Output { path: root.join("run.log"), shown: 0 };
    let code = loop {
        let ended = exit_code(runtime, &container)?;
        output.show();
        if let Some(code) = ended {
            break code;
        }
        let is_own = |event: &Event| matches!(event, Event::ContainerExited { container: ended, .. } if *ended == container);
        let next_event = async { while !matches!(events.recv().await, Ok(event) if is_own(&event)) {} };
        let _ = tokio::time::timeout(OUTPUT_EVERY, next_event).await;
    };
    if code == 0 {
        let status = runtime.container_status(&container).map_err(chain)?;
        keep(&status.writable_layer.ok_or("the container has no layer of its own")?);
    }
    Ok(code)
}

fn exit_code(runtime: &EmbeddedRuntime, container: &ContainerId) -> Result<Option<i32>, String> {
    match runtime.container_status(container).map_err(chain)?.state {
        ContainerState::Exited { exit, .. } => Ok(Some(exit.code)),
        _ => Ok(None),
    }
}

/// The command's output, without the log's time and stream in front.
struct Output {
    path: PathBuf,
    shown: usize,
}

impl Output {
    fn show(&mut self) {
        let mut text = String::new();
        if std::fs::File::open(&self.path).and_then(|mut f| f.read_to_string(&mut text)).is_err() {
            return;
        }
        let fresh = &text[self.shown.min(text.len())..];
        let whole = fresh.rfind('\n').map_or(0, |end| end + 1);
        for line in fresh[..whole].lines() {
            eprintln!("  {}", line.splitn(4, ' ').nth(3).unwrap_or(line));
        }
        self.shown += whole;
    }
}

fn chain(error: oci_runtime::runtime::Error) -> String {
    crate::failure::Failure::caused("the container runtime", &error).text().to_owned()
}
