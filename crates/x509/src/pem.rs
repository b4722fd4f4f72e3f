//! Blocks of PEM in a text, found as Go finds them: what is around them is skipped, and so is a block that is not whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    pub label: String,
    pub has_headers: bool,
    pub bytes: Vec<u8>,
}

pub const CERTIFICATE: &str = "CERTIFICATE";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// All blocks, in order.
pub fn blocks(text: &[u8]) -> impl Iterator<Item = Block> + use<> {
    // PEM is ASCII; other bytes only ever stand between blocks.
    let text = String::from_utf8_lossy(text).into_owned();
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    for line in text.split('\n') {
        if let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.trim_end().strip_suffix(DASHES)) {
            // Upstream: of begins without an end, the last one counts.
            open = Some(Open { label: label.to_owned(), has_headers: false, is_in_headers: true, body: String::new() });
        } else if let Some(label) = line.strip_prefix(END) {
            found.extend(open.take().and_then(|open| open.close(label)));
        } else if let Some(open) = &mut open {
            open.take(line);
        }
    }
    found.into_iter()
}

struct Open {
    label: String,
    has_headers: bool,
    is_in_headers: bool,
    body: String,
}

impl Open {
    fn take(&mut self, line: &str) {
        if self.is_in_headers && line.contains(':') {
            self.has_headers = true;
        } else {
            self.is_in_headers = false;
            self.body.extend(line.chars().filter(|c| !matches!(c, ' ' | '\t' | '\r')));
        }
    }

    fn close(self, end: &str) -> Option<Block> {
        let is_same = end.trim_end().strip_suffix(DASHES) == Some(self.label.as_str());
        let bytes = STANDARD.decode(self.body).ok().filter(|_| is_same)?;
        Some(Block { label: self.label, has_headers: self.has_headers, bytes })
    }
}
