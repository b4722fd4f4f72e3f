//! Requests that are wrong: paths, methods, media types, bodies, names, query parameters.

use serde_json::{Value, json};

use super::lists::escaped;
use crate::story::{Payload, Request, Story};

const MAPS: &str = "/api/v1/namespaces/$(ns)/configmaps";

pub(super) fn stories() -> Vec<Story> {
    vec![paths(), media_types(), bodies(), json_texts(), names(), parameters()]
}

fn paths() -> Story {
    let mut story = Story::for_pods("bad/paths");
    let paths = [
        "/",
        "/none",
        "/api/v9",
        "/api/v1/none",
        "/api/v1/namespaces/$(ns)/none",
        "/api/v1/namespaces/$(ns)/configmaps/a/none",
        "/api/v1/namespaces/$(ns)/configmaps/a/b/c",
        "/apis/none",
        "/apis/none/v1",
        "/apis/apps/v9",
        "/apis/apps/v1/none",
        "/apis/apps/v1/namespaces/$(ns)/pods",
        "/api/v1/namespaces/none/configmaps/a",
        "/api/v1/namespaces/none",
        "/api/v1/nodes/none",
        "/api/v1/namespaces/$(ns)/nodes",
        "/api/v1/namespaces/$(ns)/pods/none/log",
        "/api/v1/namespaces/$(ns)/pods/none/status",
        "/api/v1/componentstatuses/none",
        "/apis/apps/v1/namespaces/$(ns)/deployments/none/scale",
        "/api/v1/configmaps/a",
        "/api/v1/pods/a",
        "/api//v1",
        "/api/v1/",
        "/api/",
        "/apis/",
        "/apis/apps/",
        "/apis/apps/v1/",
        "/api/v1/namespaces/$(ns)/configmaps/",
        "/api/v1/namespaces//configmaps?fieldSelector=metadata.name%3Dnone",
        "/api/v1/namespaces/$(ns)/configmaps/a%2Fb",
        "/api/v1/namespaces/$(ns)/configmaps/..",
        "/api/v1/namespaces/$(ns)/configmaps/A",
        "/healthz/none",
        "/livez/ping",
        "/readyz/ping",
        "/healthz/ping",
        "/livez",
        "/readyz",
        "/healthz",
        "/logs",
        "/swagger.json",
        "/ui",
        "/api/v1/proxy",
        "/api/v1/watch",
        "/api/v1/watch/none",
        "/api/v1/namespaces/$(ns)/bindings",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/version/",
        "/openid/v1/none",
    ];
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            if method == "GET" || path.matches('/').count() > 2 {
                story.add(Request::new(format!("{method} {path}"), method, path, if method == "GET" { "" } else { "{}" }));
            }
        }
    }
    for (method, path) in [
        ("POST", "/api/v1/namespaces/$(ns)/configmaps/a"),
        ("PUT", MAPS),
        ("PATCH", MAPS),
        ("DELETE", "/api/v1/namespaces"),
        ("PUT", "/version"),
        ("POST", "/healthz"),
        ("DELETE", "/apis"),
        ("OPTIONS", MAPS),
        ("HEAD", MAPS),
        ("TRACE", MAPS),
        ("POST", "/api/v1/namespaces/$(ns)/pods/none/status"),
        ("DELETE", "/api/v1/namespaces/$(ns)/pods/none/status"),
        ("POST", "/api/v1/configmaps"),
        ("POST", "/api/v1/pods"),
        ("DELETE", "/api/v1/configmaps"),
        ("PATCH", "/version"),
    ] {
        story.add(Request::new(format!("method {method} {path}"), method, path, "{}"));
    }
    story
}

