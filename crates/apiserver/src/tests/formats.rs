//! The same answer in JSON and in protobuf, short and long.

use std::sync::Arc;

use authz::UserInfo;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use object::Value;

use super::{run, server};
use crate::ApiServer;
use crate::body::RequestBody;
use crate::handler::Peer;

const MAPS: &str = "/api/v1/namespaces/d/configmaps";

async fn get(server: &Arc<ApiServer>, path: &str, accept: &str) -> Bytes {
    send(server, Request::get(path).header("accept", accept).body("").expect("a request")).await
}

async fn send(server: &Arc<ApiServer>, request: Request<&'static str>) -> Bytes {
    let (parts, body) = request.into_parts();
    let path = parts.uri.clone();
    let admin = UserInfo { name: "admin".into(), groups: vec!["system:masters".into()], ..UserInfo::default() };
    let peer = Peer { user: Some(Arc::new(crate::users::authenticated(admin))), is_near: true, ..Peer::default() };
    let response = Arc::clone(server).handle(parts, RequestBody::Whole(Bytes::from_static(body.as_bytes())), peer).await;
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.into_body().collect().await.expect("bodies never fail").to_bytes()
}

/// Answers the length of the protobuf form.
#[track_caller]
fn check(server: &Arc<ApiServer>, path: &str, parameters: &str) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let (json, protobuf) = runtime.block_on(async {
        let json = get(server, path, &format!("application/json{parameters}")).await;
        (json, get(server, path, &format!("application/vnd.kubernetes.protobuf{parameters}")).await)
    });
    let (_, decoded) = codec::protobuf::decode(kinds::builtin(), &protobuf).expect("a known kind");
    let mut expected: Value = serde_json::from_slice(&json).expect("JSON");
    // Protobuf cannot tell an empty list from none.
    if expected.get("items").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        expected["items"] = Value::Null;
    }
    // Items of a list do not say their kind in protobuf.
    let items = expected.get_mut("items").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten().filter_map(Value::as_object_mut) {
        item.remove("kind");
        item.remove("apiVersion");
    }
    assert!(decoded == expected, "{path}");
    protobuf.len()
}

#[test]
fn protobuf_says_what_json_says() {
    let server = server();
    let data = "\\u00e9\\\"".repeat(500);
    let maps: String =
        (0..300).map(|i| format!("quiet POST {MAPS} {{\"metadata\":{{\"name\":\"m{i}\"}},\"data\":{{\"k\":\"{data}\"}}}}\n")).collect();
    let _ = run(&server, &format!("quiet POST /api/v1/namespaces {{\"metadata\":{{\"name\":\"d\"}}}}\n{maps}"));
    let partial = |kind: &str| format!(";as={kind};g=meta.k8s.io;v=v1");
    check(&server, &format!("{MAPS}/m7"), "");
    check(&server, &format!("{MAPS}/m7"), &partial("PartialObjectMetadata"));
    assert!(check(&server, &format!("{MAPS}?limit=3"), "") < 10_000);
    assert!(check(&server, MAPS, "") > 300_000, "long enough to be sent in pieces");
    check(&server, MAPS, &partial("PartialObjectMetadataList"));
    check(&server, "/api/v1/namespaces/none/configmaps", "");
    // Served in another form than it is stored in.
    check(&server, "/apis/events.k8s.io/v1/events", "");
}

/// What is answered to the patch by which an object goes.
#[track_caller]
fn check_last(shape: &str, expected: &str) {
    let server = server();
    let _ = run(
        &server,
        &format!(
            r#"
            quiet POST /api/v1/namespaces {{"metadata":{{"name":"d"}}}}
            quiet POST {MAPS} {{"metadata":{{"name":"m","finalizers":["a.b/c"]}},"data":{{"k":"v"}}}}
            quiet DELETE {MAPS}/m
            "#
        ),
    );
    let request = Request::patch(format!("{MAPS}/m"))
        .header("content-type", "application/merge-patch+json")
        .header("accept", format!("{shape};g=meta.k8s.io;v=v1"))
        .body(r#"{"metadata":{"finalizers":null}}"#)
        .expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let answer = runtime.block_on(send(&server, request));
    let tree = match answer.strip_prefix(b"k8s\0") {
        Some(_) => codec::protobuf::decode(kinds::builtin(), &answer).expect("a known kind").1,
        None => serde_json::from_slice(&answer).expect("JSON"),
    };
    let cells = &tree["rows"][0]["cells"];
    let found = format!("{} {} {} {cells}", tree["kind"], tree["metadata"]["resourceVersion"], tree["metadata"]["name"]);
    assert_eq!(found, expected, "{shape}");
}

#[test]
fn what_is_gone_is_shown_in_the_shape_asked_for() {
    check_last("application/json;as=PartialObjectMetadata", r#""PartialObjectMetadata" "4" "m" null"#);
    check_last("application/vnd.kubernetes.protobuf;as=PartialObjectMetadata", r#""PartialObjectMetadata" "4" "m" null"#);
    check_last("application/json;as=Table", r#""Table" "4" null ["m",1,"0s"]"#);
}

#[test]
fn every_field_that_describes_a_column_has_a_description() {
    for resource in &kinds::builtin().resources {
        let columns = show::columns(&resource.group, &resource.version, &resource.plural);
        let definitions = crate::table::definitions(resource).as_array().expect("columns");
        for (column, definition) in columns.iter().zip(definitions) {
            assert_eq!(column.field.is_empty(), definition["description"] == "", "{} {}", resource.plural, column.name);
        }
    }
}
