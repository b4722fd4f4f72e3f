//! storage.k8s.io and storagemigration.k8s.io.

use object::meta;
use serde_json::Value;

use crate::Context;
use crate::equality::is_semantically_equal;
use crate::row::{Row, StatusMetadata};
use crate::validation::{cluster, storage as rules};

const GROUP: &str = "storage.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row { update: Some(bump_driver), ..Row::new(GROUP, "csidrivers").checked(rules::validate_driver, rules::validate_driver_update) },
    Row { status_metadata: StatusMetadata::Kept, ..Row::new(GROUP, "csinodes").checked(rules::validate_node, rules::validate_node_update) },
    Row::new(GROUP, "csistoragecapacities").checked(rules::validate_capacity, rules::validate_capacity_update),
    Row::new(GROUP, "storageclasses").checked(rules::validate_class, rules::validate_class_update),
    Row {
        status_metadata: StatusMetadata::Kept,
        ..Row::new(GROUP, "volumeattachments").checked(rules::validate_attachment, rules::validate_attachment_update)
    },
    Row::new(GROUP, "volumeattributesclasses").checked(rules::validate_attributes, rules::validate_attributes_update),
    Row {
        status_metadata: StatusMetadata::Kept,
        ..Row::new("storagemigration.k8s.io", "storageversionmigrations")
            .checked(cluster::validate_migration, cluster::validate_migration_update)
    },
];

/// Upstream: a driver has no generation until it first changes.
fn bump_driver(_: &str, old: &Value, driver: &mut Value, _: &Context<'_>) {
    if !is_semantically_equal(&old["spec"], &driver["spec"]) {
        meta::set(driver, "generation", meta::generation(old) + 1);
    }
}
