//! Lists, written while they are sent: however long one is, a piece of it is there at a time.
//!
//! JSON items are stored bytes behind a prefix; metadata alone is a slice of them. Only tables, converted kinds and YAML need
//! trees, one at a time. Protobuf has a file of its own.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use codec::stored::ITEM_PREFIX;
use futures_util::stream;
use http::Response;
use object::Value;
use object::status::Status;
use registry::convert;
use registry::form::Stored;
use serde_json::json;

use crate::answer;
use crate::body::Body;
use crate::listing::Listing;
use crate::message_list::MessageList;
use crate::negotiate::{Format, Shape, Style};
use crate::pieces::{self, put_object};
use crate::table;

/// What is written at once. Small records share a piece, so that a list of many is not as many tiny frames.
const PIECE_LEN: usize = 64 * 1024;
/// Trees made between two breaths: about a millisecond's work.
const N_TREES_MAX: usize = 20;
/// Shorter lists are written whole, and so with their length.
const WHOLE_LEN_MAX: usize = 256 * 1024;

/// How far a list has been written.
struct Writer {
    listing: Listing,
    item: Item,
    n_done: usize,
    is_over: bool,
}

/// What one item is made of.
enum Item {
    Stored,
    Metadata(&'static str),
    Tree,
    Row(Style),
}

impl Listing {
    pub(crate) async fn answer(self) -> Result<Response<Body>, Status> {
        let item = match self.wanted.shape {
            Shape::AsIs if convert::is_stored_form(&self.resource) => Item::Stored,
            Shape::AsIs => Item::Tree,
            Shape::Metadata(version) => Item::Metadata(version),
            Shape::Table(style) => Item::Row(style),
        };
        match self.wanted.format {
            Format::Protobuf if !matches!(item, Item::Row(_)) => {
                let body = MessageList::new(self)?.body().await?;
                return Ok(answer::response(200, Format::Protobuf, body));
            }
            Format::Yaml => {
                let text = Writer::new(self, item).whole().concat();
                let value: Value = serde_json::from_slice(&text).map_err(Status::internal)?;
                return Ok(answer::tree(200, &value, Format::Yaml));
            }
            Format::Json | Format::Protobuf => {}
        }
        let len = self.list.records.iter().map(|r| r.value.len() + ITEM_PREFIX.len() + 24).sum::<usize>();
        let writer = Writer::new(self, item);
        let body = if len <= WHOLE_LEN_MAX {
            Body::Pieces(VecDeque::from(writer.whole()))
        } else {
            let pieces = stream::unfold(writer, |mut writer| async move {
                // Others get their turn between two pieces.
                tokio::task::yield_now().await;
                writer.next().map(|piece| (piece, writer))
            });
            Body::long_stream(pieces, len)
        };
        Ok(answer::response(200, Format::Json, body))
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.list.revision.0.to_string()});
        if !self.list.continue_token.is_empty() {
            metadata["continue"] = Value::from(self.list.continue_token.clone());
        }
        if let Some(remaining) = self.list.remaining {
            metadata["remainingItemCount"] = Value::from(remaining);
        }
        metadata
    }
}

impl Writer {
    fn new(listing: Listing, item: Item) -> Self {
        Writer { listing, item, n_done: 0, is_over: false }
    }

    fn whole(mut self) -> Vec<Bytes> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let mut text = BytesMut::with_capacity(PIECE_LEN + PIECE_LEN / 8);
        if self.n_done == 0 {
            text.put_slice(self.head().as_bytes());
        }
        let n_most = match self.item {
            Item::Stored | Item::Metadata(_) => usize::MAX,
            // Those lists are short.
            Item::Row(_) if show::is_whole(&self.listing.resource.group, &self.listing.resource.plural) => usize::MAX,
            Item::Tree | Item::Row(_) => N_TREES_MAX,
        };
        let begun_at = self.n_done;
        while self.n_done < self.listing.list.records.len() && text.len() < PIECE_LEN && self.n_done - begun_at < n_most {
            if self.n_done > 0 {
                text.put_u8(b',');
            }
            if self.put_next(&mut text, n_most).is_err() {
                // The head is on its way: a list that breaks off is all that can be said now.
                self.is_over = true;
                return None;
            }
        }
        if self.n_done == self.listing.list.records.len() {
            text.put_slice(b"]}\n");
            self.is_over = true;
        }
        Some(text.freeze())
    }

    fn head(&self) -> String {
        let metadata = self.listing.metadata();
        let (kind, api_version) = match self.item {
            Item::Row(style) => {
                return table::head(style, &metadata, table::definitions(&self.listing.resource));
            }
            Item::Metadata(version) => ("PartialObjectMetadataList".to_owned(), format!("meta.k8s.io/{version}")),
            Item::Stored | Item::Tree => (self.listing.resource.list_kind.clone(), self.listing.resource.gvk().api_version()),
        };
        format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[")
    }

    /// One item, or for tables as many rows as may be.
    fn put_next(&mut self, text: &mut BytesMut, n_most: usize) -> Result<(), Status> {
        let records = &self.listing.list.records;
        let stored = Stored::from(&*records[self.n_done]);
        let registry = &self.listing.server.registry;
        match self.item {
            Item::Stored => put_object(text, ITEM_PREFIX, &stored),
            Item::Metadata(version) => {
                text.put_slice(&pieces::partial_text(&stored, version));
            }
            Item::Tree => {
                let mut object = registry.decode(&self.listing.resource, &stored)?;
                if let Some(map) = object.as_object_mut() {
                    map.remove("kind");
                    map.remove("apiVersion");
                }
                text.put_slice(object.to_string().as_bytes());
            }
            Item::Row(style) => {
                let some = &records[self.n_done..records.len().min(self.n_done.saturating_add(n_most))];
                let some: Vec<Stored> = some.iter().map(|record| Stored::from(&**record)).collect();
                table::put_rows(text, registry, &self.listing.resource, style, &some, true)?;
                self.n_done += some.len() - 1;
            }
        }
        self.n_done += 1;
        Ok(())
    }
}
