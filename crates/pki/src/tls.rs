//! rustls settings from PEM texts.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{Error, KeyPair};

const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Serves with `pair`; asks clients for a certificate and checks it against `client_ca_pem`, but lets them come without one.
pub fn server(pair: &KeyPair, client_ca_pem: &str) -> Result<Arc<ServerConfig>, Error> {
    let (chain, key) = parts(pair)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca_pem)?), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|e| Error::Malformed(format!("client authority: {e}")))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(Error::Tls)?;
    config.alpn_protocols = ALPN.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Trusts `ca_pem`; shows `pair` when there is one. `http1_only` suits connections that are to be upgraded.
pub fn client(ca_pem: &str, pair: Option<&KeyPair>, protocols: Protocols) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_root_certificates(roots(ca_pem)?);
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let (chain, key) = parts(pair)?;
            builder.with_client_auth_cert(chain, key).map_err(Error::Tls)?
        }
    };
    let offered = match protocols {
        Protocols::Http2OrHttp1 => &ALPN[..],
        Protocols::Http1 => &ALPN[1..],
    };
    config.alpn_protocols = offered.iter().map(|p| p.to_vec()).collect();
    Ok(Arc::new(config))
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

fn parts(pair: &KeyPair) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| Error::Malformed(format!("certificate: {e}")))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).map_err(|e| Error::Malformed(format!("private key: {e}")))?;
    Ok((chain, key))
}

fn roots(ca_pem: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(|e| Error::Malformed(format!("authority: {e}")))?;
        roots.add(certificate).map_err(Error::Tls)?;
    }
    Ok(roots)
}
