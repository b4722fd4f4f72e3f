//! Blobs, unpacked layers and names on disk, shared by every process of this host that uses the same folder.
//!
//! ```text
//! blobs/sha256/<hex>   manifests, configs, packed layers        written to ingest/, checked, then renamed
//! layers/<diff id>/    a layer unpacked, ready for overlayfs    the same
//! names.json           full name -> digest of its manifest      replaced as a whole under the lock
//! lock                 shared by those who add, taken alone by `collect`
//! ```

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock, syncfs};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::manifest::{Descriptor, ImageConfig, Manifest, ManifestList, Platform, RuntimeConfig};
use crate::{Digest, Error, Reference, digest_of, unpack};

/// Nobody's manifest or config is larger; the OCI specification suggests the same limit.
const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// An image that can be run: its layers lie unpacked on this host.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of the configuration, which is what Kubernetes calls the image's id.
    pub id: Digest,
    /// The digest of the manifest: `repository@digest` is what a status shows.
    pub manifest: Digest,
    /// Full names that point at it, sorted.
    pub names: Vec<String>,
    /// Bytes of the packed layers and the configuration.
    pub size: u64,
    /// Folders, the lowest first.
    pub layers: Vec<PathBuf>,
    pub config: RuntimeConfig,
}

#[derive(Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    /// The names as last read, and the file's time then.
    names: Mutex<(Option<SystemTime>, Names)>,
    counter: AtomicU64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Names {
    names: BTreeMap<String, Digest>,
}

