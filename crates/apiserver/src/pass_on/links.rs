//! Absolute links in what a proxied server answers lead back through the proxy. Upstream: `util/proxy/transport.go`.
//!
//! Pure but for the reading of a body. Only the links' own bytes change: upstream writes every tag anew, which says the same.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, GzDecoder};
use flate2::write::{DeflateEncoder, GzEncoder};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Response, header};

use crate::body::Body;

/// A page must be whole to be rewritten; a larger one is no page for people, and passes as it is.
const PAGE_LEN_MAX: usize = 16 * 1024 * 1024;

/// Which attributes of which tags hold links: those of HTML 4 and 5.
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like.
const TEXT_ELEMENTS: &[&str] = &["iframe", "noembed", "noframes", "noscript", "script", "style", "textarea", "title", "xmp"];

const CORS_HEADERS: [header::HeaderName; 4] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
];

/// How a client reaches the other server through this one.
pub(super) struct Way {
    /// The path of the proxy, without a slash at its end.
    pub(super) prefix: String,
    /// The other server's own address.
    pub(super) place: String,
    /// What the client calls the host it asks.
    pub(super) host: String,
}

impl Way {
    /// The answer as a client of the proxy can use it.
    pub(super) async fn lead_back(&self, mut response: Response<Body>) -> Response<Body> {
        CORS_HEADERS.iter().for_each(|name| drop(response.headers_mut().remove(name)));
        if let Some(location) = response.headers().get(header::LOCATION) {
            let led = location.to_str().ok().and_then(|l| self.link(l)).and_then(|l| HeaderValue::from_str(&l).ok());
            if let Some(led) = led {
                response.headers_mut().insert(header::LOCATION, led);
            }
            return response;
        }
        if is_page(response.headers()) { self.page_answer(response).await } else { response }
    }

    async fn page_answer(&self, response: Response<Body>) -> Response<Body> {
        let (mut parts, body) = response.into_parts();
        let (mut pieces, mut rest, mut len) = (Vec::new(), body.into_stream(), 0);
        while let Some(piece) = rest.next().await {
            len += piece.len();
            pieces.push(piece);
            if len > PAGE_LEN_MAX {
                return Response::from_parts(parts, Body::stream(stream::iter(pieces).chain(rest)));
            }
        }
        let page = pieces.concat();
        let encoding = parts.headers.get(header::CONTENT_ENCODING).and_then(|e| e.to_str().ok()).unwrap_or("");
        let body = match self.encoded_page(&page, encoding) {
            Some(led) => {
                parts.headers.remove(header::CONTENT_LENGTH);
                Bytes::from(led)
            }
            None => Bytes::from(page),
        };
        Response::from_parts(parts, Body::whole(body))
    }

    /// `None` for what cannot be read: it passes as it is.
    fn encoded_page(&self, page: &[u8], encoding: &str) -> Option<Vec<u8>> {
        match encoding {
            "" => Some(self.page(page)),
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&self.page(&unpacked(GzDecoder::new(page))?)).ok()?;
                encoder.finish().ok()
            }
            "deflate" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(&self.page(&unpacked(DeflateDecoder::new(page))?)).ok()?;
                encoder.finish().ok()
            }
            _ => None,
        }
    }

    fn page(&self, page: &[u8]) -> Vec<u8> {
        let mut led = Vec::with_capacity(page.len() + 256);
        let mut copied = 0;
        for (start, end) in links(page) {
            let Some(link) = std::str::from_utf8(&page[start..end]).ok().and_then(|link| self.link(link)) else { continue };
            led.extend_from_slice(&page[copied..start]);
            led.extend_from_slice(link.as_bytes());
            copied = end;
        }
        led.extend_from_slice(&page[copied..]);
        led
    }

    /// Where a link of the other server is found by way of this one; `None` when it is as good as it stands.
    fn link(&self, link: &str) -> Option<String> {
        let (root, rest) = split_root(link);
        let host = root.rsplit_once("//").map_or("", |(_, host)| host);
        let is_other_host = !root.is_empty() && host != self.place && host != self.host;
        if is_other_host || !rest.starts_with('/') {
            return None;
        }
        let (path, tail) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let root = if host == self.host { root } else { "" };
        let path = if path.starts_with(&self.prefix) { path.to_owned() } else { joined(&self.prefix, path) };
        Some(format!("{root}{path}{tail}"))
    }
}

fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim() == "text/html"
}

fn unpacked(packed: impl Read) -> Option<Vec<u8>> {
    let mut page = Vec::new();
    packed.take(PAGE_LEN_MAX as u64 + 1).read_to_end(&mut page).ok()?;
    (page.len() <= PAGE_LEN_MAX).then_some(page)
}

/// `http://host` and `/path?query` of a URL; the first is empty for a link within a host.
fn split_root(link: &str) -> (&str, &str) {
    let scheme_len = link.find("//").unwrap_or(0);
    let is_scheme = |scheme: &str| scheme.strip_suffix(':').is_some_and(|s| s.bytes().all(|c| c.is_ascii_alphanumeric()));
    if !link[scheme_len..].starts_with("//") || !(scheme_len == 0 || is_scheme(&link[..scheme_len])) {
        return ("", link);
    }
    let host_at = scheme_len + 2;
    let host_len = link[host_at..].find(['/', '?', '#']).unwrap_or(link.len() - host_at);
    link.split_at(host_at + host_len)
}

/// One path below the other, without dots and double slashes.
fn joined(prefix: &str, path: &str) -> String {
    let mut parts = Vec::new();
    for part in prefix.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{end}", parts.join("/"))
}

/// Where a page's links stand.
fn links(page: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = position(page, at, |c| c == b'<') {
        at = start + 1;
        if page[at..].starts_with(b"!--") {
            at = find(page, at + 3, b"-->").unwrap_or(page.len());
        } else if page.get(at).is_some_and(u8::is_ascii_alphabetic) {
            let Some(tag) = Tag::read(page, at) else { break };
            let names = ATTRIBUTES.iter().find(|(name, _)| *name == tag.name).map_or(&[][..], |(_, names)| names);
            found
                .extend(tag.attributes.into_iter().filter(|(name, ..)| names.contains(&name.as_str())).map(|(_, start, end)| (start, end)));
            at = tag.end;
            if TEXT_ELEMENTS.contains(&tag.name.as_str()) {
                at = find(page, at, format!("</{}", tag.name).as_bytes()).unwrap_or(page.len());
            }
        }
    }
    found
}

struct Tag {
    name: String,
    /// Name, and where the value begins and ends.
    attributes: Vec<(String, usize, usize)>,
    end: usize,
}

impl Tag {
    /// `None` when the page ends within it.
    fn read(page: &[u8], at: usize) -> Option<Self> {
        let is_edge = |c: u8| c.is_ascii_whitespace() || c == b'/' || c == b'>';
        let text = |from: usize, to: usize| String::from_utf8_lossy(&page[from..to]).to_ascii_lowercase();
        let mut end = position(page, at, is_edge)?;
        let mut tag = Tag { name: text(at, end), attributes: Vec::new(), end };
        loop {
            let start = position(page, end, |c| !c.is_ascii_whitespace() && c != b'/')?;
            if page[start] == b'>' {
                tag.end = start + 1;
                return Some(tag);
            }
            // A sign of equality in the first place is part of the name.
            let name_end = position(page, start + 1, |c| is_edge(c) || c == b'=')?;
            end = position(page, name_end, |c| !c.is_ascii_whitespace())?;
            if page[end] != b'=' {
                end = name_end;
                continue;
            }
            let value = position(page, end + 1, |c| !c.is_ascii_whitespace())?;
            let (value, value_end) = match page[value] {
                quote @ (b'"' | b'\'') => (value + 1, position(page, value + 1, |c| c == quote)?),
                _ => (value, position(page, value, |c| c.is_ascii_whitespace() || c == b'>')?),
            };
            tag.attributes.push((text(start, name_end), value, value_end));
            end = value_end + usize::from(matches!(page[value_end], b'"' | b'\''));
        }
    }
}

