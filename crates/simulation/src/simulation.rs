//! `Simulation`: starting a cluster, letting time pass in it, and harming it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use apiserver::{ApiServer, Settings};
use authz::UserInfo;
use client::{Client, Transport};
use control_plane::{ControlPlane, Options, Pool, Selection};
use jiff::{SignedDuration, Timestamp};
use object::time::Clock;
use pki::token::TokenKey;
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::crowd::{self, Lost};
use crate::node::{PlayedNode, Sick};
use crate::wire::{Wire, Writes};

/// When every simulated cluster is born.
const BIRTH: Timestamp = Timestamp::constant(1_795_341_600, 0);
/// A cluster that writes nothing for so long is at rest. Longer than any wait between two steps of one story, save back-offs.
const QUIET: Duration = Duration::from_secs(3);
/// What does not come to rest within this, in its own time, never does.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(900);

pub struct Simulation {
    /// An administrator's.
    pub client: Client,
    /// As its administrator sees it.
    server: Arc<dyn Transport>,
    clock: Clock,
    /// How far the cluster's clock is from where it should be, in seconds.
    clock_error: Arc<AtomicI64>,
    controllers: Selection,
    control: Option<ControlPlane>,
    writes: Writes,
    nodes: Vec<PlayedNode>,
    sick: Sick,
    crowd: Option<JoinHandle<()>>,
    lost: Lost,
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(PlayedNode::crash);
        if let Some(crowd) = &self.crowd {
            crowd.abort();
        }
    }
}

impl Simulation {
    /// Runs a story on one thread with tokio's clock paused: waiting takes no time.
    pub fn run<T>(story: impl AsyncFnOnce() -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap_or_else(|e| panic!("no runtime: {e}")).block_on(story())
    }

    /// A cluster at rest with nodes `node-1` to `node-N`, each with an agent of its own. Call it within `run`.
    pub async fn start(n_nodes: u8) -> Self {
        Self::start_with(n_nodes, Selection::default()).await
    }

    /// As `start`, but not all controllers are there.
    pub async fn start_with(n_nodes: u8, controllers: Selection) -> Self {
        Self::empty(controllers).await.played_by(n_nodes).await
    }

    /// A cluster whose many nodes are played by one task in place of an agent each; they can be lost, and nothing else.
    pub async fn start_crowd(n_nodes: usize) -> Self {
        let mut simulation = Self::empty(Selection::default()).await;
        let client = simulation.connect(watch::channel(true).1);
        simulation.crowd = Some(tokio::spawn(crowd::play(client, simulation.clock.clone(), n_nodes, simulation.lost.clone())));
        simulation.settle().await;
        simulation
    }

    /// As `start`, but the API server is another one, empty but for what it makes by itself, and time is the real one.
    pub async fn start_on(server: Arc<dyn Transport>, n_nodes: u8) -> Self {
        Self::with(server, Clock::system(), Arc::default(), Selection::default()).await.played_by(n_nodes).await
    }

    async fn empty(controllers: Selection) -> Self {
        let began = tokio::time::Instant::now();
        let clock_error = Arc::new(AtomicI64::new(0));
        let error = clock_error.clone();
        let clock = Clock::virtual_time(move || {
            let passed = SignedDuration::try_from(began.elapsed()).unwrap_or(SignedDuration::MAX);
            BIRTH + passed + SignedDuration::from_secs(error.load(Ordering::Relaxed))
        });
        Self::with(server(&clock).await, clock, clock_error, controllers).await
    }

    async fn with(server: Arc<dyn Transport>, clock: Clock, clock_error: Arc<AtomicI64>, controllers: Selection) -> Self {
        let writes = Writes::default();
        let client = Client::new(Arc::new(Wire::new(server.clone(), writes.clone(), watch::channel(true).1)));
        let mut simulation = Simulation {
            client,
            server,
            clock,
            clock_error,
            controllers,
            control: None,
            writes,
            nodes: Vec::new(),
            sick: Sick::default(),
            crowd: None,
            lost: Lost::default(),
        };
        simulation.start_control_plane().await;
        simulation
    }