/// Held while something is being added, so that `collect` does not take it for rubbish.
pub struct Adding(#[expect(dead_code, reason = "the lock ends with the file")] File);

impl ImageStore {
    pub fn open(root: &Path) -> Result<Self, Error> {
        for folder in ["blobs/sha256", "layers", "ingest"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|e| Error::File("create", path, e))?;
        }
        Ok(ImageStore { inner: Arc::new(Inner { root: root.to_owned(), names: Mutex::default(), counter: AtomicU64::new(0) }) })
    }

    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.inner.root.join("blobs/sha256").join(digest.hex())
    }

    /// Where builds keep which step made which layer.
    pub fn build_cache_path(&self) -> PathBuf {
        self.inner.root.join("build-cache.json")
    }

    /// The size of a blob that is here.
    pub fn blob_size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.blob_path(digest)).ok().map(|m| m.len())
    }

    pub fn read_document(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.blob_path(digest);
        let failed = |e| Error::File("read", path.clone(), e);
        let mut content = Vec::new();
        File::open(&path).map_err(failed)?.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(Error::Malformed(format!("the document {digest}"), format!("larger than {DOCUMENT_BYTES_MAX} bytes")));
        }
        Ok(content)
    }

    pub fn put_blob(&self, content: &[u8]) -> Result<Digest, Error> {
        let digest = digest_of(content);
        let mut writer = self.blob_writer()?;
        writer.write_all(content).map_err(|e| Error::File("write", writer.path.clone(), e))?;
        writer.commit(Some(&digest))
    }

    /// Starts a blob of yet unknown digest.
    pub fn blob_writer(&self) -> Result<BlobWriter, Error> {
        let path = self.ingest_path();
        let file = File::create_new(&path).map_err(|e| Error::File("create", path.clone(), e))?;
        Ok(BlobWriter { store: self.clone(), path, file, hasher: Sha256::new(), size: 0 })
    }

    /// A new name for what is not whole yet; what a crash leaves there is removed by a later clean-up.
    pub(crate) fn ingest_path(&self) -> PathBuf {
        let n = self.inner.counter.fetch_add(1, Ordering::Relaxed);
        self.inner.root.join("ingest").join(format!("{}-{n}", std::process::id()))
    }

    pub fn adding(&self) -> Result<Adding, Error> {
        let file = self.lock_file()?;
        flock(&file, FlockOperation::LockShared).map_err(|e| Error::File("lock", self.inner.root.join("lock"), e.into()))?;
        Ok(Adding(file))
    }

    fn lock_file(&self) -> Result<File, Error> {
        let path = self.inner.root.join("lock");
        File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| Error::File("open", path, e))
    }

    /// Unpacks the layers of a manifest whose blobs are all here, checks them, and answers the configuration's digest.
    pub fn unpack(&self, manifest: &Manifest) -> Result<(), Error> {
        let config = self.config(manifest)?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            let why = format!("{} diff ids for {} layers", config.rootfs.diff_ids.len(), manifest.layers.len());
            return Err(Error::Malformed("the image configuration".to_owned(), why));
        }
        config.rootfs.diff_ids.iter().zip(&manifest.layers).try_for_each(|(diff_id, layer)| self.unpack_layer(diff_id, layer))
    }

    /// Unpacks one layer, if that was not done before.
    pub fn unpack_layer(&self, diff_id: &Digest, layer: &Descriptor) -> Result<(), Error> {
        let target = self.layer_path(diff_id);
        if target.exists() {
            return Ok(());
        }
        let work = self.ingest_path();
        fs::create_dir(&work).map_err(|e| Error::File("create", work.clone(), e))?;
        let result = self.unpack_into(diff_id, layer, &work).and_then(|()| match fs::rename(&work, &target) {
            // Somebody else unpacked the same layer meanwhile.
            Err(_) if target.exists() => fs::remove_dir_all(&work).map_err(|e| Error::File("remove", work.clone(), e)),
            result => result.map_err(|e| Error::File("rename", work.clone(), e)),
        });
        if result.is_err() {
            let _ = fs::remove_dir_all(&work);
        }
        result
    }

    fn unpack_into(&self, diff_id: &Digest, layer: &Descriptor, work: &Path) -> Result<(), Error> {
        let packed = self.blob_path(&layer.digest);
        let file = File::open(&packed).map_err(|e| Error::File("open", packed.clone(), e))?;
        let mut reader = Hashing { inner: decompress(io::BufReader::with_capacity(1 << 16, file), &packed)?, hasher: Sha256::new() };
        unpack::unpack(&mut reader, work)?;
        // What follows the archive's end belongs to the digest too.
        io::copy(&mut reader, &mut io::sink()).map_err(|e| Error::File("read", packed, e))?;
        let found = Digest::from_hasher(reader.hasher);
        if found != *diff_id {
            return Err(Error::Digest { wanted: diff_id.clone(), found });
        }
        // The rename must not reach the disk before the content does.
        let folder = File::open(work).map_err(|e| Error::File("open", work.to_owned(), e))?;
        syncfs(&folder).map_err(|e| Error::File("sync", work.to_owned(), e.into()))
    }

    /// Where a layer lies unpacked, or would.
    pub fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.inner.root.join("layers").join(diff_id.hex())
    }

    pub fn manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        parse(&self.read_document(digest)?, &format!("the manifest {digest}"))
    }

    pub fn config(&self, manifest: &Manifest) -> Result<ImageConfig, Error> {
        let digest = &manifest.config.digest;
        parse(&self.read_document(digest)?, &format!("the image configuration {digest}"))
    }

    /// Makes `name` point at a manifest, which must be here.
    pub fn tag(&self, name: &Reference, manifest: &Digest) -> Result<(), Error> {
        let name = name.to_string();
        self.change_names(|names| names.insert(name, manifest.clone()).is_none_or(|old| old != *manifest))
    }

    /// Forgets a name; its content goes at the next `collect`. False when nobody had it.
    pub fn untag(&self, name: &Reference) -> Result<bool, Error> {
        let name = name.to_string();
        let mut found = false;
        self.change_names(|names| {
            found = names.remove(&name).is_some();
            found
        })?;
        Ok(found)
    }

    fn change_names(&self, change: impl FnOnce(&mut BTreeMap<String, Digest>) -> bool) -> Result<(), Error> {
        let path = self.inner.root.join("names.json");
        let failed = |e| Error::File("write", path.clone(), e);
        let lock_path = self.inner.root.join("names.lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        let mut cached = self.inner.names.lock().expect("no holder panics");
        let mut names = read_names(&path)?;
        if change(&mut names.names) {
            let partial = path.with_extension("partial");
            let mut file = File::create(&partial).map_err(failed)?;
            serde_json::to_writer(&mut file, &names).map_err(|e| failed(e.into()))?;
            file.sync_all().and_then(|()| fs::rename(&partial, &path)).map_err(failed)?;
        }
        *cached = (None, names);
        Ok(())
    }

    fn names(&self) -> BTreeMap<String, Digest> {
        let path = self.inner.root.join("names.json");
        let modified = fs::metadata(&path).and_then(|m| m.modified()).ok();
        let mut cached = self.inner.names.lock().expect("no holder panics");
        if (modified.is_none() || cached.0 != modified)
            && let Ok(names) = read_names(&path)
        {
            *cached = (modified, names);
        }
        cached.1.names.clone()
    }

    /// The manifest a full name points at.
    pub fn resolve(&self, name: &Reference) -> Option<Digest> {
        if let Some(digest) = &name.digest {
            return self.blob_size(digest).map(|_| digest.clone());
        }
        self.names().get(&name.to_string()).cloned()
    }

    /// Tags of one repository (`host/path`), sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let names = self.names();
        names.keys().filter_map(|n| n.strip_prefix(repository)?.strip_prefix(':')).filter(|t| !t.contains('/')).map(str::to_owned).collect()
    }

    /// Finds an image by any way of writing its name, or by its id.
    pub fn find(&self, text: &str) -> Option<Arc<Image>> {
        if let Some(id) = Digest::parse(text) {
            return self.list().into_iter().find(|i| i.id == id);
        }
        let manifest = self.resolve(&Reference::parse(text).ok()?)?;
        self.image(&manifest).ok().map(Arc::new)
    }

    /// All images that have a name and lie here whole.
    pub fn list(&self) -> Vec<Arc<Image>> {
        let manifests: HashSet<Digest> = self.names().into_values().collect();
        let mut images: Vec<_> = manifests.iter().filter_map(|m| self.image(m).ok()).map(Arc::new).collect();
        images.sort_by(|a, b| a.names.cmp(&b.names));
        images
    }

    /// The manifest itself, or that of this host's platform when `digest` is an index.
    pub fn runnable(&self, digest: &Digest) -> Result<Digest, Error> {
        let Ok(list) = parse::<ManifestList>(&self.read_document(digest)?, "") else { return Ok(digest.clone()) };
        let host = Platform::host();
        let platform = || format!("{}/{}", host.os, host.architecture);
        let chosen = list.manifests.into_iter().find(|m| m.platform.as_ref().is_none_or(|p| *p == host));
        Ok(chosen.ok_or_else(|| Error::NoPlatform { image: digest.to_string(), platform: platform() })?.digest)
    }

    fn image(&self, digest: &Digest) -> Result<Image, Error> {
        let manifest = self.manifest(&self.runnable(digest)?)?;
        let config = self.config(&manifest)?;
        let layers: Vec<PathBuf> = config.rootfs.diff_ids.iter().map(|d| self.layer_path(d)).collect();
        if let Some(missing) = layers.iter().find(|l| !l.exists()) {
            return Err(Error::NotFound(missing.display().to_string()));
        }
        Ok(Image {
            id: manifest.config.digest.clone(),
            manifest: digest.clone(),
            names: self.names().into_iter().filter(|(_, d)| d == digest).map(|(n, _)| n).collect(),
            size: manifest.config.size + manifest.layers.iter().map(|l| l.size).sum::<u64>(),
            layers,
            config: config.config,
        })
    }

    /// Removes what no name leads to and no running container uses (`in_use`: layer folders), if it came before `before`: a push
    /// sends blobs first and their manifest last. Answers the bytes of blobs freed; does nothing while something is being added.
    pub fn collect(&self, in_use: &HashSet<PathBuf>, before: SystemTime) -> Result<u64, Error> {
        let lock = self.lock_file()?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(0);
        }
        let (mut blobs, mut layers) = (HashSet::new(), in_use.clone());
        self.names().into_values().for_each(|digest| self.mark(&digest, &mut blobs, &mut layers));
        let is_old = |path: &PathBuf| fs::metadata(path).and_then(|m| m.modified()).is_ok_and(|at| at < before);
        let mut freed = 0;
        for path in entries(&self.inner.root.join("blobs/sha256")).filter(|p| !blobs.contains(p)).filter(is_old) {
            let size = fs::metadata(&path).map_or(0, |m| m.len());
            freed += fs::remove_file(&path).map_or(0, |()| size);
        }
        for path in entries(&self.inner.root.join("layers")).filter(|p| !layers.contains(p)) {
            let _ = fs::remove_dir_all(path);
        }
        // With the lock taken alone nobody is adding: what is old here is from a crash.
        for path in entries(&self.inner.root.join("ingest")).filter(is_old) {
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        Ok(freed)
    }

    /// Adds all that a manifest or index leads to.
    fn mark(&self, digest: &Digest, blobs: &mut HashSet<PathBuf>, layers: &mut HashSet<PathBuf>) {
        if !blobs.insert(self.blob_path(digest)) {
            return;
        }
        let Ok(content) = self.read_document(digest) else { return };
        if let Ok(list) = parse::<ManifestList>(&content, "") {
            list.manifests.iter().for_each(|m| self.mark(&m.digest, blobs, layers));
        } else if let Ok(manifest) = parse::<Manifest>(&content, "") {
            blobs.insert(self.blob_path(&manifest.config.digest));
            blobs.extend(manifest.layers.iter().map(|l| self.blob_path(&l.digest)));
            layers.extend(self.config(&manifest).into_iter().flat_map(|c| c.rootfs.diff_ids).map(|d| self.layer_path(&d)));
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path())
}

