//! The expressions a rule is made of, and how each is written.
//!
//! Registers are the kernel's sixteen 32-bit ones: a key of several parts is loaded into neighbouring registers.

use crate::netlink::Attributes;

/// Position of a 32-bit register, 0 to 15.
pub type Register = u32;

const REGISTER_VERDICT: u32 = 0;
/// The kernel counts the 32-bit registers from here.
const REGISTER_32: u32 = 8;

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Drop,
    Accept,
    Return,
    Jump(String),
    Goto(String),
}

#[derive(Clone, Copy, Debug)]
pub enum Header {
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Copy, Debug)]
pub enum Meta {
    Mark = 3,
    IncomingName = 6,
    OutgoingName = 7,
    NetworkProtocol = 15,
    TransportProtocol = 16,
}

#[derive(Clone, Copy, Debug)]
pub enum Tracked {
    State = 0,
    Status = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dynamic {
    Add = 0,
    Update = 1,
    Delete = 2,
}

/// `ct state` bits.
pub const STATE_NEW: u32 = 8;

#[derive(Clone, Debug)]
pub enum Expr<'a> {
    Payload {
        to: Register,
        header: Header,
        offset: u32,
        len: u32,
    },
    Meta {
        to: Register,
        key: Meta,
    },
    SetMark {
        from: Register,
    },
    Tracked {
        to: Register,
        key: Tracked,
    },
    /// Goes on only when the register begins with these bytes.
    Equals {
        from: Register,
        value: &'a [u8],
    },
    Differs {
        from: Register,
        value: &'a [u8],
    },
    /// `(register & mask) ^ xor`
    Bitwise {
        from: Register,
        to: Register,
        mask: &'a [u8],
        xor: &'a [u8],
    },
    /// Goes on only when the key is in the set.
    IsIn {
        set: &'a str,
        key: Register,
    },
    IsNotIn {
        set: &'a str,
        key: Register,
    },
    /// Loads what the map holds for the key; goes no further when it holds nothing.
    Load {
        map: &'a str,
        key: Register,
        to: Register,
    },
    /// Follows the verdict the map holds for the key.
    Follow {
        map: &'a str,
        key: Register,
    },
    Constant {
        to: Register,
        value: &'a [u8],
    },
    Verdict(Verdict),
    /// A random number below the modulus.
    Random {
        to: Register,
        modulus: u32,
    },
    Dnat {
        ipv4: bool,
        address: Register,
        port: Register,
    },
    /// Source address of the outgoing link, with ports chosen at random (else concurrent connections may clash).
    Masquerade,
    Dynamic {
        set: &'a str,
        operation: Dynamic,
        key: Register,
        data: Option<Register>,
        timeout_ms: u64,
    },
    /// Type of the destination address (`RTN_LOCAL` is 2).
    DestinationType {
        to: Register,
    },
    /// ICMP or ICMPv6 "port unreachable", which a TCP client sees as a refused connection.
    RejectPort,
    Counter,
}

