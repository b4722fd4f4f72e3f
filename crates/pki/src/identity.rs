//! What one side of TLS shows of itself, exchangeable while connections are open: those keep what they began with.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::{Error, KeyPair, tls};

/// Copies share what they show.
#[derive(Clone, Debug)]
pub struct Identity(pub(crate) Arc<Shown>);

#[derive(Debug)]
pub(crate) struct Shown {
    key: RwLock<Arc<CertifiedKey>>,
    generation: AtomicU64,
}

impl Identity {
    pub fn new(pair: &KeyPair) -> Result<Self, Error> {
        Ok(Identity(Arc::new(Shown { key: RwLock::new(Arc::new(tls::certified(pair)?)), generation: AtomicU64::new(0) })))
    }

    /// Connections made from now on show `pair`.
    pub fn exchange(&self, pair: &KeyPair) -> Result<(), Error> {
        let key = Arc::new(tls::certified(pair)?);
        *self.0.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        self.0.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// How often it was exchanged: whoever keeps connections sees by it which of them show something older.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }
}

impl Shown {
    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
    fn has_certs(&self) -> bool {
        true
    }
}
