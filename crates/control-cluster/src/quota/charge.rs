//! What a request costs the quotas of its namespace, and whether they allow it (upstream: `admission/plugin/resourcequota`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as TextQuantity;
use object::Value;
use object::key::GroupResource;
use object::quantity::Quantity;
use serde::de::DeserializeOwned;

use super::amounts::{self, Amounts};
use super::scopes::{self, Scope};
use super::usage;

pub struct Asked<'a> {
    pub resource: &'a GroupResource,
    pub subresource: &'a str,
    /// None for a create.
    pub old: Option<&'a Value>,
    pub new: &'a Value,
}

/// Upstream: "it was a mistake": where one of these is limited, every container must state it.
const STATED: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Which of the quotas must say something else when the request is let in, and their new `status.used`. An error is the reason for
/// refusing it.
pub fn charge(asked: &Asked<'_>, quotas: &[Value], now: Timestamp) -> Result<Vec<(usize, Value)>, String> {
    let new = Costly::read(asked.resource, asked.new);
    let old = asked.old.map(|old| Costly::read(asked.resource, old));
    if !is_charged(asked, old.as_ref(), &new) {
        return Ok(Vec::new());
    }
    let mut concerned = Vec::new();
    for (i, tree) in quotas.iter().enumerate() {
        let Some(quota) = typed::<ResourceQuota>(tree) else { continue };
        let scopes = scopes::of(&quota);
        let hard = amounts::parsed(quota.status.as_ref().and_then(|s| s.hard.as_ref()));
        let names: Vec<&str> = hard.keys().map(String::as_str).filter(|name| new.is_limited_by(asked.resource, name)).collect();
        if names.is_empty() || !scopes.iter().all(|scope| new.is_in(scope)) {
            continue;
        }
        let quota_name = quota.metadata.name.clone().unwrap_or_default();
        new.check_stated(&names).map_err(|fault| format!("failed quota: {quota_name}: {fault}"))?;
        let used = amounts::parsed(quota.status.as_ref().and_then(|s| s.used.as_ref()));
        if names.iter().any(|name| !used.contains_key(*name)) {
            return Err(format!("status unknown for quota: {quota_name}, resources: {}", names.join(",")));
        }
        concerned.push((i, quota_name, scopes, hard, used));
    }
    let cost = new.cost(asked.resource, now);
    let negative: Vec<&str> = cost.iter().filter(|(_, amount)| **amount < Quantity::ZERO).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let mut charged = Vec::new();
    for (i, quota_name, scopes, hard, used) in concerned {
        let was_in = old.as_ref().filter(|old| scopes.iter().all(|scope| old.is_in(scope)));
        let before = was_in.map(|old| old.cost(asked.resource, now)).unwrap_or_default();
        let mut requested = cost.clone();
        requested.retain(|name, amount| {
            *amount = before.get(name).map_or(*amount, |before| amount.minus(*before));
            *amount > Quantity::ZERO && hard.contains_key(name)
        });
        if requested.is_empty() {
            continue;
        }
        // What status says has come about already.
        if asked.subresource != "status" {
            check_hard(&quota_name, &requested, &used, &hard)?;
        }
        charged.push((i, with_cost(used, &requested)));
    }
    Ok(charged)
}

fn check_hard(name: &str, requested: &Amounts, used: &Amounts, hard: &Amounts) -> Result<(), String> {
    let is_exceeded = |name: &&String| requested[*name].plus(used[*name]) > hard[*name];
    let exceeded: Vec<&String> = requested.keys().filter(is_exceeded).collect();
    if exceeded.is_empty() {
        return Ok(());
    }
    let shown = |of: &Amounts| exceeded.iter().map(|name| format!("{name}={}", of[*name])).collect::<Vec<_>>().join(",");
    Err(format!("exceeded quota: {name}, requested: {}, used: {}, limited: {}", shown(requested), shown(used), shown(hard)))
}

