//! nftables through nfnetlink: atomic batches of changes to one table of the `inet` family, and reading it back.
//!
//! A batch is carried out whole or not at all, and no packet sees a half of it. `read` gives what is there.
//! Not here: which chains, maps and rules there are to be.

pub mod expr;
mod read;

pub use read::{Row, TableFacts};

use crate::netlink::{ACK, APPEND, Attributes, CREATE, Error, Messages, NLMSG_ERROR, Result, Socket};
use expr::{Expr, Verdict, data_value, data_verdict};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;
const KINDS: [&str; 15] = [
    "new table",
    "",
    "delete table",
    "new chain",
    "",
    "delete chain",
    "new rule",
    "",
    "delete rule",
    "new set",
    "",
    "delete set",
    "new element",
    "",
    "delete element",
];
/// An attribute holds 64 KiB; one element takes at most a few hundred bytes.
const ELEMENTS_BYTES: usize = 48 << 10;

/// What a part of a key is, so that `nft list` can print it. The numbers are nft's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    /// Any 32-bit number in host order (nft knows it as a mark; its plain integer type makes `nft` 1.0.6 abort).
    Number,
}

impl Part {
    const fn nft_type(self) -> u32 {
        match self {
            Part::Ipv4 => 7,
            Part::Ipv6 => 8,
            Part::Protocol => 12,
            Part::Port => 13,
            Part::Number => 19,
        }
    }
    /// Bytes in registers, where each part begins at a multiple of four.
    pub const fn n_bytes(self) -> u32 {
        if matches!(self, Part::Ipv6) { 16 } else { 4 }
    }
}

fn key_type(parts: &[Part]) -> u32 {
    parts.iter().fold(0, |joined, part| (joined << 6) | part.nft_type())
}
fn key_len(parts: &[Part]) -> u32 {
    parts.iter().map(|part| part.n_bytes()).sum()
}

#[derive(Clone, Debug)]
pub enum Holds {
    /// A set.
    Nothing,
    Value(Vec<Part>),
    Verdict,
}

/// A named set or map.
#[derive(Clone, Debug)]
pub struct Set {
    pub name: String,
    pub key: Vec<Part>,
    pub holds: Holds,
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Hash,
    /// Keys are ranges: an element opens one, an element with `ends_range` closes it.
    Ranges,
    /// Rules add elements; at most `size`, each forgotten after its time.
    Dynamic {
        size: u32,
        timeout_ms: u64,
    },
}

/// Where a base chain hears packets.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

#[derive(Clone, Copy, Debug)]
pub struct Base {
    pub kind: ChainKind,
    pub hook: Hook,
    pub priority: i32,
}

#[derive(Clone, Copy, Debug)]
pub enum ChainKind {
    Filter,
    Nat,
}

