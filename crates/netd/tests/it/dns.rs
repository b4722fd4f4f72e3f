use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use net_plan::names::Names;
use netd::dns::{DnsSettings, SharedNames, serve};
use object::key::ObjectKey;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::node::Folder;

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LARGE: usize = 80;

/// A name with few addresses, one with many, one that stands for another, and one within the cluster that does.
fn names() -> SharedNames {
    let mut names = Names::new("cluster.local", vec!["10.96.0.10".parse().expect("an address")]);
    names.set_namespace("default", true);
    let mut set = |name: &str, spec: serde_json::Value, endpoints: Vec<serde_json::Value>| {
        let service = serde_json::from_value(json!({"metadata": {"namespace": "default", "name": name}, "spec": spec})).expect("a service");
        let slice = json!({"metadata": {}, "addressType": "IPv4", "ports": [], "endpoints": endpoints});
        let slices = vec![Arc::new(serde_json::from_value(slice).expect("a slice"))];
        names.set_service(&ObjectKey::new("default", name), Some(Arc::new(service)), slices);
    };
    set("web", json!({"clusterIP": "10.96.0.20", "ports": [{"name": "http", "port": 80}]}), Vec::new());
    set("many", json!({"clusterIP": "None"}), (0..LARGE).map(|n| json!({"addresses": [format!("10.244.0.{n}")]})).collect());
    set("out", json!({"type": "ExternalName", "externalName": "www.example.com"}), Vec::new());
    set("near", json!({"type": "ExternalName", "externalName": "web.default.svc.cluster.local"}), Vec::new());
    SharedNames::new(names)
}

/// A port that is free for both transports.
async fn free_port(ip: IpAddr) -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((ip, 0)).await.expect("a port");
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("bound")).await {
            return (udp, tcp);
        }
    }
}

/// A resolver that knows every name below `example.com`, cuts what it says of `large.example.com` over UDP, and does not
/// answer its first question, so that asking again is tried.
async fn resolver() -> SocketAddr {
    let (udp, tcp) = free_port(SERVER).await;
    let address = udp.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let mut is_first = true;
        while let Ok((len, from)) = udp.recv_from(&mut buffer).await {
            let mut answer = known(&buffer[..len]);
            if std::mem::take(&mut is_first) {
                continue;
            }
            if answer.queries[0].name().to_ascii().starts_with("large") {
                answer = answer.truncate();
            }
            let _ = udp.send_to(&answer.to_vec().expect("a message"), from).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let len = stream.read_u16().await.expect("a length");
            let mut question = vec![0; usize::from(len)];
            stream.read_exact(&mut question).await.expect("a question");
            let answer = known(&question).to_vec().expect("a message");
            stream.write_u16(answer.len() as u16).await.expect("written");
            stream.write_all(&answer).await.expect("written");
        }
    });
    address
}

fn known(question: &[u8]) -> Message {
    let request = Message::from_vec(question).expect("a question");
    let mut answer = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
    let name = request.queries[0].name().clone();
    answer.add_queries(request.queries.iter().cloned());
    if name.to_ascii().ends_with("example.com.") {
        answer.add_answer(Record::from_rdata(name, 60, RData::A(A::new(203, 0, 113, 1))));
    } else {
        answer.metadata.response_code = hickory_proto::op::ResponseCode::NXDomain;
    }
    answer
}

fn shown(message: &Message) -> String {
    let metadata = &message.metadata;
    let flags = [(metadata.authoritative, " aa"), (metadata.truncation, " tc"), (metadata.recursion_available, " ra")];
    let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, text)| *text).collect();
    let records = |records: &[Record]| records.iter().map(|record| format!(" [{record}]")).collect::<String>();
    let answers = if message.answers.len() > 3 { format!(" {} answers", message.answers.len()) } else { records(&message.answers) };
    format!("{:?}{flags}{answers}{}", metadata.response_code, records(&message.authorities))
}

async fn over_udp(server: SocketAddr, question: &Message) -> Message {
    let socket = UdpSocket::bind((SERVER, 0)).await.expect("a port");
    socket.send_to(&question.to_vec().expect("a message"), server).await.expect("sent");
    let mut buffer = [0; 4096];
    let len = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer)).await.expect("in time").expect("an answer");
    Message::from_vec(&buffer[..len]).expect("a message")
}

async fn over_tcp(server: SocketAddr, question: &Message) -> Message {
    let mut stream = TcpStream::connect(server).await.expect("it listens");
    let question = question.to_vec().expect("a message");
    stream.write_u16(question.len() as u16).await.expect("written");
    stream.write_all(&question).await.expect("written");
    let mut answer = vec![0; usize::from(stream.read_u16().await.expect("a length"))];
    stream.read_exact(&mut answer).await.expect("an answer");
    Message::from_vec(&answer).expect("a message")
}

fn question(name: &str, kind: RecordType, edns: Option<u16>) -> Message {
    let mut message = Message::new(77, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    if let Some(bytes_max) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(bytes_max);
        message.set_edns(edns);
    }
    message
}

async fn server(folder: &Path) -> (SocketAddr, tokio::task::JoinSet<()>) {
    // The server never asks its own addresses, whatever the port.
    let own = "127.0.0.2".parse().expect("an address");
    let port = free_port(own).await.0.local_addr().expect("bound").port();
    let upstream = resolver().await;
    let resolv_conf = folder.join("resolv.conf");
    std::fs::write(&resolv_conf, format!("search lan\nnameserver [{}]:{}\n", upstream.ip(), upstream.port())).expect("written");
    let settings = DnsSettings { addresses: vec![own], port, resolv_conf };
    let tasks = serve(settings, names());
    let address = SocketAddr::new(own, port);
    while TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    (address, tasks)
}

