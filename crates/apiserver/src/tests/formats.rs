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
    let (parts, ()) = Request::get(path).header("accept", accept).body(()).expect("a request").into_parts();
    let admin = UserInfo { name: "admin".into(), groups: vec!["system:masters".into()], ..UserInfo::default() };
    let peer = Peer { user: Some(Arc::new(crate::authenticate::authenticated(admin))), is_near: true, ..Peer::default() };
    let response = Arc::clone(server).handle(parts, RequestBody::Whole(Bytes::new()), peer).await;
    assert_eq!(response.status(), 200, "{path}");
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
