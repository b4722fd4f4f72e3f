//! Public keys as they stand in certificates and requests, and whether a signature was made with one.

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use crate::der::{self, Reader, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P224,
    P256,
    P384,
    P521,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rsa { bits: usize },
    Ecdsa(Curve),
    Ed25519,
    X25519,
    Dsa,
    Unknown,
}

/// A key and its own form: a point, or the two numbers of RSA as DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub kind: Kind,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Rsa(Hash),
    RsaPss(Hash),
    Ecdsa(Hash),
    Ed25519,
    Md5Rsa,
    Unknown,
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const X25519: &[u8] = &[0x2b, 0x65, 0x6e];
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
const NULL: &[u8] = &[der::NULL, 0];

/// Curves by their names, with the length of a number.
const CURVES: &[(&[u8], Curve, usize)] = &[
    (&[0x2b, 0x81, 0x04, 0x00, 0x21], Curve::P224, 28),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], Curve::P256, 32),
    (&[0x2b, 0x81, 0x04, 0x00, 0x22], Curve::P384, 48),
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], Curve::P521, 66),
];

const SCHEMES: &[(&[u8], Scheme)] = &[
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], Scheme::Md5Rsa),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], Scheme::Rsa(Hash::Sha1)),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], Scheme::Rsa(Hash::Sha256)),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], Scheme::Rsa(Hash::Sha384)),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], Scheme::Rsa(Hash::Sha512)),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], Scheme::Ecdsa(Hash::Sha1)),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], Scheme::Ecdsa(Hash::Sha256)),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], Scheme::Ecdsa(Hash::Sha384)),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], Scheme::Ecdsa(Hash::Sha512)),
    (ED25519, Scheme::Ed25519),
];
const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// The hash that the parameters of PSS name.
const PSS_HASHES: &[(&[u8], Hash)] = &[
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01], Hash::Sha256),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02], Hash::Sha384),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03], Hash::Sha512),
];

/// An algorithm and its parameters, as Go reads them.
pub(crate) struct Algorithm<'a> {
    oid: &'a [u8],
    parameters: Option<Value<'a>>,
}

pub(crate) fn algorithm<'a>(sequence: &Value<'a>) -> Result<Algorithm<'a>, String> {
    let mut inner = sequence.reader();
    let oid = inner.expect(der::OID, "ObjectIdentifier")?.inner;
    let parameters = if inner.is_empty() { None } else { Some(inner.any()?) };
    Ok(Algorithm { oid, parameters })
}

/// Of an algorithm that is not known, the key is not looked at.
pub(crate) fn parse_info(info: &Value<'_>) -> Result<Key, String> {
    let mut inner = info.reader();
    let algorithm = algorithm(&inner.expect(der::SEQUENCE, "AlgorithmIdentifier")?)?;
    let bytes = der::bits(&inner.expect(der::BIT_STRING, "BitString")?)?;
    let is_bare = algorithm.parameters.is_none();
    let fault = |text: &str| Err(format!("x509: {text}"));
    let kind = match algorithm.oid {
        RSA => {
            if algorithm.parameters.is_none_or(|parameters| parameters.whole != NULL) {
                return fault("RSA key missing NULL parameters");
            }
            Kind::Rsa { bits: rsa_bits(&bytes)? }
        }
        ECDSA => {
            let Some(oid) = algorithm.parameters.filter(|oid| oid.identifier == der::OID) else { return fault("invalid ECDSA parameters") };
            let Some((_, curve, length)) = CURVES.iter().find(|(name, ..)| *name == oid.inner) else {
                return fault("unsupported elliptic curve");
            };
            if bytes.len() != 1 + 2 * length || bytes[0] != 4 {
                return Err("crypto/ecdsa: invalid uncompressed public key".to_owned());
            }
            Kind::Ecdsa(*curve)
        }
        ED25519 if !is_bare => return fault("Ed25519 key encoded with illegal parameters"),
        ED25519 if bytes.len() != 32 => return fault("wrong Ed25519 public key size"),
        ED25519 => Kind::Ed25519,
        X25519 if !is_bare => return fault("X25519 key encoded with illegal parameters"),
        X25519 => Kind::X25519,
        DSA => Kind::Dsa,
        _ => Kind::Unknown,
    };
    Ok(Key { kind, bytes })
}

