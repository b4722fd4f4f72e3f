//! Amounts of node resources, and what a pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as TextQuantity;
use object::quantity::Quantity;

/// What upstream counts for a container without requests when it scores, so that such pods spread too.
const UNSET_CPU_MILLIS: i64 = 100;
const UNSET_MEMORY: i64 = 200 * 1024 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_millis: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    pub pods: i64,
    /// Extended resources and huge pages, sorted by name.
    pub others: Vec<(String, i64)>,
}

impl Resources {
    pub(crate) fn from_map(map: &BTreeMap<String, TextQuantity>) -> Self {
        let mut resources = Resources::default();
        for (name, text) in map {
            let quantity = Quantity::parse(&text.0).unwrap_or(Quantity::ZERO);
            match name.as_str() {
                "cpu" => resources.cpu_millis = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => resources.pods = quantity.value(),
                other => resources.others.push((other.to_owned(), quantity.value())),
            }
        }
        resources
    }

    pub(crate) fn add(&mut self, more: &Resources, sign: i64) {
        self.cpu_millis += sign * more.cpu_millis;
        self.memory += sign * more.memory;
        self.ephemeral_storage += sign * more.ephemeral_storage;
        self.pods += sign * more.pods;
        for (name, amount) in &more.others {
            match self.others.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(at) => self.others[at].1 += sign * amount,
                Err(at) => self.others.insert(at, (name.clone(), sign * amount)),
            }
        }
    }

    fn at_least(&mut self, floor: &Resources) {
        self.cpu_millis = self.cpu_millis.max(floor.cpu_millis);
        self.memory = self.memory.max(floor.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(floor.ephemeral_storage);
        for (name, amount) in &floor.others {
            match self.others.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(at) => self.others[at].1 = self.others[at].1.max(*amount),
                Err(at) => self.others.insert(at, (name.clone(), *amount)),
            }
        }
    }

    pub(crate) fn other(&self, name: &str) -> i64 {
        self.others.binary_search_by(|(n, _)| n.as_str().cmp(name)).map_or(0, |at| self.others[at].1)
    }
}

/// What a pod's containers need together, and the same with upstream's stand-ins for what is not said (for scoring).
pub(crate) fn of_pod(spec: &PodSpec) -> (Resources, Resources) {
    let mut requests = sum(spec, &|r| r);
    let mut scored = sum(spec, &|mut r| {
        r.cpu_millis = if r.cpu_millis == 0 { UNSET_CPU_MILLIS } else { r.cpu_millis };
        r.memory = if r.memory == 0 { UNSET_MEMORY } else { r.memory };
        r
    });
    // Pod-level requests, where given, stand for the sum.
    if let Some(pod_level) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let stated = Resources::from_map(pod_level);
        for total in [&mut requests, &mut scored] {
            if pod_level.contains_key("cpu") {
                total.cpu_millis = stated.cpu_millis;
            }
            if pod_level.contains_key("memory") {
                total.memory = stated.memory;
            }
        }
    }
    if let Some(overhead) = &spec.overhead {
        let overhead = Resources::from_map(overhead);
        requests.add(&overhead, 1);
        scored.add(&overhead, 1);
    }
    requests.pods = 1;
    scored.pods = 1;
    (requests, scored)
}

/// Containers run together; init containers one after another, beside the restartable ones started before them.
fn sum(spec: &PodSpec, adjust: &dyn Fn(Resources) -> Resources) -> Resources {
    let of = |c: &Container| adjust(requests(c.resources.as_ref()));
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&of(container), 1);
    }
    let mut sidecars = Resources::default();
    let mut highest_start = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&of(container), 1);
            highest_start.at_least(&sidecars);
        } else {
            let mut at_once = sidecars.clone();
            at_once.add(&of(container), 1);
            highest_start.at_least(&at_once);
        }
    }
    running.add(&sidecars, 1);
    running.at_least(&highest_start);
    running
}

/// A limit without a request stands for one; the API defaults it so, but static and old pods may not have been defaulted.
fn requests(resources: Option<&ResourceRequirements>) -> Resources {
    let Some(resources) = resources else { return Resources::default() };
    let mut map = resources.limits.clone().unwrap_or_default();
    map.extend(resources.requests.clone().unwrap_or_default());
    Resources::from_map(&map)
}
