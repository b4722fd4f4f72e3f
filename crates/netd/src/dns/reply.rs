//! From a question to the message that answers it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use net_plan::names::{self, Answer, Data, Kind, TTL_SECONDS};

use super::SharedNames;
use super::forward::Forwarder;
use super::transport::Transport;

/// What a client without EDNS can take over UDP (RFC 1035).
const PLAIN_BYTES_MAX: u16 = 512;
/// What survives any path without fragments; larger answers come over TCP.
const EDNS_BYTES_MAX: u16 = 1232;

pub(super) enum Reply {
    Ready(Vec<u8>),
    /// The host's resolvers know more.
    Ask(Ask),
    /// Not even the beginning of a question.
    Silence,
}

pub(super) enum Ask {
    /// The question as it is.
    Whole,
    /// Where this alias leads; what is found is added to the reply.
    Alias { reply: Box<Message>, target: Name, kind: RecordType, bytes_max: usize },
}

/// Answers what can be answered without asking anybody.
pub(super) fn from_memory(names: &SharedNames, question: &[u8], transport: Transport) -> Reply {
    let request = match Message::from_vec(question) {
        Ok(request) => request,
        // With an id at hand the client can be told; a reply to a reply would go round for ever.
        Err(_) if question.len() >= 12 && question[2] & 0x80 == 0 => return Reply::Ready(malformed(question)),
        Err(_) => return Reply::Silence,
    };
    if request.metadata.message_type != MessageType::Query {
        return Reply::Silence;
    }
    let mut reply = Message::new(0, MessageType::Response, OpCode::Query);
    reply.metadata = Metadata::response_from_request(&request.metadata);
    reply.metadata.recursion_available = true;
    reply.add_queries(request.queries.iter().cloned());
    let bytes_max = bytes_max(&request, transport);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_BYTES_MAX);
        reply.set_edns(edns);
    }
    let refused = match (&request.metadata.op_code, request.queries.as_slice()) {
        (OpCode::Query, [_]) => None,
        (OpCode::Query, _) => Some(ResponseCode::FormErr),
        _ => Some(ResponseCode::NotImp),
    };
    let version_is_unknown = request.edns.as_ref().is_some_and(|edns| edns.version() > 0);
    if let Some(code) = refused.or(version_is_unknown.then_some(ResponseCode::BADVERS)) {
        reply.metadata.response_code = code;
        return Reply::Ready(written(&reply, bytes_max));
    }
    answer(names, &request.queries[0], reply, bytes_max)
}

fn answer(names: &SharedNames, query: &Query, mut reply: Message, bytes_max: usize) -> Reply {
    if query.query_class() != DNSClass::IN {
        return Reply::Ask(Ask::Whole);
    }
    let asked = query.name().to_ascii().to_ascii_lowercase();
    let kind = kind_of(query.query_type());
    let mut found = names.read(|names| names.answer(asked.trim_end_matches('.'), kind));
    let domain = names.read(|names| names.domain().to_owned());
    let mut owner = query.name().clone();
    reply.metadata.authoritative = true;
    // An alias may lead to another; a few steps are as many as anybody needs.
    for _ in 0..8 {
        match found {
            Answer::Elsewhere if reply.answers.is_empty() => return Reply::Ask(Ask::Whole),
            Answer::Elsewhere => {
                return Reply::Ask(Ask::Alias { reply: Box::new(reply), target: owner, kind: query.query_type(), bytes_max });
            }
            Answer::Records { answers, additional } => {
                add(&mut reply, &owner, &domain, answers, additional);
                break;
            }
            Answer::Alias(target) => {
                let Some(target) = name_of(&target) else { break };
                reply.add_answer(Record::from_rdata(owner, TTL_SECONDS, RData::CNAME(CNAME(target.clone()))));
                if !matches!(kind, Kind::A | Kind::Aaaa) {
                    break;
                }
                found = names.read(|names| names.answer(target.to_ascii().to_ascii_lowercase().trim_end_matches('.'), kind));
                owner = target;
            }
            Answer::NoData | Answer::NoSuchName => {
                if found == Answer::NoSuchName && reply.answers.is_empty() {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                }
                reply.authorities.extend(authority(&domain));
                break;
            }
        }
    }
    Reply::Ready(written(&reply, bytes_max))
}

/// Asks the host's resolvers for what `from_memory` could not answer.
pub(super) async fn with_resolvers(forwarder: &Forwarder, ask: Ask, question: &[u8], transport: Transport) -> Vec<u8> {
    match ask {
        Ask::Whole => match forwarder.ask(question, transport).await {
            Some(bytes) => bytes,
            None => failed(question),
        },
        Ask::Alias { mut reply, target, kind, bytes_max } => {
            let mut request = Message::new(reply.metadata.id, MessageType::Query, OpCode::Query);
            request.metadata.recursion_desired = true;
            request.add_query(Query::query(target, kind));
            let bytes = match request.to_vec() {
                Ok(question) => forwarder.ask(&question, Transport::Tcp).await,
                Err(_) => None,
            };
            match bytes.and_then(|bytes| Message::from_vec(&bytes).ok()) {
                Some(found) => reply.answers.extend(found.answers),
                // The alias alone would look like a name without addresses.
                None => reply.metadata.response_code = ResponseCode::ServFail,
            }
            written(&reply, bytes_max)
        }
    }
}

