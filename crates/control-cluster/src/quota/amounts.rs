//! Amounts by name, and what a pod's containers ask for and may use together.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as TextQuantity;
use object::quantity::{Format, Quantity};

pub type Amounts = BTreeMap<String, Quantity>;

pub fn count(n: i64) -> Quantity {
    Quantity::from_units(n, Format::DecimalSi)
}

pub fn parsed(texts: Option<&BTreeMap<String, TextQuantity>>) -> Amounts {
    let read = |text: &TextQuantity| Quantity::parse(&text.0).unwrap_or(Quantity::ZERO);
    texts.into_iter().flatten().map(|(name, text)| (name.clone(), read(text))).collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let entry = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        *entry = entry.plus(*amount);
    }
}

fn at_least(sum: &mut Amounts, floor: &Amounts) {
    for (name, amount) in floor {
        let entry = sum.entry(name.clone()).or_insert(*amount);
        *entry = (*entry).max(*amount);
    }
}

pub fn requests(pod: &Pod) -> Amounts {
    let of = |container: &Container| {
        let mut amounts = parsed(container.resources.as_ref().and_then(|r| r.requests.as_ref()));
        // While a container is resized, the larger of what it has and what it shall have counts.
        if let Some(status) = status_of(pod, &container.name) {
            at_least(&mut amounts, &parsed(status.allocated_resources.as_ref()));
            at_least(&mut amounts, &parsed(status.resources.as_ref().and_then(|r| r.requests.as_ref())));
        }
        amounts
    };
    let mut sum = together(pod, &of);
    put_stated(&mut sum, pod, |r| r.requests.as_ref());
    if let Some(overhead) = pod.spec.as_ref().and_then(|s| s.overhead.as_ref()) {
        add(&mut sum, &parsed(Some(overhead)));
    }
    sum
}

pub fn limits(pod: &Pod) -> Amounts {
    let of = |container: &Container| {
        let mut amounts = parsed(container.resources.as_ref().and_then(|r| r.limits.as_ref()));
        if let Some(status) = status_of(pod, &container.name) {
            at_least(&mut amounts, &parsed(status.resources.as_ref().and_then(|r| r.limits.as_ref())));
        }
        amounts
    };
    let mut sum = together(pod, &of);
    put_stated(&mut sum, pod, |r| r.limits.as_ref());
    let overhead = parsed(pod.spec.as_ref().and_then(|s| s.overhead.as_ref()));
    // What has no limit gets none from the overhead.
    let overhead = overhead.into_iter().filter(|(name, _)| sum.contains_key(name)).collect();
    add(&mut sum, &overhead);
    sum
}

fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let mut all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    all.find(|s| s.name == container)
}

/// Containers run together; init containers one after another, beside the sidecars started before them.
fn together(pod: &Pod, of: &dyn Fn(&Container) -> Amounts) -> Amounts {
    let Some(spec) = &pod.spec else { return Amounts::new() };
    let mut running = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut running, &of(container)));
    let (mut sidecars, mut highest_start) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut at_once = sidecars.clone();
        add(&mut at_once, &of(container));
        at_least(&mut highest_start, &at_once);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = at_once;
        }
    }
    add(&mut running, &sidecars);
    at_least(&mut running, &highest_start);
    running
}

/// What is stated for the whole pod stands for the sum.
fn put_stated(sum: &mut Amounts, pod: &Pod, part: fn(&ResourceRequirements) -> Option<&BTreeMap<String, TextQuantity>>) {
    let stated = pod.spec.as_ref().and_then(|s| s.resources.as_ref()).and_then(part);
    let for_pods = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    sum.extend(parsed(stated).into_iter().filter(|(name, _)| for_pods(name)));
}
