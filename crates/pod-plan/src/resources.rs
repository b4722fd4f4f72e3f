//! Requests and limits as the kernel wants them: QoS class, cgroup values of containers and pods, OOM scores.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource;
use object::quantity::Quantity;

use crate::pod::{BoundPod, is_sidecar};

pub(crate) type List = BTreeMap<String, resource::Quantity>;

/// What goes into a cgroup; `None` leaves the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    pub cpu_shares: Option<u64>,
    /// Microseconds a period.
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    pub memory_limit: Option<u64>,
}

pub const GUARANTEED: &str = "Guaranteed";
pub const BURSTABLE: &str = "Burstable";
pub const BEST_EFFORT: &str = "BestEffort";

const CPU_PERIOD_US: u64 = 100_000;
const CPU_QUOTA_US_MIN: i64 = 1000;
const SHARES_MIN: u64 = 2;
const SHARES_MAX: u64 = 262_144;

/// As the API server wrote it at creation, or as it would have.
pub fn qos_class(pod: &BoundPod) -> &str {
    if let Some(class) = pod.status.qos_class.as_deref().filter(|c| !c.is_empty()) {
        return class;
    }
    if let Some(whole) = pod.spec.resources.as_ref() {
        return requirements_class(Some(whole));
    }
    let mut classes = pod.init_containers().iter().chain(&pod.spec.containers).map(|c| requirements_class(c.resources.as_ref()));
    let Some(first) = classes.next() else { return BEST_EFFORT };
    if classes.all(|class| class == first) { first } else { BURSTABLE }
}

fn requirements_class(resources: Option<&ResourceRequirements>) -> &'static str {
    let Some(resources) = resources else { return BEST_EFFORT };
    let of = |list: &Option<List>, name| amount(list.as_ref(), name).filter(|q| !q.is_zero());
    let pairs = ["cpu", "memory"].map(|name| (of(&resources.requests, name), of(&resources.limits, name)));
    if pairs.iter().all(|(request, limit)| request.is_none() && limit.is_none()) {
        return BEST_EFFORT;
    }
    if pairs.iter().all(|(request, limit)| {
        limit.is_some() && request.unwrap_or_else(|| limit.unwrap_or(Quantity::ZERO)) == limit.unwrap_or(Quantity::ZERO)
    }) {
        return GUARANTEED;
    }
    BURSTABLE
}

fn amount(list: Option<&List>, name: &str) -> Option<Quantity> {
    Quantity::parse(&list?.get(name)?.0).ok()
}

pub fn request(container: &Container, name: &str) -> Option<Quantity> {
    amount(container.resources.as_ref()?.requests.as_ref(), name)
}
pub fn limit(container: &Container, name: &str) -> Option<Quantity> {
    amount(container.resources.as_ref()?.limits.as_ref(), name)
}

