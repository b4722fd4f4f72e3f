//! Authorities and what they sign.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// As kubeadm: an authority lives ten years.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Clocks of joining hosts may lag.
const BACKDATE: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub enum Error {
    File(PathBuf, std::io::Error),
    /// Signing or key making failed on what is named.
    Issue(String, rcgen::Error),
    /// A PEM or DER text is not what it should be.
    Malformed(String),
    Tls(rustls::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::File(path, _) => write!(f, "cannot read or write `{}`", path.display()),
            Error::Issue(what, _) => write!(f, "cannot issue the certificate of `{what}`"),
            Error::Malformed(what) => write!(f, "malformed {what}"),
            Error::Tls(_) => f.write_str("cannot set up TLS"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File(_, e) => Some(e),
            Error::Issue(_, e) => Some(e),
            Error::Malformed(_) => None,
            Error::Tls(e) => Some(e),
        }
    }
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct KeyPair {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair(..)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
    Both,
}

/// What a certificate is for. Kubernetes reads the common name as the user and the organization as a group.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub common_name: String,
    /// One at most: rcgen keeps one value a name type.
    pub organization: Option<String>,
    pub dns_names: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub usage: Usage,
    pub days: u32,
}

impl Leaf {
    pub fn client(user: &str, group: &str) -> Self {
        Leaf {
            common_name: user.to_owned(),
            organization: Some(group.to_owned()),
            dns_names: Vec::new(),
            ips: Vec::new(),
            usage: Usage::Client,
            days: 365,
        }
    }

    pub fn server(name: &str, dns_names: Vec<String>, ips: Vec<IpAddr>) -> Self {
        Leaf { common_name: name.to_owned(), organization: None, dns_names, ips, usage: Usage::Server, days: 365 }
    }
}

impl KeyPair {
    pub fn subject(&self) -> Result<Subject, Error> {
        let malformed = |e| Error::Malformed(format!("certificate: {e}"));
        subject(&CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(malformed)?)
    }
}

/// Whom a certificate names, and when it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub from: Timestamp,
    pub until: Timestamp,
}

/// A certificate authority with its key.
#[derive(Clone, Debug)]
pub struct Authority {
    pair: KeyPair,
}

impl Authority {
    pub fn create(common_name: &str, now: Timestamp) -> Result<Self, Error> {
        let because = |e| Error::Issue(common_name.to_owned(), e);
        let key = rcgen::KeyPair::generate().map_err(because)?;
        let mut params = params(common_name, None, now, AUTHORITY_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(because)?;
        Ok(Authority { pair: KeyPair { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() } })
    }

    /// `<dir>/<name>.crt` and `.key`, made at the first call.
    pub fn load_or_create(dir: &Path, name: &str, common_name: &str, now: Timestamp) -> Result<Self, Error> {
        let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        if !key.exists() {
            let made = Authority::create(common_name, now)?;
            crate::write_private(&certificate, &made.pair.certificate_pem)?;
            crate::write_private(&key, &made.pair.key_pem)?;
        }
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| Error::File(path.to_owned(), e));
        Ok(Authority { pair: KeyPair { certificate_pem: read(&certificate)?, key_pem: read(&key)? } })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.pair.certificate_pem
    }

    pub fn issue(&self, leaf: &Leaf, now: Timestamp) -> Result<KeyPair, Error> {
        let because = |e| Error::Issue(leaf.common_name.clone(), e);
        let key = rcgen::KeyPair::generate().map_err(because)?;
        let mut params = params(&leaf.common_name, leaf.organization.as_deref(), now, self.at_most(DAY * leaf.days, now)?)?;
        for name in &leaf.dns_names {
            let name = name.clone().try_into().map_err(|_| Error::Malformed(format!("DNS name `{name}`")))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params.subject_alt_names.extend(leaf.ips.iter().copied().map(SanType::IpAddress));
        params.extended_key_usages = match leaf.usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        let certificate = params.signed_by(&key, &self.issuer()?).map_err(because)?;
        Ok(KeyPair { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Signs a PKCS#10 request with the subject and names it asks for; who may ask was decided before. Answers the PEM certificate.
    pub fn sign(&self, request_pem: &str, usage: Usage, life: Duration, now: Timestamp) -> Result<String, Error> {
        refuse_several_organizations(request_pem)?;
        let mut request = CertificateSigningRequestParams::from_pem(request_pem).map_err(|e| Error::Issue("the request".to_owned(), e))?;
        let dates = params("", None, now, self.at_most(life, now)?)?;
        let params = &mut request.params;
        (params.not_before, params.not_after, params.serial_number) = (dates.not_before, dates.not_after, dates.serial_number);
        params.is_ca = IsCa::NoCa;
        params.key_usages = dates.key_usages;
        params.extended_key_usages = match usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        let certificate = request.signed_by(&self.issuer()?).map_err(|e| Error::Issue("the request".to_owned(), e))?;
        Ok(certificate.pem())
    }

    /// Nothing outlives the authority it was signed by.
    fn at_most(&self, life: Duration, now: Timestamp) -> Result<Duration, Error> {
        let own = self.pair.subject()?.until.duration_since(now);
        let own = Duration::try_from(own).map_err(|_| Error::Malformed("authority: its certificate has ended".to_owned()))?;
        Ok(life.min(own))
    }

    fn issuer(&self) -> Result<Issuer<'static, rcgen::KeyPair>, Error> {
        let because = |e| Error::Issue("the authority".to_owned(), e);
        let key = rcgen::KeyPair::from_pem(&self.pair.key_pem).map_err(because)?;
        Issuer::from_ca_cert_pem(&self.pair.certificate_pem, key).map_err(because)
    }
}

fn params(common_name: &str, organization: Option<&str>, now: Timestamp, life: Duration) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    if !common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.not_before = date(now - BACKDATE)?;
    params.not_after = date(now + life)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    let mut serial: [u8; 16] = crate::random()?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn date(at: Timestamp) -> Result<time::OffsetDateTime, Error> {
    time::OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| Error::Malformed(format!("date `{at}`")))
}

/// rcgen would keep only the last organization of a request, which changes whom the certificate names.
fn refuse_several_organizations(request_pem: &str) -> Result<(), Error> {
    let malformed = |e: &dyn std::fmt::Display| Error::Malformed(format!("certificate request: {e}"));
    let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes()).map_err(|e| malformed(&e))?;
    let (_, request) = X509CertificationRequest::from_der(&der).map_err(|e| malformed(&e))?;
    match request.certification_request_info.subject.iter_organization().count() {
        0 | 1 => Ok(()),
        n => Err(Error::Malformed(format!("certificate request: names {n} organizations, one is supported"))),
    }
}

/// What a PKCS#10 request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ips: Vec<IpAddr>,
    /// Alternative names of any other kind.
    pub n_other_names: usize,
}

