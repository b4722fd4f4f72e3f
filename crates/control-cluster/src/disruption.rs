//! PodDisruptionBudgets: how many pods may be disrupted now (upstream: `disruption/disruption.go`).
//!
//! The eviction subresource spends what `status.disruptionsAllowed` says and notes the pod in `disruptedPods`; here it is counted anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use control_workloads::pods::{self, whole_seconds};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use object::plan::{Change, Note, Plan, Reference};

/// An evicted pod that has not gone by then was not deleted after all. Upstream: `DeletionTimeout`.
const DELETION_TIME_MAX: SignedDuration = SignedDuration::from_mins(2);

pub struct View<'a> {
    pub budget: &'a PodDisruptionBudget,
    /// The pods it selects.
    pub pods: &'a [Arc<Pod>],
    /// How many pods the pods' controllers want in all; the error names the first that cannot tell.
    pub wanted: Result<i32, String>,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let budget = view.budget;
    let mut plan = Plan::nothing();
    let mut status = budget.status.clone().unwrap_or_default();
    let counted: Vec<&Arc<Pod>> = view.pods.iter().filter(|pod| !pods::is_finished(pod)).collect();
    match numbers(view, counted.len() as i32) {
        Err(fault) => {
            plan.notes.push(Note::warning(
                Reference::of(budget),
                "CalculateExpectedPodCountFailed",
                format!("Failed to calculate the number of expected pods: {fault}"),
            ));
            status.disruptions_allowed = Some(0);
            set_condition(&mut status, "False", "SyncFailed", &fault, budget.metadata.generation, now);
        }
        Ok((expected, desired)) => {
            status.disrupted_pods = still_leaving(&status, &counted, now, &mut plan);
            let disrupted = status.disrupted_pods.clone().unwrap_or_default();
            let is_healthy = |pod: &&&Arc<Pod>| pods::is_ready(pod) && !pods::is_leaving(pod) && !disrupted.contains_key(name(pod));
            let healthy = counted.iter().filter(is_healthy).count() as i32;
            status.current_healthy = Some(healthy);
            status.desired_healthy = Some(desired);
            status.expected_pods = Some(expected);
            let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
            status.disruptions_allowed = Some(allowed);
            let (state, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            set_condition(&mut status, state, reason, "", budget.metadata.generation, now);
        }
    }
    status.observed_generation = budget.metadata.generation;
    if budget.status.as_ref() != Some(&status) {
        plan.changes.push(Change::update_status(&PodDisruptionBudget { status: Some(status), ..budget.clone() }));
    }
    plan
}

/// Expected pods, and how many of them must stay healthy.
fn numbers(view: &View<'_>, n_pods: i32) -> Result<(i32, i32), String> {
    let spec = view.budget.spec.clone().unwrap_or_default();
    match (spec.max_unavailable, spec.min_available) {
        (Some(max_unavailable), _) => {
            let expected = view.wanted.clone()?;
            Ok((expected, (expected - rounded_up(&max_unavailable, expected)).max(0)))
        }
        (None, Some(IntOrString::Int(min))) => Ok((n_pods, min)),
        (None, Some(percent)) => {
            let expected = view.wanted.clone()?;
            Ok((expected, rounded_up(&percent, expected)))
        }
        (None, None) => Ok((n_pods, 1)),
    }
}

fn rounded_up(value: &IntOrString, total: i32) -> i32 {
    match value {
        IntOrString::Int(n) => *n,
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|p| p.parse().ok()).unwrap_or(0);
            ((percent * i64::from(total) + 99) / 100) as i32
        }
    }
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or("")
}

/// Evicted pods that are there and not yet marked for deletion: those count as gone already.
fn still_leaving(
    status: &PodDisruptionBudgetStatus,
    pods: &[&Arc<Pod>],
    now: Timestamp,
    plan: &mut Plan,
) -> Option<BTreeMap<String, Time>> {
    let mut left = BTreeMap::new();
    for (evicted, since) in status.disrupted_pods.iter().flatten() {
        let is_here = pods.iter().any(|pod| name(pod) == evicted && !pods::is_leaving(pod));
        let until = since.0 + DELETION_TIME_MAX;
        if is_here && until > now {
            left.insert(evicted.clone(), since.clone());
            plan.wake_by(until);
        }
    }
    (!left.is_empty()).then_some(left)
}

fn set_condition(
    status: &mut PodDisruptionBudgetStatus,
    state: &str,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    const KIND: &str = "DisruptionAllowed";
    let conditions = status.conditions.get_or_insert_default();
    let old = conditions.iter().find(|c| c.type_ == KIND);
    let since = old.filter(|c| c.status == state).map_or_else(|| whole_seconds(now), |c| c.last_transition_time.clone());
    let fresh = Condition {
        type_: KIND.to_owned(),
        status: state.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|c| c.type_ == KIND) {
        Some(old) => *old = fresh,
        None => conditions.push(fresh),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::Value;
    use object::plan::Write;
    use serde_json::json;

    fn check(spec: Value, wanted: i32, ready: &[bool], disrupted: Value, expected: &str) {
        let budget = json!({"metadata": {"name": "b"}, "spec": spec, "status": {"disruptedPods": disrupted, "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}});
        let budget: PodDisruptionBudget = serde_json::from_value(budget).unwrap();
        let pod = |(i, ready): (usize, &bool)| {
            let status = if *ready { "True" } else { "False" };
            let tree = json!({"metadata": {"name": format!("p{i}")}, "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}});
            Arc::new(serde_json::from_value(tree).unwrap())
        };
        let pods: Vec<Arc<Pod>> = ready.iter().enumerate().map(pod).collect();
        let plan = plan(&View { budget: &budget, pods: &pods, wanted: Ok(wanted) }, "2026-01-01T00:01:00Z".parse().unwrap());
        let Write::UpdateStatus { object, .. } = &plan.changes[0].write else { panic!() };
        let status = &object["status"];
        let seen = format!(
            "healthy {} of {} expected {} allowed {} {}",
            status["currentHealthy"],
            status["desiredHealthy"],
            status["expectedPods"],
            status["disruptionsAllowed"],
            status["conditions"][0]["reason"].as_str().unwrap()
        );
        assert_eq!(seen, expected);
    }

    #[test]
    fn budgets_are_counted() {
        let none = Value::Null;
        check(json!({"minAvailable": 2}), 3, &[true, true, true], none.clone(), "healthy 3 of 2 expected 3 allowed 1 SufficientPods");
        check(json!({"minAvailable": "50%"}), 5, &[true, true, true], none.clone(), "healthy 3 of 3 expected 5 allowed 0 InsufficientPods");
        check(json!({"maxUnavailable": "30%"}), 10, &[true; 8], none.clone(), "healthy 8 of 7 expected 10 allowed 1 SufficientPods");
        check(json!({"maxUnavailable": 1}), 3, &[true, true, false], none, "healthy 2 of 2 expected 3 allowed 0 InsufficientPods");
        let evicted = json!({"p0": "2026-01-01T00:00:30Z", "gone": "2026-01-01T00:00:30Z"});
        check(json!({"minAvailable": 1}), 2, &[true, true], evicted, "healthy 1 of 1 expected 2 allowed 0 InsufficientPods");
    }
}
