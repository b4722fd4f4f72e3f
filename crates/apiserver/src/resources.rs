//! Requests for objects: each verb and subresource of the catalog led to the registry.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method, Response, header};
use kinds::{Catalog, Resource, Subresource};
use object::Value;
use object::key::GroupVersionKind;
use object::status::Status;
use registry::options::FieldValidation;
use registry::{Patch, PatchKind, Request, WatchEvent, Written};

use crate::answer::{self, Encoder};
use crate::body::{Body, RequestBody};
use crate::call::Call;
use crate::decode::{self, Decoded};
use crate::frames::Frames;
use crate::listing::Listing;
use crate::metrics::Events;
use crate::negotiate::{self, Format, Shape, Wanted};
use crate::request_info::RequestInfo;
use crate::{ApiServer, deprecated, pieces, query};

const PROTOBUF_STREAM: &str = "application/vnd.kubernetes.protobuf;stream=watch";

type Answered = Result<Response<Body>, Status>;

/// A request whose resource is known.
pub(crate) struct Target {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) resource: Arc<Resource>,
}

impl ApiServer {
    pub(crate) async fn resource(self: &Arc<Self>, call: &mut Call) -> Answered {
        let catalog = self.registry.catalog();
        let info = &call.info;
        let Some(resource) = catalog.resource(&info.group, &info.version, &info.resource).cloned() else {
            let is_known = info.group.is_empty() || catalog.groups.iter().any(|g| g.name == info.group);
            return if is_known { Err(Status::no_such_path()) } else { Ok(not_served()) };
        };
        check_name(info)?;
        check_route(info, &resource)?;
        if call.method == Method::HEAD && !info.is_passed_on() {
            return Err(no_such_method());
        }
        let target = Target { catalog, resource };
        let answered = if call.info.subresource.is_empty() { self.whole(call, &target).await } else { self.part(call, &target).await };
        let Some(warning) =
            deprecated::warning(&target.resource.group, &target.resource.plural).filter(|_| target.resource.has_verb(call.info.verb))
        else {
            return answered;
        };
        // Refusals carry the warning too.
        let mut response = answered.unwrap_or_else(|status| answer::failure(&status, call.failure_format()));
        add_warnings(&mut response, &[warning.to_owned()]);
        Ok(response)
    }

    async fn whole(self: &Arc<Self>, call: &mut Call, target: &Target) -> Answered {
        let verb = call.info.verb;
        if !target.resource.has_verb(verb) {
            return Err(no_such_method());
        }
        if let Some(answered) = self.special(call, target).await {
            return answered;
        }
        match verb {
            "get" => self.get(call, target),
            "list" => self.list(call, target).await,
            "watch" => self.watch(call, target),
            "create" => self.create(call, target).await,
            "update" => self.update(call, target).await,
            "patch" => self.patch(call, target).await,
            "delete" => self.delete(call, target).await,
            "deletecollection" => self.delete_collection(call, target).await,
            _ => Err(no_such_method()),
        }
    }

    async fn part(self: &Arc<Self>, call: &mut Call, target: &Target) -> Answered {
        let Some(part) = target.resource.subresource(&call.info.subresource) else {
            return Err(Status::no_such_path());
        };
        let verb = call.info.verb;
        if call.info.is_passed_on() {
            return self.pass_on(call, target).await;
        }
        if !part.verbs.iter().any(|v| v == verb) {
            return Err(no_such_method());
        }
        match (part.name.as_str(), verb) {
            ("scale", "get") => {
                let scale = self.registry.get_scale(&request(call, target))?;
                Ok(answer::tree(200, &scale, call.wanted(false)?.format))
            }
            ("scale", "update") => {
                let (scale, options) = self.typed_part(call, target, part).await?;
                let written = self.registry.update_scale(&request(call, target), scale.object, &options).await?;
                self.written(call, target, written, scale.warnings)
            }
            ("scale", "patch") => {
                let (patch, options) = read_patch(call).await?;
                let mut warnings = Vec::new();
                match self.registry.patch_scale(&request(call, target), &patch, &options, &mut warnings).await {
                    Ok(written) => self.written(call, target, written, warnings),
                    Err(status) => refused(call, status, &warnings),
                }
            }
            ("binding", "create") => self.bind(call, target, part).await,
            ("eviction", "create") => {
                let (eviction, options) = self.typed_part(call, target, part).await?;
                let written = self.registry.evict(&request(call, target), &eviction.object, &options).await?;
                self.written(call, target, written, eviction.warnings)
            }
            ("token", "create") => self.create_token(call, target).await,
            (_, "get") => self.get(call, target),
            (_, "update") => self.update(call, target).await,
            (_, "patch") => self.patch(call, target).await,
            _ => Err(no_such_method()),
        }
    }

