//! rustls settings from PEM texts.

use std::sync::Arc;

use rustls::client::{Resumption, WantsClientCert};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};

use crate::{Error, Identity, KeyPair};

const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Shows `identity`; asks clients for a certificate and checks it against `client_ca_pem`, but lets them come without one.
pub fn server(identity: &Identity, client_ca_pem: &str) -> Result<Arc<ServerConfig>, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca_pem)?), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|e| Error::Malformed(format!("client authority: {e}")))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity.0.clone());
    config.alpn_protocols = ALPN.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Trusts `ca_pem`; shows `identity` when there is one.
pub fn client(ca_pem: &str, identity: Option<&Identity>, protocols: Protocols) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(roots(ca_pem)?);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => with_identity(builder, identity),
    };
    let offered = match protocols {
        Protocols::Http2OrHttp1 => &ALPN[..],
        Protocols::Http1 => &ALPN[1..],
    };
    config.alpn_protocols = offered.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
}

pub fn with_identity(builder: ConfigBuilder<ClientConfig, WantsClientCert>, identity: &Identity) -> ClientConfig {
    let mut config = builder.with_client_cert_resolver(identity.0.clone());
    // A resumed session would go on under the certificate it began with.
    config.resumption = Resumption::disabled();
    config
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocols {
    Http2OrHttp1,
    /// For connections that will be upgraded (exec, port-forward).
    Http1,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn certified(pair: &KeyPair) -> Result<CertifiedKey, Error> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| Error::Malformed(format!("certificate: {e}")))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).map_err(|e| Error::Malformed(format!("private key: {e}")))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(Error::Tls)
}

fn roots(ca_pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|e| Error::Malformed(format!("authority: {e}")))?;
        roots.add(certificate).map_err(Error::Tls)?;
    }
    Ok(roots)
}