/// How long the modulus is, in whole bytes as upstream counts.
fn rsa_bits(bytes: &[u8]) -> Result<usize, String> {
    let mut inner = Reader::new(bytes).want(der::SEQUENCE, "invalid RSA public key")?.reader();
    let modulus = inner.want(der::INTEGER, "invalid RSA modulus")?.inner;
    let exponent = inner.want(der::INTEGER, "invalid RSA public exponent")?.inner;
    let is_positive = |number: &[u8]| number.first().is_some_and(|first| first & 0x80 == 0) && number.iter().any(|byte| *byte != 0);
    if !is_positive(modulus) {
        return Err("x509: RSA modulus is not a positive number".to_owned());
    }
    if !is_positive(exponent) {
        return Err("x509: RSA public exponent is not a positive number".to_owned());
    }
    Ok(modulus.iter().skip_while(|byte| **byte == 0).count() * 8)
}

pub(crate) fn scheme(algorithm: &Algorithm<'_>) -> Scheme {
    if algorithm.oid == PSS {
        let parameters = algorithm.parameters.map_or(&[][..], |parameters| parameters.whole);
        let names = |oid: &[u8]| parameters.windows(oid.len()).any(|window| window == oid);
        return PSS_HASHES.iter().find(|(oid, _)| names(oid)).map_or(Scheme::Unknown, |(_, hash)| Scheme::RsaPss(*hash));
    }
    SCHEMES.iter().find(|(oid, _)| *oid == algorithm.oid).map_or(Scheme::Unknown, |(_, scheme)| *scheme)
}

/// The fault that Go finds with a request's signature.
pub(crate) fn check(key: &Key, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), String> {
    const UNKNOWN: &str = "x509: cannot verify signature: algorithm unimplemented";
    let wanted = match scheme {
        Scheme::Unknown => return Err(UNKNOWN.to_owned()),
        Scheme::Md5Rsa => return Err("x509: cannot verify signature: insecure algorithm MD5-RSA".to_owned()),
        Scheme::Rsa(_) | Scheme::RsaPss(_) => "RSA",
        Scheme::Ecdsa(_) => "ECDSA",
        Scheme::Ed25519 => "Ed25519",
    };
    let (own, go_type, failure) = match key.kind {
        Kind::Rsa { .. } => ("RSA", "*rsa.PublicKey", "crypto/rsa: verification error"),
        Kind::Ecdsa(_) => ("ECDSA", "*ecdsa.PublicKey", "x509: ECDSA verification failure"),
        Kind::Ed25519 => ("Ed25519", "ed25519.PublicKey", "x509: Ed25519 verification failure"),
        Kind::X25519 | Kind::Dsa | Kind::Unknown => return Err(UNKNOWN.to_owned()),
    };
    if own != wanted {
        return Err(format!("x509: signature algorithm specifies an {wanted} public key, but have public key of type {go_type}"));
    }
    if let Kind::Rsa { bits } = key.kind
        && bits < 1024
    {
        const SEE: &str = "https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size";
        return Err(format!("crypto/rsa: {bits}-bit keys are insecure (see {SEE})"));
    }
    if verifies(key, scheme, message, signature) { Ok(()) } else { Err(failure.to_owned()) }
}

fn verifies(key: &Key, scheme: Scheme, message: &[u8], signature: &[u8]) -> bool {
    let is_short = matches!(key.kind, Kind::Rsa { bits } if bits < 2048);
    let algorithm: &dyn VerificationAlgorithm = match (scheme, key.kind) {
        (Scheme::Rsa(Hash::Sha1), _) => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        (Scheme::Rsa(Hash::Sha256), _) if is_short => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        (Scheme::Rsa(Hash::Sha512), _) if is_short => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        (Scheme::Rsa(Hash::Sha256), _) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (Scheme::Rsa(Hash::Sha384), _) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (Scheme::Rsa(Hash::Sha512), _) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (Scheme::RsaPss(Hash::Sha256), _) => &signature::RSA_PSS_2048_8192_SHA256,
        (Scheme::RsaPss(Hash::Sha384), _) => &signature::RSA_PSS_2048_8192_SHA384,
        (Scheme::RsaPss(Hash::Sha512), _) => &signature::RSA_PSS_2048_8192_SHA512,
        (Scheme::Ecdsa(Hash::Sha256), Kind::Ecdsa(Curve::P256)) => &signature::ECDSA_P256_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), Kind::Ecdsa(Curve::P256)) => &signature::ECDSA_P256_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), Kind::Ecdsa(Curve::P384)) => &signature::ECDSA_P384_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), Kind::Ecdsa(Curve::P384)) => &signature::ECDSA_P384_SHA384_ASN1,
        (Scheme::Ed25519, Kind::Ed25519) => &signature::ED25519,
        _ => return false,
    };
    UnparsedPublicKey::new(algorithm, &key.bytes).verify(message, signature).is_ok()
}