    async fn bind(self: &Arc<Self>, call: &mut Call, target: &Target, part: &Subresource) -> Answered {
        let (binding, options) = self.typed_part(call, target, part).await?;
        let written = self.registry.bind(&request(call, target), binding.object, &options).await?;
        self.written(call, target, written, binding.warnings)
    }

    fn get(&self, call: &Call, target: &Target) -> Answered {
        let wanted = call.wanted(true)?;
        check_metadata_kind(target, wanted, false)?;
        let version = call.query.get("resourceVersion").unwrap_or("");
        let stored = self.registry.get(&target.resource, &call.info.namespace, &call.info.name, version)?;
        self.encoder(target, wanted).stored(200, &stored)
    }

    async fn list(self: &Arc<Self>, call: &Call, target: &Target) -> Answered {
        let wanted = call.wanted(true)?;
        check_metadata_kind(target, wanted, true)?;
        let options = query::list_options(&call.query)?;
        let list = self.registry.list(&target.resource, &call.info.namespace, &options)?;
        self.listing(target, wanted, list).answer().await
    }

    fn listing(self: &Arc<Self>, target: &Target, wanted: Wanted, list: registry::List) -> Listing {
        Listing { server: Arc::clone(self), resource: Arc::clone(&target.resource), wanted, list }
    }

    fn watch(self: &Arc<Self>, call: &Call, target: &Target) -> Answered {
        let wanted = call.wanted(true)?;
        if wanted.format == Format::Yaml {
            return Err(negotiate::no_stream());
        }
        let mut options = query::list_options(&call.query)?;
        // The old `/watch/` paths name one object in the path.
        if !call.info.name.is_empty() && options.fields.is_everything() {
            let term = object::selector::FieldTerm { path: "metadata.name".into(), equal: true, value: call.info.name.clone() };
            options.fields.terms.push(term);
        }
        let watch = self.registry.watch(&target.resource, &call.info.namespace, &options)?;
        let counted = self.metrics.events(&target.resource);
        let state =
            WatchState { server: Arc::clone(self), resource: Arc::clone(&target.resource), wanted, watch, has_sent: false, counted };
        let body = Body::stream(stream::unfold(state, |mut state| async move { state.next().await.map(|bytes| (bytes, state)) }));
        let mut response = answer::response(200, Format::Json, body);
        if wanted.format == Format::Protobuf {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF_STREAM));
        }
        Ok(response)
    }

    async fn create(&self, call: &mut Call, target: &Target) -> Answered {
        let options = write_options(call)?;
        let decoded = self.read_typed(call, target, &target.resource.gvk(), &options.field_validation).await?;
        match self.registry.create(&request(call, target), decoded.object, &options).await {
            Ok(written) => self.written(call, target, written, decoded.warnings),
            Err(status) => refused(call, status, &decoded.warnings),
        }
    }

    async fn update(&self, call: &mut Call, target: &Target) -> Answered {
        let options = write_options(call)?;
        let decoded = self.read_typed(call, target, &target.resource.gvk(), &options.field_validation).await?;
        match self.registry.update(&request(call, target), decoded.object, &options).await {
            Ok(written) => self.written(call, target, written, decoded.warnings),
            Err(status) => refused(call, status, &decoded.warnings),
        }
    }

    async fn patch(&self, call: &mut Call, target: &Target) -> Answered {
        let (patch, options) = read_patch(call).await?;
        let mut warnings = Vec::new();
        match self.registry.patch(&request(call, target), &patch, &options, &mut warnings).await {
            Ok(written) => self.written(call, target, written, warnings),
            Err(status) => refused(call, status, &warnings),
        }
    }

    async fn delete(&self, call: &mut Call, target: &Target) -> Answered {
        let options = self.read_delete_options(call, target).await?;
        let request = request(call, target);
        let warnings = registry::deletion_warnings(&request, &options);
        let deleted = match self.registry.delete(&request, &options).await {
            Ok(deleted) => deleted,
            Err(status) => return refused(call, status, &warnings),
        };
        let is_accepted = !deleted.is_gone && options.orphan_dependents == Some(false);
        let code = if is_accepted { 202 } else { 200 };
        let wanted = call.wanted(true)?;
        let mut response = self.encoder(target, wanted).answer(code, &deleted.written.answer)?;
        add_warnings(&mut response, &warnings);
        Ok(response)
    }

    async fn delete_collection(self: &Arc<Self>, call: &mut Call, target: &Target) -> Answered {
        let selection = query::list_options(&call.query)?;
        let options = self.read_delete_options(call, target).await?;
        if call.info.has_unnamed_namespace {
            // Upstream: what is in any namespace is found, and not deleted, for the request names none.
            let list = self.registry.list(&target.resource, "", &selection)?;
            let is_empty = list.records.is_empty();
            let answer = self.listing(target, call.wanted(true)?, list);
            return if is_empty { answer.answer().await } else { Err(Status::bad_request("Namespace parameter required.")) };
        }
        let request = request(call, target);
        let list = self.registry.delete_collection(&request, &options, &selection).await?;
        let mut response = self.listing(target, call.wanted(true)?, list).answer().await?;
        add_warnings(&mut response, &registry::deletion_warnings(&request, &options));
        Ok(response)
    }

    async fn read_delete_options(&self, call: &mut Call, target: &Target) -> Result<registry::options::DeleteOptions, Status> {
        let body = take_body(call).await?;
        if body.is_empty() {
            return query::delete_options(&call.query, None);
        }
        let kind = GroupVersionKind::new(&target.resource.group, &target.resource.version, "DeleteOptions");
        let options = decode::delete_options(&target.catalog, &kind, call.sent_format()?, &body)?;
        query::delete_options(&call.query, Some(&options))
    }

    async fn typed_part(
        &self,
        call: &mut Call,
        target: &Target,
        part: &Subresource,
    ) -> Result<(Decoded, registry::options::WriteOptions), Status> {
        let options = write_options(call)?;
        let decoded = self.read_typed(call, target, &part.kind, &options.field_validation).await?;
        Ok((decoded, options))
    }

    pub(crate) async fn read_typed(
        &self,
        call: &mut Call,
        target: &Target,
        kind: &GroupVersionKind,
        validation: &FieldValidation,
    ) -> Result<Decoded, Status> {
        let format = call.sent_format()?;
        let body = take_body(call).await?;
        let type_id = target.catalog.type_of(kind).ok_or_else(|| Status::internal(format!("no type for {kind}")))?;
        decode::typed(&target.catalog, kind, type_id, format, &body, validation)
    }

    pub(crate) fn written(&self, call: &Call, target: &Target, written: Written, mut warnings: Vec<String>) -> Answered {
        let code = if written.is_new { 201 } else { 200 };
        let mut response = self.encoder(target, call.wanted(true)?).answer(code, &written.answer)?;
        warnings.extend(written.warnings);
        add_warnings(&mut response, &warnings);
        Ok(response)
    }

    pub(crate) fn encoder<'a>(&'a self, target: &'a Target, wanted: Wanted) -> Encoder<'a> {
        Encoder { registry: &self.registry, resource: &target.resource, wanted }
    }
}

