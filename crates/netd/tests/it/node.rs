//! A node in a network namespace of its own: pods with a server each, and the table in its kernel.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use net_link::pod::{PodAddresses, PodNetwork, PodNetworkConfig, link_name, link_prefix};
use net_link::route::{Changes, Ipv4Setting, LinkSettings, Route, RouteSocket, Via};
use net_link::scratch::Scratch;
use net_plan::node_routes::{Peer, Tunnels};
use net_plan::rows::{NodeView, Owner};
use net_plan::table::Table;
use netd::host::{self, HostSettings, VXLAN_PORT};
use netd::kernel::{KernelTable, Settings, table_name};
use object::cidr::Cidr;
use object::key::ObjectKey;
use serde_json::Value;

pub(crate) const NODE_V4: &str = "192.0.2.1";
pub(crate) const NODE_V6: &str = "2001:db8::1";
const SERVER_PORT: u16 = 8080;

/// Says so and returns false when not root.
pub(crate) fn may_run(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: {test} needs root");
    }
    is_root
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) struct Folder(pub(crate) PathBuf);
impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static N_FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let n = N_FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("coracle-netd-{}-{name}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Pod {
    pub(crate) scratch: Scratch,
    pub(crate) addresses: PodAddresses,
}

pub(crate) struct Node {
    pub(crate) host: Scratch,
    pub(crate) pods: HashMap<&'static str, Pod>,
    pub(crate) view: NodeView,
    pub(crate) cluster: String,
    settings: Settings,
    network: Arc<PodNetwork>,
    table: Arc<Mutex<Table>>,
    kernel: Option<Arc<Mutex<KernelTable>>>,
    folder: Folder,
}

impl Node {
    pub(crate) fn new(test: &str) -> Self {
        let addresses = [ip(NODE_V4), ip(NODE_V6)];
        let host = Scratch::with_addresses(&addresses).expect("root may make a namespace");
        Node::on(host, test, 0, &addresses)
    }

    /// Node `n` of the cluster on a host with these addresses.
    pub(crate) fn on(host: Scratch, test: &str, n: u8, addresses: &[IpAddr]) -> Self {
        let folder = Folder::new(&format!("{test}-{n}"));
        let cidr = |text: &str| text.parse().expect("a range");
        let pod_cidrs = vec![cidr(&format!("10.244.{n}.0/24")), cidr(&format!("fd00:10:244:{n}::/64"))];
        let config = PodNetworkConfig { cluster: test.to_owned(), pod_cidrs: pod_cidrs.clone(), mtu: None, state_dir: folder.0.clone() };
        let settings = Settings {
            table: table_name(test),
            cluster_pod_cidrs: vec![cidr("10.244.0.0/16"), cidr("fd00:10:244::/56")],
            pod_cidrs,
            service_cidrs: vec![cidr("10.96.0.0/16"), cidr("fd00:10:96::/112")],
            dns_addresses: vec![ip("10.96.0.10")],
            pod_link_prefix: link_prefix(test),
            tunnel_link: host::tunnel_link(test),
        };
        let network = host.run(move || PodNetwork::open(config)).expect("the pod network opens");
        let dns_addresses = settings.dns_addresses.clone();
        let view = NodeView { name: format!("node-{n}"), zone: None, addresses: addresses.to_vec(), dns_addresses };
        let mut node = Node {
            host,
            pods: HashMap::new(),
            view,
            cluster: test.to_owned(),
            settings,
            network: Arc::new(network),
            table: Arc::default(),
            kernel: None,
            folder,
        };
        node.adopt();
        node
    }

    /// What a new process does: it compares the kernel with what should be.
    pub(crate) fn adopt(&mut self) {
        let (settings, table) = (self.settings.clone(), self.table.clone());
        let kernel =
            self.host.run(move || KernelTable::adopt(settings, table.lock().expect("not poisoned").rows())).expect("the table stands");
        self.kernel = Some(Arc::new(Mutex::new(kernel)));
    }

    pub(crate) fn pod(&mut self, name: &'static str) {
        let scratch = Scratch::new().expect("root may make a namespace");
        let (network, path) = (self.network.clone(), scratch.path().to_owned());
        let addresses = self.host.run(move || network.attach(name, &path)).expect("the pod is attached");
        scratch.run(move || serve_udp(UdpSocket::bind(("::", SERVER_PORT)).expect("the port is free"), name));
        scratch.run(move || serve(TcpListener::bind(("::", SERVER_PORT)).expect("the port is free"), name));
        self.pods.insert(name, Pod { scratch, addresses });
    }

