//! Requests that another server answers: kubelets (logs, exec, attach, port-forward, node proxy), pods and services (proxy).
//!
//! `place` finds out where a request goes, `hop` carries it there, `links` mends the answer's links. An upgraded connection is
//! copied both ways as it is: what is spoken on it is the business of its two ends.

mod hop;
mod links;
mod place;

use std::sync::Arc;

use authz::Attributes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use object::Value;
use object::status::Status;

use crate::ApiServer;
use crate::body::{Body, RequestBody};
use crate::call::Call;
use crate::resources::Target;
use crate::web_socket;
use place::{Place, Scheme};

impl ApiServer {
    pub(crate) async fn pass_on(self: &Arc<Self>, call: &mut Call, target: &Target) -> Result<Response<Body>, Status> {
        if target.resource.plural == "pods" && call.info.subresource != "proxy" {
            return self.pod_stream(call, target).await;
        }
        let (scheme, name, port) = place::split_name(&call.info.name).ok_or_else(|| invalid_name(call))?;
        let place = match target.resource.plural.as_str() {
            "nodes" => place::kubelet_of(&self.object(target, "", name)?, port)?,
            "pods" => place::pod(&self.object(target, &call.info.namespace, name)?, scheme, port)?,
            _ => self.service_place(call, target, scheme, name, port)?,
        };
        if let Some(redirect) = redirect_to_root(call) {
            return Ok(redirect);
        }
        let mut path = format!("/{}", call.info.rest);
        if !call.raw_query.is_empty() {
            path = format!("{path}?{}", call.raw_query);
        }
        let prefix = call.info.path.strip_suffix(&call.info.rest).unwrap_or(&call.info.path).trim_end_matches('/').to_owned();
        if call.headers.contains_key(header::UPGRADE) {
            return self.hop(call, &place, &path).await;
        }
        say_for_whom(call);
        let way = links::Way { prefix, place: place.authority(), host: call.header(header::HOST).unwrap_or("").to_owned() };
        Ok(way.lead_back(self.hop(call, &place, &path).await?).await)
    }

    /// `log`, `exec`, `attach`, `portforward`.
    async fn pod_stream(self: &Arc<Self>, call: &mut Call, target: &Target) -> Result<Response<Body>, Status> {
        let is_log = call.info.subresource == "log";
        if !matches!(call.info.verb, "get" | "create") || is_log && call.info.verb != "get" {
            return Err(crate::resources::no_such_method());
        }
        if is_log {
            place::check_log_options(&call.info.name, &call.query)?;
        } else {
            self.check_may_create(call)?;
        }
        let pod = self.object(target, &call.info.namespace, &call.info.name)?;
        let container = if call.info.subresource == "portforward" { String::new() } else { place::container(&pod, &call.query)? };
        let node_name = pod["spec"]["nodeName"].as_str().unwrap_or("");
        match (node_name, is_log) {
            // Upstream: the log of a pod that is nowhere is nothing; anything else needs a host.
            ("", true) => return Ok(crate::answer::nothing()),
            ("", false) => return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.info.name))),
            _ => {}
        }
        if !is_log && !call.headers.contains_key(header::UPGRADE) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let nodes = self.registry.builtin("", "v1", "nodes")?;
        let stored = self.registry.get(&nodes, "", node_name, "")?;
        let kubelet = place::kubelet_of(&self.registry.decode(&nodes, &stored)?, "")?;
        let path = place::kubelet_path(&call.info, &container, &call.query);
        if !is_log {
            return self.hop(call, &kubelet, &path).await;
        }
        // The kubelet sends a plain body whatever the client wants of us.
        let over_web_socket = web_socket::is_wanted(&call.headers);
        call.headers.remove(header::UPGRADE);
        let response = self.hop(call, &kubelet, &path).await?;
        let response = hop::check_log(response, call).await?;
        if over_web_socket { web_socket::send(call, response.into_body()) } else { Ok(response) }
    }

    /// Upstream: opening a stream by GET (web sockets) needs the permission that POST needs.
    fn check_may_create(&self, call: &Call) -> Result<(), Status> {
        if call.info.verb == "create" {
            return Ok(());
        }
        let info = &call.info;
        let attributes = Attributes::resource(&call.user, "create", &info.group, &info.version, &info.resource)
            .in_namespace(&info.namespace)
            .named(&info.name)
            .with_subresource(&info.subresource);
        let verdict = self.policy.authorize(&attributes);
        if verdict.is_allowed() { Ok(()) } else { Err(attributes.forbidden(&verdict.reason)) }
    }

    fn object(&self, target: &Target, namespace: &str, name: &str) -> Result<Value, Status> {
        let stored = self.registry.get(&target.resource, namespace, name, "")?;
        self.registry.decode(&target.resource, &stored)
    }

    fn service_place(&self, call: &Call, target: &Target, scheme: Scheme, name: &str, port: &str) -> Result<Place, Status> {
        let service = self.object(target, &call.info.namespace, name)?;
        let slices = self.registry.builtin("discovery.k8s.io", "v1", "endpointslices")?;
        let labels = object::selector::LabelSelector::from_pairs([("kubernetes.io/service-name", name)]);
        let options = registry::options::ListOptions { labels, ..Default::default() };
        let list = self.registry.list(&slices, &call.info.namespace, &options)?;
        let mut found = Vec::new();
        for record in &list.records {
            found.push(self.registry.decode(&slices, &registry::form::Stored::from(&**record))?);
        }
        place::service(&service, &found, scheme, port, self.registry.entropy().next())
    }

    async fn hop(&self, call: &mut Call, place: &Place, path: &str) -> Result<Response<Body>, Status> {
        let body = std::mem::replace(&mut call.body, RequestBody::Whole(bytes::Bytes::new()));
        let tls = match place.scheme {
            Scheme::Http => None,
            Scheme::Https if !place.is_kubelet => Some(pki::trust_anyone::tls()),
            Scheme::Https => Some(self.kubelet_tls.clone().ok_or_else(|| Status::unavailable("this server has no way to reach nodes"))?),
        };
        hop::carry(call, body, place, path, tls).await
    }
}

/// Upstream: a page at `…/proxy` would resolve its relative links beside the proxy, so browsers are led to `…/proxy/`.
fn redirect_to_root(call: &Call) -> Option<Response<Body>> {
    let is_read = matches!(call.method, Method::GET | Method::HEAD) && !call.headers.contains_key(header::UPGRADE);
    if !is_read || !call.info.rest.is_empty() || call.info.path.ends_with('/') {
        return None;
    }
    let query = if call.raw_query.is_empty() { String::new() } else { format!("?{}", call.raw_query) };
    let location = HeaderValue::from_str(&format!("{}/{query}", call.info.path)).ok()?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}

/// Upstream: what was asked for is in `X-Forwarded-Uri`; who asked is added to those before in `X-Forwarded-For`.
fn say_for_whom(call: &mut Call) {
    if let Ok(path) = HeaderValue::from_str(&call.info.path) {
        call.headers.insert("x-forwarded-uri", path);
    }
    let Some(ip) = call.client_ip else { return };
    let before = call.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let all: Vec<String> = before.map(str::to_owned).chain([ip.to_string()]).collect();
    if let Ok(all) = HeaderValue::from_str(&all.join(", ")) {
        call.headers.insert("x-forwarded-for", all);
    }
}

fn invalid_name(call: &Call) -> Status {
    Status::bad_request(format!("invalid {} request {:?}", call.info.resource, call.info.name))
}
