//! LimitRanger: defaults, minima, maxima and ratios that a namespace's LimitRanges set for its pods and claims.

use std::collections::BTreeMap;

use object::meta;
use object::quantity::Quantity;
use object::status::Status;
use serde_json::{Map, Value};

use super::items;
use crate::{Operation, Request, Scene};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Upstream: above it a thousandth of a unit no longer fits.
const MILLIS_SAFE_MAX: i64 = i64::MAX / 1000;

fn is_limited(request: &Request<'_>, old: Option<&Value>) -> bool {
    let is_kind = match (request.resource.group.as_str(), request.resource.plural.as_str(), request.subresource) {
        ("", "pods", "resize") => request.operation == Operation::Update,
        ("", "pods", "") => request.operation == Operation::Create,
        ("", "persistentvolumeclaims", "") => matches!(request.operation, Operation::Create | Operation::Update),
        _ => false,
    };
    is_kind && old.is_none_or(|old| meta::deletion_timestamp(old).is_none())
}

pub(crate) fn mutate(scene: &Scene<'_>, request: &Request<'_>, old: Option<&Value>, pod: &mut Value) -> Result<(), Status> {
    if !is_limited(request, old) || !request.is("", "pods") {
        return Ok(());
    }
    for range in scene.list("", "limitranges", request.namespace) {
        set_defaults(&range, pod);
    }
    Ok(())
}

