//! Requests and certificates made with OpenSSL; what is said of broken ones is what Go says.

use crate::key::{Curve, Kind};
use crate::{certificate, pem, request};

fn der(text: &str) -> Vec<u8> {
    pem::blocks(text.as_bytes()).next().expect("a block").bytes
}

#[test]
fn requests_prove_their_keys() {
    let check = |text: &str, kind: Kind, said: Result<(), &str>| {
        let request = request::parse(&der(text)).expect("a request");
        assert_eq!(request.key.kind, kind);
        assert_eq!(request.check_signature(), said.map_err(str::to_owned), "{kind:?}");
    };
    check(include_str!("../golden/p256.csr"), Kind::Ecdsa(Curve::P256), Ok(()));
    check(include_str!("../golden/p384.csr"), Kind::Ecdsa(Curve::P384), Ok(()));
    check(include_str!("../golden/p521.csr"), Kind::Ecdsa(Curve::P521), Err("x509: ECDSA verification failure"));
    check(include_str!("../golden/ed25519.csr"), Kind::Ed25519, Ok(()));
    check(include_str!("../golden/rsa2048.csr"), Kind::Rsa { bits: 2048 }, Ok(()));
    check(include_str!("../golden/rsa3072.csr"), Kind::Rsa { bits: 3072 }, Ok(()));
}

#[test]
fn broken_requests() {
    let whole = der(include_str!("../golden/p256.csr"));
    let check = |der: &[u8], said: &str| assert_eq!(request::parse(der).expect_err("broken"), said);
    check(&[], "asn1: syntax error: sequence truncated");
    check(&whole[..whole.len() - 1], "asn1: syntax error: data truncated");
    check(&[&whole[..], &[0]].concat(), "asn1: syntax error: trailing data");
    let said = request::parse(b"\x02\x01a").expect_err("broken");
    assert!(said.starts_with("asn1: structure error: tags don't match (16 vs {class:0 tag:2 length:1 isCompound:false})"), "{said}");
    let mut forged = whole.clone();
    *forged.last_mut().expect("bytes") ^= 1;
    let said = request::parse(&forged).expect("its form is right").check_signature();
    assert_eq!(said, Err("x509: ECDSA verification failure".to_owned()));
}

#[test]
fn certificates_are_read() {
    let authority = certificate::parse(&der(include_str!("../golden/authority.crt"))).expect("a certificate");
    let leaf = certificate::parse(&der(include_str!("../golden/leaf.crt"))).expect("a certificate");
    assert!(authority.is_authority && !leaf.is_authority && authority.key == leaf.key);
    assert_eq!((leaf.dns_names, leaf.emails), (vec!["a.example.com".to_owned()], vec!["a@example.com".to_owned()]));
    assert!(leaf.not_before < leaf.not_after);
    assert_eq!(certificate::parse(b"a").expect_err("broken"), "x509: malformed certificate");
}
