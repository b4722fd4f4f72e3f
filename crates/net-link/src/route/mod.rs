//! rtnetlink: changes are collected in `Changes` and sent in one call; `read` says what is there.
//!
//! Writing the same change twice is harmless (`NLM_F_REPLACE`), but for making a link, which is refused when it exists.

mod read;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use object::cidr::Cidr;

pub use read::{Address, Link, NextHop, RouteRow};

use crate::netlink::{self, ACK, CREATE, EXCL, Messages, REPLACE, Result, Socket};

/// Marks our routes (`ip route show proto 202`), so that they are told from everybody else's.
pub const ROUTE_PROTOCOL: u8 = 202;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;

const AF_BRIDGE: u8 = 7;
const IFF_UP: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_LINK: u16 = 3;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_VXLAN_LOCAL6: u16 = 17;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// No duplicate address detection: it would hold back the first seconds of a pod's IPv6.
const IFA_F_NODAD: u32 = 0x02;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_HOST: u8 = 254;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTNH_F_ONLINK: u32 = 4;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
/// The entry belongs to the device itself; without it a vxlan refuses forwarding entries.
const NTF_SELF: u8 = 0x02;

/// Per-link IPv4 settings that travel with the link message (`IPV4_DEVCONF_*`), so that no `/proc` file is needed.
#[derive(Clone, Copy, Debug)]
pub enum Ipv4Setting {
    Forwarding = 1,
    SendRedirects = 5,
    ReversePathFilter = 8,
    RouteLocalnet = 26,
}

pub type Mac = [u8; 6];

/// One end of a veth pair.
pub struct VethEnd<'a> {
    pub name: &'a str,
    pub mac: Mac,
    pub mtu: u32,
}

pub struct Vxlan<'a> {
    pub name: &'a str,
    pub mac: Mac,
    pub mtu: u32,
    pub end: TunnelEnd,
    pub underlay_link: u32,
}

/// This host's end of a vxlan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelEnd {
    /// Tells tunnels on the same port apart.
    pub id: u32,
    pub port: u16,
    /// Address of this host that tunnel packets come from.
    pub local: IpAddr,
}

/// Settings of a link that exists. Absent ones stay as they are.
#[derive(Default)]
pub struct LinkSettings<'a> {
    pub up: bool,
    pub mtu: Option<u32>,
    /// Free text kept by the kernel with the link; ours says what the link is for.
    pub alias: Option<&'a str>,
    pub ipv4: &'a [(Ipv4Setting, u32)],
    /// Without them the kernel makes a link-local address by itself, and detects duplicates for a second.
    pub no_generated_ipv6: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// The destination is on the link.
    Link(u32),
    /// On that link through a gateway, which need not be in a connected network.
    Gateway(u32, IpAddr),
    /// Delivered to this host.
    Local(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    pub to: Cidr,
    pub via: Via,
    /// Source address that this host's own connections take.
    pub source: Option<IpAddr>,
}

#[derive(Default)]
pub struct Changes {
    messages: Messages,
    steps: Vec<String>,
}

