//! What answers are put together from: stored bytes, what stands before them, and small trees.

use bytes::{BufMut, Bytes, BytesMut};
use codec::stored::ITEM_PREFIX;
use kinds::Resource;
use object::{Value, meta};
use registry::form::{self, Stored};
use serde_json::json;

pub(crate) fn line(value: &Value) -> Bytes {
    let mut text = serde_json::to_vec(value).expect("a tree writes to memory without fail");
    text.push(b'\n');
    text.into()
}

pub(crate) fn partial(object: &Value, version: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": object["metadata"]})
}

pub(crate) fn prefix(resource: &Resource) -> String {
    let api_version = resource.gvk().api_version();
    format!("{{\"kind\":\"{}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"", resource.kind)
}

pub(crate) fn put_object(text: &mut BytesMut, prefix: &str, stored: &Stored) {
    use std::fmt::Write;
    text.put_slice(prefix.as_bytes());
    write!(text, "{}", stored.revision.0).expect("memory takes all bytes");
    text.put_slice(&stored.bytes);
}

/// `{"metadata":{...}}` of stored bytes: no tree is made.
pub(crate) fn metadata_text(stored: &Stored) -> BytesMut {
    let mut text = BytesMut::new();
    put_object(&mut text, ITEM_PREFIX, &Stored { revision: stored.revision, bytes: form::metadata(&stored.bytes) });
    text.put_u8(b'}');
    text
}

/// `PartialObjectMetadata` of stored bytes.
pub(crate) fn partial_text(stored: &Stored, version: &str) -> BytesMut {
    let mut text = BytesMut::new();
    text.put_slice(format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/{version}\",").as_bytes());
    text.put_slice(&metadata_text(stored)[1..]);
    text
}

pub(crate) fn protobuf(value: &Value) -> Option<Vec<u8>> {
    let catalog = kinds::builtin();
    let mut kind = meta::kind(value);
    if kind.version.is_empty() {
        // Upstream: the oldest discovery documents do not say theirs.
        kind.version = "v1".to_owned();
    }
    let type_id = catalog.type_of(&kind)?;
    let has_wire = !catalog.get(type_id).wire.is_empty();
    has_wire.then(|| codec::protobuf::encode(catalog, type_id, value))
}
