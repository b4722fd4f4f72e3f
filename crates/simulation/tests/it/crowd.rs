//! How a cluster of a thousand nodes fares. Its nodes are a crowd: the agent of each would be too slow here.

use serde_json::{Value, json};
use simulation::Simulation;

const N_DEPLOYMENTS: usize = 100;

#[test]
fn hundred_nodes_run_five_hundred_pods() {
    check(100, 500);
}

fn check(n_nodes: usize, n_pods: usize) {
    Simulation::run(async || {
        let from = std::time::Instant::now();
        let simulation = Simulation::start_crowd(n_nodes).await;
        println!("{n_nodes} nodes after {:?}", from.elapsed());
        let from = std::time::Instant::now();
        for i in 0..N_DEPLOYMENTS {
            let labels = json!({"app": format!("web-{i}")});
            let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "web:1"}]}});
            let spec = json!({"replicas": n_pods / N_DEPLOYMENTS, "selector": {"matchLabels": labels}, "template": template});
            let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("web-{i}")}, "spec": spec});
            let _: Value = simulation.client.create("/apis/apps/v1/namespaces/default/deployments", &deployment).await.expect("creates");
        }
        simulation.settle().await;
        let took = from.elapsed();
        println!("{n_pods} pods bound and running after {took:?}: {:.0} a second", n_pods as f64 / took.as_secs_f64());
        let deployments: Value = simulation.client.get("/apis/apps/v1/namespaces/default/deployments").await.expect("lists");
        let ready = deployments["items"].as_array().into_iter().flatten().filter_map(|d| d["status"]["readyReplicas"].as_u64());
        assert_eq!(ready.sum::<u64>(), n_pods as u64);
    });
}