/// A new key, PEM, and a PKCS#10 request for what `leaf` describes, PEM too. Usage and days are for the signer to set.
pub fn ask(leaf: &Leaf, now: Timestamp) -> Result<(String, String), Error> {
    let because = |e| Error::Issue(leaf.common_name.clone(), e);
    let key = rcgen::KeyPair::generate().map_err(because)?;
    let mut wanted = params(&leaf.common_name, leaf.organization.as_deref(), now, DAY)?;
    wanted.key_usages = Vec::new();
    wanted.serial_number = None;
    for name in &leaf.dns_names {
        let name = name.clone().try_into().map_err(|_| Error::Malformed(format!("DNS name `{name}`")))?;
        wanted.subject_alt_names.push(SanType::DnsName(name));
    }
    wanted.subject_alt_names.extend(leaf.ips.iter().copied().map(SanType::IpAddress));
    let request = wanted.serialize_request(&key).and_then(|request| request.pem()).map_err(because)?;
    Ok((key.serialize_pem(), request))
}

/// A new key, PEM, and a request that says nothing but that its holder has the key, DER. `kind` is a `keyType` of the API.
pub fn proof_of_key(kind: &str) -> Result<(String, Vec<u8>), Error> {
    let algorithm = match kind {
        "ECDSAP256" => &rcgen::PKCS_ECDSA_P256_SHA256,
        "ECDSAP384" => &rcgen::PKCS_ECDSA_P384_SHA384,
        "ED25519" => &rcgen::PKCS_ED25519,
        other => return Err(Error::Malformed(format!("key type {other:?}: this node makes ECDSAP256, ECDSAP384 and ED25519"))),
    };
    let because = |e| Error::Issue(kind.to_owned(), e);
    let key = rcgen::KeyPair::generate_for(algorithm).map_err(because)?;
    let mut nothing = rcgen::CertificateParams::default();
    nothing.distinguished_name = rcgen::DistinguishedName::new();
    let request = nothing.serialize_request(&key).map_err(because)?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}

/// Reads a PEM request. Its signature is checked when it is signed.
pub fn request(request_pem: &str) -> Result<Request, Error> {
    let malformed = |e: &dyn std::fmt::Display| Error::Malformed(format!("certificate request: {e}"));
    let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes()).map_err(|e| malformed(&e))?;
    let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|e| malformed(&e))?;
    let name = &parsed.certification_request_info.subject;
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| attribute.as_str().unwrap_or("").to_owned();
    let mut request = Request {
        common_name: name.iter_common_name().next().map(text).unwrap_or_default(),
        organizations: name.iter_organization().map(text).collect(),
        dns_names: Vec::new(),
        ips: Vec::new(),
        n_other_names: 0,
    };
    for extension in parsed.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(name) => request.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                    (Ok(ip), _) => request.ips.push(ip.into()),
                    (_, Ok(ip)) => request.ips.push(ip.into()),
                    _ => return Err(malformed(&"an address of odd length")),
                },
                _ => request.n_other_names += 1,
            }
        }
    }
    Ok(request)
}

/// Reads whom a DER certificate names.
pub fn subject(certificate_der: &[u8]) -> Result<Subject, Error> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(certificate_der).map_err(|e| Error::Malformed(format!("client certificate: {e}")))?;
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_second(time.timestamp()).map_err(|e| Error::Malformed(format!("date of a certificate: {e}")))
    };
    let (name, validity) = (certificate.subject(), certificate.validity());
    let texts = |attributes: &mut dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>>| {
        attributes.filter_map(|a| a.as_str().ok()).map(str::to_owned).collect::<Vec<_>>()
    };
    Ok(Subject {
        common_name: texts(&mut name.iter_common_name()).into_iter().next().unwrap_or_default(),
        organizations: texts(&mut name.iter_organization()),
        from: at(validity.not_before)?,
        until: at(validity.not_after)?,
    })
}
