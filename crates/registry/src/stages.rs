//! The stages of the write path that other crates decide, in the order in which the engine calls them.

use jiff::Timestamp;
use kinds::{Catalog, Resource};
use object::key::GroupVersionKind;
use object::status::Status;
use patching::{Converted, OneVersion, Versions, Writer};
use serde_json::Value;

use crate::options::WriteOptions;
use crate::request::Request;
use crate::{Registry, convert};

/// As managedFields show what the server itself writes.
pub(crate) const OWN_MANAGER: &str = "kube-apiserver";

/// The version whose fields managedFields speak of, the writer in its words, and the other versions of the kind.
struct Tracker<'a> {
    catalog: &'a Catalog,
    resource: &'a Resource,
    api_version: String,
    reset: &'static [&'static str],
}

impl<'a> Tracker<'a> {
    fn of(request: &'a Request, catalog: &'a Catalog) -> Self {
        let resource = &*request.resource;
        let reset = strategies::reset_fields(resource, &request.subresource);
        Tracker { catalog, resource, api_version: resource.gvk().api_version(), reset }
    }

    fn writer<'w>(&'w self, request: &'w Request, manager: &'w str, now: Timestamp) -> Writer<'w> {
        Writer { manager, subresource: &request.subresource, api_version: &self.api_version, versions: self, now, reset: self.reset }
    }

    /// Upstream: versions of other groups (events) count as unknown.
    fn resource_in(&self, api_version: &str) -> Option<&Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.catalog.resource(group, version, &self.resource.plural).map(|resource| &**resource).filter(|r| r.group == self.resource.group)
    }
}

impl Versions for Tracker<'_> {
    fn convert(&self, object: &Value, from: &str, to: &str) -> Option<Converted> {
        let (from, to) = (self.resource_in(from)?, self.resource_in(to)?);
        if convert::is_stored_form(from) && convert::is_stored_form(to) {
            return Some(Converted::Alike);
        }
        let mut object = object.clone();
        convert::to_stored(from, &mut object);
        convert::to_served(to, &mut object);
        codec::normalise(self.catalog, to.type_id, &mut object).ok()?;
        Some(Converted::Other(to.type_id, object))
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
        let tracker = Tracker::of(request, &catalog);
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
        let writer =
            Writer { manager, subresource: &request.subresource, api_version: &api_version, versions: &OneVersion, now, reset: &[] };
        patching::track(&self.catalog(), type_id, None, object, &writer);
    }

    /// Notes in managedFields who changed what.
    pub(crate) fn track(&self, request: &Request, before: Option<&Value>, after: &mut Value, manager: &str, now: Timestamp) {
        let catalog = self.catalog();
        let tracker = Tracker::of(request, &catalog);
        let writer = tracker.writer(request, manager, now);
        patching::track(&catalog, request.resource.type_id, before, after, &writer);
    }
}
