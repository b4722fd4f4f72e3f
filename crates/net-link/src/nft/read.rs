//! What is in a table: its mark, its chains and the elements of its maps.

use super::expr::Verdict;
use super::{NftSocket, SUBSYSTEM, inet_header};
use crate::netlink::{AttributeIter, Attributes, DUMP, Messages, Result, attribute, read_u32_be, text_of};

const GET_TABLE: u16 = 1;
const GET_CHAIN: u16 = 4;
const GET_SET: u16 = 10;
const GET_ELEMENT: u16 = 13;

#[derive(Clone, Debug, Default)]
pub struct TableFacts {
    pub mark: Vec<u8>,
}

/// An element as the kernel gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub verdict: Option<Verdict>,
    pub ends_range: bool,
}

fn request(messages: &mut Messages, kind: u16, flags: u16, body: impl FnOnce(&mut Attributes<'_>)) {
    messages.add((SUBSYSTEM << 8) | kind, flags, &inet_header(), body);
}

fn fields(body: &[u8]) -> &[u8] {
    body.get(4..).unwrap_or(&[])
}

impl NftSocket {
    /// `None` when there is no such table.
    pub fn table(&mut self, table: &str) -> Result<Option<TableFacts>> {
        let mut messages = Messages::default();
        request(&mut messages, GET_TABLE, 0, |attributes| {
            attributes.text(1, table);
        });
        let read = |body: &[u8]| TableFacts { mark: attribute(fields(body), 6).unwrap_or(&[]).to_vec() };
        match self.0.get(messages, &format!("read the nftables table `{table}`"), read) {
            Err(error) if error.is_absent() => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Names of the tables of the `inet` family.
    pub fn tables(&mut self) -> Result<Vec<String>> {
        self.names("list the nftables tables", GET_TABLE, 1, |_| true)
    }
    pub fn chains(&mut self, table: &str) -> Result<Vec<String>> {
        let of_table = |body: &[u8]| attribute(fields(body), 1).is_some_and(|name| text_of(name) == table);
        self.names("list the nftables chains", GET_CHAIN, 3, of_table)
    }
    pub fn sets(&mut self, table: &str) -> Result<Vec<String>> {
        let of_table = |body: &[u8]| attribute(fields(body), 1).is_some_and(|name| text_of(name) == table);
        self.names("list the nftables sets", GET_SET, 2, of_table)
    }

    /// Table and chain of whatever, in any family, drops forwarded packets that no rule of its own accepts.
    pub fn forward_drops(&mut self) -> Result<Vec<(String, String)>> {
        const FORWARD: u32 = 2;
        const DROP: u32 = 0;
        let ask = |messages: &mut Messages| messages.add((SUBSYSTEM << 8) | GET_CHAIN, DUMP, &[0; 4], |_| {});
        let read = |body: &[u8]| {
            let fields = fields(body);
            let hook = read_u32_be(attribute(attribute(fields, 4)?, 1)?);
            let policy = read_u32_be(attribute(fields, 5)?);
            let name = |kind| attribute(fields, kind).map(|text| text_of(text).to_owned());
            (hook == FORWARD && policy == DROP).then_some((name(1)?, name(3)?))
        };
        self.0.dump("list the nftables chains", ask, read)
    }

    fn names(&mut self, step: &str, kind: u16, name: u16, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<String>> {
        let read = |body: &[u8]| wanted(body).then(|| attribute(fields(body), name).map(|text| text_of(text).to_owned())).flatten();
        self.0.dump(step, |messages| request(messages, kind, DUMP, |_| {}), read)
    }

    pub fn elements(&mut self, table: &str, set: &str) -> Result<Vec<Row>> {
        let step = format!("list the elements of `{set}` in the nftables table `{table}`");
        let ask = |messages: &mut Messages| {
            request(messages, GET_ELEMENT, DUMP, |attributes| {
                attributes.text(1, table).text(2, set);
            });
        };
        let read =
            |body: &[u8]| Some(AttributeIter(attribute(fields(body), 3)?).map(|(_, element)| read_element(element)).collect::<Vec<_>>());
        Ok(self.0.dump(&step, ask, read)?.into_iter().flatten().collect())
    }
}

fn read_element(element: &[u8]) -> Row {
    let value_of = |kind| attribute(element, kind).and_then(|data| attribute(data, 1));
    let verdict = attribute(element, 2).and_then(|data| attribute(data, 2)).and_then(read_verdict);
    Row {
        key: value_of(1).unwrap_or(&[]).to_vec(),
        value: value_of(2).unwrap_or(&[]).to_vec(),
        verdict,
        ends_range: attribute(element, 3).is_some_and(|flags| read_u32_be(flags) & 1 != 0),
    }
}

fn read_verdict(attributes: &[u8]) -> Option<Verdict> {
    let chain = || attribute(attributes, 2).map(|name| text_of(name).to_owned());
    match read_u32_be(attribute(attributes, 1)?).cast_signed() {
        0 => Some(Verdict::Drop),
        1 => Some(Verdict::Accept),
        -3 => chain().map(Verdict::Jump),
        -4 => chain().map(Verdict::Goto),
        -5 => Some(Verdict::Return),
        _ => None,
    }
}
