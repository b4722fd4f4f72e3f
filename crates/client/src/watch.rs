//! A watch that goes on: events one by one, resumed from the last revision seen whenever the connection ends.
//!
//! ```text
//!  Initial --connect--> objects... --bookmark "initial events end"--> changes...
//!  After(revision) ------------------------------------------------> changes...
//!  changes: connection ends -> connect again after the last revision; 410 -> Err, the caller starts anew
//!  objects: connection ends -> Err, for nobody knows which objects were still to come
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, Method, header};
use http_body_util::BodyExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use object::Value;
use object::key::GroupVersionResource;
use object::status::Status;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::client::{Client, request};
use crate::options::Selection;
use crate::transport::{Body, Error};

/// A server sends a bookmark about every minute; after so many without a word the connection is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// One event is one object, and objects are limited to about 3 MiB by the server.
const LINE_BYTES_MAX: usize = 16 << 20;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// All objects as they stand, then changes (`sendInitialEvents`).
    Initial,
    /// Changes after this revision.
    After(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event<T> {
    Added(T),
    Modified(T),
    Deleted(T),
    /// Nothing happened up to this revision. `initial_end`: all objects that stood at the start were sent.
    Bookmark {
        resource_version: String,
        initial_end: bool,
    },
}

/// What a list or a watch can carry: anything that tells its revision.
pub trait Watched: DeserializeOwned + Send + 'static {
    /// The media type to ask for.
    const ACCEPT: &'static str = "application/json";
    /// The same of a list: a reduced list has a name of its own, and upstream refuses the other one.
    const ACCEPT_LIST: &'static str = Self::ACCEPT;

    fn resource_version(&self) -> &str;
}

impl<K> Watched for K
where
    K: k8s_openapi::Metadata<Ty = ObjectMeta> + DeserializeOwned + Send + 'static,
{
    fn resource_version(&self) -> &str {
        self.metadata().resource_version.as_deref().unwrap_or("")
    }
}

/// An object without a type.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree(pub Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Tree)
    }
}

pub struct Watch<T> {
    client: Client,
    path: String,
    query: String,
    start: Start,
    open: Option<Lines>,
    n_failures: u32,
    carries: PhantomData<fn() -> T>,
}

impl Watched for Tree {
    fn resource_version(&self) -> &str {
        object::meta::resource_version(&self.0)
    }
}

impl<T: Watched> Watch<T> {
    pub fn new(client: Client, resource: &GroupVersionResource, selection: &Selection, start: Start) -> Self {
        let path = resource.collection_path(&selection.namespace);
        Watch { client, path, query: selection.query().as_str().to_owned(), start, open: None, n_failures: 0, carries: PhantomData }
    }