fn check(questions: &[(&str, RecordType, Option<u16>)], expected: Expect) {
    let folder = Folder::new("dns");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let text = runtime.block_on(async {
        let (address, _tasks) = server(&folder.0).await;
        let mut text = String::new();
        for (name, kind, edns) in questions {
            let question = question(name, *kind, *edns);
            let (udp, tcp) = (over_udp(address, &question).await, over_tcp(address, &question).await);
            assert_eq!(udp.metadata.id, 77);
            assert_eq!(udp.queries, question.queries, "the question comes back as it was asked");
            let (udp, tcp) = (shown(&udp), shown(&tcp));
            text += &format!("{kind} {name}: {udp}\n");
            if tcp != udp {
                text += &format!("  over TCP: {tcp}\n");
            }
        }
        text
    });
    expected.assert_eq(&text);
}

#[test]
fn cluster_names_are_answered_from_memory() {
    check(
        &[
            ("web.default.svc.cluster.local.", RecordType::A, None),
            ("WeB.default.svc.Cluster.Local.", RecordType::A, Some(1232)),
            ("web.default.svc.cluster.local.", RecordType::AAAA, None),
            ("web.default.svc.cluster.local.default.svc.cluster.local.", RecordType::A, None),
            ("_http._tcp.web.default.svc.cluster.local.", RecordType::SRV, None),
            ("20.0.96.10.in-addr.arpa.", RecordType::PTR, None),
            ("cluster.local.", RecordType::SOA, None),
            ("near.default.svc.cluster.local.", RecordType::A, None),
        ],
        expect![[r#"
            A web.default.svc.cluster.local.: NoError aa ra [web.default.svc.cluster.local. 5 IN A 10.96.0.20]
            A WeB.default.svc.Cluster.Local.: NoError aa ra [WeB.default.svc.Cluster.Local. 5 IN A 10.96.0.20]
            AAAA web.default.svc.cluster.local.: NoError aa ra [cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5]
            A web.default.svc.cluster.local.default.svc.cluster.local.: NXDomain aa ra [cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5]
            SRV _http._tcp.web.default.svc.cluster.local.: NoError aa ra [_http._tcp.web.default.svc.cluster.local. 5 IN SRV 0 100 80 web.default.svc.cluster.local.]
            PTR 20.0.96.10.in-addr.arpa.: NoError aa ra [20.0.96.10.in-addr.arpa. 5 IN PTR web.default.svc.cluster.local.]
            SOA cluster.local.: NoError aa ra [cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5]
            A near.default.svc.cluster.local.: NoError aa ra [near.default.svc.cluster.local. 5 IN CNAME web.default.svc.cluster.local.] [web.default.svc.cluster.local. 5 IN A 10.96.0.20]
        "#]],
    );
}

#[test]
fn large_answers_are_cut_over_udp() {
    check(
        &[("many.default.svc.cluster.local.", RecordType::A, None), ("many.default.svc.cluster.local.", RecordType::A, Some(4096))],
        expect![[r#"
            A many.default.svc.cluster.local.: NoError aa tc ra 29 answers
              over TCP: NoError aa ra 80 answers
            A many.default.svc.cluster.local.: NoError aa tc ra 73 answers
              over TCP: NoError aa ra 80 answers
        "#]],
    );
}

#[test]
fn other_names_are_forwarded() {
    check(
        &[
            ("www.example.com.", RecordType::A, None),
            ("large.example.com.", RecordType::A, None),
            ("nobody.example.org.", RecordType::A, None),
            ("out.default.svc.cluster.local.", RecordType::A, None),
            ("out.default.svc.cluster.local.", RecordType::CNAME, None),
        ],
        expect![[r#"
            A www.example.com.: NoError [www.example.com. 60 IN A 203.0.113.1]
            A large.example.com.: NoError tc
              over TCP: NoError [large.example.com. 60 IN A 203.0.113.1]
            A nobody.example.org.: NXDomain
            A out.default.svc.cluster.local.: NoError aa ra [out.default.svc.cluster.local. 5 IN CNAME www.example.com.] [www.example.com. 60 IN A 203.0.113.1]
            CNAME out.default.svc.cluster.local.: NoError aa ra [out.default.svc.cluster.local. 5 IN CNAME www.example.com.]
        "#]],
    );
}

#[test]
fn malformed_questions_get_one_clear_answer_or_none() {
    let folder = Folder::new("dns-malformed");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (address, _tasks) = server(&folder.0).await;
        let socket = UdpSocket::bind((SERVER, 0)).await.expect("a port");
        let whole = question("web.default.svc.cluster.local.", RecordType::A, None).to_vec().expect("a message");
        let mut cut = whole.clone();
        cut.truncate(20);
        let mut reply = whole.clone();
        reply[2] |= 0x80;
        // Neither garbage nor replies are answered; what follows them is.
        for bytes in [&[1, 2, 3][..], &reply, &cut] {
            socket.send_to(bytes, address).await.expect("sent");
        }
        let mut buffer = [0; 512];
        let len = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await.expect("in time").expect("an answer");
        assert_eq!((&buffer[..2], buffer[3] & 0x0f, len), (&whole[..2], 1, 12), "a format error with the question's id");
    });
}
