//! What a method and a path ask for, as upstream's `RequestInfoFactory` reads them. Pure; knows no kinds.

/// Verb, place and name of a request. A path outside `/api/v*` and `/apis/*/*` is a non-resource request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    pub(crate) is_resource: bool,
    pub(crate) path: String,
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
    /// `namespaces//pods`: upstream routes it as it does a namespace, whose name is empty.
    pub(crate) has_unnamed_namespace: bool,
    /// What follows the subresource (`/nodes/a/proxy/metrics` leaves `metrics`), as it was sent.
    pub(crate) rest: String,
}

impl RequestInfo {
    /// The kubelet or whoever else is behind it answers these.
    pub(crate) fn is_passed_on(&self) -> bool {
        matches!(self.subresource.as_str(), "proxy" | "exec" | "attach" | "portforward" | "log")
    }

    /// Watches and streams: they last as long as both ends like.
    pub(crate) fn is_long(&self) -> bool {
        self.verb == "watch" || self.is_passed_on()
    }

    /// Changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.verb, "get" | "list" | "watch" | "head")
    }
}

/// Subresources of a namespace itself; any other third part is a resource inside it.
const NAMESPACE_SUBRESOURCES: &[&str] = &["status", "finalize"];

/// `watch` and `name_selector` come from the query: they turn a list into a watch and give its name for authorization.
pub(crate) fn parse(method: &str, path: &str, watch: bool, name_selector: Option<&str>) -> RequestInfo {
    let mut info = RequestInfo { path: path.to_owned(), verb: plain_verb(method), ..RequestInfo::default() };
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let mut at = match parts.as_slice() {
        ["api", version, _, ..] => {
            info.version = (*version).to_owned();
            2
        }
        ["apis", group, version, _, ..] => {
            info.group = (*group).to_owned();
            info.version = (*version).to_owned();
            3
        }
        _ => return info,
    };
    info.is_resource = true;
    info.verb = resource_verb(method);
    if parts[at] == "watch" && parts.len() > at + 1 {
        info.verb = "watch";
        at += 1;
    }
    if parts[at] == "namespaces" && parts.len() > at + 1 {
        info.namespace = decode(parts[at + 1]);
        if parts.len() > at + 2 && !NAMESPACE_SUBRESOURCES.contains(&parts[at + 2]) {
            info.has_unnamed_namespace = info.namespace.is_empty();
            at += 2;
        }
    }
    info.resource = parts[at].to_owned();
    if let Some(name) = parts.get(at + 1) {
        info.name = decode(name);
    }
    if let Some(subresource) = parts.get(at + 2) {
        info.subresource = (*subresource).to_owned();
        info.rest = rest_of(path, at + 3);
    }
    if info.name.is_empty() && info.verb == "get" {
        info.verb = if watch { "watch" } else { "list" };
    }
    if info.name.is_empty() && info.verb == "delete" {
        info.verb = "deletecollection";
    }
    if info.name.is_empty() && matches!(info.verb, "list" | "watch" | "deletecollection") {
        info.name = name_selector.unwrap_or("").to_owned();
    }
    info
}

/// Upstream: the old words for a watch and a hop need something behind them.
pub(crate) fn is_cut_short(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    matches!(parts.as_slice(), ["api", _, "watch" | "proxy"] | ["apis", _, _, "watch" | "proxy"])
}

/// The path behind its first `skip` parts, with its trailing slash.
fn rest_of(path: &str, skip: usize) -> String {
    let mut rest = path.trim_start_matches('/');
    for _ in 0..skip {
        rest = rest.split_once('/').map_or("", |(_, tail)| tail);
    }
    rest.to_owned()
}

fn plain_verb(method: &str) -> &'static str {
    match method {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "",
    }
}

fn resource_verb(method: &str) -> &'static str {
    match method {
        "GET" | "HEAD" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

/// Percent-decoding of one path part; a wrong escape stays as it is.
pub(crate) fn decode(part: &str) -> String {
    crate::query::percent_decode(part, crate::query::Plus::Literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: &str, expected: &str) {
        let (method, target) = request.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let info = parse(method, path, query.contains("watch"), query.contains("name=").then_some("one"));
        let text = if info.is_resource {
            [info.verb, &info.group, &info.version, &info.namespace, &info.resource, &info.name, &info.subresource, &info.rest].join("|")
        } else {
            format!("{} {}", info.verb, info.path)
        };
        assert_eq!(text, expected, "{request}");
    }

    #[test]
    fn paths_read_as_upstream() {
        check("GET /api/v1/pods", "list||v1||pods|||");
        check("GET /api/v1/pods?watch", "watch||v1||pods|||");
        check("GET /api/v1/pods?watch&name=", "watch||v1||pods|one||");
        check("GET /api/v1/namespaces/a/pods/b", "get||v1|a|pods|b||");
        check("GET /api/v1/watch/namespaces/a/pods/b", "watch||v1|a|pods|b||");
        check("POST /api/v1/namespaces/a/pods", "create||v1|a|pods|||");
        check("POST /api/v1/namespaces/a/pods/b/exec", "create||v1|a|pods|b|exec|");
        check("GET /api/v1/namespaces/a", "get||v1|a|namespaces|a||");
        check("GET /api/v1/namespaces", "list||v1||namespaces|||");
        check("PUT /api/v1/namespaces/a/finalize", "update||v1|a|namespaces|a|finalize|");
        check("DELETE /apis/apps/v1/namespaces/a/deployments", "deletecollection|apps|v1|a|deployments|||");
        check("DELETE /apis/apps/v1/namespaces/a/deployments/w", "delete|apps|v1|a|deployments|w||");
        check("GET /api/v1/nodes/n/proxy/logs/x/", "get||v1||nodes|n|proxy|logs/x/");
        check(
            "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "get|rbac.authorization.k8s.io|v1||clusterroles|system:node||",
        );
        check("GET /apis/apps/v1", "get /apis/apps/v1");
        check("GET /healthz", "get /healthz");
        check("POST /api", "post /api");
    }
}
