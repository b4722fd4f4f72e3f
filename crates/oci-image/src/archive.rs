//! Importing images from files: docker archives (`docker save`), OCI archives, and OCI folders.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::manifest::{Descriptor, Manifest, ManifestList, Platform, media};
use crate::store::{decompress, parse};
use crate::{Digest, Error, ImageStore, Reference};

const NAME_ANNOTATIONS: [&str; 3] = ["io.containerd.image.name", "org.opencontainers.image.ref.name", "org.opencontainers.image.base.name"];
const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One entry of docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ImageStore {
    /// Reads every image of an archive or OCI folder and answers their names.
    pub fn import(&self, path: &Path) -> Result<Vec<Reference>, Error> {
        let _adding = self.adding()?;
        let source = if path.is_dir() { Source::folder(path)? } else { self.source_of_archive(path)? };
        if let Some(list) = source.document("manifest.json")? {
            let images: Vec<DockerImage> = parse(&list, "manifest.json")?;
            return images.iter().map(|image| self.import_docker(&source, image)).collect::<Result<Vec<_>, _>>().map(|n| n.concat());
        }
        let index = source.document("index.json")?.ok_or_else(|| {
            Error::Malformed("the archive".to_owned(), "neither manifest.json (docker) nor index.json (OCI) is in it".to_owned())
        })?;
        let index: ManifestList = parse(&index, "index.json")?;
        index.manifests.iter().map(|entry| self.import_oci(&source, entry)).collect::<Result<Vec<_>, _>>().map(|n| n.concat())
    }

    fn import_docker(&self, source: &Source, image: &DockerImage) -> Result<Vec<Reference>, Error> {
        let config = self.take(source, &image.config)?;
        let layers = image.layers.iter().map(|name| self.take(source, name)).collect::<Result<Vec<_>, _>>()?;
        let describe = |media_type: &str, digest: Digest| Descriptor {
            media_type: media_type.to_owned(),
            size: self.blob_size(&digest).unwrap_or(0),
            digest,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            config: describe(media::CONFIG, config),
            layers: layers.into_iter().map(|digest| describe(media::LAYER, digest)).collect(),
        };
        let content = serde_json::to_vec(&manifest).map_err(|e| Error::Malformed("the manifest".to_owned(), e.to_string()))?;
        self.finish(&content, image.repo_tags.iter().flatten().map(String::as_str))
    }

    fn import_oci(&self, source: &Source, entry: &Descriptor) -> Result<Vec<Reference>, Error> {
        let blob_name = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        let content = self.read_document(&self.take(source, &blob_name(&entry.digest))?)?;
        if let Ok(list) = serde_json::from_slice::<ManifestList>(&content) {
            let host = Platform::host();
            let fits = |m: &&Descriptor| m.platform.as_ref().is_none_or(|p| *p == host);
            let inner = list
                .manifests
                .iter()
                .find(fits)
                .ok_or_else(|| Error::Malformed("the index".to_owned(), "no image for this platform".to_owned()))?;
            let inner = Descriptor { annotations: entry.annotations.clone(), ..inner.clone() };
            return self.import_oci(source, &inner);
        }
        let manifest: Manifest = parse(&content, &entry.digest.to_string())?;
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            self.take(source, &blob_name(&blob.digest))?;
        }
        let name = NAME_ANNOTATIONS.iter().find_map(|key| entry.annotations.get(*key));
        self.finish(&content, name.into_iter().map(String::as_str))
    }

    fn finish<'a>(&self, manifest: &[u8], names: impl Iterator<Item = &'a str>) -> Result<Vec<Reference>, Error> {
        let digest = self.put_blob(manifest)?;
        self.unpack(&self.manifest(&digest)?)?;
        let names = names.map(|n| Reference::parse(n).map_err(Error::Reference)).collect::<Result<Vec<_>, _>>()?;
        names.iter().try_for_each(|name| self.tag(name, &digest))?;
        Ok(names)
    }

    /// Copies a file of the source into the store, checked when its name is a digest.
    fn take(&self, source: &Source, name: &str) -> Result<Digest, Error> {
        let wanted = name.strip_prefix("blobs/sha256/").and_then(|hex| Digest::parse(&format!("sha256:{hex}")));
        if let Some(digest) = wanted.as_ref().filter(|d| self.blob_size(d).is_some()) {
            return Ok(digest.clone());
        }
        let path = source.path(name)?;
        let mut file = File::open(&path).map_err(|e| Error::File("open", path.clone(), e))?;
        let mut writer = self.blob_writer()?;
        std::io::copy(&mut file, &mut writer).map_err(|e| Error::File("copy", path, e))?;
        writer.commit(wanted.as_ref())
    }

    /// Spreads an archive's files into a scratch folder: names of entries are looked up there, never used as paths elsewhere.
    fn source_of_archive(&self, path: &Path) -> Result<Source, Error> {
        let file = File::open(path).map_err(|e| Error::File("open", path.to_owned(), e))?;
        let reader = decompress(BufReader::new(file), path)?;
        let scratch = self.ingest_path();
        std::fs::create_dir(&scratch).map_err(|e| Error::File("create", scratch.clone(), e))?;
        let mut source = Source { files: BTreeMap::new(), links: BTreeMap::new(), scratch: Some(scratch.clone()) };
        let malformed = |e: std::io::Error| Error::Malformed("the archive".to_owned(), e.to_string());
        // The library's own words for a strange header repeat the header.
        let no_archive = |_| Error::Malformed("the archive".to_owned(), "this is no tar file, or it is cut off".to_owned());
        for entry in tar::Archive::new(reader).entries().map_err(no_archive)? {
            let mut entry = entry.map_err(no_archive)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            if entry.header().entry_type().is_symlink() || entry.header().entry_type().is_hard_link() {
                let target = entry.link_name().map_err(malformed)?.unwrap_or_default();
                source.links.insert(name, target.to_string_lossy().trim_start_matches("../").to_owned());
            } else if entry.header().entry_type().is_file() {
                let place = scratch.join(source.files.len().to_string());
                let mut out = File::create(&place).map_err(|e| Error::File("create", place.clone(), e))?;
                std::io::copy(&mut entry, &mut out).and_then(|_| out.flush()).map_err(malformed)?;
                source.files.insert(name, place);
            }
        }
        Ok(source)
    }
}

