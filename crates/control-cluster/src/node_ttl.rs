//! How long a kubelet may remember secrets and config maps, by the size of the cluster (upstream: `ttl_controller.go`).

use k8s_openapi::api::core::v1::Node;
use object::plan::{Change, Plan};
use serde_json::json;

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// Fewest nodes, most nodes, seconds. They overlap, so that a cluster at a border does not swing.
const STEPS: &[(usize, usize, &str)] =
    &[(0, 100, "0"), (90, 500, "15"), (450, 1_000, "30"), (900, 2_000, "60"), (1_800, usize::MAX, "300")];

pub fn plan(node: &Node, n_nodes: usize) -> Plan {
    let told = node.metadata.annotations.as_ref().and_then(|a| a.get(ANNOTATION)).map(String::as_str);
    let mut step = STEPS.iter().position(|(.., seconds)| told == Some(*seconds)).unwrap_or(0);
    while n_nodes > STEPS[step].1 {
        step += 1;
    }
    while n_nodes < STEPS[step].0 {
        step -= 1;
    }
    let mut plan = Plan::nothing();
    if told != Some(STEPS[step].2) {
        plan.changes.push(Change::merge(node, "", json!({"metadata": {"annotations": {ANNOTATION: STEPS[step].2}}})));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::plan::Write;

    #[test]
    fn larger_clusters_remember_longer() {
        for (told, n_nodes, expected) in [
            (None, 1, Some("0")),
            (Some("0"), 100, None),
            (Some("0"), 101, Some("15")),
            (Some("15"), 95, None),
            (Some("15"), 89, Some("0")),
            (Some("x"), 5_000, Some("300")),
            (Some("300"), 5, Some("0")),
        ] {
            let annotations = told.map(|told| json!({ANNOTATION: told}));
            let node: Node = serde_json::from_value(json!({"metadata": {"name": "n", "annotations": annotations}})).unwrap();
            let plan = plan(&node, n_nodes);
            let set = plan.changes.first().and_then(|change| match &change.write {
                Write::Patch { patch, .. } => patch["metadata"]["annotations"][ANNOTATION].as_str(),
                _ => None,
            });
            assert_eq!(set, expected, "{told:?} {n_nodes}");
        }
    }
}
