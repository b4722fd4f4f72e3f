//! Certificate requests (PKCS#10).

use std::collections::HashSet;

use crate::der::{self, Reader};
use crate::key::{self, Key, Scheme};

/// A request whose form is right.
#[derive(Debug)]
pub struct Request {
    pub key: Key,
    scheme: Scheme,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

const ATTRIBUTES: u8 = 0xa0;
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];

pub fn parse(der: &[u8]) -> Result<Request, String> {
    let mut outer = Reader::new(der);
    let mut whole = outer.expect(der::SEQUENCE, "certificateRequest")?.reader();
    let signed = whole.expect(der::SEQUENCE, "tbsCertificateRequest")?;
    let mut inner = signed.reader();
    inner.expect(der::INTEGER, "int")?;
    let subject = inner.any()?;
    let info = inner.expect(der::SEQUENCE, "publicKeyInfo")?;
    // Read before it is looked at, as Go does.
    let mut parts = info.reader();
    key::algorithm(&parts.expect(der::SEQUENCE, "AlgorithmIdentifier")?)?;
    der::bits(&parts.expect(der::BIT_STRING, "BitString")?)?;
    let attributes = inner.expect(ATTRIBUTES, "")?;
    let scheme = key::scheme(&key::algorithm(&whole.expect(der::SEQUENCE, "AlgorithmIdentifier")?)?);
    let signature = der::bits(&whole.expect(der::BIT_STRING, "BitString")?)?;
    if !outer.is_empty() {
        return Err(der::trailing());
    }
    let key = key::parse_info(&info)?;
    let mut names = Reader::new(subject.whole).expect(der::SEQUENCE, "RDNSequence")?.reader();
    while !names.is_empty() {
        let mut set = names.expect(der::SET, "RelativeDistinguishedNameSET")?.reader();
        while !set.is_empty() {
            let mut pair = set.expect(der::SEQUENCE, "AttributeTypeAndValue")?.reader();
            pair.expect(der::OID, "ObjectIdentifier")?;
            pair.any()?;
        }
    }
    check_extensions(&mut attributes.reader())?;
    Ok(Request { key, scheme, signed: signed.whole.to_vec(), signature })
}

/// Attributes that cannot be read are passed over, but for the extensions that are asked for.
fn check_extensions(attributes: &mut Reader<'_>) -> Result<(), String> {
    let mut seen = HashSet::new();
    while !attributes.is_empty() {
        let mut attribute = attributes.any()?.reader();
        let Ok(oid) = attribute.expect(der::OID, "") else { continue };
        let Ok(values) = attribute.expect(der::SET, "") else { continue };
        if oid.inner != EXTENSION_REQUEST || values.inner.is_empty() {
            continue;
        }
        let mut extensions = values.reader().expect(der::SEQUENCE, "")?.reader();
        while !extensions.is_empty() {
            let extension = extensions.expect(der::SEQUENCE, "Extension")?;
            if !seen.insert(extension.reader().expect(der::OID, "ObjectIdentifier")?.inner) {
                return Err("x509: certificate request contains duplicate requested extensions".to_owned());
            }
        }
    }
    Ok(())
}

impl Request {
    /// Whether whoever made it has the key.
    pub fn check_signature(&self) -> Result<(), String> {
        key::check(&self.key, self.scheme, &self.signed, &self.signature)
    }
}
