//! The stages of the write path that other crates decide, in the order in which the engine calls them.

use codec::Written;
use jiff::Timestamp;
use kinds::{Catalog, Resource};
use object::key::GroupVersionKind;
use object::meta;
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
        codec::shed(self.catalog, to.type_id, &mut object, Written::Json);
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

    /// A body that is answered and not stored (a review, a token request) as it is written, with managedFields.
    pub fn track_answered(&self, request: &Request, kind: &GroupVersionKind, object: &mut Value, manager: &str) {
        let Some(type_id) = self.catalog().type_of(kind) else { return };
        let (api_version, now) = (kind.api_version(), self.clock.now());
        let writer =
            Writer { manager, subresource: &request.subresource, api_version: &api_version, versions: &OneVersion, now, reset: &[] };
        codec::shed(&self.catalog(), type_id, object, Written::Json);
        patching::track(&self.catalog(), type_id, None, object, &writer);
    }

    /// Notes in managedFields who changed what.
    pub(crate) fn track(&self, request: &Request, before: Option<&Value>, after: &mut Value, manager: &str, now: Timestamp) {
        let (catalog, type_id) = (self.catalog(), request.resource.type_id);
        let tracker = Tracker::of(request, &catalog);
        let writer = tracker.writer(request, manager, now);
        if !codec::has_empties(&catalog, type_id, after) {
            patching::track(&catalog, type_id, before, after, &writer);
            return;
        }
        // Upstream: fields are counted as they are written.
        let mut written = after.clone();
        codec::shed(&catalog, type_id, &mut written, Written::Json);
        patching::track(&catalog, type_id, before, &mut written, &writer);
        match written["metadata"]["managedFields"].take() {
            Value::Null => meta::unset(after, "managedFields"),
            fields => meta::set(after, "managedFields", fields),
        }
    }

    /// The form in which an object is compared with the stored one, stored and answered.
    pub(crate) fn finish(&self, request: &Request, object: &mut Value) {
        let (catalog, type_id) = (self.catalog(), request.resource.type_id);
        if codec::has_empties(&catalog, type_id, object) {
            codec::shed(&catalog, type_id, object, Written::Stored);
            // Upstream: what is read back has the defaults of what was lost.
            strategies::default(&catalog, type_id, object, self.clock.now());
        }
    }
}
