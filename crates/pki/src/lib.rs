//! Certificates of a cluster: its authorities, what they issue, and TLS settings made from them.
//!
//! Keys are ECDSA P-256. Only authorities and the token key live on disk; serving and client certificates of the server are
//! issued anew at each start, and renewed while it runs. Not here: who may ask for a certificate (`apiserver`, CSRs).

mod identity;
mod issue;
mod renewal;
pub mod tls;
pub mod token;
pub mod trust_anyone;

pub use identity::Identity;
pub use issue::{Authority, Error, KeyPair, Leaf, Request, Subject, Usage, ask, proof_of_key, request, subject};
pub use renewal::Renewal;

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Error::Malformed("random source".to_owned()))?;
    Ok(bytes)
}

/// Writes a secret so that only root reads it, whole or not at all.
pub fn write_private(path: &Path, content: &str) -> Result<(), Error> {
    let at = |e| Error::File(path.to_owned(), e);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(at)?;
    }
    let partial = path.with_extension("partial");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial).map_err(at)?;
    file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(at)?;
    fs::rename(&partial, path).map_err(at)
}

#[cfg(test)]
mod tests;