fn position(page: &[u8], from: usize, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    page.get(from..)?.iter().position(|c| is_it(*c)).map(|at| from + at)
}

fn find(page: &[u8], from: usize, text: &[u8]) -> Option<usize> {
    page.get(from..)?.windows(text.len()).position(|part| part.eq_ignore_ascii_case(text)).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        Way { prefix: "/proxy/x".to_owned(), place: "10.0.0.1:80".to_owned(), host: "api:6443".to_owned() }
    }

    fn check(page: &str, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&way().page(page.as_bytes())), expected);
    }

    #[test]
    fn links_within_a_page_lead_back() {
        check(r#"<a href="/rewriteme">test</a>"#, r#"<a href="/proxy/x/rewriteme">test</a>"#);
        check("<IMG alt='/a' SRC=/a.png/><a\nhref = '/b?c=/d#e' x>", "<IMG alt='/a' SRC=/proxy/x/a.png/><a\nhref = '/proxy/x/b?c=/d#e' x>");
        check(r#"<a href="b"><p cite="/c"><a name="/d" href>"#, r#"<a href="b"><p cite="/c"><a name="/d" href>"#);
        check(r#"<!-- <a href="/a"> --><q cite="/b">"#, r#"<!-- <a href="/a"> --><q cite="/proxy/x/b">"#);
        check(
            r#"<script src="/a.js">if (a<b) "<a href='/b'>"</SCRIPT><a href="/c">"#,
            r#"<script src="/proxy/x/a.js">if (a<b) "<a href='/b'>"</SCRIPT><a href="/proxy/x/c">"#,
        );
        check(r#"a < b <a href="/a"#, r#"a < b <a href="/a"#);
    }

    #[test]
    fn only_links_to_the_same_host_change() {
        let check = |link: &str, expected: Option<&str>| assert_eq!(way().link(link).as_deref(), expected, "{link}");
        check("/", Some("/proxy/x/"));
        check("/a/../b//c/", Some("/proxy/x/b/c/"));
        check("/proxy/x/a", Some("/proxy/x/a"));
        check("http://10.0.0.1:80/a", Some("/proxy/x/a"));
        check("https://api:6443/a", Some("https://api:6443/proxy/x/a"));
        check("//api:6443/a?b", Some("//api:6443/proxy/x/a?b"));
        check("http://example.com/a", None);
        check("a?b=http://10.0.0.1:80/a", None);
        check("mailto:a@example.com", None);
        check("#a", None);
        check("http://10.0.0.1:80", None);
    }

    #[test]
    fn packed_pages_are_packed_again() {
        let (page, led) = (b"<a href='/a'>", b"<a href='/proxy/x/a'>");
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(page).unwrap();
        let found = way().encoded_page(&packed.finish().unwrap(), "gzip").unwrap();
        assert_eq!(unpacked(GzDecoder::new(&found[..])).unwrap(), led);
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(page).unwrap();
        let found = way().encoded_page(&packed.finish().unwrap(), "deflate").unwrap();
        assert_eq!(unpacked(DeflateDecoder::new(&found[..])).unwrap(), led);
        assert_eq!(way().encoded_page(page, "br"), None);
        assert_eq!(way().encoded_page(page, "gzip"), None);
    }

    #[tokio::test]
    async fn redirects_lead_back() {
        let mut response = Response::new(Body::whole("<a href='/a'>"));
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("http://10.0.0.1:80/b"));
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        let led = way().lead_back(response).await;
        assert_eq!(led.headers()[header::LOCATION], "/proxy/x/b");
        assert!(!led.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}
