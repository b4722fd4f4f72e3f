use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci_image::{Credentials, Descriptor, ImageStore, Manifest, Reference, Registries, media};
use tokio::net::TcpListener;

use crate::Registry;

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static N: AtomicUsize = AtomicUsize::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("coracle-image-registry-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An image of no layers.
pub(crate) fn put_image(store: &ImageStore, name: &str) {
    let config = store.put_blob(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#).expect("writable");
    let size = store.blob_size(&config).expect("just put");
    let config =
        Descriptor { media_type: media::CONFIG.to_owned(), size, digest: config, platform: None, annotations: BTreeMap::default() };
    let manifest = Manifest { schema_version: 2, media_type: Some(media::MANIFEST.to_owned()), config, layers: Vec::new() };
    let digest = store.put_blob(&serde_json::to_vec(&manifest).expect("JSON")).expect("writable");
    store.tag(&Reference::parse(name).expect("a name"), &digest).expect("writable");
}

async fn served(store: &ImageStore, login: Option<&str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(Registry::mirror(store.clone(), login).serve(listener));
    url
}

/// Nothing listens at the registry itself, so that what is pulled came from a mirror.
const IMAGE: &str = "localhost:1/tools/x:1";

async fn check(mirrors: &[&str], login: Option<(&str, &str)>, expected: Result<(), &str>) {
    let scratch = Scratch::new();
    let store = ImageStore::open(&scratch.0).expect("writable");
    let mirrors = BTreeMap::from([("localhost:1".to_owned(), mirrors.iter().map(|m| (*m).to_owned()).collect())]);
    let login =
        login.map(|(host, password)| Credentials { host: host.to_owned(), username: "me".to_owned(), password: password.to_owned() });
    let registries = Registries::new(mirrors, login.into_iter().collect(), None);
    match (store.pull(IMAGE, &registries, &[], &|_, _, _| {}).await, expected) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(words)) if error.to_string().contains(words) => {}
        (found, _) => panic!("{found:?}, not {expected:?}"),
    }
}

#[tokio::test]
async fn mirrors_are_asked_in_turn() {
    let scratch = Scratch::new();
    let (full, empty) = (ImageStore::open(&scratch.0.join("full")), ImageStore::open(&scratch.0.join("empty")));
    let (full, empty) = (full.expect("writable"), empty.expect("writable"));
    put_image(&full, IMAGE);
    put_image(&empty, "other.example/tools/x:1");
    let (dead, empty, open) = ("http://127.0.0.1:1", served(&empty, None).await, served(&full, None).await);
    let guarded = served(&full, Some("me:secret")).await;
    check(&[&open], None, Ok(())).await;
    check(&[dead, &empty, &open], None, Ok(())).await;
    check(&[&empty], None, Err("localhost:1")).await;
    check(&[&guarded], None, Err("localhost:1")).await;
    check(&[&guarded], Some(("localhost:1", "wrong")), Err("localhost:1")).await;
    check(&[&guarded], Some(("localhost:1/tools", "secret")), Ok(())).await;
    let host = guarded.trim_start_matches("http://");
    check(&[&guarded], Some((host, "secret")), Ok(())).await;
    check(&[&guarded], Some(("elsewhere.example", "secret")), Err("localhost:1")).await;
}
