//! networking.k8s.io and discovery.k8s.io.

use crate::row::{NameRule, Row, StatusMetadata};

const GROUP: &str = "networking.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row::new(GROUP, "ingressclasses").with_generation(),
    Row::new(GROUP, "ingresses").with_generation(),
    Row { name: NameRule::IpAddress, ..Row::new(GROUP, "ipaddresses") },
    Row::new(GROUP, "networkpolicies").with_generation(),
    Row { status_metadata: StatusMetadata::Kept, ..Row::new(GROUP, "servicecidrs") },
    Row::new("discovery.k8s.io", "endpointslices").bumped_by(&["/endpoints", "/ports", "/addressType", "/metadata/labels"]),
];
