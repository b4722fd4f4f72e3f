//! One played node: the real agent, and the host it believes in.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use client::Client;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::Service;
use kubelet::agent::Agent;
use kubelet::config::Config;
use kubelet::fake::{FakeDisk, FakeImages, FakeNetwork, FakeRuntime};
use kubelet::machine::Machine;
use kubelet::node::Node;
use kubelet::objects::ObjectSource;
use kubelet::seams::{ProbeAnswer, ProbeRequest, Prober};
use object::time::Clock;
use reconcile::{Informers, Recorder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Containers, by name, whose probes fail; one list for the whole cluster.
#[derive(Clone, Default)]
pub(crate) struct Sick(Arc<Mutex<HashSet<String>>>);

impl Sick {
    pub(crate) fn set(&self, container: &str, is_sick: bool) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_sick {
            names.insert(container.to_owned());
        } else {
            names.remove(container);
        }
    }
}

impl Prober for Sick {
    fn probe(&self, request: ProbeRequest) -> BoxFuture<'static, ProbeAnswer> {
        let is_sick = self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&request.container.name);
        let answer = if is_sick { ProbeAnswer::Failure("sick".to_owned()) } else { ProbeAnswer::Success };
        std::future::ready(answer).boxed()
    }
}

pub(crate) struct PlayedNode {
    /// From one: `node-1`, pods in `10.244.1.0/24`.
    number: u8,
    client: Client,
    clock: Clock,
    sick: Sick,
    is_up: watch::Sender<bool>,
    agent: Option<JoinHandle<()>>,
}

impl PlayedNode {
    /// `is_up` is the other end of the client's wire.
    pub(crate) fn new(number: u8, client: Client, clock: Clock, sick: Sick, is_up: watch::Sender<bool>) -> Self {
        let mut node = PlayedNode { number, client, clock, sick, is_up, agent: None };
        node.boot();
        node
    }

    pub(crate) fn name(&self) -> String {
        format!("node-{}", self.number)
    }

    pub(crate) fn connect(&self, is_up: bool) {
        self.is_up.send_replace(is_up);
    }

    /// The machine loses power: its agent is gone and so are its containers.
    pub(crate) fn crash(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
        }
    }

    /// The machine starts with no container running.
    pub(crate) fn boot(&mut self) {
        self.crash();
        let (recorder, _) = Recorder::start(self.client.clone(), self.clock.clone());
        let informers = Informers::new(self.client.clone());
        let node = Node {
            config: self.config(),
            client: self.client.with_user_agent("kubelet"),
            clock: self.clock.clone(),
            runtime: Arc::new(FakeRuntime::new(self.clock.clone())),
            images: Arc::new(FakeImages),
            network: Arc::new(FakeNetwork::new(Ipv4Addr::new(10, 244, self.number, 0))),
            disk: Arc::new(FakeDisk),
            prober: Arc::new(self.sick.clone()),
            objects: Arc::new(ObjectSource::new(&self.client, &self.name())),
            services: informers.of::<Service>(),
            recorder,
        };
        let agent = Agent::new(Arc::new(node));
        self.agent = Some(tokio::spawn(async move {
            // The services' watch lives as long as its informers do.
            let _informers = informers;
            agent.run().await;
        }));
    }

    fn config(&self) -> Config {
        let machine =
            Machine { n_cpus: 4, memory_bytes: 8 << 30, storage_bytes: 100 << 30, architecture: "amd64".into(), ..Machine::default() };
        Config {
            node_name: self.name(),
            root_dir: "/nowhere".into(),
            log_dir: "/nowhere".into(),
            cgroup_root: "/nowhere".into(),
            host_ips: vec![Ipv4Addr::new(192, 168, 0, self.number).into()],
            cluster_dns: vec![Ipv4Addr::new(10, 96, 0, 10).into()],
            cluster_domain: "cluster.local".into(),
            host_resolv_conf: "/nowhere".into(),
            max_pods: 110,
            labels: [].into(),
            taints: Vec::new(),
            pod_cidrs: vec![format!("10.244.{}.0/24", self.number)],
            port: 10250,
            kubernetes_version: "v1.37.1".into(),
            runtime_version: "coracle://0.1.0".into(),
            machine,
        }
    }
}
