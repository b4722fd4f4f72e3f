//! Resource requirements of containers and pods, and the names resources may have.

use std::collections::HashSet;

use object::names;
use object::quantity::Quantity;

use super::PodPlace;
use crate::check::{At, Faults, NOT_NEGATIVE};

pub(crate) const HUGE_PAGES: &str = "hugepages-";
const HUGE_PAGES_REQUESTS: &str = "requests.hugepages-";
const REQUESTS: &str = "requests.";

const CONTAINER_NAMES: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// What a quota may limit beside what is counted.
const QUOTA_AMOUNTS: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// What can only be counted in whole units.
const COUNTED_NAMES: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

pub(crate) fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Upstream: `IsStandardQuotaResourceName`.
pub(crate) fn is_quota_name(name: &str) -> bool {
    QUOTA_AMOUNTS.contains(&name) || COUNTED_NAMES.contains(&name) || is_huge_pages(name) || name.starts_with(HUGE_PAGES_REQUESTS)
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with(REQUESTS) && names::qualified_name_faults(&format!("{REQUESTS}{name}")).is_empty()
}

pub(crate) fn is_counted(name: &str) -> bool {
    COUNTED_NAMES.contains(&name) || is_extended(name)
}

/// Whether more may be limited than is requested.
fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// The rule every resource name follows. Says whether it holds.
pub(crate) fn validate_name(at: &At<'_>, name: &str, faults: &mut Faults) -> bool {
    let before = faults.0.len();
    faults.each_as(at, name, names::qualified_name_faults(name));
    if faults.0.len() == before && !name.contains('/') && name != "storage" && !is_quota_name(name) {
        faults.invalid_as(at, name, "must be a standard resource type or fully qualified");
    }
    faults.0.len() == before
}

