//! The parts of a node, put together: runtime, images, pod network, kubelet, service network.
//!
//! The same for the server's own node and for one that joined: both are clients of the API.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::api::Api;
use client::options::Selection;
use client::{Client, Error};
use k8s_openapi::api::core::v1::{Node as NodeObject, Service};
use kubelet::agent::Agent;
use kubelet::config::Config;
use kubelet::disk::HostDisk;
use kubelet::host::{HostImages, HostNetwork};
use kubelet::machine::Machine;
use kubelet::node::Node;
use kubelet::objects::ObjectSource;
use kubelet::prober::HostProber;
use net_link::pod::{PodNetwork, PodNetworkConfig};
use net_plan::node_routes::Tunnels;
use netd::agent::Netd;
use object::cidr::Cidr;
use object::key::ObjectKey;
use object::time::Clock;
use oci_image::{ImageStore, Registries};
use oci_runtime::embedded::{EmbeddedRuntime, Options as RuntimeOptions};
use oci_runtime::runtime::Runtime;
use reconcile::{Informers, Recorder};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::join;
use crate::listen::listen;
use crate::options::{DNS_ADDRESS, Place, Ranges};

const KUBERNETES_VERSION: &str = "v1.37.1";
const CLUSTER_DOMAIN: &str = "cluster.local";
/// Upstream's `maxPods`.
const PODS_MAX: u32 = 110;
/// The first start of a controller that has just come up.
const CIDR_PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Setup {
    pub(crate) place: Place,
    pub(crate) node_name: String,
    pub(crate) node_ips: Vec<IpAddr>,
    pub(crate) kubelet_port: u16,
    pub(crate) pod_ranges: Ranges,
    pub(crate) service_ranges: Ranges,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) images: ImageStore,
    pub(crate) registries: Registries,
    /// How the kubelet shows itself, and whom it lets in.
    pub(crate) serving: Arc<rustls::ServerConfig>,
    /// The cluster's, in PEM.
    pub(crate) authority_pem: String,
}

/// A running node. Its pods run on when it is stopped.
pub(crate) struct Running {
    agent: Agent,
    network: Netd,
    client: Client,
    name: String,
    tasks: JoinSet<()>,
}

pub(crate) async fn start(setup: Setup) -> Result<Running, Failure> {
    remember_pod_ranges(&setup.place, &setup.pod_ranges)?;
    let pod_cidrs = pod_cidrs(&setup.client, &setup.node_name).await?;
    let runtime: Arc<dyn Runtime> = Arc::new(open_runtime(&setup.place).await?);
    let links = PodNetwork::open(PodNetworkConfig {
        cluster: setup.place.tag(),
        pod_cidrs: pod_cidrs.clone(),
        mtu: None,
        state_dir: network_dir(&setup.place),
    });
    let links = Arc::new(links.map_err(|e| Failure::caused("the pod network", &e))?);
    let network: Arc<dyn kubelet::seams::PodNetwork> = Arc::new(HostNetwork::new(links));
    let config = config(&setup, &pod_cidrs);
    let network_config = network_config(&setup);
    let objects = Arc::new(ObjectSource::new(&setup.client, &setup.node_name));
    let disk = HostDisk::new(config.clone(), &setup.client, setup.clock.clone(), objects.clone(), network.clone());
    let (recorder, _) = Recorder::start(setup.client.clone(), setup.clock.clone());
    let informers = Informers::new(setup.client.clone());
    let images = Arc::new(HostImages::new(setup.images, setup.registries, setup.clock.clone()));
    let image_changes = images.changes();
    let listener = listen(setup.kubelet_port, "--kubelet-port").await?;
    let agent = Agent::new(Arc::new(Node {
        config,
        client: setup.client.clone(),
        clock: setup.clock.clone(),
        prober: Arc::new(HostProber::new(runtime.clone())),
        runtime,
        images,
        network,
        disk: Arc::new(disk),
        objects,
        services: informers.of::<Service>(),
        recorder,
    }));
    let network = Netd::start(network_config, &informers);
    let mut tasks = JoinSet::new();
    let running = agent.clone();
    tasks.spawn(async move {
        let _informers = informers;
        running.run_on_host(listener, setup.serving, image_changes).await;
    });
    Ok(Running { agent, network, client: setup.client, name: setup.node_name, tasks })
}

impl Running {
    /// Returns when the API shows the node Ready.
    pub(crate) async fn ready(&self) {
        let informers = Informers::new(self.client.clone());
        let nodes = informers.select::<NodeObject>(Selection::fields(format!("metadata.name={}", self.name)));
        let mut changes = nodes.subscribe();
        let is_ready = |node: &NodeObject| {
            let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
            conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
        };
        while !changes.next().await.new.is_some_and(|node| is_ready(&node)) {}
        self.network.ready().await;
    }

    pub(crate) async fn stop(mut self) {
        self.network.stop().await;
        drop(self.agent);
        self.tasks.shutdown().await;
    }
}

/// The ranges this node's pods have; the control plane gives them to a node object when it first sees it.
async fn pod_cidrs(client: &Client, name: &str) -> Result<Vec<Cidr>, Failure> {
    let failed = |e: Error| Failure::caused(format!("cannot register the node `{name}`"), &e);
    let api = Api::<NodeObject>::new(client);
    let key = ObjectKey::cluster(name);
    if api.find(&key).await.map_err(failed)?.is_none() {
        let mut node = NodeObject::default();
        node.metadata.name = Some(name.to_owned());
        match api.create(&node).await {
            Err(e) if !e.is_already_exists() => return Err(failed(e)),
            _ => {}
        }
    }
    let informers = Informers::new(client.clone());
    let mut changes = informers.select::<NodeObject>(Selection::fields(format!("metadata.name={name}"))).subscribe();
    let given = async {
        loop {
            let spec = changes.next().await.new.and_then(|node| node.spec.clone());
            let cidrs: Vec<Cidr> = spec.and_then(|s| s.pod_cidrs).into_iter().flatten().filter_map(|c| c.parse().ok()).collect();
            if !cidrs.is_empty() {
                return cidrs;
            }
        }
    };
    tokio::time::timeout(CIDR_PATIENCE, given).await.map_err(|_| {
        Failure::new(format!("node `{name}` got no pod address range in {} s", CIDR_PATIENCE.as_secs())).hint("a larger --pod-cidr")
    })
}

