//! What is there: links, addresses, routes, and which way a packet would take.

use std::net::IpAddr;

use object::cidr::Cidr;

use super::{
    AF_BRIDGE, IFA_ADDRESS, IFA_LOCAL, IFLA_ADDRESS, IFLA_IFALIAS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_LINKINFO, IFLA_MTU, IFLA_VXLAN_ID,
    IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6, IFLA_VXLAN_PORT, Mac, NDA_DST, NDA_LLADDR, NUD_PERMANENT, RTA_DST, RTA_GATEWAY, RTA_OIF,
    RTA_PREFSRC, RTA_PRIORITY, RTA_TABLE, RTN_LOCAL, Route, RouteSocket, TunnelEnd, Via, address_of, family, link_header, neighbour_header,
    octets,
};
use crate::netlink::{AttributeIter, DUMP, Messages, Result, attribute, read_u32, text_of};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
/// An entry of the kernel's cache, not a route somebody set.
const RTM_F_CLONED: u32 = 0x200;

#[derive(Clone, Debug, Default)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub alias: String,
    pub mtu: u32,
    pub mac: Option<Mac>,
    pub is_up: bool,
    /// Of a vxlan.
    pub tunnel: Option<TunnelEnd>,
}

#[derive(Clone, Debug)]
pub struct Address {
    pub link: u32,
    pub address: IpAddr,
    pub prefix: u8,
}

#[derive(Clone, Debug)]
pub struct RouteRow {
    pub route: Route,
    pub protocol: u8,
    pub table: u32,
    pub priority: u32,
}

/// Where a packet to an address would go.
#[derive(Clone, Debug)]
pub struct NextHop {
    pub link: u32,
    pub gateway: Option<IpAddr>,
    pub source: Option<IpAddr>,
    pub is_local: bool,
}

impl RouteSocket {
    pub fn link(&mut self, name: &str) -> Result<Link> {
        let mut request = Messages::default();
        request.add(RTM_GETLINK, 0, &link_header(0, 0, 0), |attributes| {
            attributes.text(IFLA_IFNAME, name);
        });
        self.0.get(request, &format!("find the link `{name}`"), read_link)
    }

    pub fn links(&mut self) -> Result<Vec<Link>> {
        self.0.dump("list the links", |request| request.add(RTM_GETLINK, DUMP, &link_header(0, 0, 0), |_| {}), |body| Some(read_link(body)))
    }

    pub fn addresses(&mut self) -> Result<Vec<Address>> {
        self.0.dump("list the addresses", |request| request.add(RTM_GETADDR, DUMP, &[0; 8], |_| {}), read_address)
    }

    /// Routes of all tables and protocols.
    pub fn routes(&mut self) -> Result<Vec<RouteRow>> {
        self.0.dump("list the routes", |request| request.add(RTM_GETROUTE, DUMP, &[0; 12], |_| {}), read_route)
    }

    /// Neighbours that were set for good on a link.
    pub fn neighbours(&mut self, link: u32) -> Result<Vec<(IpAddr, Mac)>> {
        let read = |body: &[u8]| read_neighbour(body, link).map(|(mac, address)| (address, mac));
        self.0.dump("list the neighbours", |request| request.add(RTM_GETNEIGH, DUMP, &neighbour_header(0, 0, 0), |_| {}), read)
    }

    /// Which hosts a vxlan sends frames for which link-layer addresses to.
    pub fn forwarding_entries(&mut self, link: u32) -> Result<Vec<(Mac, IpAddr)>> {
        let ask = |request: &mut Messages| request.add(RTM_GETNEIGH, DUMP, &neighbour_header(AF_BRIDGE, 0, 0), |_| {});
        self.0.dump("list the forwarding entries", ask, |body| read_neighbour(body, link))
    }

