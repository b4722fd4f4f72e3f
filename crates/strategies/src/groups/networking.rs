//! networking.k8s.io and discovery.k8s.io.

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
    Row::new("discovery.k8s.io", "endpointslices")
        .bumped_by(&["/endpoints", "/ports", "/addressType", "/metadata/labels"])
        .checked(discovery::validate, discovery::validate_update),
];
