//! Writing layers: files and folders as a tar in the store, packed, with the digests of both forms.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use oci_image::{BlobWriter, Descriptor, Digest, ImageStore, media};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use crate::Error;

/// A layer in the store.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) diff_id: Digest,
    pub(crate) blob: Descriptor,
}

/// Who owns what COPY brings, and with which mode, when that is said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: Option<u32>,
}

pub(crate) struct LayerWriter<'a> {
    store: &'a ImageStore,
    tar: tar::Builder<Hashed<flate2::write::GzEncoder<BlobWriter>>>,
}

struct Hashed<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(content)?;
        self.hasher.update(&content[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<'a> LayerWriter<'a> {
    pub(crate) fn new(store: &'a ImageStore) -> Result<Self, Error> {
        let packed = flate2::write::GzEncoder::new(store.blob_writer()?, flate2::Compression::fast());
        let mut tar = tar::Builder::new(Hashed { inner: packed, hasher: Sha256::new() });
        tar.follow_symlinks(false);
        Ok(LayerWriter { store, tar })
    }

    /// A folder that was not copied but must be there.
    pub(crate) fn folder(&mut self, path: &str, owner: Owner) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(owner.mode.unwrap_or(0o755));
        header.set_uid(u64::from(owner.uid));
        header.set_gid(u64::from(owner.gid));
        header.set_size(0);
        self.tar.append_data(&mut header, format!("{path}/"), io::empty()).map_err(|e| Error::File("write", path.into(), e))
    }

    /// A file, folder or link of the host, as `path` in the image. `owner: None` keeps the file's own.
    pub(crate) fn copy(&mut self, from: &Path, metadata: &Metadata, path: &str, owner: Option<Owner>) -> Result<(), Error> {
        let failed = |e| Error::File("copy", from.to_owned(), e);
        let mut header = Header::new_gnu();
        let owner = owner.unwrap_or(Owner { uid: metadata.uid(), gid: metadata.gid(), mode: None });
        header.set_mode(owner.mode.unwrap_or(metadata.permissions().mode() & 0o7777));
        header.set_uid(u64::from(owner.uid));
        header.set_gid(u64::from(owner.gid));
        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
        header.set_size(0);
        let kind = metadata.file_type();
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.tar.append_data(&mut header, format!("{path}/"), io::empty()).map_err(failed)
        } else if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            let target = fs::read_link(from).map_err(failed)?;
            self.tar.append_link(&mut header, path, target).map_err(failed)
        } else if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            self.tar.append_data(&mut header, path, File::open(from).map_err(failed)?).map_err(failed)
        } else if kind.is_fifo() {
            header.set_entry_type(EntryType::Fifo);
            self.tar.append_data(&mut header, path, io::empty()).map_err(failed)
        } else {
            // Sockets and devices of a build are nobody's files.
            Ok(())
        }
    }

    /// The content of a local archive, as ADD brings it, below the folder `to`.
    pub(crate) fn archive(&mut self, from: &Path, to: &str) -> Result<(), Error> {
        let failed = |e| Error::File("unpack", from.to_owned(), e);
        let file = io::BufReader::new(File::open(from).map_err(failed)?);
        let mut archive = tar::Archive::new(oci_image::decompress(file, from)?);
        for entry in archive.entries().map_err(failed)? {
            let mut entry = entry.map_err(failed)?;
            let path = entry.path().map_err(failed)?.into_owned();
            let path = [to, &crate::context::clean(&path.to_string_lossy())]
                .iter()
                .filter(|p| !p.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join("/");
            if path.is_empty() {
                continue;
            }
            let mut header = entry.header().clone();
            match entry.link_name().map_err(failed)? {
                Some(target) if header.entry_type().is_symlink() => self.tar.append_link(&mut header, path, target).map_err(failed)?,
                Some(target) => {
                    let target = format!("{to}/{}", crate::context::clean(&target.to_string_lossy()));
                    self.tar.append_link(&mut header, path, target.trim_start_matches('/')).map_err(failed)?;
                }
                None => self.tar.append_data(&mut header, path, &mut entry).map_err(failed)?,
            }
        }
        Ok(())
    }

    /// What a RUN left in overlayfs' upper folder, its whiteouts in the archive's form.
    pub(crate) fn upper(&mut self, folder: &Path, below: &str) -> Result<(), Error> {
        let failed = |e| Error::File("read", folder.to_owned(), e);
        let mut entries: Vec<_> = fs::read_dir(folder).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let in_folder = |name: &str| if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            let path = in_folder(&name);
            let metadata = entry.metadata().map_err(failed)?;
            if metadata.file_type().is_char_device() && metadata.rdev() == 0 {
                self.marker(&in_folder(&format!(".wh.{name}")))?;
                continue;
            }
            self.copy(&entry.path(), &metadata, &path, None)?;
            if metadata.is_dir() {
                let mut mark = [0u8; 1];
                if rustix::fs::getxattr(entry.path(), "trusted.overlay.opaque", &mut mark).is_ok() && mark == *b"y" {
                    self.marker(&format!("{path}/.wh..wh..opq"))?;
                }
                self.upper(&entry.path(), &path)?;
            }
        }
        Ok(())
    }

    fn marker(&mut self, path: &str) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(0);
        self.tar.append_data(&mut header, path, io::empty()).map_err(|e| Error::File("write", path.into(), e))
    }

    pub(crate) fn finish(self) -> Result<Layer, Error> {
        let failed = |e| Error::File("write", "the layer".into(), e);
        let hashed = self.tar.into_inner().map_err(failed)?;
        let diff_id = Digest::parse(&format!("sha256:{}", hex(&hashed.hasher.finalize()))).expect("a SHA-256 has 64 digits");
        let writer = hashed.inner.finish().map_err(failed)?;
        let size = writer.size();
        let digest = writer.commit(None)?;
        let blob = Descriptor { media_type: media::LAYER_GZIP.to_owned(), digest, size, platform: None, annotations: Default::default() };
        debug_assert!(self.store.blob_size(&blob.digest).is_some());
        Ok(Layer { diff_id, blob })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
