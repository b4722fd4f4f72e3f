//! storage.k8s.io and storagemigration.k8s.io.

use object::meta;
use serde_json::Value;

use crate::Context;
use crate::equality::is_semantically_equal;
use crate::row::{Row, StatusMetadata};

const GROUP: &str = "storage.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row { update: Some(bump_driver), ..Row::new(GROUP, "csidrivers") },
    Row::new(GROUP, "csinodes"),
    Row::new(GROUP, "csistoragecapacities"),
    Row::new(GROUP, "storageclasses"),
    Row { status_metadata: StatusMetadata::Kept, ..Row::new(GROUP, "volumeattachments") },
    Row::new(GROUP, "volumeattributesclasses"),
    Row { status_metadata: StatusMetadata::Kept, ..Row::new("storagemigration.k8s.io", "storageversionmigrations") },
];

/// Upstream: a driver has no generation until it first changes.
fn bump_driver(_: &str, old: &Value, driver: &mut Value, _: &Context<'_>) {
    if !is_semantically_equal(&old["spec"], &driver["spec"]) {
        meta::set(driver, "generation", meta::generation(old) + 1);
    }
}
