//! The kernel's memory of flows: forgetting those that lead where they should lead no more.
//!
//! A TCP client notices a dead backend and connects anew; a UDP client that keeps its port would be sent there for ever.

use std::net::{IpAddr, SocketAddr};

use crate::netlink::{ACK, Attributes, DUMP, Messages, Result, Socket, attribute};
use crate::route::address_of;

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;

/// A UDP flow: where its first packet was sent to, and who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub to: SocketAddr,
    pub answered_by: SocketAddr,
}

struct Row {
    flow: Flow,
    tuple: Vec<u8>,
}

/// Forgets the UDP flows of one family that are stale; returns how many.
pub fn forget_udp(ipv4: bool, is_stale: impl Fn(&Flow) -> bool) -> Result<usize> {
    let mut socket = Socket::netfilter()?;
    let family = if ipv4 { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 };
    let header = [family, 0, 0, 0];
    let ask = |messages: &mut Messages| messages.add((SUBSYSTEM << 8) | GET, DUMP, &header, |_| {});
    let mut rows = socket.dump("list the tracked flows", ask, read)?;
    rows.retain(|row| is_stale(&row.flow));
    for row in &rows {
        let mut messages = Messages::default();
        messages.add((SUBSYSTEM << 8) | DELETE, ACK, &header, |attributes: &mut Attributes<'_>| {
            attributes.nest(TUPLE_ORIGINAL, |tuple| {
                tuple.fixed(&row.tuple);
            });
        });
        match socket.acknowledged(messages, &[format!("forget the flow to {}", row.flow.to)]) {
            // It ended meanwhile.
            Err(error) if error.is_absent() => {}
            outcome => outcome?,
        }
    }
    Ok(rows.len())
}

fn read(body: &[u8]) -> Option<Row> {
    let fields = body.get(4..)?;
    let (original, reply) = (attribute(fields, TUPLE_ORIGINAL)?, attribute(fields, TUPLE_REPLY)?);
    if attribute(attribute(original, TUPLE_PROTOCOL)?, PROTOCOL_NUMBER)? != [UDP] {
        return None;
    }
    let flow = Flow { to: side(original, Side::Destination)?, answered_by: side(reply, Side::Source)? };
    Some(Row { flow, tuple: original.to_vec() })
}

enum Side {
    Source,
    Destination,
}

fn side(tuple: &[u8], side: Side) -> Option<SocketAddr> {
    let (addresses, ports) = (attribute(tuple, TUPLE_IP)?, attribute(tuple, TUPLE_PROTOCOL)?);
    // Sources are 1 (IPv4) and 3 (IPv6), destinations 2 and 4.
    let (kinds, port) = match side {
        Side::Source => ([1, 3], SOURCE_PORT),
        Side::Destination => ([2, 4], DESTINATION_PORT),
    };
    let address: IpAddr = kinds.iter().find_map(|kind| attribute(addresses, *kind)).and_then(address_of)?;
    let port = u16::from_be_bytes(attribute(ports, port)?.try_into().ok()?);
    Some(SocketAddr::new(address, port))
}
