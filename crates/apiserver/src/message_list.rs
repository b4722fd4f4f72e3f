//! Lists in protobuf. The format says how long a list is before its first item, so items are measured before they are sent, piece
//! by piece: ten long lists at once hold ten pieces and not ten lists. A record keeps a note of its length, so that it is measured
//! for the first list only.

use std::sync::Arc;

use bytes::Bytes;
use codec::protobuf;
use futures_util::stream;
use object::status::Status;
use registry::form::Stored;

use crate::body::Body;
use crate::listing::Listing;
use crate::messages::Messages;
use crate::negotiate::Shape;

/// What is sent at once.
const PIECE_LEN: usize = 64 * 1024;
/// Messages made between two breaths: about a millisecond's work.
const N_BETWEEN_BREATHS: usize = 100;
/// Shorter lists are sent whole.
const WHOLE_LEN_MAX: usize = 256 * 1024;

/// A list on its way.
pub(crate) struct MessageList {
    listing: Listing,
    messages: Messages,
    list_kind: String,
    message: Vec<u8>,
    n_done: usize,
    is_over: bool,
}

impl MessageList {
    pub(crate) fn new(listing: Listing) -> Result<Self, Status> {
        let registry = &listing.server.registry;
        let (messages, list_kind) = match listing.wanted.shape {
            Shape::Metadata(version) => (Messages::of_metadata(registry, version), "PartialObjectMetadataList".to_owned()),
            _ => (Messages::of_objects(registry, &listing.resource), listing.resource.list_kind.clone()),
        };
        let messages = messages.ok_or_else(|| Status::internal("a kind without a protobuf form"))?;
        Ok(MessageList { listing, messages, list_kind, message: Vec::new(), n_done: 0, is_over: false })
    }

    pub(crate) async fn body(mut self) -> Result<Body, Status> {
        let mut items_len = 0;
        for i in 0..self.listing.list.records.len() {
            if i > 0 && i % N_BETWEEN_BREATHS == 0 {
                tokio::task::yield_now().await;
            }
            items_len += protobuf::item_len(self.measure(i)?);
        }
        let head = Bytes::from(self.head(items_len));
        if items_len <= WHOLE_LEN_MAX {
            let pieces = std::iter::once(head).chain(std::iter::from_fn(|| self.next()));
            return Ok(Body::Pieces(pieces.collect()));
        }
        let len = head.len() + items_len;
        let pieces = stream::unfold((Some(head), self), |(head, mut list)| async move {
            if let Some(head) = head {
                return Some((head, (None, list)));
            }
            // Others get their turn between two pieces.
            tokio::task::yield_now().await;
            list.next().map(|piece| (piece, (None, list)))
        });
        Ok(Body::long_stream(pieces, len))
    }

    /// The length of one item's message.
    fn measure(&mut self, i: usize) -> Result<usize, Status> {
        let record = Arc::clone(&self.listing.list.records[i]);
        let is_noted = self.messages.is_of_stored_form();
        if let Some(len) = record.note.get().filter(|_| is_noted) {
            return Ok(len as usize);
        }
        self.make(i)?;
        if is_noted {
            record.note.set(u32::try_from(self.message.len()).unwrap_or(0));
        }
        Ok(self.message.len())
    }

    fn head(&self, items_len: usize) -> Vec<u8> {
        let list = &self.listing.list;
        let meta = protobuf::ListMeta {
            resource_version: &list.revision.0.to_string(),
            continue_token: &list.continue_token,
            remaining_item_count: list.remaining.and_then(|n| i64::try_from(n).ok()),
        };
        protobuf::list_head(&self.messages.kind.api_version(), &self.list_kind, &meta, items_len)
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let n_items = self.listing.list.records.len();
        let mut piece = Vec::with_capacity(PIECE_LEN + PIECE_LEN / 8);
        while self.n_done < n_items && piece.len() < PIECE_LEN {
            if self.make(self.n_done).is_err() {
                // It was encoded before, so this cannot be; a list that breaks off is all that could be said.
                self.is_over = true;
                return None;
            }
            protobuf::put_item(&mut piece, &self.message);
            self.n_done += 1;
        }
        if self.n_done == n_items {
            piece.extend_from_slice(protobuf::TAIL);
            self.is_over = true;
        }
        Some(piece.into())
    }

    /// Encodes one item into `message`.
    fn make(&mut self, i: usize) -> Result<(), Status> {
        let Listing { server, resource, list, .. } = &self.listing;
        self.message.clear();
        self.messages.put(&server.registry, resource, &Stored::from(&*list.records[i]), &mut self.message)
    }
}
