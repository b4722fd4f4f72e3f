//! Pull and push: whole images between this store and a registry.

use std::io::Write;

use http::Method;

use crate::manifest::{Descriptor, Manifest, ManifestList, Platform, media};
use crate::remote::{Credentials, Progress, Remote};
use crate::store::parse;
use crate::{Digest, Error, Image, ImageStore, Reference, Registries, digest_of};

impl ImageStore {
    /// Fetches what is missing of an image and makes it ready to run. The first credentials that fit the host are used.
    pub async fn pull(
        &self,
        name: &str,
        registries: &Registries,
        credentials: &[Credentials],
        progress: Progress<'_>,
    ) -> Result<std::sync::Arc<Image>, Error> {
        let reference = Reference::parse(name).map_err(Error::Reference)?;
        let adding = self.adding()?;
        let mut failure = None;
        for mut remote in registries.endpoints(&reference, credentials) {
            match self.pull_from(&mut remote, &reference, progress).await {
                Ok(manifest) => {
                    self.tag(&reference, &manifest)?;
                    drop(adding);
                    return self.find(name).ok_or_else(|| Error::NotFound(name.to_owned()));
                }
                // A mirror may lack what the registry itself has; the last word is the registry's own.
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::NotFound(name.to_owned())))
    }

    async fn pull_from(&self, remote: &mut Remote, reference: &Reference, progress: Progress<'_>) -> Result<Digest, Error> {
        let (digest, content) = self.fetch_manifest(remote, &reference.tag_or_digest(), reference).await?;
        let manifest: Manifest = parse(&content, &format!("the manifest of {reference}"))?;
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if self.blob_size(&blob.digest) != Some(blob.size) {
                self.fetch_blob(remote, blob, progress).await?;
            }
        }
        self.put_blob(&content)?;
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.unpack(&manifest))
            .await
            .map_err(|e| Error::Malformed("unpacking".to_owned(), e.to_string()))??;
        Ok(digest)
    }

    /// The manifest for this host's platform, by way of an index when there is one.
    async fn fetch_manifest(&self, remote: &mut Remote, wanted: &str, reference: &Reference) -> Result<(Digest, Vec<u8>), Error> {
        let mut wanted = wanted.to_owned();
        // An index that leads to an index is nobody's idea of an image.
        for _ in 0..2 {
            let content = remote.document(&format!("manifests/{wanted}"), media::ACCEPTED).await?;
            let digest = digest_of(&content);
            if let Some(expected) = Digest::parse(&wanted).filter(|d| *d != digest) {
                return Err(Error::Digest { wanted: expected, found: digest });
            }
            let Ok(list) = serde_json::from_slice::<ManifestList>(&content) else { return Ok((digest, content)) };
            let host = Platform::host();
            let chosen = list.manifests.iter().find(|m| m.platform.as_ref().is_none_or(|p| *p == host));
            let platform = || format!("{}/{}", host.os, host.architecture);
            wanted = chosen.ok_or_else(|| Error::NoPlatform { image: reference.to_string(), platform: platform() })?.digest.to_string();
        }
        Err(Error::Malformed(format!("the index of {reference}"), "it leads to another index".to_owned()))
    }

    async fn fetch_blob(&self, remote: &mut Remote, blob: &Descriptor, progress: Progress<'_>) -> Result<(), Error> {
        let mut writer = self.blob_writer()?;
        let mut body = remote.get(&format!("blobs/{}", blob.digest), "*/*").await?;
        while let Some(chunk) = body.chunk().await? {
            writer.write_all(&chunk).map_err(|e| Error::File("write", self.blob_path(&blob.digest), e))?;
            if writer.size() > blob.size {
                return Err(Error::Malformed(
                    format!("the blob {}", blob.digest),
                    format!("longer than the {} bytes announced", blob.size),
                ));
            }
            progress(&blob.digest.to_string(), writer.size(), blob.size);
        }
        writer.commit(Some(&blob.digest)).map(drop)
    }

    /// Sends an image to the registry its name says.
    pub async fn push(
        &self,
        name: &str,
        registries: &Registries,
        credentials: &[Credentials],
        progress: Progress<'_>,
    ) -> Result<Digest, Error> {
        let reference = Reference::parse(name).map_err(Error::Reference)?;
        let digest = self.resolve(&reference).ok_or_else(|| Error::NotFound(reference.to_string()))?;
        let manifest = self.manifest(&digest)?;
        let mut remote = registries.home(&reference, credentials);
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if !remote.has(&format!("blobs/{}", blob.digest)).await? {
                remote.upload(&blob.digest, &self.blob_path(&blob.digest), blob.size, progress).await?;
            }
        }
        let content = self.read_document(&digest)?;
        let media_type = manifest.media_type.as_deref().unwrap_or(media::MANIFEST);
        remote.send_document(Method::PUT, &format!("manifests/{}", reference.tag_or_digest()), media_type, content).await?;
        Ok(digest)
    }
}