fn read_names(path: &Path) -> Result<Names, Error> {
    match fs::read(path) {
        Ok(content) => parse(&content, &path.display().to_string()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Names::default()),
        Err(e) => Err(Error::File("read", path.to_owned(), e)),
    }
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(content: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(content).map_err(|e| Error::Malformed(what.to_owned(), e.to_string()))
}

/// Gzip, zstd or plain, told by the first bytes: media types are not always true.
pub fn decompress(mut reader: impl io::BufRead + 'static, shown: &Path) -> Result<Box<dyn Read>, Error> {
    let failed = |e| Error::File("read", shown.to_owned(), e);
    let start = reader.fill_buf().map_err(failed)?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(reader)));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder =
            ruzstd::decoding::StreamingDecoder::new(reader).map_err(|e| Error::Malformed(shown.display().to_string(), e.to_string()))?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(reader))
}

struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

/// A blob on its way in; dropped before `commit` it leaves nothing.
pub struct BlobWriter {
    store: ImageStore,
    path: PathBuf,
    file: File,
    hasher: Sha256,
    size: u64,
}

impl BlobWriter {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Keeps the blob under its digest, which must be `wanted` when that is known.
    pub fn commit(mut self, wanted: Option<&Digest>) -> Result<Digest, Error> {
        let found = Digest::from_hasher(std::mem::take(&mut self.hasher));
        if let Some(wanted) = wanted.filter(|w| **w != found) {
            return Err(Error::Digest { wanted: wanted.clone(), found });
        }
        self.file.sync_data().map_err(|e| Error::File("sync", self.path.clone(), e))?;
        let target = self.store.blob_path(&found);
        fs::rename(&self.path, &target).map_err(|e| Error::File("rename", self.path.clone(), e))?;
        Ok(found)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let n = self.file.write(content)?;
        self.hasher.update(&content[..n]);
        self.size += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
