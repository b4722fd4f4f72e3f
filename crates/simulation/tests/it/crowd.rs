//! How a large cluster fares. Its nodes are a crowd: the agent of each would be too slow here.
//!
//! Unoptimised, the clusters are a tenth as large; `cargo test -p simulation --profile optimised crowd` is the whole thing.

use serde_json::{Value, json};
use simulation::Simulation;
use std::time::{Duration, Instant};

/// What all sizes are multiplied by.
const SCALE: usize = if cfg!(debug_assertions) { 1 } else { 10 };
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/default/pods";

#[test]
fn a_thousand_nodes_run_ten_thousand_pods() {
    Simulation::run(async || {
        let crowd = Crowd::start(100 * SCALE).await;
        for i in 0..10 * SCALE {
            crowd.deploy(&format!("web-{i}"), 100).await;
        }
        crowd.settle(&format!("{} pods run", 1000 * SCALE)).await;
        assert_eq!(crowd.total("readyReplicas").await, 1000 * SCALE as u64);
        crowd.no_node_has_more_than(110).await;
    });
}

#[test]
fn a_thousand_replicas_come_roll_and_go() {
    Simulation::run(async || {
        let n_replicas = 100 * SCALE;
        let crowd = Crowd::start(50).await;
        crowd.deploy("web", n_replicas).await;
        crowd.settle(&format!("{n_replicas} replicas run")).await;
        assert_eq!(crowd.total("readyReplicas").await, n_replicas as u64);

        let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "web:2"}]}}}});
        let strategic = object::plan::PatchKind::Strategic;
        let _: Value = crowd.0.client.patch(&format!("{DEPLOYMENTS}/web"), strategic, &image).await.expect("patches");
        crowd.settle("all are replaced").await;
        assert_eq!((crowd.total("updatedReplicas").await, crowd.total("readyReplicas").await), (n_replicas as u64, n_replicas as u64));
        let pods: Value = crowd.0.client.get(PODS).await.expect("lists");
        let images = pods["items"].as_array().into_iter().flatten().map(|p| p["spec"]["containers"][0]["image"].as_str());
        assert_eq!(images.filter(|image| *image == Some("web:2")).count(), n_replicas);

        let _: Value =
            crowd.0.client.delete(&format!("{DEPLOYMENTS}/web"), &object::plan::DeleteOptions::default()).await.expect("deletes");
        crowd.settle("all are gone").await;
        let pods: Value = crowd.0.client.get(PODS).await.expect("lists");
        assert_eq!(pods["items"].as_array().map(Vec::len), Some(0));
    });
}

#[test]
fn a_tenth_of_the_nodes_is_lost() {
    Simulation::run(async || {
        let n_replicas = 100 * SCALE;
        let crowd = Crowd::start(100).await;
        crowd.deploy("web", n_replicas).await;
        crowd.settle(&format!("{n_replicas} pods run")).await;
        (1..=10).for_each(|number| crowd.0.lose(&format!("node-{number}")));
        crowd.0.tick(Duration::from_secs(60)).await;
        let nodes: Value = crowd.0.client.get(NODES).await.expect("lists");
        let is_ready = |node: &&Value| {
            let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        assert_eq!(nodes["items"].as_array().into_iter().flatten().filter(is_ready).count(), 90);
        // The pods tolerate it for five minutes.
        crowd.0.tick(Duration::from_secs(300)).await;
        crowd.settle("the pods of ten lost nodes are replaced").await;
        assert_eq!(crowd.total("readyReplicas").await, n_replicas as u64);
    });
}

struct Crowd(Simulation);

impl Crowd {
    async fn start(n_nodes: usize) -> Self {
        let from = Instant::now();
        let crowd = Crowd(Simulation::start_crowd(n_nodes).await);
        println!("{n_nodes} nodes stand after {:?}", from.elapsed());
        crowd
    }

    async fn deploy(&self, name: &str, replicas: usize) {
        let labels = json!({"app": name});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "web:1"}]}});
        let spec = json!({"replicas": replicas, "selector": {"matchLabels": labels}, "template": template});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec});
        let _: Value = self.0.client.create(DEPLOYMENTS, &deployment).await.expect("creates");
    }

    async fn settle(&self, what: &str) {
        let from = Instant::now();
        self.0.settle().await;
        println!("{what} after {:?}", from.elapsed());
    }

    /// The sum of one count over all deployments' statuses.
    async fn total(&self, count: &str) -> u64 {
        let deployments: Value = self.0.client.get(DEPLOYMENTS).await.expect("lists");
        deployments["items"].as_array().into_iter().flatten().filter_map(|d| d["status"][count].as_u64()).sum()
    }

    async fn no_node_has_more_than(&self, n_pods_max: usize) {
        let pods: Value = self.0.client.get(PODS).await.expect("lists");
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        for pod in pods["items"].as_array().into_iter().flatten() {
            *counts.entry(pod["spec"]["nodeName"].as_str().unwrap_or("")).or_default() += 1;
        }
        let most = counts.values().max().copied().unwrap_or(0);
        assert!(most <= n_pods_max && !counts.contains_key(""), "{counts:?}");
    }
}
