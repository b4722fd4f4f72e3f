//! Header blocks: name-value pairs in one zlib stream a direction, with a dictionary both sides know.
//!
//! What we send is stored uncompressed within the zlib format: replies carry no headers, so there is nothing to gain.

use std::io;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::Headers;

/// The words of the dictionary, each written with its length before it. Upstream: the SPDY/3 draft, 2.6.10.1.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow \
    authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 \
    content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since \
    last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer \
    transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";
/// What follows them as it is.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative \
    Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 \
    Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, \
    GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=\
    gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// What deflate may refer back to; a power of two.
const WINDOW: usize = 32 * 1024;
/// A stream has three or four short headers.
const BLOCK_BYTES_MAX: usize = 64 * 1024;

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.split(' ') {
        let word = word.replace('_', " ");
        bytes.extend_from_slice(&(word.len() as u32).to_be_bytes());
        bytes.extend_from_slice(word.as_bytes());
    }
    bytes.extend_from_slice(TAIL.as_bytes());
    bytes
}

/// Inflates the blocks of one direction, one after the other.
pub(super) struct HeaderReader {
    state: Box<DecompressorOxide>,
    /// What was written last, as a ring; the dictionary stands in it at first.
    window: Vec<u8>,
    at: usize,
    has_begun: bool,
}

impl Default for HeaderReader {
    fn default() -> Self {
        HeaderReader { state: Box::default(), window: vec![0; WINDOW], at: 0, has_begun: false }
    }
}

impl HeaderReader {
    pub(super) fn read(&mut self, block: &[u8]) -> io::Result<Headers> {
        let deflated = if self.has_begun { block } else { self.begin(block)? };
        parse(&self.inflate(deflated)?)
    }

    /// The head of the zlib stream: two bytes, and the dictionary's checksum where one is used.
    fn begin<'a>(&mut self, block: &'a [u8]) -> io::Result<&'a [u8]> {
        const HAS_DICTIONARY: u8 = 0x20;
        self.has_begun = true;
        let flags = block.get(1).ok_or_else(|| io::Error::other("an empty header block"))?;
        if flags & HAS_DICTIONARY == 0 {
            return Ok(&block[2..]);
        }
        let words = dictionary();
        self.window[..words.len()].copy_from_slice(&words);
        self.at = words.len();
        block.get(6..).ok_or_else(|| io::Error::other("a short header block"))
    }

    fn inflate(&mut self, mut input: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            let (status, n_read, n_written) =
                decompress(&mut self.state, input, &mut self.window, self.at, inflate_flags::TINFL_FLAG_HAS_MORE_INPUT);
            out.extend_from_slice(&self.window[self.at..self.at + n_written]);
            self.at = (self.at + n_written) % WINDOW;
            input = &input[n_read..];
            if out.len() > BLOCK_BYTES_MAX {
                return Err(io::Error::other("a header block of more than 64 KiB"));
            }
            match status {
                TINFLStatus::NeedsMoreInput | TINFLStatus::Done => return Ok(out),
                TINFLStatus::HasMoreOutput => {}
                failed => return Err(io::Error::other(format!("a broken header block: {failed:?}"))),
            }
        }
    }
}

fn parse(block: &[u8]) -> io::Result<Headers> {
    let mut rest = block;
    let mut headers = Headers::new();
    let count = take_number(&mut rest)?;
    for _ in 0..count {
        let (name, value) = (take_text(&mut rest)?, take_text(&mut rest)?);
        headers.insert(name.to_lowercase(), value);
    }
    Ok(headers)
}

fn take_number(rest: &mut &[u8]) -> io::Result<usize> {
    let (number, after) = rest.split_first_chunk::<4>().ok_or_else(|| io::Error::other("a short header block"))?;
    *rest = after;
    Ok(u32::from_be_bytes(*number) as usize)
}

fn take_text(rest: &mut &[u8]) -> io::Result<String> {
    let length = take_number(rest)?;
    let (text, after) = rest.split_at_checked(length).ok_or_else(|| io::Error::other("a short header block"))?;
    *rest = after;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// A block of the pairs, stored. `is_first` writes the head of the zlib stream before it.
pub(super) fn encode_headers(pairs: &[(&str, &str)], is_first: bool) -> Vec<u8> {
    let mut content = (pairs.len() as u32).to_be_bytes().to_vec();
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        content.extend_from_slice(&(text.len() as u32).to_be_bytes());
        content.extend_from_slice(text.as_bytes());
    }
    let mut block = if is_first { vec![0x78, 0x01] } else { Vec::new() };
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    block.push(0);
    block.extend_from_slice(&length.to_le_bytes());
    block.extend_from_slice(&(!length).to_le_bytes());
    block.extend_from_slice(&content);
    // Go's reader gives out what it has only at the empty block that a flush writes.
    block.extend_from_slice(&[0, 0, 0, 0xff, 0xff]);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_drafts() {
        let words = dictionary();
        assert_eq!(words.len(), 1423);
        // Adler-32 of the dictionary, as every SPDY/3 peer sends it.
        let (mut a, mut b) = (1u32, 0u32);
        for byte in &words {
            a = (a + u32::from(*byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!(b << 16 | a, 0xe3c6_a7c2);
    }

    #[test]
    fn stored_blocks_are_read_back() {
        let mut reader = HeaderReader::default();
        for is_first in [true, false] {
            let headers = reader.read(&encode_headers(&[("streamtype", "data"), ("port", "80")], is_first)).unwrap();
            assert_eq!(headers["port"], "80");
            assert_eq!(headers["streamtype"], "data");
        }
    }

    /// Written by Go's `compress/zlib` with the dictionary, best compression, two blocks with a flush after each.
    #[test]
    fn deflated_blocks_are_read() {
        let mut reader = HeaderReader::default();
        for block in GOLDEN {
            let bytes: Vec<u8> = (0..block.len()).step_by(2).map(|i| u8::from_str_radix(&block[i..i + 2], 16).unwrap()).collect();
            let headers = reader.read(&bytes).unwrap();
            assert_eq!((headers["port"].as_str(), headers["requestid"].as_str()), ("8080", "0"));
            assert!(["error", "data"].contains(&headers["streamtype"].as_str()));
        }
    }

    const GOLDEN: [&str; 2] = [
        "78f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45e01c60616061c0c0c0c0590489c64c50f2663400000000ffff",
        "c2aa19540e2512d60b000000ffff",
    ];
}
