use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::manifest::{Descriptor, Manifest, media};
use crate::{Error, ImageStore, Reference, digest_of, unpack};

pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static N: AtomicUsize = AtomicUsize::new(0);
        let path = std::env::temp_dir().join(format!("coracle-oci-image-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn entry(builder: &mut Builder<Vec<u8>>, kind: EntryType, path: &str, link: &str, content: &[u8], mode: u32) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_uid(1234);
    header.set_gid(4321);
    header.set_mtime(1_000_000);
    // By hand: the crate refuses to write the hostile paths it is tested with.
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn unpack_all(folder: &Path, entries: &[(EntryType, &str, &str, &[u8], u32)]) -> Result<u64, Error> {
    let mut builder = Builder::new(Vec::new());
    for (kind, path, link, content, mode) in entries {
        entry(&mut builder, *kind, path, link, content, *mode);
    }
    let tar = builder.into_inner().unwrap();
    unpack::unpack(&mut tar.as_slice(), folder)
}

pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

#[test]
fn references_are_filled_in_as_everywhere() {
    for (text, full) in [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("bitnami/nginx", "docker.io/bitnami/nginx:latest"),
        ("localhost:32000/chat:1", "localhost:32000/chat:1"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost/a/b", "localhost/a/b:latest"),
    ] {
        assert_eq!(Reference::parse(text).unwrap().to_string(), full);
    }
    for bad in ["", "UPPER", "a b", "a//b", "a:", "a@sha256:xyz", "-a", "host:5000/"] {
        assert!(Reference::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn layers_keep_what_files_are() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    unpack_all(
        &scratch.0,
        &[
            (EntryType::Directory, "bin/", "", b"", 0o755),
            (EntryType::Regular, "bin/su", "", b"x", 0o4755),
            (EntryType::Link, "bin/sudo", "bin/su", b"", 0),
            (EntryType::Symlink, "sbin", "bin", b"", 0o777),
            (EntryType::Regular, "deep/er/file", "", b"y", 0o600),
            (EntryType::Regular, "etc/.wh.gone", "", b"", 0),
            (EntryType::Regular, "opt/.wh..wh..opq", "", b"", 0),
        ],
    )
    .unwrap();
    let su = std::fs::metadata(scratch.0.join("bin/su")).unwrap();
    assert_eq!((su.permissions().mode() & 0o7777, su.uid(), su.gid(), su.mtime(), su.nlink()), (0o4755, 1234, 4321, 1_000_000, 2));
    assert_eq!(std::fs::read_link(scratch.0.join("sbin")).unwrap(), Path::new("bin"));
    let whiteout = std::fs::symlink_metadata(scratch.0.join("etc/gone")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let mut mark = [0u8; 8];
    assert_eq!(rustix::fs::getxattr(scratch.0.join("opt"), "trusted.overlay.opaque", &mut mark), Ok(1));
}

#[test]
fn hostile_archives_stay_inside() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let layer = scratch.0.join("layer");
    std::fs::create_dir(&layer).unwrap();
    assert!(matches!(unpack_all(&layer, &[(EntryType::Regular, "../evil", "", b"x", 0o644)]), Err(Error::Hostile(_))));
    assert!(matches!(unpack_all(&layer, &[(EntryType::Link, "passwd", "../../etc/passwd", b"", 0)]), Err(Error::Hostile(_))));
    // Links are resolved inside the layer: an absolute one leads to the layer's own root.
    let outside = scratch.0.display().to_string();
    let _ = unpack_all(&layer, &[(EntryType::Symlink, "out", &outside, b"", 0o777), (EntryType::Regular, "out/evil", "", b"x", 0o644)]);
    let _ = unpack_all(&layer, &[(EntryType::Symlink, "up", "../../..", b"", 0o777), (EntryType::Regular, "up/evil", "", b"x", 0o644)]);
    assert!(!scratch.0.join("evil").exists() && !scratch.0.parent().unwrap().join("evil").exists());
}

fn image(store: &ImageStore, name: &str, file: &str) -> crate::Digest {
    let mut builder = Builder::new(Vec::new());
    entry(&mut builder, EntryType::Regular, file, "", b"hello", 0o644);
    let tar = builder.into_inner().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&tar).unwrap();
    let layer = store.put_blob(&packed.finish().unwrap()).unwrap();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/x"]}, "rootfs": {"type": "layers", "diff_ids": [digest_of(&tar)]}});
    let config = store.put_blob(config.to_string().as_bytes()).unwrap();
    let describe = |media_type: &str, digest: crate::Digest| Descriptor {
        media_type: media_type.into(),
        size: store.blob_size(&digest).unwrap(),
        digest,
        platform: None,
        annotations: Default::default(),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.into()),
        config: describe(media::CONFIG, config),
        layers: vec![describe(media::LAYER_GZIP, layer)],
    };
    store.unpack(&manifest).unwrap();
    let digest = store.put_blob(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    store.tag(&Reference::parse(name).unwrap(), &digest).unwrap();
    digest
}

#[test]
fn images_are_found_listed_and_collected() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let store = ImageStore::open(&scratch.0).unwrap();
    image(&store, "chat:1", "a");
    image(&store, "chat:2", "b");
    let chat = store.find("chat:1").unwrap();
    assert_eq!(chat.config.cmd.as_deref(), Some(&["/x".to_owned()][..]));
    let mut text = String::new();
    std::fs::File::open(chat.layers[0].join("a")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), store.list().len()), ("hello", 2));
    assert_eq!(store.find(&chat.id.to_string()).unwrap().names, ["docker.io/library/chat:1"]);
    // Another process's view of the same folder.
    assert!(ImageStore::open(&scratch.0).unwrap().find("chat:2").is_some());

    assert!(store.untag(&Reference::parse("chat:1").unwrap()).unwrap());
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    store.collect(&chat.layers.iter().cloned().collect(), soon).unwrap();
    assert!(store.find("chat:1").is_none() && chat.layers[0].exists() && store.find("chat:2").is_some());
    store.collect(&Default::default(), soon).unwrap();
    assert!(!chat.layers[0].exists());
}

#[test]
fn a_blob_must_be_what_it_is_called() {
    let scratch = Scratch::new();
    let store = ImageStore::open(&scratch.0).unwrap();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"other").unwrap();
    assert!(matches!(writer.commit(Some(&digest_of(b"wanted"))), Err(Error::Digest { .. })));
    assert_eq!(std::fs::read_dir(scratch.0.join("ingest")).unwrap().count(), 0);
}