    async fn played_by(mut self, n_nodes: u8) -> Self {
        for number in 1..=n_nodes {
            let (is_up, wire) = watch::channel(true);
            let client = self.connect(wire);
            self.nodes.push(PlayedNode::new(number, client, self.clock.clone(), self.sick.clone(), is_up));
        }
        self.settle().await;
        self
    }

    fn connect(&self, is_up: watch::Receiver<bool>) -> Client {
        Client::new(Arc::new(Wire::new(self.server.clone(), self.writes.clone(), is_up)))
    }

    /// All controllers and the scheduler, knowing nothing but what the API says.
    pub async fn start_control_plane(&mut self) {
        let options = Options {
            root_ca: "-----BEGIN CERTIFICATE-----\n".to_owned(),
            // Keys of its own: nobody in a story shows what they have signed.
            signer: Some(pki::Authority::create("kubernetes", self.clock.now()).unwrap_or_else(|e| panic!("no authority: {e:?}"))),
            token_key: Some(token_key()),
            pod_networks: Pool::parse("10.244.0.0/16").into_iter().collect(),
            scheduler: scheduling::Options::default(),
            controllers: self.controllers.clone(),
        };
        let started = ControlPlane::start(self.client.clone(), self.clock.clone(), options).await;
        self.control = Some(started.expect("all are known"));
    }

    /// Of the controllers that run.
    pub fn controllers(&self) -> Vec<&'static str> {
        self.control.as_ref().map(ControlPlane::names).unwrap_or_default()
    }

    /// It is gone in the middle of whatever it did.
    pub fn crash_control_plane(&mut self) {
        self.control = None;
    }

    /// The clock of every part of the cluster is set forward, or back.
    pub fn set_clock(&self, seconds: i64) {
        self.clock_error.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Lets time pass.
    pub async fn tick(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Lets time pass until nothing happens any more but signs of life.
    pub async fn settle(&self) {
        let from = tokio::time::Instant::now();
        loop {
            let before = self.writes.count();
            tokio::time::sleep(QUIET).await;
            if self.writes.count() == before && self.control.as_ref().is_none_or(ControlPlane::is_idle) {
                return;
            }
            assert!(from.elapsed() < SETTLE_TIME_MAX, "not at rest after {SETTLE_TIME_MAX:?}");
        }
    }

    /// The machine loses power.
    pub fn crash(&mut self, node: &str) {
        self.node(node).crash();
    }

    /// The machine starts again, with none of the containers it had.
    pub fn boot(&mut self, node: &str) {
        self.node(node).boot();
    }

    /// The machine runs on but no longer reaches the API server.
    pub fn cut(&mut self, node: &str) {
        self.node(node).connect(false);
    }

    pub fn heal(&mut self, node: &str) {
        self.node(node).connect(true);
    }

    /// A node of the crowd goes silent for good.
    pub fn lose(&self, node: &str) {
        self.lost.add(node);
    }

    /// From now on the probes of all containers of this name fail, or succeed again.
    pub fn set_sick(&self, container: &str, is_sick: bool) {
        self.sick.set(container, is_sick);
    }

    fn node(&mut self, name: &str) -> &mut PlayedNode {
        let node = self.nodes.iter_mut().find(|node| node.name() == name);
        node.unwrap_or_else(|| panic!("there is no node {name}"))
    }
}

fn token_key() -> Arc<TokenKey> {
    Arc::new(TokenKey::generate().unwrap_or_else(|e| panic!("no key for tokens: {e:?}")))
}

async fn server(clock: &Clock) -> Arc<dyn Transport> {
    let registry = Registry::new(store::Store::memory(), clock.clone(), Entropy::seeded(1), ServiceSettings::default());
    let server = ApiServer::new(Settings {
        registry,
        token_key: token_key(),
        issuer: "https://kubernetes.default.svc".into(),
        static_tokens: HashMap::new(),
        address: "10.0.0.1:6443".into(),
        kubelet_tls: None,
    });
    let bootstrapped = server.bootstrap(&[[10, 0, 0, 1].into()], 6443).await;
    bootstrapped.unwrap_or_else(|e| panic!("the server does not bootstrap: {e:?}"));
    let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
    Arc::new(server.local(UserInfo { name: "admin".into(), groups, ..UserInfo::default() }))
}
