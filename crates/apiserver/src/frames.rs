//! The pieces of a watch: events, bookmarks and errors, as JSON lines or protobuf frames.
//!
//! A protobuf document is made once and shared by all watchers that want it soon after; JSON needs no sharing, for it is the
//! stored bytes behind a prefix.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use object::Value;
use object::key::GroupVersionKind;
use object::status::Status;
use registry::form::Stored;
use serde_json::json;

use crate::answer::Encoder;
use crate::negotiate::{Format, Shape};
use crate::{pieces, table};

/// Documents kept for other watchers: each gets to an event within moments of the others.
const N_SHARED_MAX: usize = 256;
/// As many of the usual size; objects of a megabyte would fill memory.
const SHARED_BYTES_MAX: usize = 4 << 20;

/// Protobuf documents made lately, by the stored bytes they were made of.
#[derive(Default)]
pub(crate) struct Shared {
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    documents: VecDeque<Document>,
    bytes: usize,
}

struct Document {
    /// Held, so that its address stays its own.
    stored: Stored,
    kind: GroupVersionKind,
    bytes: Bytes,
}

impl Shared {
    fn find(&self, stored: &Stored, kind: &GroupVersionKind) -> Option<Bytes> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            |d: &&Document| d.stored.revision == stored.revision && d.stored.bytes.as_ptr() == stored.bytes.as_ptr() && d.kind == *kind;
        recent.documents.iter().rev().find(is_same).map(|d| d.bytes.clone())
    }

    fn keep(&self, document: Document) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).keep(document);
    }
}

impl Recent {
    fn keep(&mut self, document: Document) {
        self.bytes += document.len();
        self.documents.push_back(document);
        while self.documents.len() > N_SHARED_MAX || self.bytes > SHARED_BYTES_MAX {
            let Some(oldest) = self.documents.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }
}

impl Document {
    /// What it holds alone: the stored bytes are mostly the store's too, but not once the object has changed.
    fn len(&self) -> usize {
        self.stored.bytes.len() + self.bytes.len()
    }
}

/// Writes the pieces of one watch.
pub(crate) struct Frames<'a> {
    pub(crate) encoder: Encoder<'a>,
    pub(crate) shared: &'a Shared,
}

impl Frames<'_> {
    /// `is_first` says that nothing was sent before: only the first table has column definitions.
    pub(crate) fn event(&self, kind: &str, stored: &Stored, is_first: bool) -> Result<Bytes, Status> {
        if self.encoder.is_direct() {
            return Ok(self.direct(kind, stored));
        }
        let wanted = self.encoder.wanted;
        if let (Shape::Metadata(version), Format::Json) = (wanted.shape, wanted.format) {
            let object = pieces::partial_text(stored, version);
            return Ok(event_line(kind, object.len(), |text| text.put_slice(&object)));
        }
        if wanted.format == Format::Protobuf && !matches!(wanted.shape, Shape::Table(_)) {
            return Ok(codec::protobuf::watch_frame(kind, &self.document(stored)?).into());
        }
        let Encoder { registry, resource, .. } = self.encoder;
        if let Shape::Table(style) = wanted.shape {
            let table = table::text_of_one(registry, resource, style, stored, is_first)?;
            return Ok(event_line(kind, table.len(), |text| text.put_slice(&table)));
        }
        Ok(self.frame(kind, &registry.decode(resource, stored)?))
    }

    fn direct(&self, kind: &str, stored: &Stored) -> Bytes {
        let prefix = pieces::prefix(self.encoder.resource);
        event_line(kind, stored.bytes.len() + prefix.len() + 24, |text| pieces::put_object(text, &prefix, stored))
    }

    fn document(&self, stored: &Stored) -> Result<Bytes, Status> {
        let mut messages = self.encoder.messages().ok_or_else(|| Status::internal("a kind without a protobuf form"))?;
        if let Some(bytes) = self.shared.find(stored, &messages.kind) {
            return Ok(bytes);
        }
        let bytes = Bytes::from(messages.document(self.encoder.registry, self.encoder.resource, stored)?);
        self.shared.keep(Document { stored: stored.clone(), kind: messages.kind, bytes: bytes.clone() });
        Ok(bytes)
    }

    /// Any object as the format has it; what has no protobuf form cannot be told by then, and ends the watch.
    fn frame(&self, kind: &str, object: &Value) -> Bytes {
        match self.encoder.wanted.format {
            Format::Protobuf => codec::protobuf::watch_frame(kind, &pieces::protobuf(object).unwrap_or_default()).into(),
            Format::Json | Format::Yaml => pieces::line(&json!({"type": kind, "object": object})),
        }
    }

    pub(crate) fn bookmark(&self, revision: u64, ends_initial_events: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let resource = self.encoder.resource;
        let kind = json!({"kind": resource.kind, "apiVersion": resource.gvk().api_version(), "metadata": metadata});
        let object = match self.encoder.wanted.shape {
            Shape::AsIs => kind,
            Shape::Metadata(version) => pieces::partial(&kind, version),
            Shape::Table(style) => table::of_bookmark(resource, style, &metadata, self.encoder.registry.clock().now()),
        };
        self.frame("BOOKMARK", &object)
    }

    pub(crate) fn error(&self, status: &Status) -> Bytes {
        self.frame("ERROR", &status.to_value())
    }
}

fn event_line(kind: &str, object_len: usize, put_object: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut text = BytesMut::with_capacity(object_len + 40);
    text.put_slice(b"{\"type\":\"");
    text.put_slice(kind.as_bytes());
    text.put_slice(b"\",\"object\":");
    put_object(&mut text);
    text.put_slice(b"}\n");
    text.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Revision;

    #[test]
    fn shared_documents_are_limited_in_number_and_bytes() {
        for (len, n_kept) in [(100, N_SHARED_MAX), (1 << 20, 2), (3 << 20, 0)] {
            let shared = Shared::default();
            let bytes = Bytes::from(vec![0; len]);
            let stored = Stored { revision: Revision(7), bytes: bytes.clone() };
            for _ in 0..300 {
                shared.keep(Document { stored: stored.clone(), kind: GroupVersionKind::default(), bytes: bytes.clone() });
            }
            let recent = shared.recent.lock().unwrap();
            assert_eq!((recent.documents.len(), recent.bytes), (n_kept, n_kept * 2 * len));
        }
    }
}