struct WatchState {
    server: Arc<ApiServer>,
    resource: Arc<Resource>,
    wanted: Wanted,
    watch: registry::Watch,
    has_sent: bool,
    counted: Option<Arc<Events>>,
}

impl WatchState {
    /// One piece of the body: all events that are there.
    async fn next(&mut self) -> Option<Bytes> {
        let events = self.watch.next().await?;
        let encoder = Encoder { registry: &self.server.registry, resource: &self.resource, wanted: self.wanted };
        let frames = Frames { encoder, shared: &self.server.shared_frames };
        let mut pieces = Vec::with_capacity(events.len());
        for event in &events {
            let is_first = !self.has_sent;
            self.has_sent = true;
            let piece = match event {
                WatchEvent::Added(stored) => frames.event("ADDED", stored, is_first),
                WatchEvent::Modified(stored) => frames.event("MODIFIED", stored, is_first),
                WatchEvent::Deleted(stored) => frames.event("DELETED", stored, is_first),
                WatchEvent::Bookmark { revision, ends_initial_events } => Ok(frames.bookmark(revision.0, *ends_initial_events)),
                WatchEvent::Error(status) => Ok(frames.error(status)),
            };
            let piece = piece.unwrap_or_else(|status| frames.error(&status));
            if let Some(counted) = &self.counted {
                counted.sent(piece.len());
            }
            pieces.push(piece);
        }
        Some(if let [only] = pieces.as_slice() { only.clone() } else { pieces.concat().into() })
    }
}

pub(crate) fn request(call: &Call, target: &Target) -> Request {
    Request {
        resource: Arc::clone(&target.resource),
        subresource: call.info.subresource.clone(),
        namespace: if target.resource.namespaced { call.info.namespace.clone() } else { String::new() },
        name: call.info.name.clone(),
        user: Arc::clone(&call.user),
    }
}

