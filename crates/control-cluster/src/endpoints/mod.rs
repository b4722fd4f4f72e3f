//! Where a service's connections go: EndpointSlices, and the older Endpoints, from the pods its selector finds.
//!
//! `backends` says which pods serve which ports and in what condition; `slices` packs them so that a change of one pod rewrites one
//! slice; `legacy` writes the same as one Endpoints object; `mirror` makes slices of Endpoints that people write.

mod backends;
pub mod legacy;
pub mod mirror;
pub mod slices;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use object::selector::LabelSelector;

/// The pods that belong to a service, ordered by name. Services without a selector keep their endpoints by hand.
pub fn selector(service: &Service) -> Option<LabelSelector> {
    let spec = service.spec.as_ref()?;
    let pairs = spec.selector.as_ref().filter(|pairs| !pairs.is_empty())?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    Some(LabelSelector::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))))
}

/// Whether a service's selector finds the pod.
pub fn selects(service: &Service, pod: &Pod) -> bool {
    service.metadata.namespace == pod.metadata.namespace
        && selector(service)
            .is_some_and(|s| s.matches_with(&|key| pod.metadata.labels.as_ref().and_then(|l| l.get(key)).map(String::as_str)))
}

/// The zone of a node, by its name.
pub type ZoneOf<'a> = &'a dyn Fn(&str) -> Option<String>;

pub struct View<'a, Kept> {
    pub service: &'a Service,
    /// All pods its selector finds.
    pub pods: &'a [Arc<Pod>],
    pub zone_of: ZoneOf<'a>,
    /// What this controller wrote before: slices, or the one Endpoints.
    pub kept: &'a [Arc<Kept>],
    pub is_name_taken: &'a dyn Fn(&str) -> bool,
}