fn media_types() -> Story {
    let mut story = Story::for_pods("bad/media");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}}).to_string();
    let dry = format!("{MAPS}?dryRun=All");
    for content_type in [
        "",
        "text/plain",
        "application/xml",
        "application/json; charset=utf-8",
        "application/JSON",
        "json",
        "application/merge-patch+json",
        "application/json;v=2",
        "*/*",
        "a;b=c;",
        "application/vnd.kubernetes.protobuf",
        "application/vnd.kubernetes.protobuf;stream=watch",
        "application/cbor",
    ] {
        story.add(Request::new(format!("post {content_type}"), "POST", &*dry, &*object).header("content-type", content_type));
    }
    story.add(Request::new("create", "POST", MAPS, &*object));
    let one = format!("{MAPS}/m");
    for content_type in [
        "",
        "text/plain",
        "application/json",
        "application/json-patch",
        "application/json-patch+json; charset=utf-8",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/apply-patch+json",
        "application/apply-patch+cbor",
        "application/merge-patch+yaml",
    ] {
        story.add(
            Request::new(format!("patch {content_type}"), "PATCH", format!("{one}?dryRun=All&fieldManager=x"), &*object)
                .header("content-type", content_type),
        );
    }
    for accept in [
        "*/*",
        "application/*",
        "text/html",
        "text/plain",
        "application/json;q=0.5,application/yaml",
        "application/yaml;q=0.5,application/json",
        "application/xml,application/json",
        "application/json;as=Table",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "application/json;as=Table;g=meta.k8s.io;v=v1beta1",
        "application/json;as=None;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1beta1",
        "application/json;as=PartialObjectMetadata;g=none;v=v1",
        "application/yaml;as=Table;v=v1;g=meta.k8s.io",
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        "application/json;pretty=1",
        "application/json;stream=watch",
        "",
        ";",
        "application/json;charset=utf-8",
        "application/vnd.kubernetes.protobuf,application/json",
        "application/cbor",
        "application/cbor,application/json",
        "application/json;profile=nopeer",
        "text/*",
    ] {
        story.add(Request::get(format!("accept {accept}"), &*one).accept(accept));
        story.add(Request::get(format!("accept list {accept}"), MAPS.to_owned() + "?fieldSelector=metadata.name%3Dm").accept(accept));
    }
    story.add(Request::get("accept of absent yaml", format!("{MAPS}/none")).accept("application/yaml"));
    story.add(Request::get("accept of absent protobuf", format!("{MAPS}/none")).accept("application/vnd.kubernetes.protobuf"));
    story.add(Request::get("accept of absent table", format!("{MAPS}/none")).accept("application/json;as=Table;v=v1;g=meta.k8s.io"));
    story
}

