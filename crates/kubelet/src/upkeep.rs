//! What a node does beside running pods: rotates logs, frees images when the disk fills, and puts pods out before the host suffers.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use oci_runtime::status::{ContainerState, SandboxState};
use pod_plan::memory::Eviction;
use pod_plan::resources;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::logs::rotate;
use crate::machine::storage;
use crate::node_object::Health;
use crate::pods::Handle;
use crate::server::memory_available;
use crate::start::locked;

/// Upstream: `imageGCHighThresholdPercent`; freeing goes on to the lower one.
const IMAGES_FREED_ABOVE_PERCENT: i64 = 85;
const IMAGES_FREED_TO_PERCENT: i64 = 80;
/// However full a disk is by its percentage, this much left is enough for now.
const DISK_AMPLE_BYTES: i64 = 20 << 30;
const IMAGES_INTERVAL: std::time::Duration = std::time::Duration::from_secs(300);
/// Upstream: `imageMinimumGCAge`.
const IMAGE_AGE_MIN: std::time::Duration = std::time::Duration::from_secs(120);
/// Upstream's hard eviction threshold of `memory.available`.
const MEMORY_KEPT_BYTES: i64 = 100 << 20;
/// Upstream's of `nodefs.available` is a tenth alone. A tenth of a large disk is no emergency, so that both must hold here.
const DISK_KEPT_PERCENT: i64 = 10;
const DISK_KEPT_BYTES: i64 = 5 << 30;
/// Upstream: a pressure is believed to last this long after it was seen.
const PRESSURE_LASTS: std::time::Duration = std::time::Duration::from_secs(300);

/// Runs until it is dropped.
pub async fn run(agent: &Agent) {
    let mut used = UsedImages::default();
    let mut images_at = Instant::now() + IMAGES_INTERVAL;
    let mut pressure = Pressure::default();
    loop {
        tokio::time::sleep(rotate::INTERVAL).await;
        rotate::rotate_all(agent.node.runtime.as_ref(), agent.node.now()).await;
        pressure.look(agent);
        if Instant::now() >= images_at {
            images_at = Instant::now() + IMAGES_INTERVAL;
            used.free_if_full(agent).await;
        }
    }
}

/// When each image was last seen in use.
#[derive(Default)]
struct UsedImages(HashMap<String, Instant>);

impl UsedImages {
    async fn free_if_full(&mut self, agent: &Agent) {
        let node = &agent.node;
        let now = Instant::now();
        let containers = node.runtime.list_containers();
        let in_use: HashSet<&str> = containers.iter().map(|c| c.image_id.as_str()).collect();
        let images = node.images.list();
        self.0.retain(|id, _| images.iter().any(|i| i.id == *id));
        for image in &images {
            let seen = self.0.entry(image.id.clone()).or_insert(now);
            if in_use.contains(image.shown.as_str()) {
                *seen = now;
            }
        }
        let Some((total, available)) = storage(&node.config.root_dir).filter(|(total, _)| *total > 0) else { return };
        if (total - available) * 100 / total < IMAGES_FREED_ABOVE_PERCENT || available > DISK_AMPLE_BYTES {
            return;
        }
        let mut wanted = total - available - total / 100 * IMAGES_FREED_TO_PERCENT;
        let mut idle: Vec<_> = images.iter().filter(|i| i.was_pulled && !in_use.contains(i.shown.as_str())).collect();
        idle.retain(|i| self.0.get(&i.id).is_some_and(|seen| now.duration_since(*seen) >= IMAGE_AGE_MIN));
        idle.sort_by_key(|i| self.0.get(&i.id).copied());
        for image in idle {
            if wanted <= 0 {
                break;
            }
            match node.images.forget(image) {
                Ok(()) => wanted -= i64::try_from(image.size).unwrap_or(0),
                Err(error) => tracing::warn!(image = image.shown, error, "cannot remove an image"),
            }
        }
        let layers_in_use: HashSet<PathBuf> =
            images.iter().filter(|i| in_use.contains(i.shown.as_str())).flat_map(|i| i.layers.clone()).collect();
        match node.images.collect(layers_in_use).await {
            Ok(bytes) => tracing::info!(bytes, "freed images"),
            Err(error) => tracing::warn!(error, "cannot free images"),
        }
    }
}

#[derive(Default)]
struct Pressure {
    memory_seen_at: Option<Instant>,
    disk_seen_at: Option<Instant>,
}

impl Pressure {
    fn look(&mut self, agent: &Agent) {
        let now = Instant::now();
        let available = memory_available();
        let is_short_of_memory = available > 0 && available < MEMORY_KEPT_BYTES;
        if is_short_of_memory {
            self.memory_seen_at = Some(now);
            evict_for_memory(agent, available);
        }
        let disk = storage(&agent.node.config.root_dir);
        if disk.is_some_and(|(total, left)| left < DISK_KEPT_BYTES && left < total / 100 * DISK_KEPT_PERCENT) {
            self.disk_seen_at = Some(now);
        }
        let lasts = |seen: Option<Instant>| seen.is_some_and(|at| now.duration_since(at) < PRESSURE_LASTS);
        agent.set_health(Health {
            has_memory_pressure: lasts(self.memory_seen_at),
            has_disk_pressure: lasts(self.disk_seen_at),
            ..Health::default()
        });
    }
}

/// The pod that uses most beyond what it asked for; the least important first. One at a time: its end may be enough.
fn evict_for_memory(agent: &Agent, available: i64) {
    let pods = agent.pods.all();
    let rank = |handle: &Handle| {
        let used = working_set(agent, handle)?;
        let requested = resources::pod_request(&handle.pod, "memory").value();
        let priority = handle.pod.spec.priority.unwrap_or(0);
        Some((used > requested, std::cmp::Reverse(priority), used - requested))
    };
    let is_system = |handle: &Handle| handle.pod.spec.priority.is_some_and(|p| p >= 2_000_000_000);
    let worst = pods.iter().filter(|h| !is_system(h)).filter_map(|h| Some((rank(h)?, h))).max_by(|a, b| a.0.cmp(&b.0));
    let Some((_, handle)) = worst else { return };
    let message = format!(
        "The node was low on resource: memory. Threshold quantity: {}Mi, available: {}Ki. ",
        MEMORY_KEPT_BYTES >> 20,
        available >> 10
    );
    tracing::warn!(namespace = handle.pod.namespace, name = handle.pod.name, "evicting a pod: memory runs out");
    agent.node.tell(&handle.pod, &pod_plan::effect::Note::warning("Evicted", message.clone()));
    let eviction = Eviction { reason: "Evicted".to_owned(), message, grace_seconds: Some(0), is_disruption: true };
    agent.pods.evict(&handle.pod.uid, eviction);
}

fn working_set(agent: &Agent, handle: &Handle) -> Option<i64> {
    let runtime = agent.node.runtime.as_ref();
    let known = locked(&handle.known).clone();
    let is_running = known.containers.iter().filter_map(|id| runtime.container_status(id).ok());
    if !is_running.into_iter().any(|s| matches!(s.state, ContainerState::Running { .. })) {
        return None;
    }
    let ready = known.sandboxes.iter().filter_map(|id| runtime.pod_sandbox_status(id).ok());
    let ready = ready.into_iter().find(|s| matches!(s.state, SandboxState::Ready { .. }))?;
    let stats = runtime.sandbox_stats(&ready.id).ok()?;
    i64::try_from(stats.memory_working_set_bytes).ok()
}
