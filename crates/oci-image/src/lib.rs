//! One content-addressed store of images for pull, build, push, import and the built-in registry, and the client of other registries.
//!
//! `store` holds blobs by digest, layers unpacked by diff id (each a folder that overlayfs stacks), and names that point at
//! manifests. `remote` speaks the OCI distribution protocol. Not here: running anything, HTTP serving (`image-registry`),
//! Dockerfiles (`image-build`).
//! Invariant: nothing enters the store under a digest it was not checked against; no archive entry is written outside its layer.

mod archive;
mod digest;
mod manifest;
mod reference;
mod remote;
mod store;
mod transfer;
mod unpack;

pub use digest::{Digest, digest_of};
pub use manifest::{Descriptor, Empty, History, ImageConfig, Manifest, ManifestList, Platform, RootFs, RuntimeConfig, media};
pub use reference::{BadReference, Reference};
pub use remote::Progress;
pub use remote::{Credentials, Registries, streamed};
pub use store::{Adding, BlobWriter, Image, ImageStore, decompress};

use std::path::PathBuf;

#[derive(Debug)]
pub enum Error {
    Reference(BadReference),
    /// What was done to which file.
    File(&'static str, PathBuf, std::io::Error),
    /// The content does not have the digest it is known by.
    Digest {
        wanted: Digest,
        found: Digest,
    },
    /// A document or an archive that is not what it should be: which one, and why.
    Malformed(String, String),
    /// An archive that tries to write outside its folder.
    Hostile(String),
    /// A registry said no, in its own words.
    Refused {
        url: String,
        status: u16,
        message: String,
    },
    NotFound(String),
    /// A registry cannot be reached.
    Unreachable {
        url: String,
        cause: String,
    },
    NoPlatform {
        image: String,
        platform: String,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Reference(bad) => bad.fmt(f),
            Error::File(what, path, cause) => write!(f, "cannot {what} `{}`: {cause}", path.display()),
            Error::Digest { wanted, found } => write!(f, "content of `{wanted}` has the digest `{found}`"),
            Error::Malformed(what, why) => write!(f, "{what} is malformed: {why}"),
            Error::Hostile(why) => write!(f, "refusing the archive: {why}"),
            Error::Refused { url, status, message } if message.is_empty() => {
                write!(f, "unexpected status from GET request to {url}: {status}")
            }
            Error::Refused { url, status, message } => write!(f, "unexpected status from GET request to {url}: {status}: {message}"),
            Error::NotFound(name) => write!(f, "{name}: not found"),
            Error::Unreachable { url, cause } => write!(f, "failed to do request to {url}: {cause}"),
            Error::NoPlatform { image, platform } => write!(f, "no match for platform {platform} in `{image}`"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod archive_tests;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
