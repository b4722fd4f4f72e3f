//! The stages of the write path that other crates decide, in the order in which the engine calls them.

use jiff::Timestamp;
use object::key::GroupVersionKind;
use object::status::Status;
use patching::Writer;
use serde_json::Value;

use crate::options::WriteOptions;
use crate::request::Request;
use crate::{Registry, convert};

pub use authz::UserInfo;

/// The version whose fields managedFields speak of, and the writer in its words.
struct Tracker {
    api_version: String,
    reset: &'static [&'static str],
}

impl Tracker {
    fn of(request: &Request) -> Self {
        Tracker {
            api_version: request.resource.gvk().api_version(),
            reset: strategies::reset_fields(&request.resource, &request.subresource),
        }
    }

    fn writer<'a>(&'a self, request: &'a Request, manager: &'a str, now: Timestamp) -> Writer<'a> {
        Writer { manager, subresource: &request.subresource, api_version: &self.api_version, now, reset: self.reset }
    }
}

impl Registry {
    /// What every new form of an object gets before anything else looks at it.
    pub(crate) fn complete(&self, request: &Request, object: &mut Value) {
        convert::fold(&request.resource, object);
        strategies::default(&self.catalog(), request.resource.type_id, object, self.clock.now());
    }

    /// Server-side apply of `config` to `live`, in Go's form and with defaults.
    pub(crate) fn applied(&self, request: &Request, live: Option<&Value>, config: &Value, options: &WriteOptions) -> Result<Value, Status> {
        let (catalog, type_id, now) = (self.catalog(), request.resource.type_id, self.clock.now());
        let tracker = Tracker::of(request);
        let writer = tracker.writer(request, &options.field_manager, now);
        let is_forced = options.force == Some(true);
        let mut new = patching::apply(&catalog, type_id, live, config, &writer, is_forced).map_err(|e| e.to_status())?;
        codec::normalise(&catalog, type_id, &mut new).map_err(Status::bad_request)?;
        self.complete(request, &mut new);
        Ok(new)
    }

    /// managedFields of a body that is answered and not stored: a review, a token request.
    pub fn track_answered(&self, request: &Request, kind: &GroupVersionKind, object: &mut Value, manager: &str) {
        let Some(type_id) = self.catalog().type_of(kind) else { return };
        let (api_version, now) = (kind.api_version(), self.clock.now());
        let writer = Writer { manager, subresource: &request.subresource, api_version: &api_version, now, reset: &[] };
        patching::track(&self.catalog(), type_id, None, object, &writer);
    }

    /// Notes in managedFields who changed what.
    pub(crate) fn track(&self, request: &Request, before: Option<&Value>, after: &mut Value, manager: &str, now: Timestamp) {
        let tracker = Tracker::of(request);
        let writer = tracker.writer(request, manager, now);
        patching::track(&self.catalog(), request.resource.type_id, before, after, &writer);
    }
}