#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    Nothing,
    Value(&'a [u8]),
    Verdict(&'a Verdict),
    EndsRange,
}

/// Changes to one table, carried out at once.
pub struct Batch {
    messages: Messages,
    table: String,
    next_set_id: u32,
}

impl Batch {
    pub fn new(table: &str) -> Self {
        let mut messages = Messages::default();
        messages.add(BATCH_BEGIN, 0, &[0, 0, 0, SUBSYSTEM as u8], |_| {});
        Batch { messages, table: table.to_owned(), next_set_id: 1 }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.count == 1
    }
    /// Bytes to be sent.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Short for the whole batch: equal batches, equal digests, on any version.
    pub fn digest(&self) -> u64 {
        crate::pod::hash(&self.messages.bytes)
    }

    fn add(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Attributes<'_>, &str)) {
        let table = &self.table;
        self.messages.add((SUBSYSTEM << 8) | kind, flags, &inet_header(), |attributes| {
            attributes.text(1, table);
            body(attributes, table);
        });
    }

    /// `mark` comes back in `TableFacts`; it says who made the table and how.
    pub fn add_table(&mut self, mark: &[u8]) {
        self.add(NEW_TABLE, CREATE, |attributes, _| {
            if !mark.is_empty() {
                attributes.raw(6, mark);
            }
        });
    }
    /// The table must be there: `add_table` before makes sure of it.
    pub fn delete_table(&mut self) {
        self.add(DELETE_TABLE, 0, |_, _| {});
    }

    pub fn add_chain(&mut self, name: &str, base: Option<Base>) {
        self.add(NEW_CHAIN, CREATE, |attributes, _| {
            attributes.text(3, name);
            if let Some(base) = base {
                attributes.nest(4, |hook| {
                    hook.u32_be(1, base.hook as u32).u32_be(2, base.priority.cast_unsigned());
                });
                attributes.text(7, if matches!(base.kind, ChainKind::Nat) { "nat" } else { "filter" });
            }
        });
    }
    /// With its rules. Nothing may lead to it any more.
    pub fn delete_chain(&mut self, name: &str) {
        self.add(DELETE_CHAIN, 0, |attributes, _| {
            attributes.text(3, name);
        });
    }
    /// Removes the rules of a chain.
    pub fn empty_chain(&mut self, name: &str) {
        self.add(DELETE_RULE, 0, |attributes, _| {
            attributes.text(2, name);
        });
    }

    pub fn add_rule(&mut self, chain: &str, expressions: &[Expr<'_>]) {
        self.add(NEW_RULE, CREATE | APPEND, |attributes, _| {
            attributes.text(2, chain).nest(4, |list| {
                for expression in expressions {
                    expression.write(list);
                }
            });
        });
    }

    pub fn add_set(&mut self, set: &Set) {
        const RANGES: u32 = 0x4;
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const BY_RULES: u32 = 0x20;
        const VERDICT_TYPE: u32 = 0xffff_ff00;
        let id = self.next_set_id;
        self.next_set_id += 1;
        let mut flags = if matches!(set.holds, Holds::Nothing) { 0 } else { MAP };
        flags |= match set.shape {
            Shape::Hash => 0,
            Shape::Ranges => RANGES,
            Shape::Dynamic { .. } => TIMEOUT | BY_RULES,
        };
        self.add(NEW_SET, CREATE, |attributes, _| {
            attributes.text(2, &set.name).u32_be(3, flags).u32_be(4, key_type(&set.key)).u32_be(5, key_len(&set.key));
            match &set.holds {
                Holds::Nothing => {}
                Holds::Value(parts) => {
                    attributes.u32_be(6, key_type(parts)).u32_be(7, key_len(parts));
                }
                Holds::Verdict => {
                    attributes.u32_be(6, VERDICT_TYPE);
                }
            }
            if let Shape::Dynamic { size, timeout_ms } = set.shape {
                attributes.nest(9, |description| {
                    description.u32_be(1, size);
                });
                attributes.u64_be(11, timeout_ms);
            }
            attributes.u32_be(10, id);
        });
    }

    pub fn add_elements<'e>(&mut self, set: &str, elements: impl IntoIterator<Item = (&'e [u8], Data<'e>)>) {
        self.elements(NEW_ELEMENT, CREATE, set, elements);
    }
    pub fn delete_elements<'e>(&mut self, set: &str, keys: impl IntoIterator<Item = &'e [u8]>) {
        self.elements(DELETE_ELEMENT, 0, set, keys.into_iter().map(|key| (key, Data::Nothing)));
    }

    /// Removes all elements of a set.
    pub fn empty_set(&mut self, set: &str) {
        self.add(DELETE_ELEMENT, 0, |attributes, _| {
            attributes.text(2, set);
        });
    }

    fn elements<'e>(&mut self, kind: u16, flags: u16, set: &str, elements: impl IntoIterator<Item = (&'e [u8], Data<'e>)>) {
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            self.add(kind, flags, |attributes, _| {
                attributes.text(2, set).nest(3, |list| {
                    let start = list.bytes.len();
                    while list.bytes.len() - start < ELEMENTS_BYTES {
                        let Some((key, data)) = elements.next() else { break };
                        element(list, key, data);
                    }
                });
            });
        }
    }
}

fn element(list: &mut Attributes<'_>, key: &[u8], data: Data<'_>) {
    list.nest(1, |element| {
        data_value(element, 1, key);
        match data {
            Data::Nothing => {}
            Data::Value(value) => data_value(element, 2, value),
            Data::Verdict(verdict) => data_verdict(element, 2, verdict),
            Data::EndsRange => {
                element.u32_be(3, 1);
            }
        }
    });
}

pub(crate) fn inet_header() -> [u8; 4] {
    [libc::NFPROTO_INET as u8, 0, 0, 0]
}

/// A socket to the nftables of one namespace. Reading methods are in `read`.
pub struct NftSocket(pub(crate) Socket);

impl NftSocket {
    pub fn open() -> Result<Self> {
        Ok(NftSocket(Socket::netfilter()?))
    }

    /// Carries the batch out, whole or not at all.
    pub fn commit(&mut self, mut batch: Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let step = format!("change the nftables table `{}`", batch.table);
        // Kernels before 6.10 acknowledge a message within the batch, but not its end: ask it of the last change.
        batch.messages.ask_of_last(ACK);
        batch.messages.add(BATCH_END, 0, &[0, 0, 0, SUBSYSTEM as u8], |_| {});
        let n_messages = batch.messages.count;
        let first = self.0.send(&mut batch.messages, &step)?;
        let last_change = first + n_messages - 2;
        let mut fault: Option<Error> = None;
        loop {
            let is_done = self.0.receive(&step, |answer| {
                if answer.kind != NLMSG_ERROR || answer.sequence < first || answer.sequence > last_change {
                    return false;
                }
                if answer.errno() != 0 && fault.is_none() {
                    let kind = KINDS.get(usize::from(answer.refused_kind() & 0xff)).copied().unwrap_or("");
                    let place = answer.sequence - first;
                    fault = Some(answer.error(&format!("{step}, {kind} at {place} of {n_messages}")));
                }
                // A batch that fails as a whole is answered at its beginning.
                answer.sequence == last_change || answer.sequence == first
            })?;
            if is_done {
                return fault.map_or(Ok(()), Err);
            }
        }
    }
}