fn set_defaults(range: &Value, pod: &mut Value) {
    let mut defaults = [("requests", "request", Map::new()), ("limits", "limit", Map::new())];
    for item in items(&range["spec"], "limits").filter(|item| item["type"] == "Container") {
        for (field, at) in [("defaultRequest", 0), ("default", 1)] {
            defaults[at].2.extend(item[field].as_object().cloned().unwrap_or_default());
        }
    }
    let mut notes = Vec::new();
    for (list, word) in [("containers", "container"), ("initContainers", "init container")] {
        for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            for (field, amount, values) in &defaults {
                let set = set_missing(&mut container["resources"], field, values);
                if !set.is_empty() {
                    let name = container["name"].as_str().unwrap_or("");
                    notes.push(format!("{} {amount} for {word} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        meta::metadata_mut(pod).entry("annotations").or_insert(Value::Null)[ANNOTATION] = Value::from(note);
    }
}

/// The names of the amounts that were set, sorted.
fn set_missing(resources: &mut Value, field: &str, values: &Map<String, Value>) -> Vec<String> {
    let missing: Vec<&String> = values.keys().filter(|name| resources[field].get(name.as_str()).is_none()).collect();
    for name in &missing {
        resources[field][name.as_str()] = values[name.as_str()].clone();
    }
    if !resources.is_null() && resources[field].is_null() {
        resources.as_object_mut().map(|map| map.remove(field));
    }
    missing.into_iter().cloned().collect()
}

pub(crate) fn validate(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(object) = new.filter(|_| is_limited(request, old)) else { return Ok(()) };
    for range in scene.list("", "limitranges", request.namespace) {
        let faults = if request.is("", "pods") { pod_faults(&range, object) } else { claim_faults(&range, object) };
        match faults.as_slice() {
            [] => {}
            [only] => return Err(request.forbidden(new, only)),
            several => return Err(request.forbidden(new, format!("[{}]", several.join(", ")))),
        }
    }
    Ok(())
}

type Amounts = BTreeMap<String, Quantity>;

fn amounts(list: &Value) -> Amounts {
    let parsed = |(name, value): (&String, &Value)| Some((name.clone(), Quantity::parse(value.as_str()?).ok()?));
    list.as_object().into_iter().flatten().filter_map(parsed).collect()
}

fn pod_faults(range: &Value, pod: &Value) -> Vec<String> {
    let spec = &pod["spec"];
    let mut faults = Vec::new();
    for item in items(&range["spec"], "limits") {
        match item["type"].as_str() {
            Some("Container") => {
                for container in ["containers", "initContainers"].iter().flat_map(|list| items(spec, list)) {
                    let resources = &container["resources"];
                    faults.extend(faults_of(item, "Container", &amounts(&resources["requests"]), &amounts(&resources["limits"])));
                }
            }
            Some("Pod") => faults.extend(faults_of(item, "Pod", &of_pod(spec, "requests"), &of_pod(spec, "limits"))),
            _ => {}
        }
    }
    dedup(faults)
}

/// Upstream prints a list of errors without repetition.
fn dedup(faults: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    faults.into_iter().filter(|fault| seen.insert(fault.clone())).collect()
}

fn faults_of(item: &Value, kind: &str, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let min = amounts(&item["min"]).into_iter().filter_map(|(name, enforced)| min_fault(kind, &name, enforced, requests, limits));
    let max = amounts(&item["max"]).into_iter().filter_map(|(name, enforced)| max_fault(kind, &name, enforced, requests, limits));
    let ratio = amounts(&item["maxLimitRequestRatio"])
        .into_iter()
        .filter_map(|(name, enforced)| ratio_fault(kind, &name, enforced, requests, limits));
    min.chain(max).chain(ratio).collect()
}

fn claim_faults(range: &Value, claim: &Value) -> Vec<String> {
    let requests = amounts(&claim["spec"]["resources"]["requests"]);
    let mut faults = Vec::new();
    for item in items(&range["spec"], "limits").filter(|item| item["type"] == "PersistentVolumeClaim") {
        let kind = "PersistentVolumeClaim";
        faults.extend(amounts(&item["min"]).into_iter().filter_map(|(name, e)| min_fault(kind, &name, e, &requests, &Amounts::new())));
        for (name, enforced) in amounts(&item["max"]) {
            let usage = format!("maximum {name} usage per {kind} is {enforced}");
            match requests.get(&name) {
                None => faults.push(format!("{usage}.  No request is specified")),
                Some(request) if *request > enforced => faults.push(format!("{usage}, but request is {request}")),
                Some(_) => {}
            }
        }
    }
    dedup(faults)
}

fn min_fault(kind: &str, name: &str, enforced: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let usage = format!("minimum {name} usage per {kind} is {enforced}");
    let Some(request) = requests.get(name) else { return Some(format!("{usage}.  No request is specified")) };
    if *request < enforced {
        return Some(format!("{usage}, but request is {request}"));
    }
    limits.get(name).filter(|limit| **limit < enforced).map(|limit| format!("{usage}, but limit is {limit}"))
}

fn max_fault(kind: &str, name: &str, enforced: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let usage = format!("maximum {name} usage per {kind} is {enforced}");
    let Some(limit) = limits.get(name) else { return Some(format!("{usage}.  No limit is specified")) };
    if *limit > enforced {
        return Some(format!("{usage}, but limit is {limit}"));
    }
    requests.get(name).filter(|request| **request > enforced).map(|request| format!("{usage}, but request is {request}"))
}

fn ratio_fault(kind: &str, name: &str, enforced: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let text = format!("{name} max limit to request ratio per {kind} is {enforced}");
    let value = |amount: Option<&Quantity>| -> i64 {
        let all = [requests.get(name), limits.get(name), Some(&enforced)];
        let is_safe = all.into_iter().flatten().all(|q| q.value() <= MILLIS_SAFE_MAX);
        amount.map_or(0, |q| if is_safe { q.milli_value() } else { q.value() })
    };
    let (request, limit) = (value(requests.get(name)), value(limits.get(name)));
    if request == 0 {
        return Some(format!("{text}, but no request is specified or request is 0"));
    }
    if limit == 0 {
        return Some(format!("{text}, but no limit is specified or limit is 0"));
    }
    let ratio = limit as f64 / request as f64;
    let allowed = enforced.milli_value() as f64 / 1000.0;
    (ratio > allowed).then(|| format!("{text}, but provided ratio is {ratio:.6}"))
}

/// All containers at once, or the largest init container beside the sidecars before it; what the pod states as a whole wins.
pub(super) fn of_pod(spec: &Value, field: &str) -> Amounts {
    let add = |sums: &mut Amounts, more: &Amounts| {
        for (name, amount) in more {
            let sum = sums.entry(name.clone()).or_insert(Quantity::ZERO);
            *sum = sum.plus(*amount);
        }
    };
    let mut total = Amounts::new();
    for container in items(spec, "containers") {
        add(&mut total, &amounts(&container["resources"][field]));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in items(spec, "initContainers") {
        let mut own = amounts(&container["resources"][field]);
        if container["restartPolicy"] == "Always" {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            own = sidecars.clone();
        } else {
            add(&mut own, &sidecars);
        }
        raise(&mut peak, own);
    }
    raise(&mut total, peak);
    for (name, amount) in amounts(&spec["resources"][field]) {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            total.insert(name, amount);
        }
    }
    total
}

fn raise(amounts: &mut Amounts, others: Amounts) {
    for (name, amount) in others {
        let present = amounts.entry(name).or_insert(amount);
        *present = (*present).max(amount);
    }
}
