//! A pod's place in the network: a veth pair between its namespace and the node's, one address a family, host routes.
//!
//! ```text
//!   pod: eth0 10.244.0.5/32 fd00:10:244::5/128 --- node: cor….  (no address, no bridge)
//!        default via 169.254.1.1 / fe80::1              10.244.0.5/32 and fd00:10:244::5/128 dev cor…
//! ```
//! Point to point, so that every packet is routed on the node: services, policies and hairpin need no bridge settings.
//! Link-layer addresses are fixed and neighbours permanent on both ends, so nothing is ever asked for on the pair.
//!
//! Invariant: the kernel is the only state. A link's alias names its cluster and pod, its host routes are the pod's addresses;
//! `open` reads both, so that after a crash no address is given out twice and nothing that runs is touched.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use object::cidr::Cidr;
use rustix::io::Errno;

use crate::forwarding;
use crate::namespace;
use crate::netlink::{Error, Result};
use crate::route::{Changes, Ipv4Setting, Link, LinkSettings, Mac, ROUTE_PROTOCOL, Route, RouteSocket, VethEnd, Via, link_local_of};

/// Next hop of every pod. Link-local, so it may be the same on all pairs.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The node's end of every pair.
const NODE_MAC: Mac = [0xee; 6];
const POD_LINK: &str = "eth0";
/// Begins the names of all links that clusters make.
const LINK_PREFIX: &str = "cor";
/// What a link carries when nothing else is known.
const MTU_DEFAULT: u32 = 1500;

#[derive(Clone, Debug)]
pub struct PodNetworkConfig {
    /// Tells this cluster's links from another's on the same host.
    pub cluster: String,
    /// This node's ranges, at most one a family.
    pub pod_cidrs: Vec<Cidr>,
    /// Largest packet a pod sends; that of the node's default route when absent.
    pub mtu: Option<u32>,
    /// Where it is remembered which host-wide settings were changed.
    pub state_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodAddresses {
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
}

impl PodAddresses {
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.map(IpAddr::V4).into_iter().chain(self.ipv6.map(IpAddr::V6))
    }
}

pub struct PodNetwork {
    config: PodNetworkConfig,
    mtu: u32,
    pods: Mutex<Pods>,
}

#[derive(Default)]
struct Pods {
    by_uid: HashMap<String, PodAddresses>,
    taken: HashSet<IpAddr>,
    /// Where the search for a free address goes on, so that an address rests a while before it is used again.
    cursor: HashMap<Cidr, u128>,
}

impl PodNetwork {
    /// Turns on forwarding if it is off, and takes over the pods that are there.
    pub fn open(mut config: PodNetworkConfig) -> Result<Self> {
        let fault = |error| Error::io(format!("make the folder `{}`", config.state_dir.display()), error);
        std::fs::create_dir_all(&config.state_dir).map_err(fault)?;
        if !forwarding::has_ipv6() {
            config.pod_cidrs.retain(Cidr::is_ipv4);
        }
        let has_family = |ipv4| config.pod_cidrs.iter().any(|cidr| cidr.is_ipv4() == ipv4);
        forwarding::enable(&memory(&config.state_dir), has_family(true), has_family(false))?;
        let mut socket = RouteSocket::open()?;
        let mtu = match config.mtu {
            Some(mtu) => mtu,
            None => default_route_mtu(&mut socket)?,
        };
        let by_uid: HashMap<_, _> =
            attached(&mut socket, &config.cluster)?.into_iter().map(|(uid, _, addresses)| (uid, addresses)).collect();
        let taken = by_uid.values().flat_map(PodAddresses::iter).collect();
        Ok(PodNetwork { config, mtu, pods: Mutex::new(Pods { by_uid, taken, cursor: HashMap::new() }) })
    }

    /// Connects the namespace at `netns_path`. Harmless when it is connected already; a link to an earlier namespace of
    /// the same pod is replaced.
    pub fn attach(&self, pod_uid: &str, netns_path: &Path) -> Result<PodAddresses> {
        let netns = namespace::open(netns_path)?;
        let mut pod_socket = RouteSocket::open_in(netns.as_fd())?;
        if let Some(addresses) = self.addresses(pod_uid) {
            if holds(&mut pod_socket, addresses)? {
                return Ok(addresses);
            }
            self.detach(pod_uid)?;
        }
        let addresses = self.reserve(pod_uid)?;
        let outcome = self.connect(pod_uid, &netns, &mut pod_socket, addresses);
        if outcome.is_err() {
            // The first fault is the one to tell; what was begun goes as far as it can.
            let _ = self.detach(pod_uid);
        }
        outcome.map(|()| addresses)
    }

    /// Removes the pod's link and frees its addresses. Harmless when there is none.
    pub fn detach(&self, pod_uid: &str) -> Result<()> {
        let mut socket = RouteSocket::open()?;
        socket.commit_if_present(Changes::default().delete_link(&link_name(&self.config.cluster, pod_uid)))?;
        let mut pods = self.pods();
        if let Some(addresses) = pods.by_uid.remove(pod_uid) {
            for address in addresses.iter() {
                pods.taken.remove(&address);
            }
        }
        Ok(())
    }

