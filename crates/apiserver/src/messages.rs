//! Stored objects as protobuf messages. Stored bytes become a message without a tree between; only kinds that are served in
//! another form than they are stored in need one.

use std::sync::Arc;

use bytes::BytesMut;
use codec::protobuf::{self, Transcoder};
use codec::stored::ITEM_PREFIX;
use kinds::{Catalog, Resource, TypeId};
use object::key::GroupVersionKind;
use object::status::Status;
use registry::form::{self, Stored};
use registry::{Registry, convert};

use crate::pieces::put_object;

/// Makes messages of one resource's objects, one after the other.
pub(crate) struct Messages {
    catalog: Arc<Catalog>,
    pub(crate) kind: GroupVersionKind,
    type_id: TypeId,
    part: Part,
    transcoder: Transcoder,
    text: BytesMut,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Whole,
    Metadata,
    /// The stored form is another version's.
    Converted,
}

impl Messages {
    /// `None` for a kind without a protobuf form.
    pub(crate) fn of_objects(registry: &Registry, resource: &Resource) -> Option<Self> {
        let part = if convert::is_stored_form(resource) { Part::Whole } else { Part::Converted };
        Messages::new(registry.catalog(), resource.gvk(), part)
    }

    /// As `PartialObjectMetadata` of a version of `meta.k8s.io`.
    pub(crate) fn of_metadata(registry: &Registry, version: &str) -> Option<Self> {
        Messages::new(registry.catalog(), GroupVersionKind::new("meta.k8s.io", version, "PartialObjectMetadata"), Part::Metadata)
    }

    fn new(catalog: Arc<Catalog>, kind: GroupVersionKind, part: Part) -> Option<Self> {
        let type_id = catalog.type_of(&kind).filter(|id| !catalog.get(*id).wire.is_empty())?;
        let transcoder = Transcoder::new(Arc::clone(&catalog));
        Some(Messages { catalog, kind, type_id, part, transcoder, text: BytesMut::new() })
    }

    /// The one message that an object as it is stored has.
    pub(crate) fn is_of_stored_form(&self) -> bool {
        self.part == Part::Whole
    }

    /// Puts an object's message behind what `out` has.
    pub(crate) fn put(&mut self, registry: &Registry, resource: &Resource, stored: &Stored, out: &mut Vec<u8>) -> Result<(), Status> {
        if self.part == Part::Converted {
            let object = registry.decode(resource, stored)?;
            out.extend_from_slice(&protobuf::encode_message(&self.catalog, self.type_id, &object));
            return Ok(());
        }
        self.text.clear();
        if self.part == Part::Metadata {
            put_object(&mut self.text, ITEM_PREFIX, &Stored { revision: stored.revision, bytes: form::metadata(&stored.bytes) });
            self.text.extend_from_slice(b"}");
        } else {
            put_object(&mut self.text, ITEM_PREFIX, stored);
        }
        let made = self.transcoder.message(self.type_id, &self.text, out);
        made.map_err(|e| Status::internal(format!("a stored object cannot be read: {e}")))
    }

    /// A whole document.
    pub(crate) fn document(&mut self, registry: &Registry, resource: &Resource, stored: &Stored) -> Result<Vec<u8>, Status> {
        let mut message = Vec::with_capacity(stored.bytes.len());
        self.put(registry, resource, stored, &mut message)?;
        Ok(protobuf::close(&self.kind.api_version(), &self.kind.kind, &message))
    }
}