fn with_cost(mut used: Amounts, requested: &Amounts) -> Value {
    for (name, amount) in requested {
        used.entry(name.clone()).and_modify(|sum| *sum = sum.plus(*amount)).or_insert(*amount);
    }
    used.into_iter().map(|(name, amount)| (name, Value::from(amount.to_string()))).collect()
}

/// An object as far as quotas care.
enum Costly {
    Pod(Box<Pod>),
    Service(Box<Service>),
    Claim(Box<PersistentVolumeClaim>),
    Other,
}

impl Costly {
    fn read(resource: &GroupResource, tree: &Value) -> Self {
        match (resource.group.as_str(), resource.resource.as_str()) {
            ("", "pods") => typed(tree).map_or(Costly::Other, Costly::Pod),
            ("", "services") => typed(tree).map_or(Costly::Other, Costly::Service),
            ("", "persistentvolumeclaims") => typed(tree).map_or(Costly::Other, Costly::Claim),
            _ => Costly::Other,
        }
    }

    fn cost(&self, resource: &GroupResource, now: Timestamp) -> Amounts {
        match self {
            Costly::Pod(pod) => usage::of_pod(pod, now),
            Costly::Service(service) => usage::of_service(service),
            Costly::Claim(claim) => usage::of_claim(claim),
            Costly::Other => usage::of_other(resource),
        }
    }

    fn is_limited_by(&self, resource: &GroupResource, name: &str) -> bool {
        match self {
            Costly::Pod(_) => usage::is_of_pods(name),
            Costly::Service(_) => usage::is_of_services(name),
            Costly::Claim(_) => usage::is_of_claims(name),
            Costly::Other => usage::counted_kind(name).as_ref() == Some(resource),
        }
    }

    fn is_in(&self, scope: &Scope) -> bool {
        match self {
            Costly::Pod(pod) => scope.has_pod(pod),
            Costly::Claim(claim) => scope.has_claim(claim),
            Costly::Service(_) | Costly::Other => false,
        }
    }

    fn check_stated(&self, names: &[&str]) -> Result<(), String> {
        match self {
            Costly::Pod(pod) => check_stated(pod, names),
            _ => Ok(()),
        }
    }
}

fn typed<K: DeserializeOwned>(tree: &Value) -> Option<Box<K>> {
    object::view(tree).ok().map(Box::new)
}

/// Whether such a request can cost anything at all.
fn is_charged(asked: &Asked<'_>, old: Option<&Costly>, new: &Costly) -> bool {
    match (asked.subresource, new, old) {
        ("", Costly::Pod(_), Some(Costly::Pod(_))) => {
            // Upstream: only a new deadline can bring a pod under another quota.
            let ends = |pod: &Value| !pod["spec"]["activeDeadlineSeconds"].is_null();
            asked.old.is_some_and(|old| ends(old) != ends(asked.new))
        }
        ("resize", Costly::Pod(_), Some(_)) | ("", Costly::Service(_) | Costly::Claim(_), _) => true,
        ("status", Costly::Claim(_), Some(_)) => asked.old.is_some_and(|old| old["status"] != asked.new["status"]),
        (subresource, _, old) => subresource.is_empty() && old.is_none(),
    }
}