    pub fn addresses(&self, pod_uid: &str) -> Option<PodAddresses> {
        self.pods().by_uid.get(pod_uid).copied()
    }

    /// All attached pods.
    pub fn list(&self) -> Vec<(String, PodAddresses)> {
        self.pods().by_uid.iter().map(|(uid, addresses)| (uid.clone(), *addresses)).collect()
    }

    /// Removes every pod link of the cluster and puts host-wide settings back. Works without a running cluster.
    pub fn reset(cluster: &str, state_dir: &Path) -> Result<()> {
        let mut socket = RouteSocket::open()?;
        for (_, link, _) in attached(&mut socket, cluster)? {
            socket.commit_if_present(Changes::default().delete_link(&link.name))?;
        }
        let is_others = |link: &Link| link.name.starts_with(LINK_PREFIX) && !link.name.starts_with(&link_prefix(cluster));
        if socket.links()?.iter().any(is_others) {
            tracing::warn!("another cluster on this host needs forwarding; it stays on, also when that one goes");
            return Ok(());
        }
        forwarding::restore(&memory(state_dir))
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().expect("no code under this lock panics")
    }

    fn reserve(&self, pod_uid: &str) -> Result<PodAddresses> {
        let mut pods = self.pods();
        let mut addresses = PodAddresses::default();
        for cidr in &self.config.pod_cidrs {
            let start = pods.cursor.get(cidr).copied().unwrap_or(0);
            let Some((idx, free)) = free_address(*cidr, start, &pods.taken) else {
                return Err(Error::new(format!("find a free pod address in {cidr}"), Errno::ADDRNOTAVAIL));
            };
            pods.cursor.insert(*cidr, idx);
            match free {
                IpAddr::V4(ip) => addresses.ipv4 = Some(ip),
                IpAddr::V6(ip) => addresses.ipv6 = Some(ip),
            }
        }
        pods.taken.extend(addresses.iter());
        pods.by_uid.insert(pod_uid.to_owned(), addresses);
        Ok(addresses)
    }

    fn connect(&self, pod_uid: &str, netns: &OwnedFd, pod_socket: &mut RouteSocket, addresses: PodAddresses) -> Result<()> {
        let name = link_name(&self.config.cluster, pod_uid);
        let pod_mac = pod_mac(addresses);
        let mut host = RouteSocket::open()?;
        let node_end = VethEnd { name: &name, mac: NODE_MAC, mtu: self.mtu };
        let pod_end = VethEnd { name: POD_LINK, mac: pod_mac, mtu: self.mtu };
        let mut changes = Changes::default();
        match host.commit(changes.add_veth(&node_end, &pod_end, netns.as_fd())) {
            // The name belongs to this pod alone: a leftover of an attach that was killed half-way.
            Err(error) if error.errno == Errno::EXIST => {
                host.commit_if_present(changes.delete_link(&name))?;
                host.commit(changes.add_veth(&node_end, &pod_end, netns.as_fd()))?;
            }
            outcome => outcome?,
        }
        let has_ipv6 = addresses.ipv6.is_some();
        let settings = LinkSettings {
            up: true,
            alias: Some(&alias(&self.config.cluster, pod_uid)),
            ipv4: &[(Ipv4Setting::Forwarding, 1), (Ipv4Setting::SendRedirects, 0)],
            no_generated_ipv6: has_ipv6,
            ..LinkSettings::default()
        };
        host.commit(changes.set_link(&name, &settings))?;
        configure_pod_end(pod_socket, addresses, pod_mac)?;

        let link = host.link(&name)?.index;
        if has_ipv6 {
            changes.add_address(link, GATEWAY_V6.into(), 64);
        }
        for address in addresses.iter() {
            changes.add_neighbour(link, address, pod_mac);
            changes.add_route(&Route { to: Cidr::host(address), via: Via::Link(link), source: None });
        }
        host.commit(&mut changes)
    }
}

fn configure_pod_end(socket: &mut RouteSocket, addresses: PodAddresses, mac: Mac) -> Result<()> {
    let link = socket.link(POD_LINK)?.index;
    let mut changes = Changes::default();
    changes.set_link("lo", &LinkSettings { up: true, ..LinkSettings::default() });
    changes.set_link(POD_LINK, &LinkSettings { up: true, no_generated_ipv6: addresses.ipv6.is_some(), ..LinkSettings::default() });
    let default_via = |gateway: IpAddr, to: Cidr, source: IpAddr, changes: &mut Changes| {
        changes.add_address(link, source, Cidr::host(source).prefix());
        changes.add_neighbour(link, gateway, NODE_MAC);
        changes.add_route(&Route { to, via: Via::Gateway(link, gateway), source: None });
    };
    if let Some(ip) = addresses.ipv4 {
        // The gateway is in no network of the pod: tell that it is on the link.
        changes.add_route(&Route { to: Cidr::host(GATEWAY_V4.into()), via: Via::Link(link), source: None });
        default_via(GATEWAY_V4.into(), everything(true), ip.into(), &mut changes);
    }
    if let Some(ip) = addresses.ipv6 {
        changes.add_address(link, link_local_of(mac).into(), 64);
        default_via(GATEWAY_V6.into(), everything(false), ip.into(), &mut changes);
    }
    socket.commit(&mut changes)
}

