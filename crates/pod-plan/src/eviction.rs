//! Which pod has to go when the node runs short, and which has used more of the disk than it may. Upstream: `pkg/kubelet/eviction`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use object::quantity::Quantity;

use crate::admission::Refusal;
use crate::pod::BoundPod;
use crate::resources;

pub const MEMORY: &str = "memory";
pub const STORAGE: &str = "ephemeral-storage";

/// What a pod has on the node's disk, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// What each container wrote beside its volumes, and its logs.
    pub containers: BTreeMap<String, u64>,
    /// Of its emptyDir volumes that lie on the disk.
    pub volumes: BTreeMap<String, u64>,
}

impl DiskUsage {
    pub fn total(&self) -> u64 {
        self.containers.values().chain(self.volumes.values()).sum()
    }
}

/// Does it state anything that `over_limit` could find broken?
pub fn has_disk_limit(pod: &BoundPod) -> bool {
    pod.spec.volumes.iter().flatten().any(|v| volume_limit(v).is_some()) || pod.containers().any(|(_, c)| storage_limit(c).is_some())
}

fn volume_limit(volume: &k8s_openapi::api::core::v1::Volume) -> Option<Quantity> {
    let source = volume.empty_dir.as_ref().filter(|e| e.medium.as_deref().unwrap_or_default().is_empty())?;
    Quantity::parse(&source.size_limit.as_ref()?.0).ok().filter(|q| !q.is_zero())
}

fn storage_limit(container: &k8s_openapi::api::core::v1::Container) -> Option<Quantity> {
    resources::limit(container, STORAGE).filter(|q| !q.is_zero())
}

/// Why a pod has to go for what it wrote; the text is what its status shows.
pub fn over_limit(pod: &BoundPod, usage: &DiskUsage) -> Option<String> {
    let exceeds = |used: u64, limit: Quantity| i64::try_from(used).unwrap_or(i64::MAX) > limit.value();
    for volume in pod.spec.volumes.iter().flatten() {
        let (Some(limit), Some(used)) = (volume_limit(volume), usage.volumes.get(&volume.name)) else { continue };
        if exceeds(*used, limit) {
            return Some(format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}. ", volume.name, limit.to_string()));
        }
    }
    let limited = pod.spec.containers.iter().any(|c| storage_limit(c).is_some());
    let total = resources::pod_total(pod, STORAGE, resources::limit);
    if limited && exceeds(usage.total(), total) {
        return Some(format!("Pod ephemeral local storage usage exceeds the total limit of containers {total}. "));
    }
    pod.containers().find_map(|(_, container)| {
        let (limit, used) = (storage_limit(container)?, usage.containers.get(&container.name)?);
        exceeds(*used, limit)
            .then(|| format!("Container {} exceeded its local ephemeral storage limit {:?}. ", container.name, limit.to_string()))
    })
}

/// The pod with the highest rank goes first: those beyond what they asked for, then the least important, then by how far beyond.
pub fn rank(pod: &BoundPod, resource: &str, used: i64) -> Option<impl Ord + use<>> {
    if is_critical(pod) {
        return None;
    }
    let requested = resources::pod_request(pod, resource).value();
    Some((used > requested, Reverse(pod.spec.priority.unwrap_or(0)), used - requested))
}

fn is_critical(pod: &BoundPod) -> bool {
    const SYSTEM_PRIORITY: i32 = 2_000_000_000;
    pod.spec.priority.is_some_and(|p| p >= SYSTEM_PRIORITY)
}

/// The message of a pod that goes because the node runs short.
pub fn message(resource: &str, threshold: Quantity, available: Quantity) -> String {
    format!("The node was low on resource: {resource}. Threshold quantity: {threshold}, available: {available}. ")
}

