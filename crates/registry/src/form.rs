//! From stored bytes to trees and back. The bytes are everything behind an object's resourceVersion; `codec` owns the form.

use bytes::Bytes;
use codec::stored;
use kinds::Resource;
use object::Value;
use store::{Record, Revision};

/// An object as it is kept: shared bytes, and the revision they were written at.
#[derive(Clone, Debug)]
pub struct Stored {
    pub revision: Revision,
    pub bytes: Bytes,
}

impl From<&Record> for Stored {
    fn from(record: &Record) -> Self {
        Stored { revision: record.modified, bytes: record.value.clone() }
    }
}

/// The stored bytes as one JSON text, for readers that look for a few members.
pub fn whole(bytes: &[u8]) -> Vec<u8> {
    stored::with_prefix(stored::ITEM_PREFIX, 0, bytes)
}

/// The tree in the form of `resource`'s version.
pub fn decode(resource: &Resource, bytes: &[u8], revision: Revision) -> Result<Value, serde_json::Error> {
    stored::decode(&resource.gvk(), revision.0, bytes)
}

/// What is kept of a tree.
pub fn encode(object: &Value) -> Bytes {
    stored::encode(object)
}
