//! What `docker save` and OCI tools write, by hand.

use serde_json::{Value, json};
use tar::EntryType;

use crate::tests::{Scratch, entry, is_root};
use crate::{ImageStore, digest_of};

/// The files of an archive, with one layer that holds `/greeting`.
struct Content {
    layer: Vec<u8>,
    config: Vec<u8>,
}

impl Content {
    fn new() -> Self {
        let layer = tar(&[(EntryType::Regular, "greeting", "", b"hello")]);
        let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(&layer)]}});
        Content { layer, config: config.to_string().into_bytes() }
    }

    /// As `docker save` wrote it before its version 25: equal layers are links.
    fn docker(&self) -> Vec<u8> {
        let list = json!([{"Config": "c.json", "RepoTags": ["greeter:1", "other/greeter:2"], "Layers": ["b/layer.tar"]}]).to_string();
        tar(&[
            (EntryType::Regular, "a/layer.tar", "", &self.layer),
            (EntryType::Symlink, "b/layer.tar", "../a/layer.tar", b""),
            (EntryType::Regular, "./c.json", "", &self.config),
            (EntryType::Regular, "manifest.json", "", list.as_bytes()),
        ])
    }

    /// `content_of_layer` may be other than the layer, which its name then betrays.
    fn oci(&self, content_of_layer: &[u8]) -> Vec<u8> {
        let described = |media: &str, content: &[u8]| json!({"mediaType": format!("application/vnd.oci.image.{media}"), "digest": digest_of(content), "size": content.len()});
        let manifest = json!({
            "schemaVersion": 2, "config": described("config.v1+json", &self.config), "layers": [described("layer.v1.tar", &self.layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry_of_index = described("manifest.v1+json", &manifest);
        entry_of_index["annotations"] = json!({"io.containerd.image.name": "docker.io/library/greeter:1"});
        let index: Value = json!({"schemaVersion": 2, "manifests": [entry_of_index]});
        let blob = |content: &[u8]| format!("blobs/sha256/{}", digest_of(content).hex());
        tar(&[
            (EntryType::Regular, "index.json", "", index.to_string().as_bytes()),
            (EntryType::Regular, &blob(&manifest), "", &manifest),
            (EntryType::Regular, &blob(&self.config), "", &self.config),
            (EntryType::Regular, &blob(&self.layer), "", content_of_layer),
        ])
    }
}

fn tar(files: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    files.iter().for_each(|(kind, path, link, content)| entry(&mut builder, *kind, path, link, content, 0o644));
    builder.into_inner().unwrap()
}

#[test]
fn archives_are_imported_or_refused_and_leave_nothing_half_done() {
    if !is_root() {
        return;
    }
    let check = |archive: &[u8], wanted: Result<&[&str], &str>| {
        let scratch = Scratch::new();
        let store = ImageStore::open(&scratch.0.join("store")).unwrap();
        let path = scratch.0.join("archive");
        std::fs::write(&path, archive).unwrap();
        match (store.import(&path), wanted) {
            (Ok(names), Ok(wanted)) => {
                assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
                for name in wanted {
                    let image = store.find(name).unwrap();
                    assert_eq!(std::fs::read(image.layers[0].join("greeting")).unwrap(), b"hello");
                }
            }
            (Err(error), Err(wanted)) => {
                assert!(error.to_string().contains(wanted), "{error}");
                assert_eq!(store.list().len(), 0);
            }
            (result, wanted) => panic!("{result:?}, wanted {wanted:?}"),
        }
        assert_eq!(std::fs::read_dir(scratch.0.join("store/ingest")).unwrap().count(), 0);
    };
    let content = Content::new();
    let (docker, oci) = (content.docker(), content.oci(&content.layer));
    check(&docker, Ok(&["docker.io/library/greeter:1", "docker.io/other/greeter:2"]));
    check(&oci, Ok(&["docker.io/library/greeter:1"]));
    let mut packed = flate2::read::GzEncoder::new(&docker[..], flate2::Compression::fast());
    let mut gzip = Vec::new();
    std::io::Read::read_to_end(&mut packed, &mut gzip).unwrap();
    check(&gzip, Ok(&["docker.io/library/greeter:1", "docker.io/other/greeter:2"]));

    check(b"root:x:0:0:root:/root:/bin/sh\n".repeat(40).as_slice(), Err("the archive is malformed: this is no tar file"));
    check(&docker[..700], Err("the archive is malformed"));
    check(&tar(&[(EntryType::Regular, "x", "", b"")]), Err("neither manifest.json (docker) nor index.json (OCI) is in it"));
    check(&content.oci(b"other"), Err("has the digest"));
}
