//! Bent logs: a container may have written anything, and a disk may have kept half of it.

use tokio::sync::{mpsc, watch};

use super::line::{Line, Stream};
use super::read::{Options, send};

#[test]
fn lines() {
    let seeds =
        ["2026-01-02T15:04:05.000000001Z stdout F a b \n2026-01-02T15:04:06.5Z stderr P half\n2026-01-02T15:04:06.6Z stderr F er\n"];
    let folder = ::fuzz::Folder::new();
    let path = folder.0.join("0.log");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let time = "2026-01-02T15:04:06Z".parse().expect("a time");
    ::fuzz::run(&seeds, &["stdout F ", "stderr P ", "\n", " ", "2026-01-02T15:04:05Z ", "F:x", "P"], |bytes| {
        std::fs::write(&path, bytes).expect("writable");
        drop(super::last_words(&path));
        let all = Options { with_times: true, ..Options::default() };
        let some =
            Options { since: Some(time), tail_lines: Some(2), limit_bytes: Some(10), stream: Some(Stream::Stderr), ..Options::default() };
        for options in [all, some] {
            let bytes_max = options.limit_bytes.unwrap_or(bytes.len() as u64);
            let (out, mut pieces) = mpsc::channel::<bytes::Bytes>(1);
            let has_ended = watch::channel(true).1;
            let read = async {
                let mut n_bytes = 0;
                while let Some(piece) = pieces.recv().await {
                    n_bytes += piece.len() as u64;
                }
                n_bytes
            };
            let (n_bytes, ()) = runtime.block_on(async { tokio::join!(read, send(path.clone(), options, has_ended, out)) });
            assert!(n_bytes <= bytes_max, "{n_bytes} bytes came of {bytes_max}");
        }
        bytes.split_inclusive(|byte| *byte == b'\n').any(|line| Line::parse(line).is_some())
    });
}
