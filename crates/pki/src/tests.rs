use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use object::time::Clock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ServerConfig};

use crate::token::TokenKey;
use crate::{Authority, Identity, KeyPair, Leaf, Renewal, Subject, Usage, ask, renewal, subject, tls};

fn named(pem: &str) -> (String, Vec<String>) {
    let subject = subject(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    (subject.common_name, subject.organizations)
}

fn days(n: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * n)
}

#[test]
fn an_authority_issues_and_signs_what_it_is_asked_for() {
    let now = Timestamp::now();
    let authority = Authority::create("coracle-ca", now).unwrap();
    let admin = authority.issue(&Leaf::client("admin", "system:masters"), now).unwrap();
    assert_eq!(named(&admin.certificate_pem), ("admin".into(), vec!["system:masters".into()]));

    let (_, request) = ask(&Leaf::client("system:node:a", "system:nodes"), now).unwrap();
    let signed = authority.sign(&request, Usage::Client, Duration::from_secs(3600), now).unwrap();
    assert_eq!(named(&signed).0, "system:node:a");
}

#[test]
fn nothing_outlives_its_authority() {
    let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let authority = Authority::create("coracle-ca", now).unwrap();
    let issue = |at| authority.issue(&Leaf::client("admin", "system:masters"), at).map(|pair| pair.subject().unwrap().until);
    assert_eq!(issue(now).unwrap(), now + days(365));
    assert_eq!(issue(now + days(3600)).unwrap(), now + days(3650));
    assert!(issue(now + days(3651)).is_err());
}

#[test]
fn certificates_are_renewed_between_seven_and_nine_tenths_of_their_life() {
    let from: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let subject = Subject { common_name: String::new(), organizations: Vec::new(), from, until: from + days(100) };
    for (chance, day) in [(0.0, 70), (0.5, 80), (1.0, 90)] {
        assert_eq!(renewal::due(&subject, chance).duration_since(from + days(day)).as_secs(), 0, "{chance}");
    }
}

/// Two days of certificates of an hour, on a clock that runs as tokio's paused one; every tenth renewal fails at first.
#[tokio::test(start_paused = true)]
async fn there_is_always_a_fresh_one() {
    let start: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let began = tokio::time::Instant::now();
    let clock = Clock::virtual_time(move || start + SignedDuration::try_from(began.elapsed()).unwrap());
    let authority = Authority::create("coracle-ca", start).unwrap();
    let (_, request) = ask(&Leaf::client("system:node:a", "system:nodes"), start).unwrap();
    let sign = |now| KeyPair { certificate_pem: authority.sign(&request, Usage::Client, HOUR, now).unwrap(), key_pem: String::new() };
    let mut current = sign(start);
    let mut renewal = Renewal::of("test", &current, clock.clone()).unwrap();
    let mut n_asked = 0;
    while clock.now() < start + SignedDuration::from_hours(50) {
        renewal.due().await;
        assert!(current.subject().unwrap().until > clock.now());
        n_asked += 1;
        let renewed = if n_asked % 10 == 0 { Err("busy") } else { Ok(sign(clock.now())) };
        current = renewed.clone().unwrap_or(current);
        renewal.note(renewed);
    }
    assert!((55..=80).contains(&n_asked), "{n_asked} in fifty hours");
}

const HOUR: Duration = Duration::from_secs(3600);

/// The names that a server and a client see of each other in one handshake.
fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (String, String) {
    let mut server = rustls::ServerConnection::new(server.clone()).unwrap();
    let mut client = rustls::ClientConnection::new(client.clone(), "localhost".try_into().unwrap()).unwrap();
    while server.is_handshaking() || client.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    let name = |chain: Option<&[CertificateDer<'_>]>| subject(&chain.unwrap()[0]).unwrap().common_name;
    (name(client.peer_certificates()), name(server.peer_certificates()))
}

#[test]
fn what_is_shown_can_be_exchanged() {
    let now = Timestamp::now();
    let authority = Authority::create("coracle-ca", now).unwrap();
    let serving = |name| authority.issue(&Leaf::server(name, vec!["localhost".into()], Vec::new()), now).unwrap();
    let asking = |name| authority.issue(&Leaf::client(name, "system:masters"), now).unwrap();
    let (server, client) = (Identity::new(&serving("server-1")).unwrap(), Identity::new(&asking("client-1")).unwrap());
    let ca = authority.certificate_pem();
    let settings = (tls::server(&server, ca).unwrap(), tls::client(ca, Some(&client), tls::Protocols::Http1).unwrap());
    let shown = || handshake(&settings.0, &settings.1);
    assert_eq!(shown(), ("server-1".into(), "client-1".into()));
    server.exchange(&serving("server-2")).unwrap();
    client.exchange(&asking("client-2")).unwrap();
    assert_eq!(shown(), ("server-2".into(), "client-2".into()));
}

#[test]
fn tokens_verify_only_unchanged() {
    let key = TokenKey::generate().unwrap();
    let token = key.sign(r#"{"sub":"x"}"#).unwrap();
    assert_eq!(key.verify(&token).as_deref(), Some(r#"{"sub":"x"}"#));
    assert_eq!(TokenKey::generate().unwrap().verify(&token), None);
    for position in [0, token.len() / 2, token.len() - 2] {
        let mut bad = token.clone().into_bytes();
        bad[position] = if bad[position] == b'A' { b'B' } else { b'A' };
        assert_eq!(key.verify(&String::from_utf8(bad).unwrap()), None);
    }
}
