//! The loop of a node's network: it sees Services, EndpointSlices, Nodes, Namespaces and the node's own Pods change, plans,
//! and has the plan carried out.
//!
//! ```text
//!   all caches filled ─▶ own Node known ─▶ whole table compared with the kernel ─▶ ready
//!        ▲                                        ▲ │ fault
//!        └── a change: plan what it touches ──▶ apply┘ └─▶ later, whole again
//! ```
//! One turn takes all changes that are there: a rollout of a thousand endpoints is a few batches, not a thousand.
//! Stopping leaves everything in place; see `reset` for the other.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::options::Selection;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use net_link::pod::{PodNetwork, link_name, link_prefix};
use net_plan::names::Names;
use net_plan::node_routes::{Peer, Tunnels, internal_addresses};
use net_plan::rows::{NodeView, Owner, Rows};
use net_plan::service::SERVICE_LABEL;
use net_plan::table::{Change, Stale, Table};
use object::cidr::Cidr;
use object::key::ObjectKey;
use reconcile::cache::{Cache, Index};
use reconcile::informers::Informers;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::act::{TableWork, Work, carry_out};
use crate::dns::{DnsSettings, SharedNames, serve};
use crate::health::HealthPorts;
use crate::host::{self, HostSettings, tunnel_link};
use crate::kernel::{KernelTable, Settings, table_name};
use crate::meddling::{Meddled, Meddling};

/// After a fault; doubled each time up to the maximum.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);
const DNS_PORT: u16 = 53;

#[derive(Clone, Debug)]
pub struct Config {
    /// Tells this cluster's table, links and names of them from another's on the same host.
    pub cluster: String,
    pub node_name: String,
    pub cluster_pod_cidrs: Vec<Cidr>,
    pub service_cidrs: Vec<Cidr>,
    /// The cluster's DNS addresses, within the service ranges.
    pub dns_addresses: Vec<IpAddr>,
    pub cluster_domain: String,
    /// The host's, for names outside the cluster.
    pub resolv_conf: PathBuf,
    pub tunnels: Tunnels,
    pub vxlan_id: u32,
    pub vxlan_port: u16,
}

pub struct Netd {
    tasks: JoinSet<()>,
    ready: watch::Receiver<bool>,
}

impl Netd {
    /// Must be called within a tokio runtime.
    pub fn start(config: Config, informers: &Informers) -> Self {
        let names = SharedNames::new(Names::new(&config.cluster_domain, config.dns_addresses.clone()));
        let mut tasks = JoinSet::new();
        let (tell_ready, ready) = watch::channel(false);
        tasks.spawn(Agent::new(config, informers, names).run(tell_ready));
        Netd { tasks, ready }
    }

    /// Waits until services work on this node.
    pub async fn ready(&self) {
        let _ = self.ready.clone().wait_for(|ready| *ready).await;
    }
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Ends the loop and the DNS server. Rules, links and routes stay: pods and their connections go on.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Removes everything that `Netd` and the pod network of this cluster made on this host.
pub fn reset(cluster: &str, cluster_pod_cidrs: &[Cidr], state_dir: &Path) -> net_link::netlink::Result<()> {
    KernelTable::remove(&table_name(cluster))?;
    host::remove(cluster, cluster_pod_cidrs)?;
    PodNetwork::reset(cluster, state_dir)
}

struct Agent {
    config: Config,
    /// The watches last as long as this.
    _informers: Informers,
    names: SharedNames,
    services: Cache<Service>,
    slices: Cache<EndpointSlice>,
    slices_of: Index<EndpointSlice>,
    nodes: Cache<Node>,
    namespaces: Cache<Namespace>,
    pods: Cache<Pod>,
    table: Table,
    /// What the rows in `table` were planned for.
    view: NodeView,
    pod_cidrs: Vec<Cidr>,
    peers: Vec<Peer>,
    health: HealthPorts,
    /// Pods, by uid, that are reachable through the node's loopback address.
    open_links: HashSet<String>,
}

/// What changed since the last turn.
#[derive(Default)]
struct Touched {
    services: BTreeSet<ObjectKey>,
    pods: BTreeSet<ObjectKey>,
    /// By uid.
    pods_gone: Vec<String>,
    nodes: bool,
}

impl Agent {
    fn new(config: Config, informers: &Informers, names: SharedNames) -> Self {
        let slices = informers.of::<EndpointSlice>();
        Agent {
            slices_of: slices.index(|slice| service_of(slice).map(|key| key.to_string()).into_iter().collect()),
            services: informers.of(),
            nodes: informers.of(),
            namespaces: informers.of(),
            pods: informers.select(Selection::fields(format!("spec.nodeName={}", config.node_name))),
            slices,
            _informers: informers.clone(),
            names,
            config,
            table: Table::default(),
            view: NodeView::default(),
            pod_cidrs: Vec::new(),
            peers: Vec::new(),
            health: HealthPorts::new(),
            open_links: HashSet::new(),
        }
    }

