//! Paths like `.spec.items['a']` that must lead to something in a schema.

use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Brackets {
    Allowed,
    Refused,
}

/// The schema at the path's end; the error is upstream's text.
pub(super) fn find<'a>(schema: &'a Value, path: &str, brackets: Brackets) -> Result<&'a Value, String> {
    const END: &str = "unexpected end of JSON path";
    let mut schema = schema;
    let mut tokens = tokens(path).into_iter();
    while let Some(token) = tokens.next() {
        match token {
            "[" if brackets == Brackets::Refused => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = tokens.next().ok_or(END)?;
                let name = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
                let name = name.ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                schema = below(schema, &name.replace("\\'", "'"))?;
                match tokens.next().ok_or(END)? {
                    "]" => {}
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            "." => schema = below(schema, tokens.next().ok_or(END)?)?,
            other => return Err(format!("expected [ or . but got: {other}")),
        }
    }
    Ok(schema)
}

fn below<'a>(schema: &'a Value, name: &str) -> Result<&'a Value, String> {
    let found = match schema["properties"].as_object() {
        Some(properties) => properties.get(name),
        None => schema.get("additionalProperties"),
    };
    found.ok_or_else(|| "does not refer to a valid field".to_owned())
}

/// `.`, `[`, `]`, and what stands between them; a quoted text is one.
fn tokens(path: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let bytes = rest.as_bytes();
        let len = if bytes[0] == b'\'' {
            (1..bytes.len()).find(|i| bytes[*i] == b'\'' && bytes[i - 1] != b'\\').map_or(bytes.len(), |i| i + 1)
        } else {
            rest.find(['.', '[', ']']).unwrap_or(rest.len()).max(1)
        };
        let (token, after) = rest.split_at(len);
        tokens.push(token);
        rest = after;
    }
    tokens
}
