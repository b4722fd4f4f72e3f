//! ResourceQuotas: how much of what it limits a namespace uses (upstream: `resourcequota`, `quota/v1`).
//!
//! `charge` refuses or charges one request before it is written; `plan` counts everything anew, so that what has gone is given back.
//! `usage` says for both what one object costs.

pub mod amounts;
pub mod charge;
pub mod scopes;
pub mod usage;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaStatus, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as TextQuantity;
use object::key::GroupResource;
use object::plan::{Change, Plan};
use object::quantity::Quantity;

use self::amounts::Amounts;

pub struct View<'a> {
    pub quota: &'a ResourceQuota,
    /// All of its namespace.
    pub pods: &'a [Arc<Pod>],
    pub services: &'a [Arc<Service>],
    pub claims: &'a [Arc<PersistentVolumeClaim>],
    /// How many objects of a kind the namespace has; none for a kind that is not served.
    pub count: &'a dyn Fn(&GroupResource) -> Option<usize>,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan::nothing();
    let quota = view.quota;
    if quota.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let hard = quota.spec.as_ref().and_then(|s| s.hard.clone()).unwrap_or_default();
    let status = quota.status.clone().unwrap_or_default();
    let fresh = fresh_usage(view, &hard, now, &mut plan);
    let old = amounts::parsed(status.used.as_ref());
    let used: Amounts = hard.keys().filter_map(|name| Some((name.clone(), *fresh.get(name).or(old.get(name))?))).collect();
    let is_same = status.used.is_some() && used == old && amounts::parsed(status.hard.as_ref()) == amounts::parsed(Some(&hard));
    if !is_same {
        let used = used.into_iter().map(|(name, amount)| (name, TextQuantity(amount.to_string()))).collect();
        let status = ResourceQuotaStatus { hard: Some(hard), used: Some(used) };
        plan.changes.push(Change::update_status(&ResourceQuota { status: Some(status), ..quota.clone() }));
    }
    plan
}

/// Counts what the quota names and anybody can count.
fn fresh_usage(view: &View<'_>, hard: &BTreeMap<String, TextQuantity>, now: Timestamp, plan: &mut Plan) -> Amounts {
    let scopes = scopes::of(view.quota);
    let mut used = Amounts::new();
    let names = |is_so: &dyn Fn(&str) -> bool| hard.keys().filter(|name| is_so(name)).cloned().collect::<Vec<_>>();
    let of_pods = names(&usage::is_of_pods);
    if !of_pods.is_empty() {
        let charged = view.pods.iter().filter(|pod| scopes.iter().all(|scope| scope.has_pod(pod)));
        let costs: Vec<Amounts> = charged.map(|pod| usage::of_pod(pod, now)).collect();
        view.pods.iter().filter_map(|pod| usage::free_at(pod)).filter(|at| *at > now).for_each(|at| plan.wake_by(at));
        add(&mut used, &of_pods, &costs);
    }
    let of_services = names(&usage::is_of_services);
    if !of_services.is_empty() {
        let costs: Vec<Amounts> = view.services.iter().filter(|_| scopes.is_empty()).map(|s| usage::of_service(s)).collect();
        add(&mut used, &of_services, &costs);
    }
    let of_claims = names(&usage::is_of_claims);
    if !of_claims.is_empty() {
        let charged = view.claims.iter().filter(|claim| scopes.iter().all(|scope| scope.has_claim(claim)));
        let costs: Vec<Amounts> = charged.map(|claim| usage::of_claim(claim)).collect();
        add(&mut used, &of_claims, &costs);
    }
    for name in hard.keys().filter(|name| !used.contains_key(*name)).cloned().collect::<Vec<_>>() {
        let n = usage::counted_kind(&name).and_then(|resource| (view.count)(&resource));
        if let Some(n) = n.map(|n| if scopes.is_empty() { n } else { 0 }) {
            used.insert(name, amounts::count(n as i64));
        }
    }
    used
}

fn add(used: &mut Amounts, names: &[String], costs: &[Amounts]) {
    for name in names {
        let of_each = costs.iter().filter_map(|cost| cost.get(name));
        used.insert(name.clone(), of_each.fold(Quantity::ZERO, |sum, amount| sum.plus(*amount)));
    }
}
