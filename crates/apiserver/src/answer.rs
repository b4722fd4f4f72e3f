//! From what the registry answers to bytes: objects in the format and shape asked for. Lists and events have their own files.
//!
//! The usual case, JSON as it is, puts stored bytes behind a prefix and encodes nothing.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use codec::stored::ITEM_PREFIX;
use http::{HeaderValue, Response, StatusCode, header};
use kinds::Resource;
use object::status::Status;
use object::{Value, meta};
use registry::form::{self, Stored};
use registry::{Answer, Registry};
use serde_json::json;

use crate::body::Body;
use crate::messages::Messages;
use crate::negotiate::{Format, Shape, Wanted};
use crate::table;

pub(crate) fn response(code: u16, format: Format, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

pub(crate) fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(crate) fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A failure, as every client expects it.
pub(crate) fn failure(status: &Status, format: Format) -> Response<Body> {
    let mut answer = tree(status.code, &status.to_value(), format);
    if let Some(seconds) = status.details["retryAfterSeconds"].as_u64() {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// A tree in the format asked for; a kind that has no protobuf form (a table) is sent as JSON.
pub(crate) fn tree(code: u16, value: &Value, format: Format) -> Response<Body> {
    match format {
        Format::Json => response(code, format, Body::whole(line(value))),
        Format::Yaml => response(code, format, Body::whole(codec::yaml::write(value))),
        Format::Protobuf => match protobuf(value) {
            Some(bytes) => response(code, format, Body::whole(bytes)),
            None => response(code, Format::Json, Body::whole(line(value))),
        },
    }
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

/// Encodes objects of one resource.
pub(crate) struct Encoder<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) wanted: Wanted,
}

impl Encoder<'_> {
    pub(crate) fn answer(&self, code: u16, answer: &Answer) -> Result<Response<Body>, Status> {
        match answer {
            Answer::Stored(stored) => self.stored(code, stored),
            Answer::Tree(value) => Ok(self.unstored(code, value)),
        }
    }

    /// What is gone, or was never there: in the shape asked for all the same, unless it is a word about the outcome.
    fn unstored(&self, code: u16, value: &Value) -> Response<Body> {
        let kind = meta::kind(value);
        match self.wanted.shape {
            Shape::Metadata(version) if kind.kind != "Status" => tree(code, &partial(value, version), self.wanted.format),
            Shape::Table(style) if kind == self.resource.gvk() => {
                let now = self.registry.clock().now();
                tree(code, &table::of_trees(self.resource, style, std::slice::from_ref(value), false, now), Format::Json)
            }
            _ => tree(code, value, self.wanted.format),
        }
    }

    pub(crate) fn stored(&self, code: u16, stored: &Stored) -> Result<Response<Body>, Status> {
        let format = self.wanted.format;
        if self.is_direct() {
            return Ok(response(code, format, Body::whole(self.json_line(stored))));
        }
        if format == Format::Protobuf
            && let Some(mut messages) = self.messages()
        {
            return Ok(response(code, format, Body::whole(messages.document(self.registry, self.resource, stored)?)));
        }
        if let Shape::Table(style) = self.wanted.shape {
            let mut text = table::text_of_one(self.registry, self.resource, style, stored, true)?;
            if format == Format::Yaml {
                let table: Value = serde_json::from_slice(&text).map_err(Status::internal)?;
                return Ok(tree(code, &table, format));
            }
            text.put_u8(b'\n');
            return Ok(response(code, Format::Json, Body::whole(text.freeze())));
        }
        let object = self.registry.decode(self.resource, stored)?;
        Ok(tree(code, &self.shape_one(object), format))
    }

    /// Stored bytes are what is sent.
    pub(crate) fn is_direct(&self) -> bool {
        self.wanted.shape == Shape::AsIs && self.wanted.format == Format::Json && registry::convert::is_stored_form(self.resource)
    }

    /// `None` for what has no protobuf form, such as tables.
    pub(crate) fn messages(&self) -> Option<Messages> {
        match self.wanted.shape {
            Shape::AsIs => Messages::of_objects(self.registry, self.resource),
            Shape::Metadata(version) => Messages::of_metadata(self.registry, version),
            Shape::Table(_) => None,
        }
    }

    fn shape_one(&self, object: Value) -> Value {
        match self.wanted.shape {
            Shape::Metadata(version) => partial(&object, version),
            Shape::AsIs | Shape::Table(_) => object,
        }
    }

    /// The object and a final newline, as Go's encoder writes it.
    fn json_line(&self, stored: &Stored) -> Bytes {
        let prefix = prefix(self.resource);
        let mut text = BytesMut::with_capacity(prefix.len() + 24 + stored.bytes.len());
        put_object(&mut text, &prefix, stored);
        text.put_u8(b'\n');
        text.freeze()
    }
}

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
