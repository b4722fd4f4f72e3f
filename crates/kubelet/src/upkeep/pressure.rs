//! Memory or disk run short: the node says so, takes what it can back, and puts out the pod that has the least claim to what it uses.

use std::time::Duration;

use object::quantity::{Format, Quantity};
use oci_runtime::status::{ContainerState, SandboxState};
use pod_plan::eviction;
use pod_plan::memory::Cause;
use tokio::time::Instant;

use super::images::UsedImages;
use super::storage;
use crate::agent::Agent;
use crate::lock::locked;
use crate::node_object::Health;
use crate::pods::Handle;
use crate::{host_usage, machine};

/// Upstream's hard eviction threshold of `memory.available`.
const MEMORY_KEPT_BYTES: i64 = 100 << 20;
/// Upstream's of `nodefs.available` is a tenth alone. A tenth of a large disk is no emergency, so that both must hold here.
const DISK_KEPT_PERCENT: i64 = 10;
const DISK_KEPT_BYTES: i64 = 5 << 30;
/// The end of a pod that uses less would help nobody.
const DISK_WORTH_BYTES: i64 = 1 << 20;
/// Upstream: a pressure is believed to last this long after it was seen.
const PRESSURE_LASTS: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct Pressure {
    memory_seen_at: Option<Instant>,
    disk_seen_at: Option<Instant>,
}

impl Pressure {
    pub(super) async fn look(&mut self, agent: &Agent, used: &mut UsedImages) {
        let now = Instant::now();
        let available = host_usage::memory().available;
        if available > 0 && available < MEMORY_KEPT_BYTES {
            self.memory_seen_at = Some(now);
            evict_for_memory(agent, available);
        }
        if disk_shortage(agent).is_some() {
            self.disk_seen_at = Some(now);
            used.free_if_full(agent).await;
            if let Some((threshold, left)) = disk_shortage(agent) {
                evict_for_disk(agent, threshold, left).await;
            }
        }
        let lasts = |seen: Option<Instant>| seen.is_some_and(|at| now.duration_since(at) < PRESSURE_LASTS);
        agent.set_health(Health {
            has_memory_pressure: lasts(self.memory_seen_at),
            has_disk_pressure: lasts(self.disk_seen_at),
            ..Health::default()
        });
    }
}

/// The threshold and what is left, when that is less.
fn disk_shortage(agent: &Agent) -> Option<(i64, i64)> {
    let (total, left) = machine::storage(&agent.node.config.root_dir)?;
    let threshold = (total / 100 * DISK_KEPT_PERCENT).min(DISK_KEPT_BYTES);
    (left < threshold).then_some((threshold, left))
}

fn bytes(n: i64) -> Quantity {
    // Whole Ki, as upstream shows them.
    Quantity::from_units(n >> 10 << 10, Format::BinarySi)
}

/// One at a time: its end may be enough.
fn evict_for_memory(agent: &Agent, available: i64) {
    let pods = agent.pods.all();
    let ranked = pods.iter().filter_map(|h| Some((eviction::rank(&h.pod, eviction::MEMORY, working_set(agent, h)?)?, h)));
    let Some((_, handle)) = ranked.max_by(|a, b| a.0.cmp(&b.0)) else { return };
    tracing::warn!(namespace = handle.pod.namespace, name = handle.pod.name, "evicting a pod: memory runs out");
    storage::evict(agent, handle, eviction::message(eviction::MEMORY, bytes(MEMORY_KEPT_BYTES), bytes(available)), Cause::Disruption);
}

async fn evict_for_disk(agent: &Agent, threshold: i64, left: i64) {
    let pods = agent.pods.all();
    let mut ranked = Vec::new();
    for handle in pods.iter().filter(|h| is_running(agent, h)) {
        let used = i64::try_from(storage::usage(agent, handle).await.total()).unwrap_or(i64::MAX);
        if used < DISK_WORTH_BYTES {
            continue;
        }
        ranked.extend(eviction::rank(&handle.pod, eviction::STORAGE, used).map(|rank| (rank, handle)));
    }
    let Some((_, handle)) = ranked.into_iter().max_by(|a, b| a.0.cmp(&b.0)) else { return };
    tracing::warn!(namespace = handle.pod.namespace, name = handle.pod.name, "evicting a pod: the disk is full");
    storage::evict(agent, handle, eviction::message(eviction::STORAGE, bytes(threshold), bytes(left)), Cause::Disruption);
}

fn is_running(agent: &Agent, handle: &Handle) -> bool {
    let known = locked(&handle.known).containers.clone();
    let mut statuses = known.iter().filter_map(|id| agent.node.runtime.container_status(id).ok());
    statuses.any(|s| matches!(s.state, ContainerState::Running { .. }))
}

fn working_set(agent: &Agent, handle: &Handle) -> Option<i64> {
    if !is_running(agent, handle) {
        return None;
    }
    let runtime = agent.node.runtime.as_ref();
    let sandboxes = locked(&handle.known).sandboxes.clone();
    let ready = sandboxes.iter().filter_map(|id| runtime.pod_sandbox_status(id).ok());
    let ready = ready.into_iter().find(|s| matches!(s.state, SandboxState::Ready { .. }))?;
    let stats = runtime.sandbox_stats(&ready.id).ok()?;
    i64::try_from(stats.memory_working_set_bytes).ok()
}
