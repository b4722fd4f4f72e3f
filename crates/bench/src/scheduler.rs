//! The scheduler's thinking alone, in this process: 5,000 nodes, one pod after the other, no API.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use scheduling::{Cluster, Decision, Options, PodInfo};
use serde_json::json;

use crate::Result;
use crate::lab::{Lab, timed};
use crate::table::Row;

const N_NODES: usize = 5_000;
const N_PODS: usize = 20_000;

pub(crate) fn alone(_: &Lab) -> Result<Vec<Row>> {
    let mut cluster = Cluster::new(Options::default());
    for i in 0..N_NODES {
        cluster.set_node(&serde_json::from_value::<Node>(node(i))?);
    }
    let pods = (0..N_PODS).map(|i| Ok(serde_json::from_value::<Pod>(pod(i))?)).collect::<Result<Vec<_>>>()?;
    let (seconds, n_bound) = timed(|| {
        let bound = pods.iter().filter(|p| matches!(cluster.schedule(&Arc::new(PodInfo::compile(p))), Decision::Bind { .. }));
        Ok(bound.count())
    })?;
    if n_bound != N_PODS {
        return Err(format!("{n_bound} of {N_PODS} pods found a node").into());
    }
    Ok(vec![Row::more_is_better("scheduler alone, 5,000 nodes", "pods/s", None, "≥ 5,000", N_PODS as f64 / seconds)])
}

/// Upstream was measured with the same shapes: 16 CPUs, three zones, a selector and requests.
pub(crate) fn node(i: usize) -> serde_json::Value {
    let name = format!("played-{i}");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": format!("z{}", i % 3), "bench": "played"}},
        "status": {
            "capacity": {"cpu": "16", "memory": "64Gi", "pods": "110"}, "allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Played", "lastHeartbeatTime": null, "lastTransitionTime": null}],
        },
    })
}

pub(crate) fn pod(i: usize) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p-{i}"), "namespace": "default", "uid": format!("p-{i}"), "labels": {"app": "played"}},
        "spec": {
            "nodeSelector": {"bench": "played"},
            "containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}],
        },
    })
}
