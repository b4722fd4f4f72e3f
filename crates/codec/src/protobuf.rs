//! Upstream's protobuf form: `k8s\0`, then a `runtime.Unknown` that names the kind and holds the message.
//!
//! Decoding gives the same tree as decoding the object's JSON; encoding gives upstream's bytes. Both need a value in Go's form
//! (`normalise`), which `decode` returns.
//! Upstream: `apimachinery/pkg/runtime/serializer/protobuf`, and the code gogo-protobuf generates.

mod decode;
mod encode;
mod template;
mod text;
mod wire;

use std::fmt;
use std::sync::Arc;

use kinds::{Catalog, TypeId};
use object::key::GroupVersionKind;
use serde_json::Value;

use wire::Reader;
pub(crate) use wire::{put_bytes, put_double, put_int, put_message};

/// What every document starts with.
pub const MAGIC: &[u8] = b"k8s\0";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not of this format, or cut short.
    Malformed(String),
    /// A good envelope of a kind that the catalog does not know.
    UnknownKind(GroupVersionKind),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(text) => f.write_str(text),
            Error::UnknownKind(kind) => write!(f, "no kind \"{}\" is registered for version \"{}\"", kind.kind, kind.api_version()),
        }
    }
}

impl std::error::Error for Error {}

/// The kind an envelope names, and the message in it.
pub struct Envelope<'a> {
    pub kind: GroupVersionKind,
    pub message: &'a [u8],
}

/// Opens an envelope without decoding what is in it.
pub fn open(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    let Some(unknown) = bytes.strip_prefix(MAGIC) else {
        return Err(Error::Malformed("provided data does not appear to be a protobuf message".to_owned()));
    };
    let mut envelope = Envelope { kind: GroupVersionKind::default(), message: &[] };
    let mut reader = Reader::new(unknown);
    while let Some((tag, payload)) = reader.next()? {
        match tag {
            1 => {
                let (mut api_version, mut kind) = (String::new(), String::new());
                let mut type_meta = Reader::new(payload.bytes(tag)?);
                while let Some((tag, payload)) = type_meta.next()? {
                    match tag {
                        1 => api_version = payload.text(tag)?,
                        2 => kind = payload.text(tag)?,
                        _ => {}
                    }
                }
                envelope.kind = GroupVersionKind::from_api_version(&api_version, &kind);
            }
            2 => envelope.message = payload.bytes(tag)?,
            _ => {}
        }
    }
    Ok(envelope)
}

/// A whole document: its kind, and the object in Go's form with `apiVersion` and `kind`.
pub fn decode(catalog: &Catalog, bytes: &[u8]) -> Result<(GroupVersionKind, Value), Error> {
    let envelope = open(bytes)?;
    let mut kind = envelope.kind.clone();
    if kind.version.is_empty() {
        // Upstream: the oldest discovery documents do not say theirs.
        kind.version = "v1".to_owned();
    }
    let ty = catalog.type_of(&kind).ok_or(Error::UnknownKind(kind))?;
    let mut value = decode_message(catalog, ty, envelope.message)?;
    value["apiVersion"] = Value::from(envelope.kind.api_version());
    value["kind"] = Value::from(envelope.kind.kind.as_str());
    Ok((envelope.kind, value))
}

/// A bare message, as it lies in an envelope or a list.
pub fn decode_message(catalog: &Catalog, ty: TypeId, message: &[u8]) -> Result<Value, Error> {
    let mut value = decode::message(catalog, ty, message)?;
    crate::normalise(catalog, ty, &mut value).map_err(Error::Malformed)?;
    Ok(value)
}

/// A whole document of the kind that the object names.
pub fn encode(catalog: &Catalog, ty: TypeId, object: &Value) -> Vec<u8> {
    let (api_version, kind) = (object["apiVersion"].as_str().unwrap_or(""), object["kind"].as_str().unwrap_or(""));
    close(api_version, kind, &encode_message(catalog, ty, object))
}

/// A tree deeper than any decoder makes has an empty message.
pub fn encode_message(catalog: &Catalog, ty: TypeId, object: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let text = object.to_string();
    if encode::message(catalog, ty, text.as_bytes(), &mut encode::Room::default(), &mut out).is_none() {
        out.clear();
    }
    out
}

/// Messages straight from JSON text that is in Go's form already and has no spaces, as `stored` keeps it. One of these serves
/// object after object.
#[derive(Debug)]
pub struct Transcoder {
    catalog: Arc<Catalog>,
    room: encode::Room,
}

impl Transcoder {
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Transcoder { catalog, room: encode::Room::default() }
    }

    /// The same bytes as `encode_message` of the text's tree, put behind what `out` has.
    pub fn message(&mut self, ty: TypeId, json: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let done = encode::message(&self.catalog, ty, json, &mut self.room, out);
        done.ok_or_else(|| Error::Malformed("the text is no JSON".to_owned()))
    }
}

/// Puts a message into an envelope.
pub fn close(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut out = head(api_version, kind);
    out.reserve(message.len() + 16);
    put_bytes(&mut out, 2, message);
    out.extend_from_slice(TAIL);
    out
}

/// An envelope up to its message.
fn head(api_version: &str, kind: &str) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    wire::put_message(&mut out, 1, |out| {
        put_bytes(out, 1, api_version.as_bytes());
        put_bytes(out, 2, kind.as_bytes());
    });
    out
}

/// `ListMeta` of a list that is put together from items encoded before.
#[derive(Debug, Default)]
pub struct ListMeta<'a> {
    pub resource_version: &'a str,
    pub continue_token: &'a str,
    pub remaining_item_count: Option<i64>,
}

/// What a list of items' messages costs in all, to be added up before any of it is written.
pub fn item_len(message_len: usize) -> usize {
    wire::bytes_len(2, message_len)
}

/// One item of a list, from its message. All list kinds have the same two fields.
pub fn put_item(out: &mut Vec<u8>, message: &[u8]) {
    put_bytes(out, 2, message);
}

/// A list document up to its first item; `items_len` is the sum of its items' `item_len`.
pub fn list_head(api_version: &str, list_kind: &str, meta: &ListMeta<'_>, items_len: usize) -> Vec<u8> {
    let mut list_meta = Vec::new();
    put_bytes(&mut list_meta, 1, b"");
    put_bytes(&mut list_meta, 2, meta.resource_version.as_bytes());
    put_bytes(&mut list_meta, 3, meta.continue_token.as_bytes());
    if let Some(count) = meta.remaining_item_count {
        put_int(&mut list_meta, 4, count);
    }
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &list_meta);
    let mut out = head(api_version, list_kind);
    wire::put_len(&mut out, 2, message.len() + items_len);
    out.extend_from_slice(&message);
    out
}

/// What closes every document: two fields that nobody uses and everybody writes.
pub const TAIL: &[u8] = &[3 << 3 | 2, 0, 4 << 3 | 2, 0];

/// One frame of a watch: the length in four bytes, then a bare `WatchEvent` around the object's document.
pub fn watch_frame(event_type: &str, document: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(document.len() + 8);
    put_bytes(&mut raw, 1, document);
    let mut event = Vec::with_capacity(raw.len() + 16);
    put_bytes(&mut event, 1, event_type.as_bytes());
    put_bytes(&mut event, 2, &raw);
    let len = u32::try_from(event.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(event.len() + 4);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&event);
    out
}
