//! Bent requests through the whole server: what upstream is asked, head, query and body.

use bytes::Bytes;
use client::transport::Transport;
use differential::cases;
use differential::story::{Payload, Request};
use http_body_util::BodyExt;

/// The chapters whose requests need nothing that an earlier one made.
const CHAPTERS: &[&str] = &["bad", "patch", "own", "lists", "sub", "formats", "reviews"];
const WORDS: &[&str] = &[
    "?",
    "&",
    "=",
    "%2C",
    "limit=",
    "continue=",
    "resourceVersion=",
    "labelSelector=",
    "fieldSelector=",
    "$patch",
    "\"$patch\":\"replace\",",
    "\"$retainKeys\":[1],",
    "\"$setElementOrder/containers\":[{}],",
    "~1",
    "/-",
    "k:{",
    "\x0a\u{ff}\u{ff}\x0f",
    "\x12\u{80}",
    "k8s\0",
    "/status",
    "application/json",
    "application/yaml",
    "as=Table",
    "dryRun=All",
    "fieldValidation=",
    "force=true",
];

/// As on the wire, but for line ends.
fn text_of(request: &Request) -> Vec<u8> {
    let mut text =
        format!("{} {}\n", request.method, request.path.replace("$(ns)", "default").replace("$(", "").replace(')', "")).into_bytes();
    for (name, value) in &request.headers {
        text.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    }
    text.push(b'\n');
    match &request.payload {
        Payload::Text(body) | Payload::Protobuf(body) => text.extend_from_slice(body.replace("$(ns)", "default").as_bytes()),
        Payload::Raw(body) => text.extend_from_slice(body),
        Payload::Last(_) => {}
    }
    text
}

/// `None` for what no HTTP server would hand on.
fn request_of(text: &[u8]) -> Option<http::Request<Bytes>> {
    let end = text.windows(2).position(|two| two == b"\n\n")?;
    let mut lines = std::str::from_utf8(&text[..end]).ok()?.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let mut request = http::Request::builder().method(method).uri(path);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    request.body(Bytes::copy_from_slice(&text[end + 2..])).ok()
}

#[test]
fn requests() {
    let of_chapters = cases::all().into_iter().filter(|story| CHAPTERS.contains(&story.chapter()));
    let seeds: Vec<Vec<u8>> = of_chapters.flat_map(|story| story.requests).map(|request| text_of(&request)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let server = runtime.block_on(differential::servers::coracle()).expect("coracle starts");
    ::fuzz::run(&seeds, WORDS, |bytes| {
        let Some(request) = request_of(bytes) else { return false };
        runtime.block_on(async {
            let response = server.send(request).await.expect("an answer");
            let is_good = response.status().is_success();
            let body = response.into_body().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&body).contains("caused apiserver to panic"), "a handler panicked");
            is_good
        })
    });
}
