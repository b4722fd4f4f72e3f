//! networking.k8s.io and discovery.k8s.io.

use serde_json::Value;

use crate::Context;
use crate::equality::is_semantically_equal;
use crate::reset::unset;
use crate::row::{NameRule, Row, StatusMetadata};

use crate::validation::{discovery, networking as rules, policies};

const GROUP: &str = "networking.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row::new(GROUP, "ingressclasses").with_generation().checked(rules::validate_class, rules::validate_class_update),
    Row::new(GROUP, "ingresses").with_generation().checked(rules::validate_ingress, rules::validate_ingress_update),
    Row { name: NameRule::IpAddress, ..Row::new(GROUP, "ipaddresses").checked(rules::validate_address, rules::validate_address_update) },
    Row::new(GROUP, "networkpolicies").with_generation().checked(policies::validate_network, policies::validate_network_update),
    Row {
        status_metadata: StatusMetadata::Kept,
        ..Row::new(GROUP, "servicecidrs").checked(rules::validate_ranges, rules::validate_ranges_update)
    },
    Row {
        create: Some(drop_topology),
        update: Some(|_, old, slice, context| {
            if !is_semantically_equal(&old["endpoints"], &slice["endpoints"]) {
                drop_topology(slice, context);
            }
        }),
        ..Row::new("discovery.k8s.io", "endpointslices")
            .bumped_by(&["/endpoints", "/ports", "/addressType", "/metadata/labels"])
            .checked(discovery::validate, discovery::validate_update)
    },
];

/// Upstream: the topology of v1beta1 is for its writers only.
fn drop_topology(slice: &mut Value, _: &Context<'_>) {
    for endpoint in slice.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        unset(endpoint, "deprecatedTopology");
    }
}