/// Whether the namespace has exactly these addresses, that is, whether it is the one they were given to.
fn holds(pod_socket: &mut RouteSocket, addresses: PodAddresses) -> Result<bool> {
    let found: HashSet<IpAddr> = pod_socket.addresses()?.into_iter().map(|row| row.address).collect();
    Ok(addresses.iter().all(|address| found.contains(&address)))
}

/// Pod links of a cluster: uid, link, addresses.
fn attached(socket: &mut RouteSocket, cluster: &str) -> Result<Vec<(String, Link, PodAddresses)>> {
    let prefix = alias(cluster, "");
    let links: Vec<Link> = socket.links()?.into_iter().filter(|link| link.alias.starts_with(&prefix)).collect();
    let mut by_link: HashMap<u32, PodAddresses> = HashMap::new();
    for row in socket.routes()?.into_iter().filter(|row| row.protocol == ROUTE_PROTOCOL) {
        if let Via::Link(link) = row.route.via {
            let addresses = by_link.entry(link).or_default();
            match row.route.to.network() {
                IpAddr::V4(ip) => addresses.ipv4 = Some(ip),
                IpAddr::V6(ip) => addresses.ipv6 = Some(ip),
            }
        }
    }
    let describe = |link: Link| (link.alias[prefix.len()..].to_owned(), by_link.get(&link.index).copied().unwrap_or_default(), link);
    Ok(links.into_iter().map(describe).map(|(uid, addresses, link)| (uid, link, addresses)).collect())
}

/// The free address after `start`, and where it is. The network's own and the last address are never given out: the first
/// names the node's tunnel, the last is IPv4's broadcast.
fn free_address(cidr: Cidr, start: u128, taken: &HashSet<IpAddr>) -> Option<(u128, IpAddr)> {
    let last = cidr.size().checked_sub(2)?;
    // At most one more address is tried than are taken.
    let tries = last.min(taken.len() as u128 + 1);
    let mut idx = start;
    for _ in 0..tries {
        idx = if idx >= last { 1 } else { idx + 1 };
        let address = cidr.nth(idx)?;
        if !taken.contains(&address) {
            return Some((idx, address));
        }
    }
    None
}

fn default_route_mtu(socket: &mut RouteSocket) -> Result<u32> {
    let routes = socket.routes()?;
    let Some(row) = routes.iter().filter(|row| row.route.to.prefix() == 0).min_by_key(|row| (row.route.to.network(), row.priority)) else {
        return Ok(MTU_DEFAULT);
    };
    let (Via::Link(index) | Via::Gateway(index, _) | Via::Local(index)) = row.route.via;
    Ok(socket.links()?.iter().find(|link| link.index == index).map_or(MTU_DEFAULT, |link| link.mtu))
}

fn memory(state_dir: &Path) -> PathBuf {
    state_dir.join("former-kernel-settings.json")
}

fn everything(ipv4: bool) -> Cidr {
    let any: IpAddr = if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    Cidr::new(any, 0).expect("0 is a prefix of every family")
}

fn alias(cluster: &str, pod_uid: &str) -> String {
    format!("coracle/{cluster}/pod/{pod_uid}")
}

/// First letters of the names of a cluster's pod links.
pub fn link_prefix(cluster: &str) -> String {
    format!("{LINK_PREFIX}{}", letters(hash(cluster.as_bytes()), 4))
}

/// The node's end of a pod's pair. At most 15 characters: the cluster's prefix and eight letters for the pod.
pub fn link_name(cluster: &str, pod_uid: &str) -> String {
    format!("{}{}", link_prefix(cluster), letters(hash(pod_uid.as_bytes()), 8))
}

fn letters(mut number: u64, n_letters: usize) -> String {
    let mut text = String::new();
    for _ in 0..n_letters {
        text.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(number & 31) as usize]));
        number >>= 5;
    }
    text
}

/// Locally administered; from the IPv4 address where there is one, as CNI plugins do, so that a capture can be read.
fn pod_mac(addresses: PodAddresses) -> Mac {
    match (addresses.ipv4, addresses.ipv6) {
        (Some(ip), _) => {
            let [a, b, c, d] = ip.octets();
            [0x0a, 0x58, a, b, c, d]
        }
        (None, ip) => {
            let [a, b, c, d, ..] = hash(&ip.unwrap_or(Ipv6Addr::UNSPECIFIED).octets()).to_le_bytes();
            [0x0a, 0x58, a, b, c, d]
        }
    }
}

/// FNV-1a with a final mix: stable over versions, which names in the kernel must be.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}
