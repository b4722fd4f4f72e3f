//! A cluster of one played node.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Settings};
use authz::UserInfo;
use client::Client;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use kubelet::agent::Agent;
use kubelet::config::Config;
use kubelet::fake::{FakeDisk, FakeImages, FakeNetwork, FakeProber, FakeRuntime};
use kubelet::machine::Machine;
use kubelet::node::Node;
use kubelet::objects::ObjectSource;
use object::plan::DeleteOptions;
use object::time::Clock;
use reconcile::{Informers, Recorder};
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) runtime: FakeRuntime,
    clock: Clock,
    network: Arc<FakeNetwork>,
    informers: Informers,
    agent: JoinHandle<()>,
    began: tokio::time::Instant,
}

/// Runs on one thread with tokio's clock paused: waiting takes no time.
pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(test());
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let began = tokio::time::Instant::now();
        let start: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a time");
        let clock = Clock::virtual_time(move || start + SignedDuration::try_from(began.elapsed()).expect("a short time"));
        let registry = Registry::new(store::Store::memory(), clock.clone(), Entropy::seeded(1), ServiceSettings::default());
        let server = ApiServer::new(Settings {
            registry,
            token_key: Arc::new(pki::token::TokenKey::generate().expect("a key")),
            issuer: "https://kubernetes.default.svc".into(),
            static_tokens: HashMap::new(),
            address: "10.0.0.1:6443".into(),
            kubelet_tls: None,
        });
        server.bootstrap(&["10.0.0.1".parse().expect("an address")], 6443).await.expect("bootstraps");
        let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
        let admin = UserInfo { name: "admin".into(), groups, ..UserInfo::default() };
        let client = Client::new(Arc::new(server.local(admin)));
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}});
        let _: Value = client.create("/api/v1/namespaces/default/serviceaccounts", &account).await.expect("a service account");
        let informers = Informers::new(client.clone());
        let runtime = FakeRuntime::new(clock.clone());
        let network = Arc::new(FakeNetwork::new(Ipv4Addr::new(10, 244, 0, 0)));
        let agent = agent(&client, &clock, &runtime, &network, &informers);
        Cluster { client, runtime, clock, network, informers, agent, began }
    }

    /// As after a crash: the process is gone, the host is as it was.
    pub(crate) async fn restart_agent(&mut self) {
        self.agent.abort();
        let _ = (&mut self.agent).await;
        self.agent = agent(&self.client, &self.clock, &self.runtime, &self.network, &self.informers);
    }

    pub(crate) fn kill_agent(&self) {
        self.agent.abort();
    }

    pub(crate) async fn create_pod(&self, name: &str, annotations: Value, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!("node-1");
        spec["automountServiceAccountToken"] = json!(false);
        let metadata = json!({"name": name, "namespace": "default", "annotations": annotations});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        let _: Value = self.client.create("/api/v1/namespaces/default/pods", &pod).await.expect("creates a pod");
    }

    pub(crate) async fn pod(&self, name: &str) -> Option<Value> {
        self.client.get(&format!("/api/v1/namespaces/default/pods/{name}")).await.ok()
    }

    pub(crate) async fn delete_pod(&self, name: &str) {
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        self.client.delete(&path, &DeleteOptions::default()).await.expect("deletes");
    }

    /// Waits until `is_so` holds for the pod (null when it is gone); answers how long it took.
    pub(crate) async fn until(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Duration {
        const PATIENCE: Duration = Duration::from_secs(900);
        let from = tokio::time::Instant::now();
        loop {
            let pod = self.pod(name).await.unwrap_or_default();
            if is_so(&pod) {
                return from.elapsed();
            }
            assert!(from.elapsed() < PATIENCE, "not {what} after {PATIENCE:?}: {}", pod["status"]);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn until_phase(&self, name: &str, phase: &str) -> Duration {
        self.until(name, phase, |pod| pod["status"]["phase"] == phase).await
    }

    /// `+12s Normal Pulled …` for each event of a pod.
    pub(crate) async fn events(&self, pod: &str) -> String {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let list: Value = self.client.get("/api/v1/namespaces/default/events").await.expect("lists events");
        let events = list["items"].as_array().expect("items");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines = events.iter().filter(|e| e["involvedObject"]["name"] == pod).map(|e| {
            let count = e["count"].as_i64().filter(|n| *n > 1).map(|n| format!(" x{n}")).unwrap_or_default();
            let path = text(&e["involvedObject"]["fieldPath"]);
            let message = text(&e["message"]).replace(&text(&e["involvedObject"]["uid"]), "UID");
            format!("{} {}{count} {path}: {message}\n", text(&e["type"]), text(&e["reason"]))
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines.concat()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

fn agent(client: &Client, clock: &Clock, runtime: &FakeRuntime, network: &Arc<FakeNetwork>, informers: &Informers) -> JoinHandle<()> {
    let (recorder, _) = Recorder::start(client.clone(), clock.clone());
    let node = Node {
        config: config(),
        client: client.with_user_agent("kubelet"),
        clock: clock.clone(),
        runtime: Arc::new(runtime.clone()),
        images: Arc::new(FakeImages),
        network: Arc::clone(network) as _,
        disk: Arc::new(FakeDisk),
        prober: Arc::new(FakeProber),
        objects: Arc::new(ObjectSource::new(client, "node-1")),
        services: informers.of::<Service>(),
        recorder,
    };
    let agent = Agent::new(Arc::new(node));
    tokio::spawn(async move { agent.run().await })
}

fn config() -> Config {
    Config {
        node_name: "node-1".into(),
        root_dir: "/nowhere".into(),
        log_dir: "/nowhere".into(),
        cgroup_root: "/nowhere".into(),
        host_ips: vec!["192.168.0.1".parse().expect("an address")],
        cluster_dns: vec!["10.96.0.10".parse().expect("an address")],
        cluster_domain: "cluster.local".into(),
        host_resolv_conf: "/nowhere".into(),
        max_pods: 110,
        labels: [].into(),
        taints: Vec::new(),
        pod_cidrs: vec!["10.244.0.0/24".into()],
        port: 10250,
        kubernetes_version: "v1.37.1".into(),
        runtime_version: "coracle://0.1.0".into(),
        machine: Machine { n_cpus: 4, memory_bytes: 8 << 30, storage_bytes: 100 << 30, architecture: "amd64".into(), ..Machine::default() },
    }
}