    async fn run(mut self, tell_ready: watch::Sender<bool>) {
        let mut services = self.services.subscribe();
        let mut slices = self.slices.subscribe();
        let mut nodes = self.nodes.subscribe();
        let mut namespaces = self.namespaces.subscribe();
        let mut pods = self.pods.subscribe();
        tokio::join!(self.services.synced(), self.slices.synced(), self.nodes.synced(), self.namespaces.synced(), self.pods.synced());

        let mut kernel: Option<KernelTable> = None;
        let mut routes_are_due = false;
        let mut retry: Option<Instant> = None;
        let mut delay = RETRY_MIN;
        // Starts when its addresses and all names are there: an early "no such name" would be believed.
        let mut dns: Option<JoinSet<()>> = None;
        let mut meddling = Meddling::open(&self.config.cluster);
        loop {
            let mut touched = Touched::default();
            tokio::select! {
                changed = services.next() => touched.service(changed.key),
                changed = slices.next() => changed.sides().filter_map(|slice| service_of(slice)).for_each(|key| touched.service(key)),
                _ = nodes.next() => touched.nodes = true,
                changed = namespaces.next() => self.name_namespace(&changed.key.name, changed.new.is_some()),
                changed = pods.next() => touched.pod(changed.key, changed.old.as_deref(), changed.new.as_deref()),
                what = meddling.next() => match what {
                    Meddled::WithTable => {
                        tracing::warn!("somebody removed the network table; putting it back");
                        kernel = None;
                    }
                    Meddled::WithLinks => routes_are_due = true,
                },
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => retry = None,
            }
            while let Some(changed) = services.try_next() {
                touched.service(changed.key);
            }
            while let Some(changed) = slices.try_next() {
                changed.sides().filter_map(|slice| service_of(slice)).for_each(|key| touched.service(key));
            }
            while nodes.try_next().is_some() {
                touched.nodes = true;
            }
            while let Some(changed) = namespaces.try_next() {
                self.name_namespace(&changed.key.name, changed.new.is_some());
            }
            while let Some(changed) = pods.try_next() {
                touched.pod(changed.key, changed.old.as_deref(), changed.new.as_deref());
            }

            let started = object::time::stopwatch();
            let view_changed = touched.nodes && self.look_at_nodes(&mut routes_are_due);
            if view_changed {
                kernel = None;
                touched.services.extend(self.table.owners().filter_map(|owner| match owner {
                    Owner::Service(key) => Some(key.clone()),
                    Owner::Pod(_) => None,
                }));
            }
            if kernel.is_none() {
                // Links that were to be opened to loopback may not have been.
                touched.pods.extend(self.pods.list().iter().map(|pod| key_of(pod)));
            }
            let mut work = self.plan(touched, kernel.is_some());
            if self.view.addresses.is_empty() {
                // The node does not know its own addresses yet; its Node object will say.
                continue;
            }
            if routes_are_due {
                work.routes = Some((self.host_settings(), self.peers.clone()));
            }
            if work.is_empty() || retry.is_some() {
                continue;
            }
            let outcome = tokio::task::spawn_blocking(move || carry_out(kernel, work)).await;
            let (table, outcome) = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            kernel = table;
            self.health.set_proxy_health(outcome.is_ok());
            match outcome {
                Ok(()) => {
                    routes_are_due = false;
                    delay = RETRY_MIN;
                    dns.get_or_insert_with(|| serve(self.dns_settings(), self.names.clone()));
                    tell_ready.send_replace(true);
                    tracing::debug!(micros = started.elapsed().as_micros() as u64, "network brought up to date");
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot bring the network up to date; trying again");
                    kernel = None;
                    retry = Some(Instant::now() + delay);
                    delay = (delay * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Takes over what Nodes say; true when rows must be planned anew.
    fn look_at_nodes(&mut self, routes_are_due: &mut bool) -> bool {
        let nodes = self.nodes.list();
        let is_own = |node: &&Arc<Node>| node.metadata.name.as_deref() == Some(&self.config.node_name);
        let Some(own) = nodes.iter().find(is_own) else { return false };
        let label = |name: &str| own.metadata.labels.as_ref().and_then(|labels| labels.get(name).cloned());
        let view = NodeView {
            name: self.config.node_name.clone(),
            zone: label("topology.kubernetes.io/zone"),
            addresses: internal_addresses(own),
            dns_addresses: self.config.dns_addresses.clone(),
        };
        let pod_cidrs = Peer::from_node(own).pod_cidrs;
        let peers: Vec<Peer> = nodes.iter().filter(|node| !is_own(node)).map(|node| Peer::from_node(node)).collect();
        let changed = (view != self.view, pod_cidrs != self.pod_cidrs, peers != self.peers);
        *routes_are_due |= changed.0 || changed.1 || changed.2;
        (self.view, self.pod_cidrs, self.peers) = (view, pod_cidrs, peers);
        changed.0 || changed.1
    }

    fn plan(&mut self, touched: Touched, is_table_open: bool) -> Work {
        let mut change = Change::default();
        let services_changed = !touched.services.is_empty();
        for key in touched.services {
            change.merge(self.plan_service(&key));
        }
        if services_changed {
            self.health.settle();
        }
        for uid in touched.pods_gone {
            self.open_links.remove(&uid);
            change.merge(self.table.set(&Owner::Pod(uid), Rows::default()));
        }
        let mut loopback_links = Vec::new();
        for key in touched.pods {
            if let Some(pod) = self.pods.get(&key) {
                let (uid, rows) = self.plan_pod(&pod);
                let has_link = pod.spec.as_ref().is_some_and(|spec| spec.host_network != Some(true)) && has_address(&pod);
                if has_link && (self.open_links.insert(uid.clone()) || !is_table_open) {
                    loopback_links.push(link_name(&self.config.cluster, &uid));
                }
                change.merge(self.table.set(&Owner::Pod(uid), rows));
            }
        }
        let table = match is_table_open {
            true if change.is_empty() => TableWork::Nothing,
            true => TableWork::Change(change),
            false => self.whole(change.stale),
        };
        Work { table, routes: None, loopback_links }
    }

    fn whole(&self, stale: Vec<Stale>) -> TableWork {
        let settings = Settings {
            table: table_name(&self.config.cluster),
            cluster_pod_cidrs: self.config.cluster_pod_cidrs.clone(),
            pod_cidrs: self.pod_cidrs.clone(),
            service_cidrs: self.config.service_cidrs.clone(),
            dns_addresses: self.config.dns_addresses.clone(),
            pod_link_prefix: link_prefix(&self.config.cluster),
            tunnel_link: tunnel_link(&self.config.cluster),
        };
        TableWork::Whole(Box::new(settings), self.table.rows().collect(), stale)
    }

    fn plan_service(&mut self, key: &ObjectKey) -> Change {
        let service = self.services.get(key);
        let slices = self.slices_of.get(&key.to_string());
        let listed: Vec<&EndpointSlice> = slices.iter().map(Arc::as_ref).collect();
        let rows = service.as_ref().map(|service| net_plan::service::rows(service, &listed, &self.view)).unwrap_or_default();
        self.health.set(key, service.as_ref().and_then(|service| net_plan::health::check(service, &listed, &self.view)));
        self.names.change(|names| names.set_service(key, service, slices));
        self.table.set(&Owner::Service(key.clone()), rows)
    }

    /// A pod that has ended no longer owns its ports.
    fn plan_pod(&self, pod: &Pod) -> (String, Rows) {
        let status = pod.status.as_ref();
        let has_ended = matches!(status.and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"));
        let listed = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten();
        let addresses: Vec<IpAddr> = listed.filter_map(|entry| entry.ip.parse().ok()).collect();
        let rows = if has_ended { Rows::default() } else { net_plan::host_ports::rows(pod, &addresses, &self.view) };
        (pod.metadata.uid.clone().unwrap_or_default(), rows)
    }

    fn host_settings(&self) -> HostSettings {
        HostSettings {
            cluster: self.config.cluster.clone(),
            node_name: self.config.node_name.clone(),
            addresses: self.view.addresses.clone(),
            pod_cidrs: self.pod_cidrs.clone(),
            cluster_pod_cidrs: self.config.cluster_pod_cidrs.clone(),
            service_cidrs: self.config.service_cidrs.clone(),
            dns_addresses: self.config.dns_addresses.clone(),
            tunnels: self.config.tunnels,
            vxlan_id: self.config.vxlan_id,
            vxlan_port: self.config.vxlan_port,
        }
    }

    fn dns_settings(&self) -> DnsSettings {
        let addresses = self.config.dns_addresses.clone();
        DnsSettings { addresses, port: DNS_PORT, resolv_conf: self.config.resolv_conf.clone() }
    }

    fn name_namespace(&self, name: &str, exists: bool) {
        self.names.change(|names| names.set_namespace(name, exists));
    }
}

impl Touched {
    fn service(&mut self, key: ObjectKey) {
        self.services.insert(key);
    }
    /// A pod of the same name may be another one: then the former is gone.
    fn pod(&mut self, key: ObjectKey, old: Option<&Pod>, new: Option<&Pod>) {
        let uid = |pod: Option<&Pod>| pod.and_then(|pod| pod.metadata.uid.clone());
        if uid(old) != uid(new) {
            self.pods_gone.extend(uid(old));
        }
        self.pods.insert(key);
    }
}

fn has_address(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.pod_ips.as_ref()).is_some_and(|ips| !ips.is_empty())
}

fn key_of(pod: &Pod) -> ObjectKey {
    ObjectKey::new(pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default())
}

fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    Some(ObjectKey::new(slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}
