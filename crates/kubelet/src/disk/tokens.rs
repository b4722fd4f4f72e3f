//! Service account tokens of volumes: asked for, kept, renewed when four fifths of their time have passed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use client::Client;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ServiceAccountTokenProjection, Volume};
use object::time::Clock;
use pod_plan::pod::BoundPod;
use pod_plan::volume_files::token_requests;
use serde_json::{Value, json};

use crate::lock::locked;

/// A token older than this is renewed however long it lives.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Upstream's default of `expirationSeconds`.
const LIFE_SECONDS: i64 = 3600;

pub(super) struct Tokens {
    client: Client,
    clock: Clock,
    /// By pod, then volume and path.
    kept: Mutex<HashMap<String, OfPod>>,
}

type OfPod = HashMap<(String, String), Token>;

#[derive(Clone)]
struct Token {
    text: String,
    renew_at: Timestamp,
}

impl Tokens {
    pub(super) fn new(client: &Client, clock: Clock) -> Self {
        Tokens { client: client.clone(), clock, kept: Mutex::default() }
    }

    pub(super) fn forget(&self, pod_uid: &str) {
        locked(&self.kept).remove(pod_uid);
    }

    /// The tokens of a volume by path, and when the first of them is to be renewed.
    pub(super) async fn of_volume(&self, pod: &BoundPod, volume: &Volume) -> Result<(BTreeMap<String, String>, Option<Timestamp>), String> {
        let mut tokens = BTreeMap::new();
        let mut renew_at: Option<Timestamp> = None;
        for request in token_requests(volume) {
            let token = self.token(pod, &volume.name, request).await?;
            renew_at = Some(renew_at.map_or(token.renew_at, |at| at.min(token.renew_at)));
            tokens.insert(request.path.clone(), token.text);
        }
        Ok((tokens, renew_at))
    }

    async fn token(&self, pod: &BoundPod, volume: &str, request: &ServiceAccountTokenProjection) -> Result<Token, String> {
        let at = (volume.to_owned(), request.path.clone());
        let kept = locked(&self.kept).get(&pod.uid).and_then(|tokens| tokens.get(&at).cloned());
        let now = self.clock.now();
        if let Some(token) = kept.filter(|t| t.renew_at > now) {
            return Ok(token);
        }
        let token = self.request(pod, request, now).await?;
        locked(&self.kept).entry(pod.uid.clone()).or_default().insert(at, token.clone());
        Ok(token)
    }

    async fn request(&self, pod: &BoundPod, request: &ServiceAccountTokenProjection, now: Timestamp) -> Result<Token, String> {
        let account = pod.spec.service_account_name.as_deref().filter(|n| !n.is_empty()).unwrap_or("default");
        let audiences: Vec<&str> = request.audience.iter().map(String::as_str).filter(|a| !a.is_empty()).collect();
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": audiences,
                "expirationSeconds": request.expiration_seconds.unwrap_or(LIFE_SECONDS),
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid},
            },
        });
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", pod.namespace);
        let answer: Value = self.client.create(&path, &body).await.map_err(|e| format!("failed to fetch token: {e}"))?;
        let text = answer["status"]["token"].as_str().ok_or("failed to fetch token: the answer holds none")?.to_owned();
        let expires_at = answer["status"]["expirationTimestamp"].as_str().and_then(object::time::parse);
        let seconds = answer["spec"]["expirationSeconds"].as_i64().unwrap_or(LIFE_SECONDS);
        let expires_at = expires_at.unwrap_or(now + SignedDuration::from_secs(seconds));
        let fifth = SignedDuration::from_secs(seconds / 5);
        Ok(Token { text, renew_at: (expires_at - fifth).min(now + AGE_MAX) })
    }
}