    /// `endpoints`: slices as the API writes them, without what the service says already.
    pub(crate) fn service(&mut self, service: Value, slices: &[Value]) {
        let service: Service = serde_json::from_value(service).expect("a service");
        let slices: Vec<EndpointSlice> = slices.iter().map(|slice| serde_json::from_value(slice.clone()).expect("a slice")).collect();
        let rows = net_plan::service::rows(&service, &slices.iter().collect::<Vec<_>>(), &self.view);
        let key = ObjectKey::new(service.metadata.namespace.unwrap_or_default(), service.metadata.name.unwrap_or_default());
        self.set(Owner::Service(key), rows);
    }

    pub(crate) fn set(&mut self, owner: Owner, rows: net_plan::rows::Rows) {
        let change = self.table.lock().expect("not poisoned").set(&owner, rows);
        let kernel = self.kernel.clone().expect("adopted in `new`");
        self.host
            .run(move || kernel.lock().expect("not poisoned").apply(&change).and_then(|()| netd::act::forget(&change.stale)))
            .expect("the change is carried out");
    }

    /// The rows of a pod's host ports, and its link opened to what comes from loopback.
    pub(crate) fn host_ports(&mut self, name: &str, spec: Value) {
        let pod = serde_json::from_value(serde_json::json!({"metadata": {"uid": name}, "spec": spec})).expect("a pod");
        let addresses: Vec<IpAddr> = self.pods[name].addresses.iter().collect();
        self.set(Owner::Pod(name.to_owned()), net_plan::host_ports::rows(&pod, &addresses, &self.view));
        let link = link_name(&self.cluster, name);
        self.host.run(move || netd::act::open_to_loopback(&[link])).expect("the link is open");
    }

    pub(crate) fn serve_on_loopback(&self, port: u16) {
        self.host.run(move || serve(TcpListener::bind(("127.0.0.1", port)).expect("the port is free"), "loopback"));
    }

    /// Sends a packet for that address to the node, although the pod has a loopback of its own.
    pub(crate) fn pod_routes_to_node(&self, name: &str, address: &'static str, port: u16) -> String {
        let pod = &self.pods[name].scratch;
        let set = pod.run(move || {
            let mut socket = RouteSocket::open()?;
            let (lo, eth0) = (socket.link("lo")?, socket.link("eth0")?);
            let mut changes = Changes::default();
            let settings = LinkSettings { ipv4: &[(Ipv4Setting::RouteLocalnet, 1)], ..LinkSettings::default() };
            changes.set_link("eth0", &settings).delete_address(lo.index, ip(address), 8);
            changes.add_route(&Route { to: Cidr::host(ip(address)), via: Via::Gateway(eth0.index, ip("169.254.1.1")), source: None });
            socket.commit(&mut changes)
        });
        set.expect("the way leads out");
        ask(pod, address, port)
    }

    pub(crate) fn udp_client(&self, name: &str, address: &str, port: u16) -> UdpClient {
        let scratch = &self.pods[name].scratch;
        let socket = scratch.run(|| UdpSocket::bind(("0.0.0.0", 0))).expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
        UdpClient { socket, to: SocketAddr::new(ip(address), port) }
    }

    /// A slice of the family with these pods, all ready, port name `http`.
    pub(crate) fn slice(&self, ipv4: bool, pods: &[&str]) -> Value {
        let endpoints: Vec<Value> = pods
            .iter()
            .map(|name| {
                let addresses = self.pods[name].addresses;
                let address = if ipv4 { addresses.ipv4.map(IpAddr::V4) } else { addresses.ipv6.map(IpAddr::V6) };
                serde_json::json!({"addresses": [address.expect("dual stack")], "conditions": {"ready": true}, "nodeName": self.view.name})
            })
            .collect();
        let family = if ipv4 { "IPv4" } else { "IPv6" };
        serde_json::json!({"metadata": {}, "addressType": family, "ports": [{"name": "http", "port": SERVER_PORT, "protocol": "TCP"}, {"name": "http", "port": SERVER_PORT, "protocol": "UDP"}], "endpoints": endpoints})
    }