fn check_stated(pod: &Pod, names: &[&str]) -> Result<(), String> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    let is_stated = |part: Option<&BTreeMap<String, TextQuantity>>, name: &str| part.is_some_and(|part| part.contains_key(name));
    let for_pod = spec.resources.as_ref();
    if for_pod
        .is_some_and(|r| ["cpu", "memory"].iter().any(|name| is_stated(r.requests.as_ref(), name) || is_stated(r.limits.as_ref(), name)))
    {
        return Ok(());
    }
    let states = |container: &Container, name: &str| {
        let resources = container.resources.as_ref();
        match name.strip_prefix("limits.") {
            Some(bare) => is_stated(resources.and_then(|r| r.limits.as_ref()), bare),
            None => is_stated(resources.and_then(|r| r.requests.as_ref()), name.strip_prefix("requests.").unwrap_or(name)),
        }
    };
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        for name in names.iter().filter(|name| STATED.contains(name) && !states(container, name)) {
            missing.entry(name).or_default().insert(&container.name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let parts = missing.iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.iter().copied().collect();
        format!("{name} for: {}", containers.join(","))
    });
    Err(format!("must specify {}", parts.collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quota(spec: Value, hard: Value, used: Value) -> Value {
        json!({"metadata": {"name": "q"}, "spec": spec, "status": {"hard": hard, "used": used}})
    }

    /// What `used` says afterwards, or why not.
    fn check(resource: &str, old: Option<Value>, new: Value, quota: &Value, wanted: Value) {
        let resource = GroupResource::new("", resource);
        let asked = Asked { resource: &resource, subresource: "", old: old.as_ref(), new: &new };
        let told = match charge(&asked, std::slice::from_ref(quota), "2026-01-01T00:00:00Z".parse().unwrap()) {
            Ok(charged) => charged.into_iter().next().map_or(Value::Null, |(_, used)| used),
            Err(fault) => Value::from(fault),
        };
        assert_eq!(told, wanted);
    }

    fn pod(cpu: &str) -> Value {
        let resources = if cpu.is_empty() { json!({}) } else { json!({"requests": {"cpu": cpu}}) };
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    #[test]
    fn pods_are_charged_refused_and_asked_to_state_what_they_need() {
        let q =
            quota(json!({}), json!({"cpu": "1", "pods": "5", "configmaps": "2"}), json!({"cpu": "500m", "pods": "1", "configmaps": "1"}));
        check("pods", None, pod("500m"), &q, json!({"cpu": "1", "pods": "2", "configmaps": "1"}));
        check("pods", None, pod("600m"), &q, json!("exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1"));
        check("pods", None, pod(""), &q, json!("failed quota: q: must specify cpu for: c"));
        check("pods", Some(pod("1")), pod("600m"), &q, Value::Null);
        let unknown = quota(json!({}), json!({"cpu": "1", "pods": "5"}), json!({}));
        check("pods", None, pod("1"), &unknown, json!("status unknown for quota: q, resources: cpu,pods"));
    }

    #[test]
    fn only_quotas_that_mean_the_object_are_charged() {
        let ending = quota(json!({"scopes": ["Terminating"]}), json!({"pods": "0"}), json!({"pods": "0"}));
        check("pods", None, pod("1"), &ending, Value::Null);
        let mut with_end = pod("1");
        with_end["spec"]["activeDeadlineSeconds"] = json!(5);
        let refusal = json!("exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0");
        check("pods", None, with_end.clone(), &ending, refusal.clone());
        check("pods", Some(pod("1")), with_end, &ending, refusal);
        let counted = quota(json!({}), json!({"count/configmaps": "1", "secrets": "1"}), json!({"count/configmaps": "1", "secrets": "0"}));
        check("secrets", None, json!({}), &counted, json!({"count/configmaps": "1", "secrets": "1"}));
        check(
            "configmaps",
            None,
            json!({}),
            &counted,
            json!("exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1"),
        );
        check("configmaps", Some(json!({})), json!({"data": {}}), &counted, Value::Null);
    }

    #[test]
    fn a_service_pays_for_what_it_turns_into() {
        let q = quota(json!({}), json!({"services": "1", "services.nodeports": "1"}), json!({"services": "1", "services.nodeports": "0"}));
        let service = |kind: &str| json!({"spec": {"type": kind, "ports": [{"port": 80}]}});
        check("services", Some(service("ClusterIP")), service("NodePort"), &q, json!({"services": "1", "services.nodeports": "1"}));
        let two = "exceeded quota: q, requested: services=1, used: services=1, limited: services=1";
        check("services", None, service("ClusterIP"), &q, json!(two));
    }
}