/// Files by the names an archive or folder gives them.
struct Source {
    files: BTreeMap<String, PathBuf>,
    /// Old docker archives link equal layers to one another.
    links: BTreeMap<String, String>,
    scratch: Option<PathBuf>,
}

impl Source {
    fn folder(path: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for name in ["index.json", "manifest.json"] {
            files.insert(name.to_owned(), path.join(name));
        }
        let blobs = path.join("blobs/sha256");
        for entry in std::fs::read_dir(&blobs).map_err(|e| Error::File("read", blobs.clone(), e))?.flatten() {
            files.insert(format!("blobs/sha256/{}", entry.file_name().to_string_lossy()), entry.path());
        }
        files.retain(|_, path| path.is_file());
        Ok(Source { files, links: BTreeMap::new(), scratch: None })
    }

    fn path(&self, name: &str) -> Result<PathBuf, Error> {
        let name = name.trim_start_matches("./");
        let found = self.files.get(name).or_else(|| self.files.get(self.links.get(name)?));
        found.cloned().ok_or_else(|| Error::Malformed("the archive".to_owned(), format!("`{name}` is missing")))
    }

    fn document(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Ok(path) = self.path(name) else { return Ok(None) };
        let mut content = Vec::new();
        let file = File::open(&path).map_err(|e| Error::File("open", path.clone(), e))?;
        file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut content).map_err(|e| Error::File("read", path, e))?;
        Ok(Some(content))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(scratch) = &self.scratch {
            let _ = std::fs::remove_dir_all(scratch);
        }
    }
}
