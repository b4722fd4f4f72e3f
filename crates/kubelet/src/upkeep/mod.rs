//! What a node does beside running pods: rotates logs, frees images when the disk fills, and puts pods out before the host suffers.

mod images;
mod pressure;
mod storage;

pub(crate) use storage::usage as disk_usage;

use std::time::Duration;

use tokio::time::Instant;

use crate::agent::Agent;
use crate::logs::rotate;

const IMAGES_INTERVAL: Duration = Duration::from_secs(300);

/// Runs until it is dropped.
pub async fn run(agent: &Agent) {
    let mut used = images::UsedImages::default();
    let mut images_at = Instant::now() + IMAGES_INTERVAL;
    let mut pressure = pressure::Pressure::default();
    loop {
        tokio::time::sleep(rotate::INTERVAL).await;
        rotate::rotate_all(agent.node.runtime.as_ref(), agent.node.now()).await;
        storage::evict_over_limits(agent).await;
        pressure.look(agent, &mut used).await;
        if Instant::now() >= images_at {
            images_at = Instant::now() + IMAGES_INTERVAL;
            used.free_if_full(agent).await;
        }
    }
}