    /// The next event; waits as long as it takes. After an error the watch is over. Safe to cancel.
    pub async fn next(&mut self) -> Result<Event<T>, Error> {
        loop {
            if self.open.is_none() {
                self.connect().await?;
            }
            let Some(lines) = self.open.as_mut() else { continue };
            let broken = match tokio::time::timeout(SILENCE_MAX, lines.next()).await {
                Ok(Ok(Some(line))) => {
                    let event = parse(&line)?;
                    self.n_failures = 0;
                    self.advance(&event);
                    return Ok(event);
                }
                Ok(Ok(None)) => None,
                Ok(Err(e)) => Some(e),
                Err(_) => Some(Error::transport(format!("watch {}: silent for {}s", self.path, SILENCE_MAX.as_secs()))),
            };
            self.open = None;
            if self.start == Start::Initial {
                return Err(broken.unwrap_or_else(|| Error::transport(format!("watch {}: ended among the initial objects", self.path))));
            }
            self.n_failures += 1;
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        loop {
            if self.n_failures > 1 {
                let wait = BACKOFF_MIN.saturating_mul(1 << self.n_failures.min(10)).min(BACKOFF_MAX);
                tokio::time::sleep(wait).await;
            }
            let separator = if self.query.is_empty() { '?' } else { '&' };
            let from = match &self.start {
                Start::Initial => "sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned(),
                Start::After(revision) => format!("resourceVersion={revision}"),
            };
            let path = format!("{}{}{separator}watch=true&allowWatchBookmarks=true&{from}", self.path, self.query);
            let mut request = request(Method::GET, &path, None, Bytes::new())?;
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(T::ACCEPT));
            match self.client.send(request).await {
                Ok(response) => {
                    self.open = Some(Lines::new(response.into_body()));
                    return Ok(());
                }
                // The server is away or overloaded: a watch from a revision waits for it.
                Err(e) if self.start != Start::Initial && e.status().is_none_or(|s| s.code == 429 || s.code >= 500) => {
                    tracing::debug!(path = self.path, error = %e, "watch cannot be opened yet");
                    self.n_failures += 1;
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn advance(&mut self, event: &Event<T>) {
        let revision = match event {
            Event::Bookmark { initial_end: false, .. } if self.start == Start::Initial => return,
            Event::Bookmark { resource_version, .. } => resource_version,
            // Revisions of initial objects say nothing about how far the watch has come.
            _ if self.start == Start::Initial => return,
            Event::Added(object) | Event::Modified(object) | Event::Deleted(object) => object.resource_version(),
        };
        if !revision.is_empty() {
            self.start = Start::After(revision.to_owned());
        }
    }
}

/// Cuts a body into lines. A chunk that holds whole lines is not copied.
struct Lines {
    body: Body,
    whole: VecDeque<Bytes>,
    rest: BytesMut,
}

impl Lines {
    fn new(body: Body) -> Self {
        Lines { body, whole: VecDeque::new(), rest: BytesMut::new() }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(line) = self.whole.pop_front() {
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(chunk) = frame?.into_data() {
                self.cut(chunk)?;
            }
        }
    }

    fn cut(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let line = chunk.split_to(end);
            chunk.advance(1);
            if self.rest.is_empty() {
                self.whole.push_back(line);
            } else {
                self.rest.extend_from_slice(&line);
                self.whole.push_back(self.rest.split().freeze());
            }
        }
        self.rest.extend_from_slice(&chunk);
        self.whole.retain(|line| !line.is_empty());
        if self.rest.len() > LINE_BYTES_MAX {
            return Err(Error::transport(format!("a watch event is over {LINE_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<Event<T>, Error> {
    let unreadable = |e| Error::caused("cannot read a watch event", e);
    match serde_json::from_slice(line).map_err(unreadable)? {
        Frame::Added(object) => Ok(Event::Added(object)),
        Frame::Modified(object) => Ok(Event::Modified(object)),
        Frame::Deleted(object) => Ok(Event::Deleted(object)),
        Frame::Bookmark(object) => Ok(Event::Bookmark {
            resource_version: object::meta::resource_version(&object).to_owned(),
            initial_end: object::meta::annotation(&object, "k8s.io/initial-events-end") == Some("true"),
        }),
        Frame::Error(object) => Err(Error::Status(
            Status::from_value(&object).unwrap_or_else(|| Status::internal(format!("a watch ended with the unknown error {object}"))),
        )),
    }
}

enum Frame<T> {
    Added(T),
    Modified(T),
    Deleted(T),
    Bookmark(Value),
    Error(Value),
}

/// Reads `{"type": …, "object": …}` in one pass: servers write the type first, so the object is read straight into its view.
impl<'de, T: DeserializeOwned> Deserialize<'de> for Frame<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: DeserializeOwned> Visitor<'de> for Fields<T> {
            type Value = Frame<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a watch event")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Frame<T>, A::Error> {
                let mut kind: Option<String> = None;
                let mut early: Option<Value> = None;
                let mut frame = None;
                while let Some(field) = map.next_key::<String>()? {
                    match (field.as_str(), kind.as_deref()) {
                        ("type", _) => kind = Some(map.next_value()?),
                        ("object", None) => early = Some(map.next_value()?),
                        ("object", Some("ADDED")) => frame = Some(Frame::Added(map.next_value()?)),
                        ("object", Some("MODIFIED")) => frame = Some(Frame::Modified(map.next_value()?)),
                        ("object", Some("DELETED")) => frame = Some(Frame::Deleted(map.next_value()?)),
                        ("object", Some("BOOKMARK")) => frame = Some(Frame::Bookmark(map.next_value()?)),
                        ("object", Some("ERROR")) => frame = Some(Frame::Error(map.next_value()?)),
                        ("object", Some(other)) => return Err(A::Error::custom(format!("unknown event type `{other}`"))),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                match (frame, kind.as_deref(), early) {
                    (Some(frame), ..) => Ok(frame),
                    (None, Some(kind), Some(object)) => typed(kind, object).map_err(A::Error::custom),
                    _ => Err(A::Error::missing_field("object")),
                }
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// The slow way, for a writer that sorts its fields.
fn typed<T: DeserializeOwned>(kind: &str, object: Value) -> Result<Frame<T>, String> {
    let view = |object: Value| object::view(&object).map_err(|e| e.to_string());
    Ok(match kind {
        "ADDED" => Frame::Added(view(object)?),
        "MODIFIED" => Frame::Modified(view(object)?),
        "DELETED" => Frame::Deleted(view(object)?),
        "BOOKMARK" => Frame::Bookmark(object),
        "ERROR" => Frame::Error(object),
        other => return Err(format!("unknown event type `{other}`")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::full;

    #[tokio::test]
    async fn lines_are_cut_across_chunks() {
        let chunks =
            ["{\"a\":1}\n{\"b\"", ":2}\n\n{\"c\":3}\n"].map(|text| Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes()))));
        let body = BodyExt::boxed_unsync(http_body_util::StreamBody::new(futures_util::stream::iter(chunks)));
        let mut lines = Lines::new(body);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(seen, ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
        assert!(Lines::new(full("no end")).next().await.unwrap().is_none(), "a line without an end was cut off on the way");
    }

    #[test]
    fn events_parse_in_either_order_of_their_fields() {
        for line in [
            r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
            r#"{"object":{"metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}},"type":"BOOKMARK"}"#,
        ] {
            let event = parse::<Tree>(line.as_bytes()).unwrap();
            assert_eq!(event, Event::Bookmark { resource_version: "7".to_owned(), initial_end: true });
        }
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"too old"}}"#;
        assert!(parse::<Tree>(gone).unwrap_err().is_expired());
        assert!(parse::<Tree>(br#"{"type":"ADDED"}"#).is_err());
    }
}
