//! Discovery, version and health.

use crate::story::{Request, Story};

const AGGREGATED: &str = "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList,application/json";

pub(super) fn stories() -> Vec<Story> {
    let mut story = Story::new("documents/discovery");
    story.add(Request::get("api", "/api"));
    story.add(Request::get("apis", "/apis"));
    for group in &kinds::builtin().groups {
        if !group.name.is_empty() {
            story.add(Request::get(format!("group {}", group.name), format!("/apis/{}", group.name)));
        }
        for version in &group.versions {
            let path = if group.name.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", group.name) };
            story.add(Request::get(&*path, &*path));
        }
    }
    for path in ["/api", "/apis"] {
        for (name, accept) in [
            ("v2", AGGREGATED),
            ("v2beta1", "application/json;v=v2beta1;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList,application/json"),
            ("v2 only", "application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"),
            ("yaml", "application/yaml"),
            ("protobuf", "application/vnd.kubernetes.protobuf"),
            ("unknown", "application/json;v=v9;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList"),
            ("html", "text/html"),
        ] {
            story.add(Request::get(format!("{path} {name}"), path).accept(accept));
        }
    }
    let mut health = Story::new("documents/health");
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/healthz?verbose",
        "/livez?verbose",
        "/readyz?verbose",
        "/readyz?verbose=1",
        "/readyz?exclude=etcd",
        "/readyz?verbose&exclude=etcd",
        "/readyz?exclude=none",
        "/livez?verbose&exclude=none&exclude=ping",
        "/livez/ping",
        "/readyz/ping",
        "/healthz/ping",
        "/livez/etcd",
        "/readyz/shutdown",
        "/healthz/poststarthook/rbac/bootstrap-roles",
        "/livez/none",
        "/readyz/ping?verbose",
        "/.well-known/openid-configuration",
    ] {
        health.add(Request::get(path, path));
    }
    vec![story, health]
}