impl Expr<'_> {
    pub(crate) fn write(&self, list: &mut Attributes<'_>) {
        match self {
            Expr::Payload { to, header, offset, len } => named(list, "payload", |a| {
                a.u32_be(1, register(*to)).u32_be(2, *header as u32).u32_be(3, *offset).u32_be(4, *len);
            }),
            Expr::Meta { to, key } => named(list, "meta", |a| {
                a.u32_be(1, register(*to)).u32_be(2, *key as u32);
            }),
            Expr::SetMark { from } => named(list, "meta", |a| {
                a.u32_be(2, Meta::Mark as u32).u32_be(3, register(*from));
            }),
            Expr::Tracked { to, key } => named(list, "ct", |a| {
                a.u32_be(1, register(*to)).u32_be(2, *key as u32);
            }),
            Expr::Equals { from, value } => named(list, "cmp", |a| {
                a.u32_be(1, register(*from)).u32_be(2, 0);
                data_value(a, 3, value);
            }),
            Expr::Differs { from, value } => named(list, "cmp", |a| {
                a.u32_be(1, register(*from)).u32_be(2, 1);
                data_value(a, 3, value);
            }),
            Expr::Bitwise { from, to, mask, xor } => named(list, "bitwise", |a| {
                a.u32_be(1, register(*from)).u32_be(2, register(*to)).u32_be(3, mask.len() as u32);
                data_value(a, 4, mask);
                data_value(a, 5, xor);
            }),
            Expr::IsIn { set, key } => named(list, "lookup", |a| {
                a.text(1, set).u32_be(2, register(*key));
            }),
            Expr::IsNotIn { set, key } => named(list, "lookup", |a| {
                a.text(1, set).u32_be(2, register(*key)).u32_be(5, 1);
            }),
            Expr::Load { map, key, to } => named(list, "lookup", |a| {
                a.text(1, map).u32_be(2, register(*key)).u32_be(3, register(*to));
            }),
            Expr::Follow { map, key } => named(list, "lookup", |a| {
                a.text(1, map).u32_be(2, register(*key)).u32_be(3, REGISTER_VERDICT);
            }),
            Expr::Constant { to, value } => named(list, "immediate", |a| {
                a.u32_be(1, register(*to));
                data_value(a, 2, value);
            }),
            Expr::Verdict(verdict) => named(list, "immediate", |a| {
                a.u32_be(1, REGISTER_VERDICT);
                data_verdict(a, 2, verdict);
            }),
            Expr::Random { to, modulus } => named(list, "numgen", |a| {
                a.u32_be(1, register(*to)).u32_be(2, *modulus).u32_be(3, 1);
            }),
            Expr::Dnat { ipv4, address, port } => named(list, "nat", |a| {
                let family = if *ipv4 { libc::NFPROTO_IPV4 } else { libc::NFPROTO_IPV6 };
                a.u32_be(1, 1).u32_be(2, family as u32).u32_be(3, register(*address)).u32_be(5, register(*port));
            }),
            Expr::Masquerade => named(list, "masq", |a| {
                const RANDOM_FULLY: u32 = 1 << 4;
                a.u32_be(1, RANDOM_FULLY);
            }),
            Expr::Dynamic { set, operation, key, data, timeout_ms } => named(list, "dynset", |a| {
                a.text(1, set).u32_be(3, *operation as u32).u32_be(4, register(*key));
                if let Some(data) = data {
                    a.u32_be(5, register(*data));
                }
                if *timeout_ms > 0 {
                    a.u64_be(6, *timeout_ms);
                }
            }),
            Expr::DestinationType { to } => named(list, "fib", |a| {
                const ADDRESS_TYPE: u32 = 3;
                const OF_DESTINATION: u32 = 2;
                a.u32_be(1, register(*to)).u32_be(2, ADDRESS_TYPE).u32_be(3, OF_DESTINATION);
            }),
            Expr::RejectPort => named(list, "reject", |a| {
                const EITHER_ICMP: u32 = 2;
                const PORT_UNREACHABLE: u8 = 1;
                a.u32_be(1, EITHER_ICMP).u8(2, PORT_UNREACHABLE);
            }),
            Expr::Counter => named(list, "counter", |_| {}),
        }
    }
}

fn named(list: &mut Attributes<'_>, name: &str, body: impl FnOnce(&mut Attributes<'_>)) {
    const LIST_ELEMENT: u16 = 1;
    list.nest(LIST_ELEMENT, |expr| {
        expr.text(EXPR_NAME, name).nest(EXPR_DATA, body);
    });
}

fn register(position: Register) -> u32 {
    debug_assert!(position < 16);
    REGISTER_32 + position
}

pub(crate) fn data_value(attributes: &mut Attributes<'_>, kind: u16, value: &[u8]) {
    attributes.nest(kind, |data| {
        data.raw(DATA_VALUE, value);
    });
}

pub(crate) fn data_verdict(attributes: &mut Attributes<'_>, kind: u16, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
    };
    attributes.nest(kind, |data| {
        data.nest(DATA_VERDICT, |attributes| {
            attributes.u32_be(VERDICT_CODE, i32::cast_unsigned(code));
            if let Some(chain) = chain {
                attributes.text(VERDICT_CHAIN, chain);
            }
        });
    });
}