fn shares(milli_cpu: i64) -> u64 {
    const SHARES_PER_CPU: u64 = 1024;
    (u64::try_from(milli_cpu).unwrap_or(0) * SHARES_PER_CPU / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

fn quota(milli_cpu: i64) -> i64 {
    (milli_cpu * CPU_PERIOD_US as i64 / 1000).max(CPU_QUOTA_US_MIN)
}

pub fn container_cgroup(pod: &BoundPod, container: &Container) -> Cgroup {
    let whole = pod.spec.resources.as_ref().and_then(|r| r.limits.as_ref());
    let cpu_limit = limit(container, "cpu").or_else(|| amount(whole, "cpu")).filter(|q| !q.is_zero());
    let memory_limit = limit(container, "memory").or_else(|| amount(whole, "memory")).filter(|q| !q.is_zero());
    let cpu_request = request(container, "cpu").or(cpu_limit).unwrap_or(Quantity::ZERO);
    Cgroup {
        cpu_shares: Some(shares(cpu_request.milli_value())),
        cpu_quota: cpu_limit.map(|q| quota(q.milli_value())),
        cpu_period: Some(CPU_PERIOD_US),
        memory_limit: memory_limit.and_then(|q| u64::try_from(q.value()).ok()),
    }
}

/// The pod's own cgroup: limits bind only where every container has one.
pub fn pod_cgroup(pod: &BoundPod) -> Cgroup {
    let class = qos_class(pod);
    if class == BEST_EFFORT {
        return Cgroup { cpu_shares: Some(SHARES_MIN), ..Cgroup::default() };
    }
    let whole_limit = |name| amount(pod.spec.resources.as_ref().and_then(|r| r.limits.as_ref()), name).filter(|q| !q.is_zero());
    let all_limited = |name| pod.init_containers().iter().chain(&pod.spec.containers).all(|c| limit(c, name).is_some_and(|q| !q.is_zero()));
    let sum = |name| whole_limit(name).or_else(|| all_limited(name).then(|| pod_total(pod, name, limit)));
    let requested = amount(pod.spec.resources.as_ref().and_then(|r| r.requests.as_ref()), "cpu");
    let cpu_request = requested.unwrap_or_else(|| pod_total(pod, "cpu", request));
    let cpu_limit = sum("cpu");
    Cgroup {
        cpu_shares: Some(shares(cpu_request.milli_value())),
        cpu_quota: cpu_limit.map(|q| quota(q.milli_value())),
        cpu_period: cpu_limit.map(|_| CPU_PERIOD_US),
        memory_limit: sum("memory").and_then(|q| u64::try_from(q.value()).ok()),
    }
}

/// What a pod asks for in all: what it states as a whole wins over the sum of its containers.
pub fn pod_request(pod: &BoundPod, name: &str) -> Quantity {
    let overhead = amount(pod.spec.overhead.as_ref(), name).unwrap_or(Quantity::ZERO);
    let whole = amount(pod.spec.resources.as_ref().and_then(|r| r.requests.as_ref()), name);
    whole.map_or_else(|| pod_total(pod, name, request), |whole| whole.plus(overhead))
}

/// What a pod needs at its hungriest moment: the containers and sidecars together, or one init container beside the sidecars before it.
pub fn pod_total(pod: &BoundPod, name: &str, of: fn(&Container, &str) -> Option<Quantity>) -> Quantity {
    let one = |container| of(container, name).unwrap_or(Quantity::ZERO);
    let mut sidecars = Quantity::ZERO;
    let mut initializing = Quantity::ZERO;
    for container in pod.init_containers() {
        let with_sidecars = sidecars.plus(one(container));
        if is_sidecar(container) {
            sidecars = with_sidecars;
        }
        initializing = initializing.max(with_sidecars);
    }
    let running = pod.spec.containers.iter().fold(sidecars, |sum, c| sum.plus(one(c)));
    let overhead = amount(pod.spec.overhead.as_ref(), name).unwrap_or(Quantity::ZERO);
    running.max(initializing).plus(overhead)
}

/// All that a pod asks for, by name: what it states as a whole wins over the sum of its containers.
pub(crate) fn pod_requests(pod: &BoundPod) -> List {
    pod_totals(pod, request, |resources| resources.requests.as_ref())
}

pub(crate) fn pod_limits(pod: &BoundPod) -> List {
    pod_totals(pod, limit, |resources| resources.limits.as_ref())
}

fn pod_totals(pod: &BoundPod, of: fn(&Container, &str) -> Option<Quantity>, list: fn(&ResourceRequirements) -> Option<&List>) -> List {
    let whole = pod.spec.resources.as_ref().and_then(list);
    let of_containers = pod.init_containers().iter().chain(&pod.spec.containers).filter_map(|c| list(c.resources.as_ref()?));
    let names: std::collections::BTreeSet<&String> = of_containers.chain(whole).flat_map(List::keys).collect();
    let overhead = |name: &str| amount(pod.spec.overhead.as_ref(), name).unwrap_or(Quantity::ZERO);
    let total = |name: &str| amount(whole, name).map_or_else(|| pod_total(pod, name, of), |own| own.plus(overhead(name)));
    names.into_iter().map(|name| (name.clone(), resource::Quantity(total(name).to_string()))).collect()
}

/// Who is killed first when memory runs out. Upstream: `pkg/kubelet/qos/policy.go`.
pub fn oom_score_adj(pod: &BoundPod, container: &Container, memory_capacity: i64) -> i32 {
    const GUARANTEED_SCORE: i64 = -997;
    const BEST_EFFORT_SCORE: i64 = 1000;
    /// Priorities from here on are the system's own.
    const CRITICAL_PRIORITY: i32 = 2_000_000_000;
    let is_critical = pod.spec.priority.is_some_and(|p| p >= CRITICAL_PRIORITY);
    let class = qos_class(pod);
    if is_critical || class == GUARANTEED {
        return GUARANTEED_SCORE as i32;
    }
    if class == BEST_EFFORT {
        return BEST_EFFORT_SCORE as i32;
    }
    let score = |bytes: i64| 1000 - (1000i128 * i128::from(bytes) / i128::from(memory_capacity.max(1))) as i64;
    let memory = |c: &Container| request(c, "memory").unwrap_or(Quantity::ZERO).value();
    let mut adj = score(memory(container));
    if is_sidecar(container) {
        adj = adj.min(score(pod.spec.containers.iter().map(memory).min().unwrap_or(0)));
    }
    adj.clamp(1000 + GUARANTEED_SCORE, BEST_EFFORT_SCORE - 1) as i32
}