pub(crate) fn runtime_options(place: &Place) -> RuntimeOptions {
    RuntimeOptions { root: place.pods_dir().join("runtime"), shims_cgroup: format!("{}/shims", cgroup(place)) }
}

pub(crate) async fn open_runtime(place: &Place) -> Result<EmbeddedRuntime, Failure> {
    EmbeddedRuntime::open(runtime_options(place)).await.map_err(|e| Failure::caused("the container runtime", &e))
}

/// Everything of this cluster in every cgroup hierarchy lies below it.
pub(crate) fn cgroup(place: &Place) -> String {
    format!("/coracle/{}-{}", place.name, place.tag())
}

fn config(setup: &Setup, pod_cidrs: &[Cidr]) -> Config {
    let root_dir = setup.place.pods_dir();
    Config {
        node_name: setup.node_name.clone(),
        log_dir: root_dir.join("logs"),
        cgroup_root: format!("{}/pods", cgroup(&setup.place)),
        host_ips: setup.node_ips.clone(),
        cluster_dns: setup.service_ranges.nth(DNS_ADDRESS),
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        host_resolv_conf: netd::dns::host_resolv_conf(),
        max_pods: PODS_MAX,
        labels: Default::default(),
        taints: Vec::new(),
        pod_cidrs: pod_cidrs.iter().map(ToString::to_string).collect(),
        port: setup.kubelet_port,
        kubernetes_version: KUBERNETES_VERSION.to_owned(),
        runtime_version: format!("coracle://{}", env!("CARGO_PKG_VERSION")),
        machine: Machine::read(&root_dir),
        root_dir,
    }
}

fn network_config(setup: &Setup) -> netd::agent::Config {
    let cidrs = |ranges: &Ranges| ranges.texts().iter().filter_map(|t| t.parse().ok()).collect::<Vec<Cidr>>();
    netd::agent::Config {
        cluster: setup.place.tag(),
        node_name: setup.node_name.clone(),
        cluster_pod_cidrs: cidrs(&setup.pod_ranges),
        service_cidrs: cidrs(&setup.service_ranges),
        dns_addresses: setup.service_ranges.nth(DNS_ADDRESS),
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        resolv_conf: netd::dns::host_resolv_conf(),
        tunnels: Tunnels::WhereNeeded,
        vxlan_id: tunnel_id(&setup.authority_pem),
        vxlan_port: netd::host::VXLAN_PORT,
    }
}

/// What tells this cluster's tunnels from another's between the same hosts. All its nodes know its authority, so they agree.
fn tunnel_id(authority_pem: &str) -> u32 {
    // 24 bits are all a VXLAN has.
    u32::from_str_radix(&join::digest(authority_pem)[..6], 16).expect("a digest in hex").max(1)
}

/// Takes back volumes' mounts, links, routes, rules, kernel settings and cgroups; pods must have ended.
pub(crate) async fn remove_traces(place: &Place) -> Result<(), Failure> {
    kubelet::disk::unmount_all(&place.pods_dir()).map_err(Failure::new)?;
    let ranges = std::fs::read_to_string(pod_ranges_file(place)).unwrap_or_default();
    let cidrs: Vec<Cidr> = ranges.lines().filter_map(|t| t.parse().ok()).collect();
    netd::agent::reset(&place.tag(), &cidrs, &network_dir(place)).map_err(|e| Failure::caused("cannot remove the network", &e))?;
    oci_runtime::embedded::destroy_cgroup(&cgroup(place)).await.map_err(|e| Failure::caused("cannot remove the cgroups", &e))
}

/// What `reset` must know when no server runs.
fn pod_ranges_file(place: &Place) -> std::path::PathBuf {
    network_dir(place).join("pod-ranges")
}

fn remember_pod_ranges(place: &Place, ranges: &Ranges) -> Result<(), Failure> {
    let path = pod_ranges_file(place);
    let written = std::fs::create_dir_all(network_dir(place)).and_then(|()| std::fs::write(&path, ranges.texts().join("\n")));
    written.map_err(|e| Failure::caused(format!("cannot write `{}`", path.display()), &e))
}

fn network_dir(place: &Place) -> std::path::PathBuf {
    place.data_dir.join("network")
}

/// Ends every pod of a cluster that is not served, and answers how many there were.
pub(crate) async fn stop_pods(place: &Place) -> Result<usize, Failure> {
    if !runtime_options(place).root.exists() {
        return Ok(0);
    }
    let runtime = open_runtime(place).await?;
    let sandboxes = runtime.list_pod_sandboxes();
    for sandbox in &sandboxes {
        runtime
            .stop_pod_sandbox(&sandbox.id)
            .await
            .map_err(|e| Failure::caused(format!("cannot end pod `{}`", sandbox.metadata.name), &e))?;
        runtime
            .remove_pod_sandbox(&sandbox.id)
            .await
            .map_err(|e| Failure::caused(format!("cannot remove pod `{}`", sandbox.metadata.name), &e))?;
    }
    Ok(sandboxes.len())
}
