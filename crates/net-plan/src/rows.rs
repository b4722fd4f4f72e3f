//! The words of the service table: a front (address, protocol, port that clients use) leads to a target (the list of
//! backends that answer for it).
//!
//! ```text
//!   front 10.96.0.1 tcp 443 ──┐                     slot 0: 10.244.0.5:6443
//!   front 192.0.2.7 tcp 30443 ┴─▶ target 8f3a… ───▶ slot 1: 10.244.1.9:6443
//! ```
//! Several fronts share one target, so that an endpoint that comes or goes is written once.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use object::key::ObjectKey;

/// The node talking to itself. IPv6 has no way from `::1` to another link.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// The API's name; absent means TCP.
    pub fn from_name(name: Option<&str>) -> Option<Self> {
        match name.unwrap_or("TCP") {
            "TCP" => Some(Protocol::Tcp),
            "UDP" => Some(Protocol::Udp),
            "SCTP" => Some(Protocol::Sctp),
            _ => None,
        }
    }
    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Front {
    pub ip: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
}

impl fmt::Display for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol.name(), SocketAddr::new(self.ip, self.port))
    }
}

/// Whose row it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    Service(ObjectKey),
    /// A pod with host ports, by uid.
    Pod(String),
}

/// Which of two owners of the same front wins: the first of these. An address that a user wrote into `externalIPs`
/// must not take over the cluster IP of somebody else's service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rank {
    ClusterIp,
    NodePort,
    HostPort,
    LoadBalancer,
    ExternalIp,
}

/// Names a target for good: made from the names of its service and port, so that after a restart it is the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub u64);

impl TargetId {
    pub fn of(parts: &[&str]) -> Self {
        // FNV-1a with a final mix. Not the standard library's hash: that may change between versions.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in parts.iter().flat_map(|part| part.bytes().chain([b'/'])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        TargetId(hash ^ (hash >> 29))
    }
}

impl fmt::Debug for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How a backend is picked and reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mode {
    /// A client address keeps its backend while it comes back within this time (`sessionAffinity: ClientIP`).
    pub sticky_seconds: Option<u32>,
    /// The backend sees this node's address, so that its answer comes back this way.
    pub masquerade: bool,
}

impl Mode {
    /// As the kernel's maps hold it.
    pub fn code(self) -> u32 {
        self.sticky_seconds.unwrap_or(0) << 1 | u32::from(self.masquerade)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// One of `n` backends, `n` being at least 1.
    Pick { target: TargetId, n: u32, mode: Mode },
    /// There is nobody to answer: clients are told at once.
    Reject,
    /// Endpoints exist, but the policy allows none of them here: silence, so that a load balancer tries another node.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontRow {
    pub rank: Rank,
    pub action: Action,
    /// For traffic from the cluster's own pods and nodes, where it differs (`externalTrafficPolicy: Local` is for
    /// clients outside).
    pub inside: Option<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub id: TargetId,
    pub is_sticky: bool,
    /// By slot.
    pub backends: Vec<SocketAddr>,
}

/// What one owner wants to stand in the table. Ordered by front and by target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pub fronts: Vec<(Front, FrontRow)>,
    pub targets: Vec<Target>,
    /// Pods of this node among the backends: one that reaches itself through the service needs masquerading.
    pub local_backends: Vec<IpAddr>,
}

/// What a node knows about itself when it plans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    pub name: String,
    pub zone: Option<String>,
    /// Addresses that node ports and host ports are reachable at.
    pub addresses: Vec<IpAddr>,
    /// Addresses this node answers DNS at; a service without endpoints there is not refused.
    pub dns_addresses: Vec<IpAddr>,
}
