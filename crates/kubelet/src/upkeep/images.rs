//! Frees the images nobody uses when the disk fills.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use tokio::time::Instant;

use crate::agent::Agent;
use crate::machine::storage;
use crate::observe::IMAGE_VOLUMES;
use crate::seams::Image;

/// Upstream: `imageGCHighThresholdPercent`; freeing goes on to the lower one.
const IMAGES_FREED_ABOVE_PERCENT: i64 = 85;
const IMAGES_FREED_TO_PERCENT: i64 = 80;
/// However full a disk is by its percentage, this much left is enough for now.
const DISK_AMPLE_BYTES: i64 = 20 << 30;
/// Upstream: `imageMinimumGCAge`.
const IMAGE_AGE_MIN: std::time::Duration = std::time::Duration::from_secs(120);

/// When each image was last seen in use.
#[derive(Default)]
pub(super) struct UsedImages(HashMap<String, Instant>);

impl UsedImages {
    pub(super) async fn free_if_full(&mut self, agent: &Agent) {
        let node = &agent.node;
        let now = Instant::now();
        let containers = node.runtime.list_containers();
        let of_containers: HashSet<&str> = containers.iter().map(|c| c.image_id.as_str()).collect();
        let volumes = containers.iter().filter_map(|c| c.annotations.get(IMAGE_VOLUMES));
        let of_volumes: HashSet<&str> = volumes.flat_map(|ids| ids.split(',')).collect();
        let in_use = |image: &Image| of_containers.contains(image.shown.as_str()) || of_volumes.contains(image.id.as_str());
        let images = node.images.list();
        self.0.retain(|id, _| images.iter().any(|i| i.id == *id));
        for image in &images {
            let seen = self.0.entry(image.id.clone()).or_insert(now);
            if in_use(image) {
                *seen = now;
            }
        }
        let Some((total, available)) = storage(&node.config.root_dir).filter(|(total, _)| *total > 0) else { return };
        if (total - available) * 100 / total < IMAGES_FREED_ABOVE_PERCENT || available > DISK_AMPLE_BYTES {
            return;
        }
        let mut wanted = total - available - total / 100 * IMAGES_FREED_TO_PERCENT;
        let mut idle: Vec<_> = images.iter().filter(|i| i.was_pulled && !in_use(i)).collect();
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
        let layers_in_use: HashSet<PathBuf> = images.iter().filter(|i| in_use(i)).flat_map(|i| i.layers.clone()).collect();
        match node.images.collect(layers_in_use).await {
            Ok(bytes) => tracing::info!(bytes, "freed images"),
            Err(error) => tracing::warn!(error, "cannot free images"),
        }
    }
}
