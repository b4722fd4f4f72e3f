//! From what the registry answers to bytes: objects in the format and shape asked for. Lists and events have their own files.
//!
//! The usual case, JSON as it is, puts stored bytes behind a prefix and encodes nothing.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use kinds::Resource;
use object::status::Status;
use object::{Value, meta};
use registry::form::Stored;
use registry::{Answer, Registry};

use crate::body::Body;
use crate::messages::Messages;
use crate::negotiate::{Format, Shape, Wanted};
use crate::pieces::{line, partial, prefix, protobuf, put_object};
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
