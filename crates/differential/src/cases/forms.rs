//! The forms an answer may take by what a client's headers say: indented, packed, in a media type; and methods of documents.

use serde_json::json;

use crate::story::{Request, Story};

const MAPS: &str = "/api/v1/namespaces/$(ns)/configmaps";

pub(super) fn stories() -> Vec<Story> {
    vec![pretty(), packed(), negotiated(), methods()]
}

fn pretty() -> Story {
    let mut story = Story::in_namespace("forms/pretty");
    story.add(Request::new("create", "POST", MAPS, r#"{"metadata":{"name":"m"},"data":{"a":"b"}}"#));
    for value in ["", "=", "=1", "=0", "=true", "=false", "=TRUE", "=no", "=x"] {
        story.add(Request::get(format!("pretty{value}"), format!("{MAPS}/m?pretty{value}")).with_form());
    }
    for agent in ["curl/8.0", "Wget/1.21", "Mozilla/5.0 (X11)", "kubectl/v1.37.1", "Curl/8", "curl", ""] {
        story.add(Request::get(format!("agent {agent}"), format!("{MAPS}/m")).header("user-agent", agent).with_form());
    }
    story.add(Request::get("agent and no", format!("{MAPS}/m?pretty=false")).header("user-agent", "curl/8.0").with_form());
    for (name, path) in [
        ("list", MAPS.to_owned() + "?pretty=1&fieldSelector=metadata.name%3Dm"),
        ("none", format!("{MAPS}/none?pretty=1")),
        ("watch", MAPS.to_owned() + "?pretty=1&watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dm"),
        ("group", "/apis/apps?pretty=1".to_owned()),
        ("groups", "/apis?pretty=1".to_owned()),
        ("core", "/api?pretty=1".to_owned()),
        ("no path", "/api/v1/none?pretty=1".to_owned()),
    ] {
        story.add(Request::get(format!("pretty {name}"), path).with_form());
    }
    story.add(Request::new("pretty create", "POST", MAPS.to_owned() + "?dryRun=All&pretty=1", r#"{"metadata":{"name":"n"}}"#).with_form());
    story.add(Request::get("pretty yaml", format!("{MAPS}/m?pretty=1")).accept("application/yaml"));
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    story.add(Request::get("pretty table", format!("{MAPS}/m?pretty=1")).accept(table).with_form());
    story.add(Request::get("pretty by accept", format!("{MAPS}/m")).accept("application/json;pretty=1").with_form());
    story.add(Request::get("pretty by accept, not asked", format!("{MAPS}/m?pretty=0")).accept("application/json;pretty=1").with_form());
    story
}

fn packed() -> Story {
    let mut story = Story::in_namespace("forms/packed");
    for (name, len) in [("small", 10), ("below", 100_000), ("large", 200_000)] {
        let map = json!({"metadata": {"name": name}, "data": {"a": "x".repeat(len)}});
        story.add(Request::new(format!("create {name}"), "POST", MAPS, map.to_string()));
    }
    for encoding in ["", "gzip", "GZIP", "gzip;q=0", "gzip;q=1.0", "deflate, gzip", "gzip,br", "*", "identity", "x-gzip", "br"] {
        story.add(Request::get(format!("large {encoding}"), format!("{MAPS}/large")).header("accept-encoding", encoding).with_form());
    }
    for name in ["small", "below"] {
        story.add(Request::get(format!("{name} gzip"), format!("{MAPS}/{name}")).header("accept-encoding", "gzip").with_form());
    }
    story.add(Request::get("list", MAPS.to_owned() + "?labelSelector=!none").header("accept-encoding", "gzip").with_form());
    story.add(
        Request::get("protobuf", format!("{MAPS}/large"))
            .accept("application/vnd.kubernetes.protobuf")
            .header("accept-encoding", "gzip")
            .with_form(),
    );
    story.add(Request::get("yaml", format!("{MAPS}/large")).accept("application/yaml").header("accept-encoding", "gzip").with_form());
    story.add(Request::get("pretty", format!("{MAPS}/large?pretty=1")).header("accept-encoding", "gzip").with_form());
    story.add(Request::get("discovery", "/apis").header("accept-encoding", "gzip").with_form());
    story.add(Request::get("resources", "/api/v1").header("accept-encoding", "gzip").with_form());
    story
}

fn negotiated() -> Story {
    let mut story = Story::in_namespace("forms/negotiated");
    story.add(Request::new("create", "POST", MAPS, r#"{"metadata":{"name":"m"},"data":{"a":"b"}}"#));
    for accept in [
        "application/yaml;q=0.1,application/json;q=0.9",
        "application/json;q=0.1,application/yaml;q=0.9",
        "application/json;q=0",
        "application/json;q=0,application/yaml",
        "*/*;q=0.1,application/yaml",
        "application/json;q=x",
        "APPLICATION/JSON",
        "application/json ; q=0.5 , application/yaml ; q=0.6",
        "application/json;as=Table;v=v1;g=meta.k8s.io;q=0.1,application/json;q=0.9",
        "application/json;charset=UTF-8;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=Table;v=v1",
        "application/json;as=Table;g=meta.k8s.io",
        "application/json;as=table;v=v1;g=meta.k8s.io",
        "application/json;v=v1",
        "application/yaml;stream=watch",
        "application/json;stream=other",
        ",",
        "application/json,",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ] {
        story.add(Request::get(format!("accept {accept}"), format!("{MAPS}/m")).accept(accept));
    }
    for accept in ["application/yaml;stream=watch", "application/yaml,application/json", "text/html", "application/json;stream=watch"] {
        let path = MAPS.to_owned() + "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dm";
        story.add(Request::get(format!("watch {accept}"), path).accept(accept));
    }
    for content_type in [
        "application/json;charset=latin1",
        "application/json; charset",
        "application/json;q=1",
        "text/json",
        "application/yaml; charset=utf-8",
        ";",
        "application/json, text/plain",
    ] {
        for (name, method, path) in
            [("post", "POST", MAPS.to_owned()), ("put", "PUT", format!("{MAPS}/m")), ("delete", "DELETE", format!("{MAPS}/none"))]
        {
            let body = if method == "DELETE" { r#"{"kind":"DeleteOptions","apiVersion":"v1"}"# } else { r#"{"metadata":{"name":"m"}}"# };
            story.add(
                Request::new(format!("{name} {content_type}"), method, format!("{path}?dryRun=All"), body)
                    .header("content-type", content_type),
            );
        }
    }
    for (path, accept) in [
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
        (
            "/apis",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        ),
        (
            "/apis",
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        ),
        ("/apis", "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        ("/apis", "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer"),
        ("/apis", "application/json,application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
        ("/apis/apps", "application/vnd.kubernetes.protobuf"),
        ("/apis/apps/v1", "application/vnd.kubernetes.protobuf"),
        ("/api/v1", "application/vnd.kubernetes.protobuf"),
        ("/api", "application/vnd.kubernetes.protobuf,application/json"),
        ("/apis/apps", "application/yaml"),
        ("/api/v1", "application/yaml"),
        ("/apis/apps/v1", "text/html"),
        ("/apis/apps", "text/html"),
        ("/version", "application/yaml"),
        ("/version", "text/html"),
    ] {
        if path != "/version" {
            story.add(Request::get(format!("discovery {path} {accept}"), path).accept(accept));
        }
    }
    story
}

/// Some documents have a route of one method, others answer any.
fn methods() -> Story {
    let mut story = Story::new("forms/methods");
    for (method, path) in [
        ("POST", "/apis/apps/v1"),
        ("DELETE", "/apis/apps/v1"),
        ("HEAD", "/apis/apps/v1"),
        ("PUT", "/api/v1"),
        ("POST", "/api"),
        ("PATCH", "/apis"),
        ("OPTIONS", "/apis"),
        ("POST", "/apis/apps"),
        ("HEAD", "/apis"),
        ("DELETE", "/healthz"),
        ("POST", "/.well-known/openid-configuration"),
        ("DELETE", "/openid/v1/jwks"),
        ("OPTIONS", "/version"),
        ("HEAD", "/version"),
        ("GET", "/version/x"),
        ("POST", "/version/"),
        ("POST", "/apis/none"),
        ("POST", "/apis/apps/v9"),
        ("HEAD", "/api/v1/nodes"),
        ("HEAD", "/api/v1/nodes/none"),
        ("HEAD", "/api/v1/none"),
        ("OPTIONS", "/api/v1/nodes"),
    ] {
        story.add(Request::new(format!("{method} {path}"), method, path, ""));
    }
    story
}
