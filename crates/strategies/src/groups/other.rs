//! The small groups.

use object::time;
use serde_json::Value;

use crate::Context;
use crate::row::{NameRule, Row, StatusMetadata};
use crate::validation::core::events;
use crate::validation::{autoscaling, cluster, devices, flow, policies, rbac};

const FLOW: &str = "flowcontrol.apiserver.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const RESOURCE: &str = "resource.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row::new("autoscaling", "horizontalpodautoscalers").with_generation().checked(autoscaling::validate, autoscaling::validate_update),
    Row::new("coordination.k8s.io", "leases").checked(cluster::validate_lease, cluster::validate_lease_update),
    Row::new("events.k8s.io", "events").checked(events::validate, events::validate_update),
    Row {
        status_metadata: StatusMetadata::Kept,
        ..Row::new(FLOW, "flowschemas").with_generation().checked(flow::validate_schema, flow::validate_schema_update)
    },
    Row {
        status_metadata: StatusMetadata::Kept,
        ..Row::new(FLOW, "prioritylevelconfigurations").with_generation().checked(flow::validate_level, flow::validate_level_update)
    },
    Row::new("node.k8s.io", "runtimeclasses").checked(cluster::validate_runtime, cluster::validate_runtime_update),
    Row {
        name: NameRule::PathSegment,
        ..Row::new("policy", "poddisruptionbudgets").with_generation().checked(policies::validate_budget, policies::validate_budget_update)
    },
    Row {
        name: NameRule::PathSegment,
        ..Row::new(RBAC, "clusterrolebindings").checked(rbac::validate_cluster_binding, rbac::validate_cluster_binding_update)
    },
    Row {
        name: NameRule::PathSegment,
        ..Row::new(RBAC, "clusterroles").checked(rbac::validate_cluster_role, rbac::validate_cluster_role_update)
    },
    Row { name: NameRule::PathSegment, ..Row::new(RBAC, "rolebindings").checked(rbac::validate_binding, rbac::validate_binding_update) },
    Row { name: NameRule::PathSegment, ..Row::new(RBAC, "roles").checked(rbac::validate_role, rbac::validate_role_update) },
    Row {
        name: NameRule::GeneratedSubdomain,
        ..Row::new(RESOURCE, "deviceclasses").with_generation().checked(devices::validate_class, devices::validate_class_update)
    },
    Row {
        status_metadata: StatusMetadata::Kept,
        update: Some(restamp_taint),
        ..Row::new(RESOURCE, "devicetaintrules")
            .with_generation()
            .checked(devices::validate_taint_rule, devices::validate_taint_rule_update)
    },
    Row {
        status_metadata: StatusMetadata::Kept,
        ..Row::new(RESOURCE, "resourceclaims").checked(devices::validate_claim, devices::validate_claim_update)
    },
    Row::new(RESOURCE, "resourceclaimtemplates").checked(devices::validate_template, devices::validate_template_update),
    Row {
        counts_dropped: true,
        ..Row::new(RESOURCE, "resourceslices").with_generation().checked(devices::validate_slice, devices::validate_slice_update)
    },
    Row::new("scheduling.k8s.io", "priorityclasses").bumped_by(&[]).checked(cluster::validate_priority, cluster::validate_priority_update),
];

/// A taint whose effect changed counts from now.
fn restamp_taint(_: &str, old: &Value, rule: &mut Value, context: &Context<'_>) {
    let (before, after) = (&old["spec"]["taint"], &rule["spec"]["taint"]);
    if before["effect"] != after["effect"] && before["timeAdded"] == after["timeAdded"] {
        rule["spec"]["taint"]["timeAdded"] = Value::from(time::seconds(context.now));
    }
}