    /// So that the node itself finds a way to a service address.
    pub(crate) fn set_up_services(&self) {
        let settings = self.host_settings(Tunnels::WhereNeeded);
        self.host
            .run(move || host::set_up_services(&settings).and_then(|()| host::set_up_services(&settings)))
            .expect("the routes are set");
    }

    fn host_settings(&self, tunnels: Tunnels) -> HostSettings {
        HostSettings {
            cluster: self.cluster.clone(),
            node_name: self.view.name.clone(),
            addresses: self.view.addresses.clone(),
            pod_cidrs: self.settings.pod_cidrs.clone(),
            cluster_pod_cidrs: self.settings.cluster_pod_cidrs.clone(),
            service_cidrs: self.settings.service_cidrs.clone(),
            dns_addresses: self.settings.dns_addresses.clone(),
            tunnels,
            vxlan_id: 1,
            vxlan_port: VXLAN_PORT,
        }
    }

    /// Makes the routes to the other nodes' pods, twice.
    pub(crate) fn set_routes(&self, tunnels: Tunnels, others: &[&Node]) {
        self.set_routes_to(tunnels, others.iter().map(|other| other.as_peer()).collect());
    }

    pub(crate) fn set_routes_to(&self, tunnels: Tunnels, peers: Vec<Peer>) {
        let settings = self.host_settings(tunnels);
        let set = move || host::set_routes(&settings, &peers).and_then(|()| host::set_routes(&settings, &peers));
        self.host.run(set).expect("the routes are set");
    }

    pub(crate) fn as_peer(&self) -> Peer {
        Peer { name: self.view.name.clone(), addresses: self.view.addresses.clone(), pod_cidrs: self.settings.pod_cidrs.clone() }
    }

    pub(crate) fn host_asks(&self, address: &str, port: u16) -> String {
        ask(&self.host, address, port)
    }
    pub(crate) fn pod_asks(&self, name: &str, address: &str, port: u16) -> String {
        ask(&self.pods[name].scratch, address, port)
    }

    pub(crate) fn remove_table(&self) {
        let table = self.settings.table.clone();
        self.host.run(move || KernelTable::remove(&table)).expect("it goes");
    }

    /// Everything of ours goes.
    pub(crate) fn reset(&self) {
        let (table, cluster, state) = (self.settings.table.clone(), self.cluster.clone(), self.folder.0.clone());
        let cidrs = self.settings.cluster_pod_cidrs.clone();
        let removed = self.host.run(move || {
            KernelTable::remove(&table).and_then(|()| host::remove(&cluster, &cidrs)).and_then(|()| PodNetwork::reset(&cluster, &state))
        });
        removed.expect("reset");
    }
}

/// Answers each connection with the server's name and the client's address.
fn serve(listener: TcpListener, name: &'static str) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let from = stream.peer_addr().map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default();
            let _ = write!(stream, "{name} sees {from}");
        }
    });
}

fn serve_udp(socket: UdpSocket, name: &'static str) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    });
}

/// A client that keeps its port.
pub(crate) struct UdpClient {
    socket: UdpSocket,
    to: SocketAddr,
}

impl UdpClient {
    pub(crate) fn ask(&mut self) -> String {
        let mut buffer = [0; 16];
        let asked = self.socket.send_to(b"?", self.to).and_then(|_| self.socket.recv(&mut buffer));
        asked.map_or_else(|_| "nobody".to_owned(), |len| String::from_utf8_lossy(&buffer[..len]).into_owned())
    }
}

/// What the server answers, or in a word why it did not.
pub(crate) fn ask(from: &Scratch, address: &str, port: u16) -> String {
    let to = SocketAddr::new(ip(address), port);
    from.run(move || {
        let mut text = String::new();
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(2));
        match stream.and_then(|mut stream| stream.read_to_string(&mut text)) {
            Ok(_) => text,
            Err(error) => format!("{:?}", error.kind()),
        }
    })
}

/// The IPv4 address of a name, asked once from that namespace.
pub(crate) fn query(from: &Scratch, server: SocketAddr, name: &'static str) -> String {
    from.run(move || {
        let mut question = Message::new(1, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
        let mut buffer = [0; 512];
        let asked = socket.send_to(&question.to_vec().expect("a message"), server).and_then(|_| socket.recv(&mut buffer));
        match asked {
            Ok(len) => {
                let answer = Message::from_vec(&buffer[..len]).expect("a message");
                answer.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(" ")
            }
            Err(error) => format!("{:?}", error.kind()),
        }
    })
}
