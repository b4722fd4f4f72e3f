use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::{Authority, Leaf, Subject, Usage, subject, tls, token::TokenKey};

fn named(pem: &str) -> Subject {
    subject(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

#[test]
fn an_authority_issues_and_signs_what_it_is_asked_for() {
    let now = Timestamp::now();
    let authority = Authority::create("coracle-ca", now).unwrap();
    let admin = authority.issue(&Leaf::client("admin", "system:masters"), now).unwrap();
    assert_eq!(named(&admin.certificate_pem), Subject { common_name: "admin".into(), organizations: vec!["system:masters".into()] });

    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "system:node:a");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let signed = authority.sign(&request, Usage::Client, Duration::from_secs(3600), now).unwrap();
    assert_eq!(named(&signed).common_name, "system:node:a");

    let server = authority.issue(&Leaf::server("s", vec!["localhost".into()], vec!["127.0.0.1".parse().unwrap()]), now).unwrap();
    tls::server(&server, authority.certificate_pem()).unwrap();
    tls::client(authority.certificate_pem(), Some(&admin), tls::Protocols::Http1).unwrap();
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
