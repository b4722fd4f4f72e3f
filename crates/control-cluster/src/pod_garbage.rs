//! Pods that nobody else would remove: those of nodes that are gone, those that leave without ever having had a node,
//! and the oldest of too many finished ones (upstream: `podgc`).

use std::sync::Arc;

use control_workloads::pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use object::key::GroupVersionResource;
use object::plan::{Change, DeleteOptions, Plan, Write, key_of};

/// A node may be written anew under its name within this time. Upstream: `quarantineTime`.
pub const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);
/// Upstream: `--terminated-pod-gc-threshold`.
pub const FINISHED_MAX: usize = 12_500;

pub struct View<'a> {
    pub pod: &'a Pod,
    /// Since when its node is known to be missing; `None` while it is there.
    pub node_gone_since: Option<Timestamp>,
}

pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let pod = view.pod;
    let mut plan = Plan::nothing();
    if pods::node_name(pod).is_empty() {
        if pods::is_leaving(pod) {
            plan.changes.push(delete_now(pod));
        }
        return plan;
    }
    let Some(since) = view.node_gone_since else { return plan };
    if now < since + QUARANTINE {
        plan.wake_by(since + QUARANTINE);
    } else if !pods::is_finished(pod) {
        plan.changes.push(Change::update_status(&failed(pod, now)));
    } else {
        plan.changes.push(delete_now(pod));
    }
    plan
}

/// The oldest finished pods beyond the limit.
pub fn plan_finished(pods: &[Arc<Pod>], finished_max: usize) -> Plan {
    let mut finished: Vec<&Arc<Pod>> = pods.iter().filter(|pod| pods::is_finished(pod) && !pods::is_leaving(pod)).collect();
    let n_beyond = finished.len().saturating_sub(finished_max);
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
    finished.sort_by(|a, b| created(a).cmp(&created(b)).then_with(|| key_of(&a.metadata).cmp(&key_of(&b.metadata))));
    Plan { changes: finished.into_iter().take(n_beyond).map(|pod| delete_now(pod)).collect(), ..Plan::nothing() }
}

fn delete_now(pod: &Pod) -> Change {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::only(uid) };
    Write::Delete { resource: GroupVersionResource::of::<Pod>(), key: key_of(&pod.metadata), options }.into()
}

fn failed(pod: &Pod, now: Timestamp) -> Pod {
    let mut pod = pods::disrupted(pod, "DeletionByPodGC", "PodGC: node no longer exists", now);
    pod.status.get_or_insert_default().phase = Some("Failed".to_owned());
    pod
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(node: Option<&str>, phase: &str, is_leaving: bool) -> Pod {
        let leaving = is_leaving.then_some("2026-01-01T00:00:00Z");
        let tree = json!({"metadata": {"name": "p", "uid": "u", "deletionTimestamp": leaving}, "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}});
        serde_json::from_value(tree).unwrap()
    }

    #[test]
    fn pods_of_gone_nodes_fail_and_go() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let ago = |seconds| Some(now - SignedDuration::from_secs(seconds));
        let check = |pod: Pod, node_gone_since, expected: &str| {
            let plan = plan(&View { pod: &pod, node_gone_since }, now);
            let seen = match plan.changes.first().map(|c| &c.write) {
                Some(Write::Delete { .. }) => "delete",
                Some(_) => "fail",
                None if plan.wake_at.is_some() => "wait",
                None => "",
            };
            assert_eq!(seen, expected);
        };
        check(pod(Some("n"), "Running", false), None, "");
        check(pod(Some("n"), "Running", false), ago(10), "wait");
        check(pod(Some("n"), "Running", false), ago(41), "fail");
        check(pod(Some("n"), "Failed", false), ago(41), "delete");
        check(pod(None, "Pending", true), None, "delete");
        check(pod(None, "Pending", false), None, "");
    }

    #[test]
    fn too_many_finished_pods_are_cut() {
        let pods: Vec<_> = (0..5).map(|_| Arc::new(pod(Some("n"), "Succeeded", false))).collect();
        assert_eq!(plan_finished(&pods, 3).changes.len(), 2);
        assert!(plan_finished(&pods, 5).changes.is_empty());
    }
}
