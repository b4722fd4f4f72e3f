//! Bent image names, layers and archives.

use std::collections::BTreeMap;
use std::io::Write;

use ::fuzz::Folder;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::{Digest, ImageStore, Reference, digest_of, unpack};

/// Files as a tar, by name.
fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).expect("memory is writable");
    }
    builder.into_inner().expect("memory is writable")
}

fn layer() -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let long = "d/".repeat(80) + "f";
    let pax: Vec<(&str, &[u8])> = vec![("SCHILY.xattr.user.a", b"b"), ("path", b"other"), ("size", b"3")];
    builder.append_pax_extensions(pax).expect("memory is writable");
    let entries = [
        (EntryType::Regular, "a", "", "abc"),
        (EntryType::Directory, "d", "", ""),
        (EntryType::Regular, &long, "", "x"),
        (EntryType::Symlink, "l", "/etc/passwd", ""),
        (EntryType::Link, "h", "a", ""),
        (EntryType::Regular, "d/.wh.gone", "", ""),
        (EntryType::Regular, "d/.wh..wh..opq", "", ""),
        (EntryType::Fifo, "p", "", ""),
    ];
    for (kind, name, link, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if link.is_empty() {
            builder.append_data(&mut header, name, content.as_bytes()).expect("memory is writable");
        } else {
            builder.append_link(&mut header, name, link).expect("memory is writable");
        }
    }
    builder.into_inner().expect("memory is writable")
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("memory is writable")
}

fn image(layer: &[u8]) -> Vec<u8> {
    let diff_id = digest_of(layer).to_string();
    json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}, "config": {"Env": ["A=b"]}})
        .to_string()
        .into()
}

fn docker_archive() -> Vec<u8> {
    let layer = layer();
    let list = json!([{"Config": "config.json", "RepoTags": ["localhost:1/a:1"], "Layers": ["l/layer.tar"]}]).to_string();
    tar_of(&[("manifest.json".into(), list.into()), ("config.json".into(), image(&layer)), ("l/layer.tar".into(), layer)])
}

fn oci_archive() -> Vec<u8> {
    let layer = layer();
    let config = image(&layer);
    let described = |content: &[u8], kind: &str| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest_of(content), "size": content.len()});
    let manifest =
        json!({"schemaVersion": 2, "config": described(&config, "config.v1+json"), "layers": [described(&layer, "layer.v1.tar")]});
    let manifest = manifest.to_string().into_bytes();
    let mut entry = described(&manifest, "manifest.v1+json");
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "localhost:1/a:1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let blobs = [config, layer, manifest].map(|blob| (format!("blobs/sha256/{}", digest_of(&blob).hex()), blob));
    tar_of(&[&[("index.json".to_owned(), index.into_bytes())], &blobs[..]].concat())
}

#[test]
fn image_names() {
    let seeds = ["nginx", "localhost:32000/a/b_c:1.2-x", &format!("reg.example/a@sha256:{}", "0".repeat(64)), "[::1]:5000/a:b@sha256:c"];
    ::fuzz::run(&seeds, &[":", "/", "@sha256:", "localhost", ".", "__", "//"], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return false };
        drop(Digest::parse(text));
        let Ok(name) = Reference::parse(text) else { return false };
        assert_eq!(Reference::parse(&name.to_string()), Ok(name), "what we write we read");
        true
    });
}

/// Nothing of it may appear beside its folder.
#[test]
fn layers() {
    let scratch = Folder::new();
    let folder = scratch.0.join("layer");
    ::fuzz::run(
        &[layer()],
        &["../", "/", "ustar", "0000644\0", "SCHILY.xattr.", "././@LongLink", "77777777777", "L", "K", "x", "S"],
        |bytes| {
            std::fs::create_dir(&folder).expect("a new folder");
            let result = unpack::unpack(&mut &bytes[..], &folder);
            std::fs::remove_dir_all(&folder).expect("what was unpacked can be removed");
            assert_eq!(std::fs::read_dir(&scratch.0).expect("readable").count(), 0, "something lies outside");
            result.is_ok()
        },
    );
}

#[test]
fn archives() {
    let scratch = Folder::new();
    let path = scratch.0.join("archive.tar");
    let archives = [docker_archive(), oci_archive()];
    let seeds: Vec<Vec<u8>> = archives.iter().flat_map(|archive| [archive.clone(), gzipped(archive)]).collect();
    ::fuzz::run(
        &seeds,
        &["manifest.json", "index.json", "blobs/sha256/", "../", "sha256:", "\x1f\u{8b}", "ustar", "Layers", "null"],
        |bytes| {
            let store = ImageStore::open(&scratch.0.join("store")).expect("writable");
            std::fs::write(&path, bytes).expect("writable");
            let accepted = store.import(&path).is_ok();
            std::fs::remove_dir_all(scratch.0.join("store")).expect("what was imported can be removed");
            accepted
        },
    );
}

#[test]
fn documents() {
    let scratch = Folder::new();
    let store = ImageStore::open(&scratch.0).expect("writable");
    let manifest =
        json!({"schemaVersion": 2, "config": {"mediaType": "x", "digest": digest_of(b""), "size": 1}, "layers": [], "annotations": {}});
    let seeds = [image(b""), manifest.to_string().into_bytes()];
    ::fuzz::run(&seeds, &["config", "layers", "digest", "size", "platform", "rootfs", "diff_ids", "Env"], |bytes| {
        let digest = store.put_blob(bytes).expect("writable");
        let accepted = store.manifest(&digest).is_ok_and(|manifest| store.config(&manifest).is_ok() || manifest.layers.is_empty());
        drop(store.runnable(&digest));
        drop(
            store.collect(&BTreeMap::<_, ()>::new().into_keys().collect(), std::time::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40)),
        );
        accepted
    });
}
