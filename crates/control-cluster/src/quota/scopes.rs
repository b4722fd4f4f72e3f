//! Which objects a quota is about.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, PodAffinityTerm, ResourceQuota, ResourceRequirements, ScopedResourceSelectorRequirement,
};

use super::amounts;

pub struct Scope {
    name: String,
    operator: String,
    values: Vec<String>,
}

/// All must fit.
pub fn of(quota: &ResourceQuota) -> Vec<Scope> {
    let spec = quota.spec.clone().unwrap_or_default();
    let plain = spec.scopes.into_iter().flatten();
    let plain = plain.map(|name| Scope { name, operator: "Exists".to_owned(), values: Vec::new() });
    let chosen = spec.scope_selector.and_then(|s| s.match_expressions).into_iter().flatten();
    let chosen = chosen.map(|s: ScopedResourceSelectorRequirement| Scope {
        name: s.scope_name,
        operator: s.operator,
        values: s.values.unwrap_or_default(),
    });
    plain.chain(chosen).collect()
}

impl Scope {
    pub fn has_pod(&self, pod: &Pod) -> bool {
        let spec = pod.spec.as_ref();
        let ends = spec.and_then(|s| s.active_deadline_seconds).is_some_and(|seconds| seconds >= 0);
        match self.name.as_str() {
            "Terminating" => ends,
            "NotTerminating" => !ends,
            "BestEffort" => is_best_effort(pod),
            "NotBestEffort" => !is_best_effort(pod),
            "PriorityClass" => self.fits(&[spec.and_then(|s| s.priority_class_name.as_deref())]),
            "CrossNamespacePodAffinity" => looks_abroad(pod),
            _ => false,
        }
    }

    pub fn has_claim(&self, claim: &PersistentVolumeClaim) -> bool {
        let wanted = claim.spec.as_ref().and_then(|s| s.volume_attributes_class_name.as_deref());
        let status = claim.status.as_ref();
        let current = status.and_then(|s| s.current_volume_attributes_class_name.as_deref());
        let target = status.and_then(|s| s.modify_volume_status.as_ref()).and_then(|m| m.target_volume_attributes_class_name.as_deref());
        self.name == "VolumeAttributesClass" && self.fits(&[wanted, current, target])
    }

    fn fits(&self, names: &[Option<&str>]) -> bool {
        let mut named = names.iter().flatten().copied().filter(|name| !name.is_empty());
        match self.operator.as_str() {
            "Exists" => named.next().is_some(),
            "DoesNotExist" => named.next().is_none(),
            "In" => named.any(|name| self.values.iter().any(|v| v == name)),
            "NotIn" => !named.any(|name| self.values.iter().any(|v| v == name)),
            _ => false,
        }
    }
}

fn is_best_effort(pod: &Pod) -> bool {
    if let Some(class) = pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) {
        return class == "BestEffort";
    }
    let asks = |resources: Option<&ResourceRequirements>| {
        let parts = resources.into_iter().flat_map(|r| [&r.requests, &r.limits]);
        parts
            .flat_map(|part| amounts::parsed(part.as_ref()))
            .any(|(name, amount)| matches!(name.as_str(), "cpu" | "memory") && !amount.is_zero())
    };
    let Some(spec) = &pod.spec else { return true };
    let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    !asks(spec.resources.as_ref()) && !containers.any(|c| asks(c.resources.as_ref()))
}

fn looks_abroad(pod: &Pod) -> bool {
    let is_abroad = |term: &PodAffinityTerm| term.namespaces.as_ref().is_some_and(|n| !n.is_empty()) || term.namespace_selector.is_some();
    let Some(affinity) = pod.spec.as_ref().and_then(|s| s.affinity.as_ref()) else { return false };
    let near = affinity.pod_affinity.iter().flat_map(|a| {
        let required = a.required_during_scheduling_ignored_during_execution.iter().flatten();
        required.chain(a.preferred_during_scheduling_ignored_during_execution.iter().flatten().map(|w| &w.pod_affinity_term))
    });
    let far = affinity.pod_anti_affinity.iter().flat_map(|a| {
        let required = a.required_during_scheduling_ignored_during_execution.iter().flatten();
        required.chain(a.preferred_during_scheduling_ignored_during_execution.iter().flatten().map(|w| &w.pod_affinity_term))
    });
    near.chain(far).any(is_abroad)
}
