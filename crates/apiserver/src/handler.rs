//! The way of every request: user, authorization, then to whoever answers it.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use authz::{Attributes, UserInfo};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Response};
use jiff::Timestamp;
use object::status::Status;
use object::time;

use crate::body::{Body, RequestBody};
use crate::call::Call;
use crate::metrics::Asked;
use crate::negotiate::Format;
use crate::query::Query;
use crate::{ApiServer, answer, compress, impersonate, limits, pretty, request_info};

/// What is known of a client before its first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// Whom its certificate names, or who it is in this process; without one the headers are asked.
    pub(crate) user: Option<Arc<UserInfo>>,
    pub(crate) ip: Option<IpAddr>,
    /// When its certificate ends; the connection may last longer.
    pub(crate) until: Option<Timestamp>,
    /// In this process.
    pub(crate) is_near: bool,
}

impl ApiServer {
    /// Answers one request.
    pub(crate) async fn handle(self: Arc<Self>, parts: Parts, body: RequestBody, peer: Peer) -> Response<Body> {
        let begun = time::stopwatch();
        let answered = AssertUnwindSafe(self.clone().answer(parts, body, peer, begun)).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("");
            tracing::error!(panic = text, "a request's handler panicked");
            answer::failure(&Status::internal("This request caused apiserver to panic. Look in the logs for details."), Format::Json)
        });
        response.headers_mut().insert("audit-id", audit_id(&self));
        response
    }

    async fn answer(self: Arc<Self>, mut parts: Parts, body: RequestBody, peer: Peer, begun: Instant) -> Response<Body> {
        let raw_query = parts.uri.query().unwrap_or("").to_owned();
        let query = Query::parse(&raw_query);
        let name_selector = query.get("fieldSelector").and_then(name_of_selector);
        let info = request_info::parse(parts.method.as_str(), parts.uri.path(), query.flag("watch"), name_selector.as_deref());
        let authenticated = self.authenticate(&parts.headers, peer.user, peer.until);
        self.metrics.authenticated(authenticated.as_ref().ok().map(|user| user.name.as_str()));
        let user = match authenticated {
            Ok(user) => user,
            Err(status) => return unauthorized(&status),
        };
        let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
        let (client_ip, is_near) = (peer.ip, peer.is_near);
        // HTTP/2 has the host in the address; everybody else looks into the headers.
        if let Some(host) = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok()) {
            parts.headers.entry(http::header::HOST).or_insert(host);
        }
        if request_info::is_cut_short(&info.path) {
            let path = &info.path;
            let cause = format!("unable to determine kind and namespace from url, {path}");
            return answer::text(500, format!("Internal Server Error: {path:?}: failed to create RequestInfo: {cause}\n"));
        }
        let (method, headers, under_way) = (parts.method, parts.headers, None);
        let mut call = Call { method, query, raw_query, headers, info, user, client_ip, is_near, body, upgrade, under_way };
        let mut response = self.settle(&mut call, begun).await;
        // Upstream: nothing that somebody had to show a name for is kept by caches, but for what says otherwise.
        response.headers_mut().entry(http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        if pretty::is_wanted(&call) {
            response = pretty::apply(response);
        }
        if compress::is_accepted(&call) {
            response = compress::apply(response);
        }
        match call.under_way {
            Some(under_way) => under_way.with(response),
            None => response,
        }
    }

    /// A request whose user is known: may they, is there room, and the answer in time.
    async fn settle(self: Arc<Self>, call: &mut Call, begun: Instant) -> Response<Body> {
        let format = call.failure_format();
        if let Err(status) = impersonate::apply(&self, call).and_then(|()| self.check_allowed(call)) {
            return answer::failure(&status, format);
        }
        let asked = Asked { info: &call.info, method: &call.method, headers: &call.headers, query: &call.query };
        call.under_way = self.metrics.begin(&self.registry, asked, begun);
        let _seat = match self.limits.seat(call).await {
            Ok(seat) => seat,
            Err(response) => return response,
        };
        let server = Arc::clone(&self);
        let _in_flight = server.metrics.seated(&call.info);
        let result = match limits::deadline(call) {
            Err(status) => Err(status),
            Ok(None) => self.route(call).await,
            Ok(Some(deadline)) => tokio::time::timeout(deadline, self.route(call)).await.unwrap_or_else(|_| Err(limits::out_of_time())),
        };
        result.unwrap_or_else(|status| answer::failure(&status, format))
    }

    fn check_allowed(&self, call: &Call) -> Result<(), Status> {
        let selector = field_requirements(call);
        let attributes = attributes(call, &selector);
        let verdict = self.policy.authorize(&attributes);
        if verdict.is_allowed() { Ok(()) } else { Err(attributes.forbidden(&verdict.reason)) }
    }

    async fn route(self: Arc<Self>, call: &mut Call) -> Result<Response<Body>, Status> {
        if call.info.is_resource {
            return self.resource(call).await;
        }
        if let Some(response) = self.document(call)? {
            return Ok(response);
        }
        self.unserved(call)
    }

    /// Upstream: a group's handler refuses what it lacks as a Status; what belongs to none is plain text.
    fn unserved(&self, call: &Call) -> Result<Response<Body>, Status> {
        let catalog = self.registry.catalog();
        let parts: Vec<&str> = call.info.path.trim_matches('/').split('/').collect();
        let (group, version) = match parts.as_slice() {
            ["api", version, ..] => ("", *version),
            ["apis", group, version, ..] => (*group, *version),
            ["version", ..] => return Err(Status::no_such_path()),
            _ => return Ok(crate::resources::not_served()),
        };
        match catalog.groups.iter().find(|g| g.name == group) {
            None => Ok(crate::resources::not_served()),
            Some(found) if found.versions.iter().any(|v| v == version) => Err(crate::resources::no_such_method()),
            Some(_) => Err(Status::no_such_path()),
        }
    }
}

fn attributes<'a>(call: &'a Call, field_selector: &'a [(String, String)]) -> Attributes<'a> {
    let info = &call.info;
    Attributes {
        user: &call.user,
        verb: info.verb,
        group: &info.group,
        version: &info.version,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        path: if info.is_resource { "" } else { &info.path },
        is_resource_request: info.is_resource,
        field_selector,
    }
}

fn field_requirements(call: &Call) -> Vec<(String, String)> {
    if !matches!(call.info.verb, "list" | "watch" | "deletecollection") {
        return Vec::new();
    }
    let parsed = call.query.get("fieldSelector").and_then(|text| object::selector::FieldSelector::parse(text).ok());
    parsed.into_iter().flat_map(|s| s.terms).filter(|t| t.equal).map(|t| (t.path, t.value)).collect()
}

/// `metadata.name=x` alone or among others names the object of a list or watch.
fn name_of_selector(text: &str) -> Option<String> {
    let selector = object::selector::FieldSelector::parse(text).ok()?;
    selector.terms.into_iter().find(|t| t.path == "metadata.name" && t.equal).map(|t| t.value)
}

fn unauthorized(status: &Status) -> Response<Body> {
    answer::failure(status, Format::Json)
}

fn audit_id(server: &ApiServer) -> HeaderValue {
    HeaderValue::from_str(&server.registry.entropy().uid()).expect("hexadecimal digits and dashes")
}
