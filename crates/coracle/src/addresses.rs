//! Which addresses other nodes and pods reach this node at.

use std::net::{IpAddr, UdpSocket};

use crate::failure::Failure;
use crate::options::Ranges;

/// The flag's, or those the kernel would send from to far places, one a family and only families pods have.
pub(crate) fn of_node(flag: &[IpAddr], pods: &Ranges) -> Result<Vec<IpAddr>, Failure> {
    if !flag.is_empty() {
        return Ok(flag.to_vec());
    }
    // Documentation addresses: connecting a datagram socket only looks up the route, nothing is sent.
    let far = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let found: Vec<IpAddr> = far
        .iter()
        .filter_map(|(from, to)| {
            let socket = UdpSocket::bind(from).ok()?;
            socket.connect(to).ok()?;
            socket.local_addr().ok().map(|a| a.ip())
        })
        .filter(|ip| !ip.is_loopback() && pods.0.iter().any(|r| r.is_ipv4() == ip.is_ipv4()))
        .collect();
    if found.is_empty() {
        return Err(Failure::new("this host has no address other than loopback that a node could have")
            .hint("--node-ip ADDRESS (it must be on one of the host's links)"));
    }
    Ok(found)
}
