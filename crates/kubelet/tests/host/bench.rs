//! How fast pods start: `cargo test --release -p kubelet --test host -- bench`.

use std::time::{Duration, Instant};

use serde_json::json;

pub(crate) fn run() {
    crate::cluster::run(|cluster| async move {
        let cluster = cluster.lock().await;
        let mut took: Vec<Duration> = Vec::new();
        for n in 0..30 {
            let began = Instant::now();
            cluster.create_pod(&format!("one-{n}"), "sleep 1000", json!({}), json!({})).await;
            cluster.until_running(&format!("one-{n}")).await;
            took.push(began.elapsed());
        }
        took.sort();
        println!("pod create -> Running, 30 in sequence: p50 {:?}, p90 {:?}, max {:?}", took[15], took[27], took[29]);
        let began = Instant::now();
        for n in 0..30 {
            cluster.create_pod(&format!("all-{n}"), "sleep 1000", json!({}), json!({})).await;
        }
        let created = began.elapsed();
        for n in 0..30 {
            cluster.until_running(&format!("all-{n}")).await;
        }
        println!("30 pods at once: created in {created:?}, all Running after {:?}", began.elapsed());
    });
}