/// Under pressure a node takes no more pods, but for critical ones and, when only memory is short, those that asked for some of it.
pub fn refusal(pod: &BoundPod, is_short_of_memory: bool, is_short_of_disk: bool) -> Option<Refusal> {
    let tolerates = || {
        let tolerations = pod.spec.tolerations.iter().flatten();
        tolerations.into_iter().any(|t| {
            let is_key = t.key.as_deref().is_none_or(|key| key == "node.kubernetes.io/memory-pressure");
            is_key && t.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == "NoSchedule")
        })
    };
    let is_spared = is_critical(pod) || (!is_short_of_disk && (resources::qos_class(pod) != resources::BEST_EFFORT || tolerates()));
    if is_spared || !(is_short_of_memory || is_short_of_disk) {
        return None;
    }
    let named = [(is_short_of_disk, "DiskPressure"), (is_short_of_memory, "MemoryPressure")];
    let conditions: Vec<&str> = named.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
    Some(Refusal { reason: "Evicted", message: format!("The node had condition: [{}]. ", conditions.join(" ")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> BoundPod {
        BoundPod::read(&json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    #[test]
    fn who_writes_too_much_goes() {
        let usage = |container: u64, volume: u64| DiskUsage {
            containers: BTreeMap::from([("a".to_owned(), container)]),
            volumes: BTreeMap::from([("v".to_owned(), volume)]),
        };
        let limited = json!({"name": "a", "resources": {"limits": {"ephemeral-storage": "1Ki"}}});
        let volume = json!({"name": "v", "emptyDir": {"sizeLimit": "2Ki"}});
        for (spec, used, expected) in [
            (json!({"containers": [{"name": "a"}], "volumes": [volume]}), usage(9999, 2048), None),
            (
                json!({"containers": [{"name": "a"}], "volumes": [volume]}),
                usage(0, 2049),
                Some("Usage of EmptyDir volume \"v\" exceeds the limit \"2Ki\". "),
            ),
            (
                json!({"containers": [limited], "volumes": [{"name": "v", "emptyDir": {}}]}),
                usage(1000, 100),
                Some("Pod ephemeral local storage usage exceeds the total limit of containers 1Ki. "),
            ),
            (
                json!({"containers": [limited, {"name": "b", "resources": {"limits": {"ephemeral-storage": "9Ki"}}}]}),
                usage(2000, 0),
                Some("Container a exceeded its local ephemeral storage limit \"1Ki\". "),
            ),
            (
                json!({"containers": [{"name": "a"}], "volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1"}}]}),
                usage(0, 5),
                None,
            ),
        ] {
            let pod = pod(spec);
            assert_eq!(over_limit(&pod, &used).as_deref(), expected);
            assert!(expected.is_none() || has_disk_limit(&pod));
        }
    }

    #[test]
    fn the_least_deserving_goes_first() {
        let with = |priority: i32, memory: &str| {
            pod(json!({"priority": priority, "containers": [{"name": "a", "resources": {"requests": {"memory": memory}}}]}))
        };
        let of = |pod: &BoundPod, used: i64| rank(pod, MEMORY, used);
        assert!(of(&with(0, "10"), 11) > of(&with(0, "100"), 50), "beyond its request");
        assert!(of(&with(0, "10"), 11) > of(&with(5, "10"), 99), "less important");
        assert!(of(&with(0, "10"), 20) > of(&with(0, "10"), 11), "further beyond");
        assert!(of(&with(2_000_000_001, "10"), 99).is_none(), "critical");
    }

    #[test]
    fn under_pressure_few_are_taken() {
        let plain = pod(json!({"containers": [{"name": "a"}]}));
        let asks = pod(json!({"containers": [{"name": "a", "resources": {"requests": {"memory": "1"}}}]}));
        for (pod, memory, disk, expected) in [
            (&plain, false, false, None),
            (&plain, true, false, Some("The node had condition: [MemoryPressure]. ")),
            (&asks, true, false, None),
            (&asks, false, true, Some("The node had condition: [DiskPressure]. ")),
            (&asks, true, true, Some("The node had condition: [DiskPressure MemoryPressure]. ")),
        ] {
            assert_eq!(refusal(pod, memory, disk).map(|r| r.message).as_deref(), expected);
        }
    }
}