impl Changes {
    fn add(&mut self, step: String, kind: u16, flags: u16, fixed: &[u8], body: impl FnOnce(&mut netlink::Attributes<'_>)) -> &mut Self {
        self.messages.add(kind, ACK | flags, fixed, body);
        self.steps.push(step);
        self
    }

    /// A pair whose second end comes to life in the other namespace.
    pub fn add_veth(&mut self, end: &VethEnd<'_>, peer: &VethEnd<'_>, peer_namespace: BorrowedFd<'_>) -> &mut Self {
        let describe = |attributes: &mut netlink::Attributes<'_>, end: &VethEnd<'_>| {
            attributes.text(IFLA_IFNAME, end.name).raw(IFLA_ADDRESS, &end.mac).u32(IFLA_MTU, end.mtu);
        };
        self.add(format!("add the veth `{}`", end.name), RTM_NEWLINK, CREATE | EXCL, &link_header(0, 0, 0), |attributes| {
            describe(attributes, end);
            attributes.nest(IFLA_LINKINFO, |info| {
                info.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |attributes| {
                        // The peer must not be set up here: the kernel brings it up before it knows its other end (ENOTCONN).
                        attributes.fixed(&link_header(0, 0, 0));
                        describe(attributes, peer);
                        attributes.u32(IFLA_NET_NS_FD, peer_namespace.as_raw_fd() as u32);
                    });
                });
            });
        })
    }

    pub fn add_vxlan(&mut self, vxlan: &Vxlan<'_>) -> &mut Self {
        self.add(format!("add the vxlan `{}`", vxlan.name), RTM_NEWLINK, CREATE | EXCL, &link_header(0, 0, 0), |attributes| {
            attributes.text(IFLA_IFNAME, vxlan.name).raw(IFLA_ADDRESS, &vxlan.mac).u32(IFLA_MTU, vxlan.mtu);
            attributes.nest(IFLA_LINKINFO, |info| {
                info.text(IFLA_INFO_KIND, "vxlan").nest(IFLA_INFO_DATA, |data| {
                    data.u32(IFLA_VXLAN_ID, vxlan.end.id).u32(IFLA_VXLAN_LINK, vxlan.underlay_link);
                    match vxlan.end.local {
                        IpAddr::V4(ip) => data.raw(IFLA_VXLAN_LOCAL, &ip.octets()),
                        IpAddr::V6(ip) => data.raw(IFLA_VXLAN_LOCAL6, &ip.octets()),
                    };
                    // Where each node is comes from its Node object, never from what arrives.
                    data.u8(IFLA_VXLAN_LEARNING, 0).u16_be(IFLA_VXLAN_PORT, vxlan.end.port);
                });
            });
        })
    }

    pub fn set_link(&mut self, name: &str, settings: &LinkSettings<'_>) -> &mut Self {
        let up = if settings.up { IFF_UP } else { 0 };
        self.add(format!("set up the link `{name}`"), RTM_SETLINK, 0, &link_header(0, up, up), |attributes| {
            attributes.text(IFLA_IFNAME, name);
            if let Some(mtu) = settings.mtu {
                attributes.u32(IFLA_MTU, mtu);
            }
            if let Some(alias) = settings.alias {
                attributes.raw(IFLA_IFALIAS, alias.as_bytes());
            }
            if settings.ipv4.is_empty() && !settings.no_generated_ipv6 {
                return;
            }
            attributes.nest(IFLA_AF_SPEC, |families| {
                if !settings.ipv4.is_empty() {
                    families.nest(libc::AF_INET as u16, |inet| {
                        inet.nest(IFLA_INET_CONF, |conf| {
                            for (setting, value) in settings.ipv4 {
                                conf.u32(*setting as u16, *value);
                            }
                        });
                    });
                }
                if settings.no_generated_ipv6 {
                    families.nest(libc::AF_INET6 as u16, |inet6| {
                        inet6.u8(IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE);
                    });
                }
            });
        })
    }

    pub fn delete_link(&mut self, name: &str) -> &mut Self {
        self.add(format!("delete the link `{name}`"), RTM_DELLINK, 0, &link_header(0, 0, 0), |attributes| {
            attributes.text(IFLA_IFNAME, name);
        })
    }

    pub fn add_address(&mut self, link: u32, address: IpAddr, prefix: u8) -> &mut Self {
        self.address(RTM_NEWADDR, CREATE | REPLACE, "add", link, address, prefix)
    }
    pub fn delete_address(&mut self, link: u32, address: IpAddr, prefix: u8) -> &mut Self {
        self.address(RTM_DELADDR, 0, "delete", link, address, prefix)
    }

    fn address(&mut self, kind: u16, flags: u16, verb: &str, link: u32, address: IpAddr, prefix: u8) -> &mut Self {
        let scope = if is_link_local(address) { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
        let mut fixed = [family(address), prefix, 0, scope, 0, 0, 0, 0];
        fixed[4..].copy_from_slice(&link.to_ne_bytes());
        self.add(format!("{verb} the address {address}/{prefix}"), kind, flags, &fixed, |attributes| {
            let octets = octets(address);
            attributes.raw(IFA_LOCAL, &octets).raw(IFA_ADDRESS, &octets);
            if address.is_ipv6() {
                attributes.u32(IFA_FLAGS, IFA_F_NODAD);
            }
        })
    }

    pub fn add_route(&mut self, route: &Route) -> &mut Self {
        self.route(RTM_NEWROUTE, CREATE | REPLACE, "add", route)
    }
    pub fn delete_route(&mut self, route: &Route) -> &mut Self {
        self.route(RTM_DELROUTE, 0, "delete", route)
    }

    fn route(&mut self, kind: u16, flags: u16, verb: &str, route: &Route) -> &mut Self {
        let (table, scope, route_type) = match route.via {
            Via::Local(_) => (RT_TABLE_LOCAL, RT_SCOPE_HOST, RTN_LOCAL),
            Via::Link(_) => (RT_TABLE_MAIN, RT_SCOPE_LINK, RTN_UNICAST),
            Via::Gateway(..) => (RT_TABLE_MAIN, RT_SCOPE_UNIVERSE, RTN_UNICAST),
        };
        // IPv6 has no scopes; a gateway of IPv4 that is in no connected network needs the flag, and it does no harm elsewhere.
        let scope = if route.to.is_ipv4() { scope } else { RT_SCOPE_UNIVERSE };
        let onlink = if matches!(route.via, Via::Gateway(..)) { RTNH_F_ONLINK } else { 0 };
        let mut fixed = [family(route.to.network()), route.to.prefix(), 0, 0, table, ROUTE_PROTOCOL, scope, route_type, 0, 0, 0, 0];
        fixed[8..].copy_from_slice(&onlink.to_ne_bytes());
        self.add(format!("{verb} the route to {}", route.to), kind, flags, &fixed, |attributes| {
            if route.to.prefix() > 0 {
                attributes.raw(RTA_DST, &octets(route.to.network()));
            }
            let (Via::Link(link) | Via::Gateway(link, _) | Via::Local(link)) = route.via;
            attributes.u32(RTA_OIF, link);
            if let Via::Gateway(_, gateway) = route.via {
                attributes.raw(RTA_GATEWAY, &octets(gateway));
            }
            if let Some(source) = route.source {
                attributes.raw(RTA_PREFSRC, &octets(source));
            }
        })
    }

    /// A neighbour that needs no asking: its link-layer address is known for good.
    pub fn add_neighbour(&mut self, link: u32, address: IpAddr, mac: Mac) -> &mut Self {
        self.add(
            format!("add the neighbour {address}"),
            RTM_NEWNEIGH,
            CREATE | REPLACE,
            &neighbour_header(family(address), link, 0),
            |attributes| {
                attributes.raw(NDA_DST, &octets(address)).raw(NDA_LLADDR, &mac);
            },
        )
    }
    pub fn delete_neighbour(&mut self, link: u32, address: IpAddr) -> &mut Self {
        self.add(format!("delete the neighbour {address}"), RTM_DELNEIGH, 0, &neighbour_header(family(address), link, 0), |attributes| {
            attributes.raw(NDA_DST, &octets(address));
        })
    }

    /// Which host a vxlan sends frames for that link-layer address to.
    pub fn add_forwarding_entry(&mut self, link: u32, mac: Mac, host: IpAddr) -> &mut Self {
        self.add(
            format!("add the forwarding entry of {host}"),
            RTM_NEWNEIGH,
            CREATE | REPLACE,
            &neighbour_header(AF_BRIDGE, link, NTF_SELF),
            |attributes| {
                attributes.raw(NDA_LLADDR, &mac).raw(NDA_DST, &octets(host));
            },
        )
    }
    pub fn delete_forwarding_entry(&mut self, link: u32, mac: Mac, host: IpAddr) -> &mut Self {
        let header = neighbour_header(AF_BRIDGE, link, NTF_SELF);
        self.add(format!("delete the forwarding entry of {host}"), RTM_DELNEIGH, 0, &header, |attributes| {
            attributes.raw(NDA_LLADDR, &mac).raw(NDA_DST, &octets(host));
        })
    }
}

/// A socket of one namespace. Reading methods are in `read`.
pub struct RouteSocket(Socket);

impl RouteSocket {
    /// In the caller's network namespace.
    pub fn open() -> Result<Self> {
        Ok(RouteSocket(Socket::route()?))
    }
    /// In another one; the socket stays there and may be used from any thread.
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self> {
        crate::namespace::within(namespace, Self::open)
    }

    /// Sends the changes in order. The kernel carries out each by itself: after a refusal the later ones were still tried.
    pub fn commit(&mut self, changes: &mut Changes) -> Result<()> {
        let Changes { messages, steps } = std::mem::take(changes);
        self.0.acknowledged(messages, &steps)
    }

    /// One change where it does not matter that its object is not there.
    pub fn commit_if_present(&mut self, changes: &mut Changes) -> Result<()> {
        match self.commit(changes) {
            Err(error) if error.is_absent() => Ok(()),
            outcome => outcome,
        }
    }
}

/// The link-local address that belongs to a link-layer address (RFC 4291, modified EUI-64).
pub fn link_local_of(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

pub(crate) fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// `struct ifinfomsg`
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

/// `struct ndmsg`
fn neighbour_header(family: u8, link: u32, flags: u8) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = family;
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    header[10] = flags;
    header
}