pub(crate) fn validate_container_name(at: &At<'_>, name: &str, faults: &mut Faults) {
    validate_name(at, name, faults);
    if !name.contains('/') {
        if !CONTAINER_NAMES.contains(&name) && !is_huge_pages(name) {
            faults.invalid_as(at, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        faults.invalid_as(at, name, "doesn't follow extended resource name standard");
    }
}

fn validate_pod_name(at: &At<'_>, name: &str, faults: &mut Faults) {
    if validate_name(at, name, faults) && !matches!(name, "cpu" | "memory") && !is_huge_pages(name) {
        faults.0.push(object::field::Error::not_supported(&at.path(), name, &["cpu", "hugepages-", "memory"]));
    }
}

pub(crate) fn quantity(at: &At<'_>) -> Quantity {
    Quantity::parse(at.text()).unwrap_or(Quantity::ZERO)
}

/// The amount of one resource: not negative, whole where only whole ones exist.
pub(crate) fn validate_amount(at: &At<'_>, name: &str, faults: &mut Faults) {
    let amount = quantity(at);
    if amount.is_negative() {
        faults.invalid_text(at, NOT_NEGATIVE);
    }
    if is_counted(name) && amount.milli_value() % 1000 != 0 {
        faults.invalid(at, "must be an integer");
    }
}

/// A requested or limited amount says what is wrong with it in the shown text.
fn validate_pages(at: &At<'_>, name: &str, faults: &mut Faults) {
    let Some(size) = name.strip_prefix(HUGE_PAGES) else { return };
    let size = Quantity::parse(size).map_or(0, Quantity::value);
    if size <= 0 || quantity(at).value() % size != 0 {
        faults.invalid_text(at, format!("{} is not positive integer multiple of {name}", at.text()));
    }
}

pub(super) fn validate(at: &At<'_>, place: PodPlace, pod_claims: &[&str], faults: &mut Faults) {
    if !at.is_set() {
        return;
    }
    let (limits, requests) = (at.get("limits"), at.get("requests"));
    let validate_name = match place {
        PodPlace::Container => validate_container_name,
        PodPlace::Pod => validate_pod_name,
    };
    validate_limits(&limits, validate_name, faults);
    for (name, amount) in requests.entries() {
        validate_name(&amount, name, faults);
        validate_amount(&amount, name, faults);
        validate_against_limit(&amount, name, &requests, &limits, faults);
        validate_pages(&amount, name, faults);
    }
    let has = |wanted: fn(&str) -> bool| limits.entries().chain(requests.entries()).any(|(name, _)| wanted(name));
    if has(is_huge_pages) && !has(|name| matches!(name, "cpu" | "memory")) {
        faults.forbidden(at, "HugePages require cpu or memory");
    }
    validate_claims(&at.get("claims"), pod_claims, faults);
}

fn validate_limits(limits: &At<'_>, validate_name: fn(&At<'_>, &str, &mut Faults), faults: &mut Faults) {
    for (name, amount) in limits.entries() {
        validate_name(&amount, name, faults);
        validate_amount(&amount, name, faults);
        validate_pages(&amount, name, faults);
    }
}

/// What the runtime takes for itself: upstream checks it as if it were limits.
pub(crate) fn validate_overhead(overhead: &At<'_>, faults: &mut Faults) {
    let limits = overhead.named("limits").with(overhead.value);
    validate_limits(&limits, validate_container_name, faults);
    let has = |wanted: fn(&str) -> bool| limits.entries().any(|(name, _)| wanted(name));
    if has(is_huge_pages) && !has(|name| matches!(name, "cpu" | "memory")) {
        faults.forbidden(overhead, "HugePages require cpu or memory");
    }
}

fn validate_against_limit(amount: &At<'_>, name: &str, requests: &At<'_>, limits: &At<'_>, faults: &mut Faults) {
    let Some(limit) = limits.value.get(name).and_then(serde_json::Value::as_str) else {
        if !may_overcommit(name) {
            faults.required(limits, "Limit must be set for non overcommitable resources");
        }
        return;
    };
    let (wanted, most) = (quantity(amount), Quantity::parse(limit).unwrap_or(Quantity::ZERO));
    if wanted != most && !may_overcommit(name) {
        faults.invalid_as(requests, amount.text(), format!("must be equal to {name} limit of {limit}"));
    } else if wanted > most {
        faults.invalid_as(requests, amount.text(), format!("must be less than or equal to {name} limit of {limit}"));
    }
}

fn validate_claims(list: &At<'_>, pod_claims: &[&str], faults: &mut Faults) {
    let mut seen: HashSet<String> = HashSet::new();
    for claim in list.items() {
        let (name, request) = (claim.get("name"), claim.get("request"));
        if !name.has_text() {
            faults.required(&claim, "");
            continue;
        }
        if seen.contains(name.text()) {
            faults.duplicate_as(&claim, name.text());
        } else {
            let mut key = name.text().to_owned();
            if request.has_text() {
                faults.label(&request);
                key = format!("{key}/{}", request.text());
            }
            let is_narrowed = |other: &String| other.split_once('/').is_some_and(|(whole, _)| whole == name.text());
            if seen.contains(&key) {
                faults.duplicate_as(&claim, key.clone());
            } else if !request.has_text() {
                for _ in seen.iter().filter(|other| is_narrowed(other)) {
                    faults.duplicate_as(&claim, name.text());
                }
            }
            seen.insert(key);
        }
        if !pod_claims.contains(&name.text()) {
            let mut error = object::field::Error::not_found(&claim.path(), name.text());
            let mut known = pod_claims.to_vec();
            known.sort_unstable();
            let known = if known.is_empty() { " which is empty".to_owned() } else { format!(": {}", known.join(", ")) };
            error.detail = format!("must be one of the names in pod.spec.resourceClaims{known}");
            faults.0.push(error);
        }
    }
}

/// What a pod may ask for as a whole, against what its containers ask for.
pub(super) fn validate_pod(spec: &At<'_>, pod_claims: &[&str], faults: &mut Faults) {
    let resources = spec.get("resources");
    if !resources.is_set() {
        return;
    }
    if spec.value["os"]["name"] == "windows" {
        faults.forbidden(&resources, "may not be set for a windows pod");
        return;
    }
    if resources.get("claims").is_set() {
        faults.forbidden(&resources.get("claims"), "claims may not be set for Resources at pod-level");
    }
    validate(&resources, PodPlace::Pod, pod_claims, faults);
    let (limits, requests) = (resources.get("limits"), resources.get("requests"));
    for (name, whole) in requests.entries() {
        let sum = aggregate(spec, "requests", name);
        if sum > quantity(&whole) {
            faults.invalid_text(&whole, format!("must be greater than or equal to aggregate container requests of {sum}"));
        }
    }
    for (name, whole) in limits.entries().filter(|(name, _)| is_huge_pages(name)) {
        let sum = aggregate(spec, "limits", name);
        if sum > quantity(&whole) {
            faults.invalid_text(&whole, format!("must be greater than or equal to aggregate container limits of {sum}"));
        }
    }
    let containers = resources.named("containers").with(spec.get("containers").value);
    for container in containers.items() {
        for (name, most) in container.get("resources").get("limits").entries() {
            let Some(whole) = limits.value.get(name).and_then(serde_json::Value::as_str) else { continue };
            if quantity(&most) > Quantity::parse(whole).unwrap_or(Quantity::ZERO) {
                let at = container.key(name).named("limits").with(most.value);
                faults.invalid_text(&at, format!("must be less than or equal to pod limits of {whole}"));
            }
        }
    }
}

/// The most the containers need at a time: all regular ones and sidecars, or one initialiser beside the sidecars before it.
fn aggregate(spec: &At<'_>, field: &str, name: &str) -> Quantity {
    let of = |container: &serde_json::Value| {
        container["resources"][field][name].as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO)
    };
    let mut total = spec.get("containers").list().iter().fold(Quantity::ZERO, |sum, container| sum.plus(of(container)));
    let (mut sidecars, mut most) = (Quantity::ZERO, Quantity::ZERO);
    for container in spec.get("initContainers").list() {
        let needed = if container["restartPolicy"] == "Always" {
            total = total.plus(of(container));
            sidecars = sidecars.plus(of(container));
            sidecars
        } else {
            sidecars.plus(of(container))
        };
        most = most.max(needed);
    }
    total.max(most)
}
