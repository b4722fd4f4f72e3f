//! Bent frames of a client that streams.

use super::frame::{Frame, read_frame};
use super::headers::{HeaderReader, encode_headers};

fn control(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[0x80, 3, 0, kind, 0, 0, 0, body.len() as u8], body].concat()
}

#[test]
fn frames() {
    let opening = [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &encode_headers(&[("streamtype", "stdin"), ("port", "80")], true)].concat();
    let next = [&[0, 0, 0, 3, 0, 0, 0, 0, 0, 0][..], &encode_headers(&[("streamtype", "error")], false)].concat();
    let seeds = [[
        control(1, &opening),
        control(1, &next),
        vec![0, 0, 0, 1, 1, 0, 0, 2, b'h', b'i'],
        control(6, &[0, 0, 0, 1]),
        control(3, &[0; 8]),
        control(7, &[0; 8]),
    ]
    .concat()];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    ::fuzz::run(&seeds, &["\u{80}\x03\0\x01", "\0\0\0\x01", "\x78\u{bb}", "streamtype", "\x7f\x7f\x7f"], |mut bytes| {
        runtime.block_on(async {
            let mut headers = HeaderReader::default();
            let mut has_opened = false;
            while let Ok(Some(frame)) = read_frame(&mut bytes, &mut headers).await {
                has_opened |= matches!(frame, Frame::SynStream { .. });
                drop(frame.encode(&mut true));
            }
            has_opened
        })
    });
}
