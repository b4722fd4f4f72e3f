//! The handler as clients see it, over a memory store, a standing clock and seeded names. `check` runs lines of requests.
//!
//! A line is `METHOD path [body]`, left out of the transcript when `quiet` stands before it; `as NAME [GROUP...]` changes the
//! user of the lines behind it, `header NAME VALUE` adds a header to the next line, `close` ends the store. The transcript has the code and the body,
//! without uids and times.

mod formats;
mod metrics;
mod objects;
mod reading;
mod users;

use std::collections::HashMap;
use std::sync::Arc;

use authz::UserInfo;
use bytes::Bytes;
use expect_test::Expect;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::BodyExt;
use object::Value;
use object::time::Clock;
use pki::token::TokenKey;
use registry::Registry;
use registry::entropy::Entropy;
use registry::services::ServiceSettings;

use crate::body::{Body, RequestBody};
use crate::handler::Peer;
use crate::{ApiServer, Settings};

const NOW: &str = "2026-11-22T10:00:00Z";

fn server() -> Arc<ApiServer> {
    let clock = Clock::virtual_time(|| NOW.parse().expect("a time"));
    let registry = Registry::new(store::Store::memory(), clock, Entropy::seeded(1), ServiceSettings::default());
    let admin = UserInfo { name: "admin".into(), groups: vec!["system:masters".into()], ..UserInfo::default() };
    ApiServer::new(Settings {
        registry,
        token_key: Arc::new(TokenKey::generate().expect("a key")),
        issuer: "https://kubernetes.default.svc".into(),
        static_tokens: HashMap::from([("admin-token".to_owned(), crate::users::authenticated(admin))]),
        address: "10.0.0.1:6443".into(),
        kubelet_tls: None,
    })
}

/// Runs a script on a fresh server and compares its transcript.
#[track_caller]
fn check(script: &str, expected: Expect) {
    let server = server();
    expected.assert_eq(&run(&server, script));
}

fn run(server: &Arc<ApiServer>, script: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut transcript = String::new();
        let mut user = user_of("admin system:masters");
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if let Some(who) = line.strip_prefix("as ") {
                user = user_of(who);
            } else if let Some((name, value)) = line.strip_prefix("header ").and_then(|h| h.split_once(' ')) {
                headers.push((name.to_owned(), value.to_owned()));
            } else if line == "bootstrap" {
                server.bootstrap(&["10.0.0.1".parse().expect("an address")], 6443).await.expect("bootstraps");
            } else if line == "close" {
                server.registry.store().clone().close().await;
            } else if let Some(line) = line.strip_prefix("quiet ") {
                one(server, line, user.clone(), &mut headers).await;
            } else {
                transcript.push_str(&one(server, line, user.clone(), &mut headers).await);
            }
        }
        transcript
    })
}

fn user_of(text: &str) -> Option<Arc<UserInfo>> {
    let mut words = text.split_whitespace().map(str::to_owned);
    let name = words.next()?;
    if name == "nobody" {
        return None;
    }
    Some(Arc::new(crate::users::authenticated(UserInfo { name, groups: words.collect(), ..UserInfo::default() })))
}

async fn one(server: &Arc<ApiServer>, line: &str, user: Option<Arc<UserInfo>>, headers: &mut Vec<(String, String)>) -> String {
    let mut words = line.splitn(3, ' ');
    let (method, path, body) = (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers.drain(..) {
        request = request.header(name, value);
    }
    if method == "PATCH" && !request.headers_ref().is_some_and(|h| h.contains_key("content-type")) {
        request = request.header("content-type", "application/merge-patch+json");
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    let response =
        Arc::clone(server).handle(parts, RequestBody::Whole(Bytes::from(body.to_owned())), Peer { user, ..Peer::default() }).await;
    shown(response).await
}

async fn shown(response: Response<Body>) -> String {
    let mut text = format!("{}", response.status().as_u16());
    for warning in response.headers().get_all("warning") {
        text.push_str(&format!(" [{}]", warning.to_str().expect("text")));
    }
    // A watch never ends on a standing clock: what is there at once is what is shown.
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(Some(Ok(frame))) = body.frame().now_or_never() {
        bytes.extend_from_slice(&frame.into_data().expect("data"));
    }
    for line in String::from_utf8_lossy(&bytes).lines() {
        text.push(' ');
        text.push_str(&serde_json::from_str::<Value>(line).map_or_else(|_| line.to_owned(), |value| short(value).to_string()));
    }
    text.push('\n');
    text
}

/// Without what is the same everywhere or different in each run.
fn short(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            for noise in ["uid", "creationTimestamp", "managedFields"] {
                map.remove(noise);
            }
            // Upstream's sentences stand in no file here.
            if map.contains_key("priority") && map.contains_key("format") {
                map.remove("description");
            }
            for member in map.values_mut() {
                *member = short(member.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = short(item.take());
            }
        }
        _ => {}
    }
    value
}