fn bodies() -> Story {
    let mut story = Story::for_pods("bad/bodies");
    let mut add = |name: &str, body: Value| story.add(Request::new(name, "POST", format!("{MAPS}?dryRun=All"), body.to_string()));
    add("no kind", json!({"apiVersion": "v1", "metadata": {"name": "a"}}));
    add("no version", json!({"kind": "ConfigMap", "metadata": {"name": "a"}}));
    add("neither", json!({"metadata": {"name": "a"}}));
    add("other kind", json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}));
    add("other version", json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    add("other group", json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}));
    add("unknown kind", json!({"apiVersion": "v1", "kind": "Nonsense", "metadata": {"name": "a"}}));
    add("unknown group", json!({"apiVersion": "none/v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    add("odd version", json!({"apiVersion": "a/b/c", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    add("a list", json!({"apiVersion": "v1", "kind": "ConfigMapList", "items": []}));
    add("a list of any", json!({"apiVersion": "v1", "kind": "List", "items": []}));
    add("lower case", json!({"APIVERSION": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
    add("case of fields", json!({"apiVersion": "v1", "kind": "ConfigMap", "Metadata": {"Name": "a"}, "DATA": {"a": "b"}}));
    add("no metadata", json!({"apiVersion": "v1", "kind": "ConfigMap"}));
    add("null metadata", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": null}));
    add("kind a number", json!({"apiVersion": "v1", "kind": 1}));
    add("version a number", json!({"apiVersion": 1, "kind": "ConfigMap"}));
    add("an array", json!([]));
    add("a string", json!("x"));
    add("a number", json!(1));
    add("true", json!(true));
    add("null", json!(null));
    add("both names", json!({"metadata": {"name": "a", "generateName": "b-"}}));
    add("other namespace", json!({"metadata": {"name": "a", "namespace": "other"}}));
    add("bad namespace", json!({"metadata": {"name": "a", "namespace": "A B"}}));
    add("resource version", json!({"metadata": {"name": "a", "resourceVersion": "5"}}));
    add("uid", json!({"metadata": {"name": "a", "uid": "11111111-2222-3333-4444-555555555555"}}));
    add(
        "all metadata",
        json!({"metadata": {"name": "a", "generation": 5, "creationTimestamp": "2001-02-03T04:05:06Z", "deletionTimestamp": "2001-02-03T04:05:06Z", "deletionGracePeriodSeconds": 5, "selfLink": "/x", "finalizers": ["a"], "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true, "blockOwnerDeletion": true}]}}),
    );
    add(
        "two controllers",
        json!({"metadata": {"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}, {"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "v", "controller": true}]}}),
    );
    add(
        "owner an event",
        json!({"metadata": {"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "", "uid": ""}]}}),
    );
    add(
        "managed fields",
        json!({"metadata": {"name": "a", "managedFields": [{"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}}]}}),
    );
    add(
        "managed fields bad operation",
        json!({"metadata": {"name": "a", "managedFields": [{"manager": "x", "operation": "Nope", "fieldsType": "FieldsV2"}]}}),
    );
    // One at a time: upstream looks at the keys of a map in no order.
    for (key, value) in [("a b", "c d"), ("-", ""), ("x/y/z", "v"), ("é", "1"), ("UP/x", "1")] {
        add(&format!("label {key:?}"), json!({"metadata": {"name": "a", "labels": {key: value}}}));
        add(&format!("annotation {key:?}"), json!({"metadata": {"name": "a", "annotations": {key: value}}}));
    }
    add("annotations huge", json!({"metadata": {"name": "a", "annotations": {"a": "x".repeat(262_145)}}}));
    add(
        "finalizers bad",
        json!({"metadata": {"name": "a", "finalizers": ["", "a b", "kubernetes", "example.com/x", "orphan", "foregroundDeletion"]}}),
    );
    add("both gc finalizers", json!({"metadata": {"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}}));
    for key in ["a/b", "..", ""] {
        add(&format!("data key {key:?}"), json!({"metadata": {"name": "a"}, "data": {key: "c"}}));
    }
    add("too large", json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat(1_048_577)}}));
    add("body too large", json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat(3_200_000)}}));
    story
}

/// What Go's encoding/json and its YAML reader say of texts that are neither.
fn json_texts() -> Story {
    let mut story = Story::for_pods("bad/texts");
    let texts = [
        "",
        " ",
        "{",
        "}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[1",
        "[1,",
        "[1,]",
        "nul",
        "nulll",
        "tru",
        "truex",
        "fals",
        "\"abc",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "01",
        "1.",
        "-",
        "+1",
        "1e",
        "1e+",
        ".5",
        "{} {}",
        "{}x",
        "{}\n",
        "{\"a\":1 \"b\":2}",
        "{\"a\" 1}",
        "{1:2}",
        "\u{feff}{}",
        "\t{}",
        "// c\n{}",
        "{\"metadata\":{\"name\":\"a\"},\"data\":{\"a\":\"\u{0}\"}}",
        "{\"metadata\":{\"name\":\"a\"}} x",
        "{\"metadata\":{\"name\":\"a\",}}",
        "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"},\"data\":{\"n\":1e400}}",
        "{\"data\":{\"n\":1e400}}",
        "{\"metadata\":{\"generation\":1e2}}",
        "{\"metadata\":{\"generation\":1.0}}",
        "{\"metadata\":{\"generation\":12345678901234567890}}",
        "{\"immutable\":\"yes\"}",
        "{\"immutable\":1}",
        "{\"metadata\":{\"name\":true}}",
        "{\"data\":[]}",
        "{\"data\":\"x\"}",
        "{\"data\":{\"a\":{}}}",
        "{\"binaryData\":{\"a\":\"!\"}}",
        "{\"metadata\":{\"labels\":{\"a\":1}}}",
    ];
    for (i, text) in texts.into_iter().enumerate() {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(24).collect();
        story.add(Request::new(format!("json-{i:02} {shown}"), "POST", format!("{MAPS}?dryRun=All"), text));
        story.add(Request::new(format!("json-put-{i:02} {shown}"), "PUT", format!("{MAPS}/a?dryRun=All"), text));
    }
    let yamls = [
        "a: b: c",
        "a: [",
        "\ta: b",
        "- a\nb: c",
        "a: b\n a: c",
        "%",
        "@x",
        "a: *x",
        "? a\n? b",
        "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: a\ndata:\n  a: 1",
        "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: a\ndata:\n  a: yes",
        "metadata: {name: a}\nmetadata: {name: b}",
        "---\nmetadata: {name: a}\n---\nmetadata: {name: b}",
        "metadata: {name: a}\ndata: {1: a, true: b}",
        "metadata: {name: a}\nimmutable: yes",
        "",
        "null",
        "metadata: {name: 012}",
        "metadata: {name: a}\ndata: {a: 2001-01-01}",
        "{\"metadata\":{\"name\":\"a\"}}",
    ];
    for (i, text) in yamls.into_iter().enumerate() {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(24).collect();
        story.add(
            Request::new(format!("yaml-{i:02} {shown}"), "POST", format!("{MAPS}?dryRun=All&fieldValidation=Strict"), text)
                .header("content-type", "application/yaml"),
        );
    }
    story.add(Request::new("create", "POST", MAPS, r#"{"metadata":{"name":"a"},"data":{"a":"1"}}"#));
    for (i, text) in [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "\"x\"",
        "1",
        "[1]",
        "[{}]",
        "[{\"op\":\"add\"}]",
        "{\"a\":1,\"a\":2}",
        "{\"data\":7}",
        "{\"data\":{\"a\":1}}",
        "{\"metadata\":null}",
        "{\"kind\":null}",
        "{\"apiVersion\":\"v2\"}",
        "{\"metadata\":{\"uid\":\"x\"}}",
        "{\"metadata\":{\"creationTimestamp\":null}}",
    ]
    .into_iter()
    .enumerate()
    {
        for patch in ["json", "merge", "strategic-merge"] {
            story.add(Request::patch(format!("patch-{patch}-{i:02} {text}"), patch, format!("{MAPS}/a?dryRun=All"), text));
        }
        story.add(Request::patch(format!("patch-apply-{i:02} {text}"), "apply", format!("{MAPS}/a?dryRun=All&fieldManager=x"), text));
    }
    for (i, bytes) in [&b"k8s\0"[..], b"k8s\0\x0a", b"k8s\0\xff\xff\xff", b"k8s", b"\x0a\x02", b""].into_iter().enumerate() {
        let mut request = Request::new(format!("protobuf-{i}"), "POST", format!("{MAPS}?dryRun=All"), "")
            .header("content-type", "application/vnd.kubernetes.protobuf");
        request.payload = Payload::Raw(bytes.to_vec());
        story.add(request);
    }
    for (i, bytes) in [&b"{\"metadata\":{\"name\":\"a\"},\"data\":{\"a\":\"\xff\"}}"[..], b"\xff\xfe", b"\x00"].into_iter().enumerate() {
        let mut request = Request::new(format!("bytes-{i}"), "POST", format!("{MAPS}?dryRun=All"), "");
        request.payload = Payload::Raw(bytes.to_vec());
        story.add(request);
    }
    story
}

/// One bad name for each kind of rule, for kinds with different rules.
fn names() -> Story {
    let mut story = Story::for_pods("bad/names");
    let long = "a".repeat(254);
    let kinds = [
        ("/api/v1/namespaces/$(ns)/configmaps", "{}"),
        ("/api/v1/namespaces/$(ns)/services", r#"{"spec":{"ports":[{"port":80}]}}"#),
        ("/api/v1/namespaces", "{}"),
        ("/api/v1/nodes", "{}"),
        ("/apis/rbac.authorization.k8s.io/v1/namespaces/$(ns)/roles", "{}"),
        ("/apis/coordination.k8s.io/v1/namespaces/$(ns)/leases", "{}"),
        (
            "/apis/apps/v1/namespaces/$(ns)/deployments",
            r#"{"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#,
        ),
    ];
    for (path, base) in kinds {
        for name in
            ["", "A", "a b", "-a", "a-", "a_b", "a.b", "a..b", "a/b", "a%b", "..", ".", "1a", "é", "system:x", &*"a".repeat(64), &*long]
        {
            let mut object: Value = serde_json::from_str(base).unwrap_or_default();
            object["metadata"]["name"] = json!(name);
            let shown: String = name.chars().take(12).collect();
            story.add(Request::new(format!("{path} {shown} {}", name.len()), "POST", format!("{path}?dryRun=All"), object.to_string()));
        }
        for prefix in ["A", "a.", "a_", "-", &*"a".repeat(70), &*long] {
            let mut object: Value = serde_json::from_str(base).unwrap_or_default();
            object["metadata"]["generateName"] = json!(prefix);
            let shown: String = prefix.chars().take(12).collect();
            story.add(Request::new(
                format!("{path} generate {shown} {}", prefix.len()),
                "POST",
                format!("{path}?dryRun=All"),
                object.to_string(),
            ));
        }
    }
    story
}

fn parameters() -> Story {
    let mut story = Story::for_pods("bad/parameters");
    let object = r#"{"metadata":{"name":"a"}}"#;
    for query in [
        "dryRun=Some",
        "dryRun=",
        "dryRun=All&dryRun=All",
        "dryRun=All&dryRun=None",
        "dryRun=All&fieldManager=",
        "fieldValidation=strict&dryRun=All",
        "fieldValidation=&dryRun=All",
        "dryRun=All&unknown=1",
        "dryRun=All&pretty=x",
        "dryRun=All&force=true",
        "dryRun=All&fieldManager=a%0Ab",
    ] {
        story.add(Request::new(format!("create {query}"), "POST", format!("{MAPS}?{query}"), object));
    }
    story.add(Request::new("create long manager", "POST", format!("{MAPS}?dryRun=All&fieldManager={}", "x".repeat(129)), object));
    story.add(Request::new("create", "POST", MAPS, object));
    for query in ["dryRun=Some", "fieldValidation=No", "force=true", "force=x", "force=true&fieldManager=a", "fieldManager="] {
        story.add(Request::patch(format!("merge {query}"), "merge", format!("{MAPS}/a?{query}"), "{}"));
        story.add(Request::patch(
            format!("apply {query}"),
            "apply",
            format!("{MAPS}/a?{query}"),
            r#"{"apiVersion":"v1","kind":"ConfigMap"}"#,
        ));
        story.add(Request::new(format!("update {query}"), "PUT", format!("{MAPS}/a?{query}"), object));
    }
    for query in [
        "gracePeriodSeconds=x",
        "gracePeriodSeconds=-5",
        "propagationPolicy=None",
        "orphanDependents=maybe",
        "orphanDependents=true",
        "orphanDependents=true&propagationPolicy=Orphan",
        "dryRun=Some",
        "preconditions=x",
        "ignoreStoreReadErrorWithClusterBreakingPotential=true",
        "ignoreStoreReadErrorWithClusterBreakingPotential=x",
        "dryRun=All&ignoreStoreReadErrorWithClusterBreakingPotential=true",
    ] {
        story.add(Request::new(format!("delete {query}"), "DELETE", format!("{MAPS}/none?{query}"), ""));
    }
    for body in [
        "{}",
        "x",
        "[]",
        r#"{"kind":"DeleteOptions","apiVersion":"v1"}"#,
        r#"{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1"}"#,
        r#"{"kind":"DeleteOptions","apiVersion":"apps/v1"}"#,
        r#"{"kind":"Pod","apiVersion":"v1"}"#,
        r#"{"gracePeriodSeconds":"x"}"#,
        r#"{"dryRun":["All"]}"#,
        r#"{"dryRun":["Nope"]}"#,
        r#"{"dryRun":"All"}"#,
        r#"{"propagationPolicy":"Nope"}"#,
        r#"{"zz":1}"#,
        r#"{"preconditions":{"uid":"x"}}"#,
        r#"{"orphanDependents":true,"propagationPolicy":"Foreground"}"#,
    ] {
        story.add(Request::new(format!("delete {body}"), "DELETE", format!("{MAPS}/none?dryRun=All"), body));
        story.add(Request::new(
            format!("delete collection {body}"),
            "DELETE",
            format!("{MAPS}?dryRun=All&fieldSelector={}", escaped("metadata.name=none")),
            body,
        ));
    }
    story
}