fn bytes_max(request: &Message, transport: Transport) -> usize {
    match (transport, &request.edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, Some(edns)) => usize::from(edns.max_payload().clamp(PLAIN_BYTES_MAX, EDNS_BYTES_MAX)),
        (Transport::Udp, None) => usize::from(PLAIN_BYTES_MAX),
    }
}

/// The message, or where it is too large as many answers as fit and the sign to ask again over TCP (old C libraries make do
/// with the part). Additional records are no loss.
fn written(reply: &Message, bytes_max: usize) -> Vec<u8> {
    let mut bytes = reply.to_vec().unwrap_or_default();
    if bytes.len() <= bytes_max {
        return bytes;
    }
    let mut smaller = reply.clone();
    smaller.additionals.clear();
    bytes = smaller.to_vec().unwrap_or_default();
    while bytes.len() > bytes_max && !smaller.answers.is_empty() {
        smaller.metadata.truncation = true;
        let n_answers = smaller.answers.len();
        smaller.answers.truncate((n_answers * bytes_max / bytes.len()).min(n_answers - 1));
        bytes = smaller.to_vec().unwrap_or_default();
    }
    bytes
}

fn add(reply: &mut Message, owner: &Name, domain: &str, answers: Vec<names::Record>, additional: Vec<names::Record>) {
    /// Turns the list by one each time, so that clients which take the first address share the load.
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let mut records: Vec<Record> = answers.into_iter().filter_map(|record| record_of(owner, domain, record)).collect();
    if !records.is_empty() {
        let by = TURN.fetch_add(1, Ordering::Relaxed) % records.len();
        records.rotate_left(by);
    }
    reply.answers.extend(records);
    reply.additionals.extend(additional.into_iter().filter_map(|record| record_of(owner, domain, record)));
}

fn record_of(owner: &Name, domain: &str, record: names::Record) -> Option<Record> {
    let name = match &record.name {
        Some(name) => name_of(name)?,
        None => owner.clone(),
    };
    let data = match record.data {
        Data::Address(IpAddr::V4(ip)) => RData::A(A(ip)),
        Data::Address(IpAddr::V6(ip)) => RData::AAAA(AAAA(ip)),
        Data::Cname(target) => RData::CNAME(CNAME(name_of(&target)?)),
        Data::Ptr(target) => RData::PTR(PTR(name_of(&target)?)),
        Data::Ns(target) => RData::NS(NS(name_of(&target)?)),
        Data::Srv { priority, weight, port, target } => RData::SRV(SRV::new(priority, weight, port, name_of(&target)?)),
        Data::Txt(text) => RData::TXT(TXT::new(vec![text])),
        Data::Soa => soa(domain)?,
    };
    Some(Record::from_rdata(name, TTL_SECONDS, data))
}

/// Tells for how long "there is none" holds.
fn authority(domain: &str) -> Option<Record> {
    Some(Record::from_rdata(name_of(domain)?, TTL_SECONDS, soa(domain)?))
}

/// The figures are CoreDNS's. Nobody transfers the zone, so its serial number need not count.
fn soa(domain: &str) -> Option<RData> {
    let server = name_of(&format!("ns.dns.{domain}"))?;
    let mailbox = name_of(&format!("hostmaster.{domain}"))?;
    Some(RData::SOA(SOA::new(server, mailbox, 1, 7200, 1800, 86400, TTL_SECONDS)))
}

fn name_of(text: &str) -> Option<Name> {
    let mut name = Name::from_str_relaxed(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

fn kind_of(record_type: RecordType) -> Kind {
    match record_type {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::SRV => Kind::Srv,
        RecordType::PTR => Kind::Ptr,
        RecordType::CNAME => Kind::Cname,
        RecordType::TXT => Kind::Txt,
        RecordType::SOA => Kind::Soa,
        RecordType::NS => Kind::Ns,
        _ => Kind::Other,
    }
}

/// A head with the question's id and "format error".
fn malformed(question: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 12];
    head[..2].copy_from_slice(&question[..2]);
    head[2] = 0x80 | (question[2] & 0x79);
    head[3] = 0x80 | 1;
    head
}

/// The question with "server failure".
fn failed(question: &[u8]) -> Vec<u8> {
    let Ok(request) = Message::from_vec(question) else { return malformed(question) };
    let mut reply = Message::new(0, MessageType::Response, OpCode::Query);
    reply.metadata = Metadata::response_from_request(&request.metadata);
    reply.metadata.recursion_available = true;
    reply.metadata.response_code = ResponseCode::ServFail;
    reply.add_queries(request.queries);
    reply.to_vec().unwrap_or_default()
}
