//! Bent conversations with the registry, from the first byte of the connection on.

use ::fuzz::Folder;
use oci_image::{ImageStore, digest_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Registry;
use crate::tests::put_image;

/// Larger than any conversation and its answers.
const PIPE_BYTES: usize = 1 << 20;

fn request(line: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn conversations() {
    let blob = digest_of(b"blob");
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{blob}","size":4}},"layers":[{{"mediaType":"y","digest":"{blob}","size":4}}]}}"#
    );
    let upload = format!("PUT /v2/a/b/blobs/uploads/1?digest={blob}");
    let seeds = [
        [request("POST /v2/a/b/blobs/uploads/", ""), request("PATCH /v2/a/b/blobs/uploads/1", "blob"), request(&upload, "")].concat(),
        [request(&format!("POST /v2/a/blobs/uploads/?digest={blob}"), "blob"), request("PUT /v2/a/manifests/1", &manifest)].concat(),
        [request("GET /v2/x/tags/list", ""), request("GET /v2/x/manifests/1", ""), request("DELETE /v2/x/manifests/1", "")].concat(),
        [request(&format!("HEAD /v2/x/blobs/{blob}"), ""), request("GET /v2/_catalog?n=1&last=a", ""), request("GET /v2/", "")].concat(),
    ];
    let words = [
        "/v2/",
        "/blobs/uploads/",
        "/manifests/",
        "sha256:",
        "%2e%2e/",
        "Content-Range: 1-2\r\n",
        "Transfer-Encoding: chunked\r\n",
        "ffffffffff\r\n",
        "?digest=",
        "&mount=",
        "\r\n\r\n",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    ::fuzz::run(&seeds, &words, |bytes| {
        let scratch = Folder::new();
        let store = ImageStore::open(&scratch.0).expect("writable");
        put_image(&store, "localhost:1/x:1");
        let (mut ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let answers = runtime.block_on(async {
            let asked = async {
                ours.write_all(bytes).await.expect("the pipe holds all");
                ours.shutdown().await.expect("open");
                let mut answers = Vec::new();
                // A connection that is closed early is an answer too.
                let _ = ours.read_to_end(&mut answers).await;
                answers
            };
            tokio::join!(Registry::new(store, 1).converse(theirs), asked).1
        });
        let answers = String::from_utf8_lossy(&answers);
        assert!(!answers.contains(" 500 "), "{answers}");
        answers.contains(" 20")
    });
}
