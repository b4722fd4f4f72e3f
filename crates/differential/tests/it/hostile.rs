//! Bent requests through the whole server: no input may make a handler panic or take long. Seeded, so a failure comes again.

use bytes::Bytes;
use client::transport::Transport;
use differential::cases;
use differential::story::{Payload, Request};
use http_body_util::BodyExt;

/// Enough to bend each kind of request a few hundred times in about ten seconds.
const ROUNDS: usize = 3_000;
/// Far above what any of them takes in a debug build on a busy machine.
const REQUEST_SECONDS_MAX: f64 = 20.0;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % n.max(1)
    }
}

/// What decoders trip over.
const MORSELS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"-",
    b"1e999",
    b"9223372036854775808",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"&a",
    b"*a",
    b"<<: ",
    b"- ",
    b"? ",
    b"---\n",
    b"%",
    b"$patch",
    b"\"$patch\":\"replace\",",
    b"\"$retainKeys\":[1],",
    b"\"$setElementOrder/containers\":[{}],",
    b"~1",
    b"/-",
    b"k:{",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x12\x80",
    b"k8s\0",
    b"2001-99-99T99:99:99Z",
    b"1Gi",
    b"1e-400",
];

fn bend(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.splice(at..at, MORSELS[dice.below(MORSELS.len())].iter().copied()).for_each(drop),
            2 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            3 => {
                let end = (at + dice.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => {
                let end = (at + dice.below(12)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let morsel = MORSELS[dice.below(MORSELS.len())].repeat(1 + dice.below(200));
                bytes.splice(at..at, morsel);
            }
        }
    }
}

/// A URI keeps its form; only what follows the first `=` is bent.
fn bent_path(dice: &mut Dice, path: &str) -> String {
    let path = path.replace("$(ns)", "default").replace("$(", "").replace(')', "");
    let Some((head, query)) = path.split_once('=').filter(|_| dice.below(3) == 0) else { return path };
    let mut bytes = query.as_bytes().to_vec();
    bend(dice, &mut bytes);
    bytes.truncate(2_000);
    let escaped: String = bytes
        .iter()
        .map(|b| if b.is_ascii_alphanumeric() || b"&=%".contains(b) { char::from(*b).to_string() } else { format!("%{b:02X}") })
        .collect();
    format!("{head}={escaped}")
}

fn body_of(request: &Request) -> Vec<u8> {
    match &request.payload {
        Payload::Text(text) | Payload::Protobuf(text) => text.replace("$(ns)", "default").into_bytes(),
        Payload::Raw(bytes) => bytes.clone(),
        Payload::Last(_) => Vec::new(),
    }
}

#[test]
fn no_request_makes_the_server_panic_or_hang() {
    let chapters = ["bad", "patch", "own", "lists", "sub", "formats", "reviews"];
    let all: Vec<Request> = cases::all().into_iter().filter(|s| chapters.contains(&s.chapter())).flat_map(|s| s.requests).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let server = differential::servers::coracle().await.expect("coracle starts");
        let mut dice = Dice(7);
        for round in 0..ROUNDS {
            let request = &all[dice.below(all.len())];
            let mut body = body_of(request);
            bend(&mut dice, &mut body);
            body.truncate(200_000);
            let mut sent = http::Request::builder().method(request.method).uri(bent_path(&mut dice, &request.path));
            for (name, value) in &request.headers {
                sent = sent.header(*name, value);
            }
            let Ok(sent) = sent.body(Bytes::from(body.clone())) else { continue };
            let begun = std::time::Instant::now();
            let response = server.send(sent).await.expect("an answer");
            let bytes = response.into_body().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let shown = || format!("round {round}: {} {}\n{}", request.method, request.path, String::from_utf8_lossy(&body));
            assert!(!text.contains("caused apiserver to panic"), "a handler panicked at {}", shown());
            assert!(begun.elapsed().as_secs_f64() < REQUEST_SECONDS_MAX, "it took too long to answer {}", shown());
        }
    });
}
