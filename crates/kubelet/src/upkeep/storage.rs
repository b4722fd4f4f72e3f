//! How much of the disk pods have written, and putting out those who wrote more than they may.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci_runtime::status::ContainerStatus;
use pod_plan::effect::Note;
use pod_plan::eviction::{self, DiskUsage};
use pod_plan::memory::{Cause, Eviction};

use crate::agent::Agent;
use crate::disk::empty_dir;
use crate::lock::locked;
use crate::logs;
use crate::pods::Handle;

/// Only pods that state a limit are looked at: others cost nothing.
pub(super) async fn evict_over_limits(agent: &Agent) {
    for handle in agent.pods.all().iter().filter(|handle| eviction::has_disk_limit(&handle.pod)) {
        let usage = usage(agent, handle).await;
        let Some(message) = eviction::over_limit(&handle.pod, &usage) else { continue };
        tracing::info!(namespace = handle.pod.namespace, name = handle.pod.name, message, "evicting a pod");
        evict(agent, handle, message, Cause::Own);
    }
}

pub(super) fn evict(agent: &Agent, handle: &Handle, message: String, cause: Cause) {
    agent.node.tell(&handle.pod, &Note::warning("Evicted", message.clone()));
    let eviction = Eviction { reason: "Evicted".to_owned(), message, grace_seconds: Some(0), cause };
    agent.pods.evict(&handle.pod.uid, eviction);
}

pub(crate) async fn usage(agent: &Agent, handle: &Handle) -> DiskUsage {
    let known = locked(&handle.known).containers.clone();
    let runtime = &agent.node.runtime;
    let containers: Vec<ContainerStatus> = known.iter().filter_map(|id| runtime.container_status(id).ok()).collect();
    let root_dir = agent.node.config.root_dir.clone();
    let pod = handle.pod.clone();
    let work = move || {
        let mut usage = DiskUsage::default();
        for status in containers {
            let logs = logs::parts(&status.log_path).iter().filter_map(|part| std::fs::metadata(part).ok()).map(|m| m.len()).sum::<u64>();
            let written = status.writable_layer.as_deref().map_or(0, bytes_below);
            *usage.containers.entry(status.metadata.name).or_default() += logs + written;
        }
        let volumes: Vec<(String, PathBuf)> =
            pod.spec.volumes.iter().flatten().filter_map(|v| Some((v.name.clone(), empty_dir(&root_dir, &pod.uid, v)?))).collect();
        usage.volumes.extend(volumes.into_iter().map(|(name, path)| (name, bytes_below(&path))));
        usage
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

/// On disk, links not followed, other file systems not entered.
fn bytes_below(path: &Path) -> u64 {
    const BLOCK: u64 = 512;
    let Ok(top) = std::fs::symlink_metadata(path) else { return 0 };
    let mut sum = 0;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            sum += metadata.blocks() * BLOCK;
            if metadata.is_dir() && metadata.dev() == top.dev() {
                folders.push(entry.path());
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::bytes_below;

    #[test]
    fn what_is_written_is_counted() {
        let dir = std::env::temp_dir().join(format!("coracle-usage-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        let before = bytes_below(&dir);
        std::fs::write(dir.join("a/b/file"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/", dir.join("out")).unwrap();
        let after = bytes_below(&dir);
        std::fs::remove_dir_all(&dir).unwrap();
        assert!((100_000..200_000).contains(&(after - before)), "{before} {after}");
    }
}