    pub fn next_hop(&mut self, to: IpAddr) -> Result<NextHop> {
        let mut request = Messages::default();
        let prefix = Cidr::host(to).prefix();
        request.add(RTM_GETROUTE, 0, &[family(to), prefix, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], |attributes| {
            attributes.raw(RTA_DST, &octets(to));
        });
        self.0.get(request, &format!("find the way to {to}"), |body| {
            let fields = body.get(12..).unwrap_or(&[]);
            NextHop {
                link: attribute(fields, RTA_OIF).map_or(0, read_u32),
                gateway: attribute(fields, RTA_GATEWAY).and_then(address_of),
                source: attribute(fields, RTA_PREFSRC).and_then(address_of),
                is_local: body.get(7) == Some(&RTN_LOCAL),
            }
        })
    }
}

fn read_link(body: &[u8]) -> Link {
    let mut link = Link { index: read_u32(body.get(4..).unwrap_or(&[])), ..Link::default() };
    link.is_up = read_u32(body.get(8..).unwrap_or(&[])) & 1 != 0;
    for (kind, value) in AttributeIter(body.get(16..).unwrap_or(&[])) {
        match kind {
            IFLA_IFNAME => link.name = text_of(value).to_owned(),
            IFLA_IFALIAS => link.alias = text_of(value).to_owned(),
            IFLA_MTU => link.mtu = read_u32(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok(),
            IFLA_LINKINFO => link.tunnel = attribute(value, IFLA_INFO_DATA).and_then(read_tunnel),
            _ => {}
        }
    }
    link
}

/// `None` for other links: what a number means there is another matter, but no other kind has an address in that place.
fn read_tunnel(data: &[u8]) -> Option<TunnelEnd> {
    let local = attribute(data, IFLA_VXLAN_LOCAL).or_else(|| attribute(data, IFLA_VXLAN_LOCAL6)).and_then(address_of)?;
    let port = u16::from_be_bytes(attribute(data, IFLA_VXLAN_PORT)?.try_into().ok()?);
    Some(TunnelEnd { id: read_u32(attribute(data, IFLA_VXLAN_ID)?), port, local })
}

fn read_neighbour(body: &[u8], link: u32) -> Option<(Mac, IpAddr)> {
    let (fixed, fields) = body.split_at_checked(12)?;
    let state = u16::from_ne_bytes([fixed[8], fixed[9]]);
    if read_u32(&fixed[4..]) != link || state & NUD_PERMANENT == 0 {
        return None;
    }
    Some((attribute(fields, NDA_LLADDR)?.try_into().ok()?, attribute(fields, NDA_DST).and_then(address_of)?))
}

fn read_address(body: &[u8]) -> Option<Address> {
    let fields = body.get(8..)?;
    // A point-to-point address has its own in LOCAL and the other end's in ADDRESS; IPv6 often has ADDRESS alone.
    let address = attribute(fields, IFA_LOCAL).or_else(|| attribute(fields, IFA_ADDRESS)).and_then(address_of)?;
    Some(Address { link: read_u32(&body[4..]), address, prefix: body[1] })
}

fn read_route(body: &[u8]) -> Option<RouteRow> {
    let fields = body.get(12..)?;
    let (is_ipv4, prefix, route_type) = (i32::from(body[0]) == libc::AF_INET, body[1], body[7]);
    if !is_ipv4 && i32::from(body[0]) != libc::AF_INET6 || read_u32(&body[8..]) & RTM_F_CLONED != 0 {
        return None;
    }
    let any: IpAddr = if is_ipv4 { [0; 4].into() } else { [0; 16].into() };
    let to = attribute(fields, RTA_DST).and_then(address_of).unwrap_or(any);
    let link = attribute(fields, RTA_OIF).map(read_u32)?;
    let via = match attribute(fields, RTA_GATEWAY).and_then(address_of) {
        _ if route_type == RTN_LOCAL => Via::Local(link),
        Some(gateway) => Via::Gateway(link, gateway),
        None => Via::Link(link),
    };
    let source = attribute(fields, RTA_PREFSRC).and_then(address_of);
    Some(RouteRow {
        route: Route { to: Cidr::new(to, prefix)?, via, source },
        protocol: body[5],
        table: attribute(fields, RTA_TABLE).map_or(u32::from(body[4]), read_u32),
        priority: attribute(fields, RTA_PRIORITY).map_or(0, read_u32),
    })
}