pub(crate) fn write_options(call: &Call) -> Result<registry::options::WriteOptions, Status> {
    let mut options = query::write_options(&call.query)?;
    // Upstream: the first word of the user agent up to its slash stands in for a manager.
    let is_apply = call.header(header::CONTENT_TYPE).is_some_and(|t| t.starts_with("application/apply-patch"));
    if options.field_manager.is_empty() && !is_apply {
        let agent = call.header(header::USER_AGENT).unwrap_or("");
        let name = agent.split('/').next().unwrap_or("");
        options.field_manager = if name.is_empty() { "unknown".to_owned() } else { name.chars().take(128).collect() };
    }
    Ok(options)
}

pub(crate) async fn take_body(call: &mut Call) -> Result<Bytes, Status> {
    std::mem::replace(&mut call.body, RequestBody::Whole(Bytes::new())).read().await
}

async fn read_patch(call: &mut Call) -> Result<(Patch, registry::options::WriteOptions), Status> {
    let media_type = negotiate::media_type(call.header(header::CONTENT_TYPE)).to_owned();
    let kind = PatchKind::from_media_type(&media_type).ok_or_else(|| {
        // Upstream: its router says so, before any handler.
        Status { details: serde_json::json!({}), ..Status::unsupported_media_type("415: Unsupported Media Type") }
    })?;
    let options = write_options(call)?;
    let body = take_body(call).await?;
    let patch = decode::patch(kind, &body, &options.field_validation)?;
    Ok((patch, options))
}

/// A refusal carries what was odd about the body too.
pub(crate) fn refused(call: &Call, status: Status, warnings: &[String]) -> Answered {
    if warnings.is_empty() {
        return Err(status);
    }
    let mut response = answer::failure(&status, call.failure_format());
    add_warnings(&mut response, warnings);
    Ok(response)
}

pub(crate) fn add_warnings(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
        if let Ok(value) = HeaderValue::from_str(&quoted) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

pub(crate) fn no_such_method() -> Status {
    Status {
        details: serde_json::json!({}),
        ..Status::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }
}

/// An object is no list, and neither is a list an object.
fn check_metadata_kind(target: &Target, wanted: Wanted, is_list: bool) -> Result<(), Status> {
    if !matches!(wanted.shape, Shape::Metadata(_)) || wanted.names_list == is_list {
        return Ok(());
    }
    let Resource { storage_group: group, kind, list_kind, .. } = &*target.resource;
    let text = if is_list {
        let found = decode::internal_type(group, list_kind);
        format!("you requested PartialObjectMetadata, but the requested object is a list (*{found})")
    } else {
        let found = decode::internal_type(group, kind);
        format!("you requested PartialObjectMetadataList, but the requested object is not a list (*{found})")
    };
    Err(Status::not_acceptable(text))
}

/// A name stands in one part of a path.
fn check_name(info: &RequestInfo) -> Result<(), Status> {
    if info.name.contains('/') {
        return Err(Status::no_such_path());
    }
    if matches!(info.name.as_str(), "." | "..") && matches!(info.verb, "get" | "delete") {
        return Err(Status::bad_request(format!("Name parameter invalid: {:?}: may not be '{}'", info.name, info.name)));
    }
    Ok(())
}

/// Which paths and methods go together, as upstream's routes have it.
fn check_route(info: &RequestInfo, resource: &Resource) -> Result<(), Status> {
    let is_whole = matches!(info.verb, "list" | "watch" | "deletecollection");
    let lacks_namespace = resource.namespaced && info.namespace.is_empty() && !info.has_unnamed_namespace;
    let has_namespace = !resource.namespaced && !info.namespace.is_empty() && resource.plural != "namespaces";
    if has_namespace || lacks_namespace && !info.name.is_empty() && !is_whole {
        return Err(Status::no_such_path());
    }
    // All namespaces together can only be read; a collection is not written to, nor a new object named in the path.
    let is_read = matches!(info.verb, "list" | "watch");
    let is_misplaced = match info.verb {
        "update" | "patch" => info.name.is_empty(),
        "create" => !info.name.is_empty() && info.subresource.is_empty(),
        _ => false,
    };
    if lacks_namespace && !is_read || is_misplaced {
        return Err(no_such_method());
    }
    Ok(())
}

/// Upstream: a path that no handler is installed for.
pub(crate) fn not_served() -> Response<Body> {
    answer::text(404, "404 page not found\n")
}

/// For special resources: their answers are trees, whatever shape was asked for.
pub(crate) fn tree_answer(call: &Call, code: u16, value: &Value) -> Answered {
    let wanted = call.wanted(true)?;
    let value = match wanted.shape {
        Shape::Metadata(version) => pieces::partial(value, version),
        _ => value.clone(),
    };
    Ok(answer::tree(code, &value, wanted.format))
}
