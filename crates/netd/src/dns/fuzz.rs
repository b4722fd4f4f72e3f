//! Bent questions of pods, and bent answers of the host's resolvers.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use net_plan::names::Names;
use tokio::time::Instant;

use super::SharedNames;
use super::cache::Cache;
use super::forward::name_servers;
use super::reply::{Ask, Reply, from_memory};
use super::transport::Transport;

fn message(kind: MessageType, name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(7, kind, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), record_type));
    message
}

fn names() -> SharedNames {
    let mut names = Names::new("cluster.local", vec![[10, 96, 0, 10].into()]);
    names.set_namespace("default", true);
    SharedNames::new(names)
}

/// A question; what is not answered from memory would go to the resolvers as it is.
#[test]
fn questions() {
    use RecordType::{A, AAAA, PTR, SOA, SRV, TXT};
    let asked = [
        ("kubernetes.default.svc.cluster.local.", A),
        ("10-1-2-3.default.pod.cluster.local.", AAAA),
        ("_x._tcp.a.default.svc.cluster.local.", SRV),
        ("10.0.96.10.in-addr.arpa.", PTR),
        ("cluster.local.", SOA),
        ("dns-version.cluster.local.", TXT),
        ("example.com.", A),
        (".", A),
    ];
    let mut seeds: Vec<Message> = asked.iter().map(|(name, record_type)| message(MessageType::Query, name, *record_type)).collect();
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    seeds[0].set_edns(edns);
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec().expect("a message")).collect();
    let names = names();
    ::fuzz::run(&seeds, &["\x03svc", "\x07cluster", "\x05local", "\x3f", "\u{c0}\x0c", "\x01*", "\x04arpa"], |question| {
        for transport in [Transport::Udp, Transport::Tcp] {
            match from_memory(&names, question, transport) {
                Reply::Ready(answer) => assert_eq!(answer.get(..2), question.get(..2), "the id is the question's"),
                Reply::Ask(Ask::Whole | Ask::Alias { .. }) => {}
                Reply::Silence => return false,
            }
        }
        true
    });
}

#[test]
fn answers_of_resolvers() {
    let name = || Name::from_ascii("example.com.").expect("a name");
    let question = message(MessageType::Query, "example.com.", RecordType::A).to_vec().expect("a message");
    let mut found = message(MessageType::Response, "example.com.", RecordType::A);
    found.add_answer(Record::from_rdata(name(), 30, RData::A(A::new(1, 2, 3, 4))));
    let mut none = message(MessageType::Response, "example.com.", RecordType::A);
    none.authorities.push(Record::from_rdata(name(), 30, RData::SOA(SOA::new(name(), name(), 1, 2, 3, 4, 5))));
    let seeds = [found, none].map(|seed| seed.to_vec().expect("a message"));
    let now = Instant::now();
    ::fuzz::run(&seeds, &["\u{c0}\x0c", "\0\x06", "\0\x29", "\0\0\0\x1e"], |answer| {
        let mut cache = Cache::default();
        cache.keep(&question, Transport::Udp, answer, now);
        cache.get(&question, Transport::Udp, now + std::time::Duration::from_secs(1)).is_some()
    });
}

#[test]
fn resolv_conf() {
    let seeds = ["# c\nnameserver 1.1.1.1\nnameserver fe80::1%eth0\nsearch a b\noptions ndots:5\n"];
    ::fuzz::run(&seeds, &["nameserver ", "\n", "::1", "%", "\t"], |bytes| {
        std::str::from_utf8(bytes).is_ok_and(|text| !name_servers(text, &[[1, 1, 1, 1].into()]).is_empty())
    });
}
