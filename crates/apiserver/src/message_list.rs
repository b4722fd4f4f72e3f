//! Lists in protobuf. The format says how long a list is before its first item, so a long one is encoded twice: once to be
//! measured and once, piece by piece, while it is sent. Ten long lists at once then hold ten pieces and not ten lists.

use std::collections::VecDeque;

use bytes::Bytes;
use codec::protobuf;
use futures_util::stream;
use object::status::Status;
use registry::form::Stored;

use crate::body::Body;
use crate::list::Listing;
use crate::messages::Messages;
use crate::negotiate::Shape;

/// What is sent at once.
const PIECE_LEN: usize = 64 * 1024;
/// Messages made between two breaths: about a millisecond's work.
const N_BETWEEN_BREATHS: usize = 100;
/// Shorter lists are encoded once and sent whole.
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
        let mut gathered = Vec::new();
        let mut items_len = 0;
        for i in 0..self.listing.list.records.len() {
            if i > 0 && i % N_BETWEEN_BREATHS == 0 {
                tokio::task::yield_now().await;
            }
            self.make(i)?;
            items_len += protobuf::item_len(self.message.len());
            if items_len <= WHOLE_LEN_MAX {
                protobuf::put_item(&mut gathered, &self.message);
            }
        }
        let head = Bytes::from(self.head(items_len));
        let tail = Bytes::from_static(protobuf::TAIL);
        if items_len <= WHOLE_LEN_MAX {
            return Ok(Body::Pieces(VecDeque::from([head, gathered.into(), tail])));
        }
        let len = head.len() + items_len + tail.len();
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
