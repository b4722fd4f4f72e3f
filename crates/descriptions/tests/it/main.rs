//! OpenAPI documents as a whole: all but the sentences is upstream's.

use serde_json::Value;
use sha2::{Digest, Sha256};

const GOLDEN: &str = include_str!("../../golden/openapi-v3.txt");

/// Without sentences; a property may be called `description` too.
fn bare(value: Value) -> Value {
    match value {
        Value::Object(mut map) => {
            map.retain(|key, value| key != "description" || !value.is_string());
            map.sort_keys();
            map.into_iter().map(|(key, value)| (key, bare(value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(bare).collect(),
        other => other,
    }
}

#[test]
fn documents_are_upstreams() {
    let texts = descriptions::Upstream::unpack();
    let mut paths = Vec::new();
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let (path, expected) = line.split_once(' ').unwrap();
        let document = codec::openapi::document(kinds::builtin(), path, &texts).unwrap_or_else(|| panic!("no document at {path}"));
        let digest = Sha256::digest(serde_json::to_vec(&bare(document)).unwrap());
        assert_eq!(hex::encode(digest), expected, "{path}");
        paths.push(path.to_owned());
    }
    assert_eq!(codec::openapi::document_paths(kinds::builtin()), paths);
}
