//! What coracle's network needs from the host, tried out in a network namespace that is thrown away.
//!
//! Trying beats asking: a kernel's version and configuration say little about which modules can be loaded.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use net_link::forwarding::has_ipv6;
use net_link::namespace;
use net_link::netlink::Result;
use net_link::nft::NftSocket;
use net_link::route::{Changes, RouteSocket, TunnelEnd, VethEnd, Vxlan};
use net_link::scratch::Scratch;
use net_plan::rows::{Action, Front, FrontRow, Mode, Protocol, Rank, TargetId};
use net_plan::table::Row;

use crate::host::VXLAN_PORT;
use crate::kernel::{KernelTable, Settings};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Without it pods have no network at all.
    pub is_fatal: bool,
    /// What is missing, what for, and the way out.
    pub text: String,
}

/// Empty on a host that has everything.
pub fn findings() -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |is_fatal, text: String| findings.push(Finding { is_fatal, text });
    match Scratch::new() {
        Err(error) => add(true, format!("{error}; coracle must run as root, on a kernel with network namespaces")),
        Ok(scratch) => {
            if let Err(error) = scratch.run(try_veth) {
                add(true, format!("{error}; pods are connected by veth pairs: `modprobe veth`"));
            }
            if let Err(error) = scratch.run(try_table) {
                let modules = "nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_numgen nft_reject_inet";
                add(true, format!("{error}; services are nftables rules: `modprobe -a {modules}`"));
            }
            if let Err(error) = scratch.run(try_vxlan) {
                add(false, format!("{error}; only nodes on the same link will reach each other's pods: `modprobe vxlan`"));
            }
        }
    }
    if !has_ipv6() {
        add(false, "this kernel has no IPv6; the cluster will speak IPv4 only".to_owned());
    }
    for (table, chain) in NftSocket::open().and_then(|mut socket| socket.forward_drops()).unwrap_or_default() {
        add(
            false,
            format!(
                "the nftables table `{table}` drops forwarded packets (chain `{chain}`, policy drop, as Docker sets it): pods will not \
                 reach each other; accept those from and to links named cor*: \
                 `iptables -I FORWARD -i cor+ -j ACCEPT; iptables -I FORWARD -o cor+ -j ACCEPT`"
            ),
        );
    }
    findings
}

fn try_veth() -> Result<()> {
    let here = namespace::open(std::path::Path::new("/proc/thread-self/ns/net"))?;
    let [one, two] = [("one", 1), ("two", 2)].map(|(name, last)| VethEnd { name, mac: [2, 0, 0, 0, 0, last], mtu: 1500 });
    RouteSocket::open()?.commit(Changes::default().add_veth(&one, &two, here.as_fd()))
}

fn try_vxlan() -> Result<()> {
    let mut socket = RouteSocket::open()?;
    let underlay_link = socket.link("lo")?.index;
    let end = TunnelEnd { id: 1, port: VXLAN_PORT, local: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let vxlan = Vxlan { name: "vx", mac: [2, 0, 0, 0, 0, 3], mtu: 1450, end, underlay_link };
    socket.commit(Changes::default().add_vxlan(&vxlan))
}

/// The whole table, with a chain of every form.
fn try_table() -> Result<()> {
    let nothing = Vec::new;
    let settings = Settings {
        table: "coracle-probe".to_owned(),
        cluster_pod_cidrs: nothing(),
        pod_cidrs: nothing(),
        service_cidrs: nothing(),
        dns_addresses: Vec::new(),
        pod_link_prefix: "cor".to_owned(),
        tunnel_link: "vx".to_owned(),
    };
    let ips = if has_ipv6() {
        vec![IpAddr::V4([192, 0, 2, 1].into()), IpAddr::V6([0x20; 16].into())]
    } else {
        vec![IpAddr::V4([192, 0, 2, 1].into())]
    };
    let rows = ips.into_iter().map(|ip| {
        let mode = Mode { sticky_seconds: Some(1), masquerade: true };
        let action = Action::Pick { target: TargetId(1), n: 2, mode };
        Row::Front(Front { ip, protocol: Protocol::Tcp, port: 1 }, FrontRow { rank: Rank::ClusterIp, action, inside: Some(action) })
    });
    KernelTable::adopt(settings, rows).map(drop)
}
