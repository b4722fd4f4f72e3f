//! Pods leave nodes with `NoExecute` taints, at once or when their toleration ends (upstream: `tainteviction`).

use control_workloads::pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Taint};
use object::plan::{Change, Note, Plan, Reference};

const REASON: &str = "DeletionByTaintManager";
const MESSAGE: &str = "Taint manager: deleting due to NoExecute taint";

/// `taints` are those of the pod's node, seen since `since`: only what controllers taint with says when.
pub fn plan(pod: &Pod, taints: &[Taint], since: Timestamp, now: Timestamp) -> Plan {
    let mut plan = Plan::nothing();
    if pod.metadata.deletion_timestamp.is_some() || pods::is_finished(pod) {
        return plan;
    }
    match leaves_at(pod, taints, since, now) {
        None => {}
        Some(at) if at > now => plan.wake_by(at),
        Some(_) if !pods::is_disrupted(pod) => plan.changes.push(Change::update_status(&pods::disrupted(pod, REASON, MESSAGE, now))),
        Some(_) => {
            let key = object::plan::key_of(&pod.metadata);
            let note = Note::normal(Reference::of(pod), "TaintManagerEviction", format!("Marking for deletion Pod {key}"));
            plan.changes.push(Change::delete(pod).telling(note));
        }
    }
    plan
}

/// When the pod must leave: the earliest end of what it tolerates.
fn leaves_at(pod: &Pod, taints: &[Taint], since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|s| s.tolerations.as_deref()).unwrap_or_default();
    let mut earliest: Option<Timestamp> = None;
    for taint in taints.iter().filter(|t| t.effect == "NoExecute") {
        let mut tolerating = tolerations.iter().filter(|t| scheduling::node_terms::bears(t, taint)).peekable();
        if tolerating.peek().is_none() {
            return Some(now);
        }
        // Upstream: of several tolerations the shortest counts; one without an end says nothing.
        let shortest = tolerating.filter_map(|t| t.toleration_seconds).min();
        if let Some(seconds) = shortest {
            let added = taint.time_added.as_ref().map_or(since, |t| t.0);
            let at = added + SignedDuration::from_secs(seconds.clamp(0, i64::from(i32::MAX)));
            earliest = Some(earliest.map_or(at, |e| e.min(at)));
        }
    }
    earliest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_leave_when_their_toleration_ends() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let taint = json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-01T00:09:00Z"}]);
        let taints: Vec<Taint> = serde_json::from_value(taint).unwrap();
        let exists =
            |seconds: Option<i64>| json!({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": seconds});
        for (tolerations, expected) in [
            (json!([]), Some(0)),
            (json!([exists(None)]), None),
            (json!([exists(Some(300))]), Some(240)),
            (json!([exists(Some(300)), exists(Some(70))]), Some(10)),
            (json!([exists(Some(10))]), Some(-50)),
            (json!([{"key": "other", "operator": "Exists"}]), Some(0)),
            (json!([{"operator": "Exists"}]), None),
        ] {
            let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "tolerations": tolerations}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(leaves_at(&pod, &taints, now, now).map(|at| at.duration_since(now).as_secs()), expected, "{tolerations}");
        }
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": []}})).unwrap();
        assert_eq!(plan(&pods::disrupted(&pod, REASON, MESSAGE, now), &taints, now, now).changes.len(), 1);
        assert!(plan(&pod, &[], now, now).changes.is_empty());
        let by_hand: Vec<Taint> = serde_json::from_value(json!([{"key": "k", "effect": "NoExecute"}])).unwrap();
        let patient = json!([{"operator": "Exists", "tolerationSeconds": 60}]);
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [], "tolerations": patient}})).unwrap();
        let since = now - SignedDuration::from_secs(40);
        let left = leaves_at(&pod, &by_hand, since, now).map(|at| at.duration_since(now).as_secs());
        assert_eq!(left, Some(20), "time passes also for a taint that does not say since when it is there");
    }
}
