//! Who may come in: a client certificate of the cluster's authority or a token the API server knows, and its word that they may.
//!
//! Upstream: webhook authentication and authorization of the kubelet, anonymous access off.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use client::Client;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use jiff::Timestamp;
use object::time::Clock;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::{Body, text};
use crate::lock::locked;

/// Upstream: how long a yes and a no are believed.
const ALLOWED_FOR: Duration = Duration::from_secs(300);
const DENIED_FOR: Duration = Duration::from_secs(30);
/// Answers that are kept; a full table is emptied.
const KEPT_MAX: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct User {
    name: String,
    uid: String,
    groups: Vec<String>,
}

/// Whom the connection's certificate names, and until when.
pub(super) struct Certified(Option<(User, Timestamp)>);

impl Certified {
    pub(super) fn of(certificates: Option<&[CertificateDer<'_>]>) -> Self {
        let subject = certificates.and_then(|chain| pki::subject(chain.first()?).ok());
        Certified(subject.filter(|s| !s.common_name.is_empty()).map(|s| {
            let mut groups = s.organizations;
            groups.push("system:authenticated".to_owned());
            (User { name: s.common_name, uid: String::new(), groups }, s.until)
        }))
    }
}

type Asked = (User, &'static str, &'static str);

pub(super) struct Gate {
    client: Client,
    clock: Clock,
    verdicts: Mutex<HashMap<Asked, (bool, Instant)>>,
}

impl Gate {
    pub(super) fn new(client: &Client, clock: &Clock) -> Self {
        Gate { client: client.clone(), clock: clock.clone(), verdicts: Mutex::default() }
    }

    pub(super) async fn admit(
        &self,
        request: &Request<Incoming>,
        certified: &Certified,
        path: &str,
        node: &str,
    ) -> Result<(), Response<Body>> {
        let user = match &certified.0 {
            Some((_, until)) if *until < self.clock.now() => return Err(text(StatusCode::UNAUTHORIZED, "Unauthorized")),
            Some((user, _)) => user.clone(),
            None => self.by_token(request).await.ok_or_else(|| text(StatusCode::UNAUTHORIZED, "Unauthorized"))?,
        };
        let (verb, subresource) = (verb(request.method()), subresource(path));
        let name = user.name.clone();
        match self.is_allowed((user, verb, subresource), node).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let what = format!("Forbidden (user={name}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])");
                Err(text(StatusCode::FORBIDDEN, &what))
            }
            Err(e) => Err(text(StatusCode::INTERNAL_SERVER_ERROR, &format!("Authorization error: {e}"))),
        }
    }

    async fn by_token(&self, request: &Request<Incoming>) -> Option<User> {
        let token = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let answer: Value = self.client.create("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok()?;
        let status = &answer["status"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (status["authenticated"] == true).then(|| User {
            name: text(&status["user"]["username"]),
            uid: text(&status["user"]["uid"]),
            groups: status["user"]["groups"].as_array().into_iter().flatten().map(text).collect(),
        })
    }

    async fn is_allowed(&self, asked: Asked, node: &str) -> Result<bool, client::Error> {
        let now = Instant::now();
        if let Some((verdict, until)) = locked(&self.verdicts).get(&asked).copied()
            && until > now
        {
            return Ok(verdict);
        }
        let (user, verb, subresource) = &asked;
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.name, "uid": user.uid, "groups": user.groups,
                "resourceAttributes": {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": node},
            },
        });
        let answer: Value = self.client.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await?;
        let verdict = answer["status"]["allowed"] == true;
        let mut verdicts = locked(&self.verdicts);
        if verdicts.len() >= KEPT_MAX {
            verdicts.clear();
        }
        verdicts.insert(asked, (verdict, now + if verdict { ALLOWED_FOR } else { DENIED_FOR }));
        Ok(verdict)
    }
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// Upstream: what each path asks for of `nodes/…`.
fn subresource(path: &str) -> &'static str {
    match path.trim_matches('/').split('/').next().unwrap_or_default() {
        "stats" => "stats",
        "metrics" => "metrics",
        "logs" => "log",
        "checkpoint" => "checkpoint",
        "pods" | "runningpods" => "pods",
        "healthz" => "healthz",
        "configz" => "configz",
        _ => "proxy",
    }
}
