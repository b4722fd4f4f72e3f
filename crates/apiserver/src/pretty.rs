//! `?pretty=true`, and people with a plain HTTP tool: JSON with line breaks, members in the order they have.

use http::{Response, header};

use crate::body::Body;
use crate::call::Call;
use crate::negotiate::JSON;

/// Upstream: these programs get it unless they say otherwise.
const PLAIN_TOOLS: &[&str] = &["curl", "Wget", "Mozilla/5.0"];

pub(crate) fn is_wanted(call: &Call) -> bool {
    if call.wanted(true).is_ok_and(|wanted| wanted.is_pretty) {
        return true;
    }
    match call.query.get("pretty").unwrap_or("") {
        // Go: `strconv.ParseBool`.
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        other if !other.is_empty() => false,
        _ => call.header(header::USER_AGENT).is_some_and(|agent| PLAIN_TOOLS.iter().any(|tool| agent.starts_with(tool))),
    }
}

pub(crate) fn apply(response: Response<Body>) -> Response<Body> {
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes()));
    if !is_json || response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    response.map(|body| match body {
        Body::Pieces(pieces) => Body::whole(indented(&Vec::from(pieces).concat())),
        other => other,
    })
}

/// As Go's `json.Indent` writes it, two spaces a level.
fn indented(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    let break_line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        at += 1;
        if in_string {
            out.push(byte);
            (in_string, is_escaped) = (is_escaped || byte != b'"', !is_escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                out.push(byte);
            }
            b'{' | b'[' if matches!(text.get(at), Some(b'}' | b']')) => {
                out.extend_from_slice(&[byte, text[at]]);
                at += 1;
            }
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                break_line(&mut out, depth);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                break_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            other => out.push(other),
        }
    }
    // Upstream: no line break at the very end of a pretty answer.
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_as_go_does() {
        let text = r#"{"b":{},"a":[1,{"x":"a,\"{b"}],"c":[]}"#;
        let expected = "{\n  \"b\": {},\n  \"a\": [\n    1,\n    {\n      \"x\": \"a,\\\"{b\"\n    }\n  ],\n  \"c\": []\n}";
        assert_eq!(String::from_utf8(indented(text.as_bytes())).unwrap(), expected);
    }
}
