//! Service account tokens (`TokenRequest`) and bootstrap tokens: made, checked, and turned into users.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use authz::UserInfo;
use http::Response;
use object::field::{self, Path};
use object::key::GroupVersionKind;
use object::status::Status;
use object::{Value, meta, time};
use pki::token::TokenKey;
use registry::Registry;
use serde_json::json;

use crate::answer;
use crate::body::Body;
use crate::call::Call;
use crate::resources::{Target, request, write_options};
use crate::token_objects::{LEEWAY_SECONDS, is_long_gone, is_same_secret, lookup};
use crate::users::authenticated;
use crate::{ApiServer, legacy_tokens};

/// Upstream: at least ten minutes; at most 2^32 s.
const EXPIRATION_SECONDS_MIN: i64 = 600;
const EXPIRATION_SECONDS_MAX: i64 = 1 << 32;
const EXPIRATION_SECONDS_DEFAULT: i64 = 3_600;
/// Upstream: tokens that kubelets mount by default live a year, and are only warned about after this.
const EXTENDED_ASKED_SECONDS: i64 = 3_607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3_600;

/// Checked tokens that are remembered: about one for each client that is active.
const N_CHECKED_MAX: usize = 4_096;

pub(crate) struct Tokens {
    key: Arc<TokenKey>,
    issuer: String,
    /// Claims of tokens whose signature was found good. That cannot change; everything else is looked at each time.
    checked: Mutex<HashMap<String, Arc<Value>>>,
}

impl Tokens {
    pub(crate) fn new(key: Arc<TokenKey>, issuer: String) -> Self {
        Tokens { key, issuer, checked: Mutex::default() }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn key(&self) -> &TokenKey {
        &self.key
    }

    fn claims(&self, token: &str) -> Option<Arc<Value>> {
        if let Some(claims) = self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(token) {
            return Some(Arc::clone(claims));
        }
        let claims: Arc<Value> = Arc::new(serde_json::from_str(&self.key.verify(token)?).ok()?);
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= N_CHECKED_MAX {
            checked.clear();
        }
        checked.insert(token.to_owned(), Arc::clone(&claims));
        Some(claims)
    }

    /// The user of a valid token, and the wanted audiences that it has.
    pub(crate) fn user(&self, registry: &Registry, token: &str, audiences: &[String]) -> Option<(Arc<UserInfo>, Vec<String>)> {
        let claims = self.claims(token)?;
        if claims["iss"] == legacy_tokens::ISSUER {
            // Upstream: these are for the API server and say no audience.
            let is_for_us = audiences.is_empty() || audiences.contains(&self.issuer);
            let user = legacy_tokens::user(registry, &claims, token).filter(|_| is_for_us)?;
            return Some((Arc::new(user), vec![self.issuer.clone()]));
        }
        let now = registry.clock().now().as_second();
        let at = |claim: &str| claims[claim].as_i64();
        if claims["iss"] != self.issuer.as_str() || at("exp")? + LEEWAY_SECONDS < now || at("nbf").is_some_and(|t| t > now + LEEWAY_SECONDS)
        {
            return None;
        }
        let held: Vec<&str> = match &claims["aud"] {
            Value::String(one) => vec![one],
            list => list.as_array()?.iter().filter_map(Value::as_str).collect(),
        };
        let own = [self.issuer.clone()];
        let wanted = if audiences.is_empty() { &own[..] } else { audiences };
        let shared: Vec<String> = wanted.iter().filter(|a| held.contains(&a.as_str())).cloned().collect();
        if shared.is_empty() {
            return None;
        }
        Some((Arc::new(user_of_claims(registry, &claims)?), shared))
    }
}

/// The account, and whatever the token is bound to, must still be the same objects.
fn user_of_claims(registry: &Registry, claims: &Value) -> Option<UserInfo> {
    let bound = &claims["kubernetes.io"];
    let namespace = bound["namespace"].as_str()?;
    let account = &bound["serviceaccount"];
    let name = account["name"].as_str()?;
    let is_alive = |plural: &str, namespace: &str, reference: &Value| -> bool {
        let (Some(name), Some(uid)) = (reference["name"].as_str(), reference["uid"].as_str()) else {
            return false;
        };
        lookup(registry, plural, namespace, name).is_some_and(|object| meta::uid(&object) == uid && !is_long_gone(registry, &object))
    };
    if !is_alive("serviceaccounts", namespace, account) {
        return None;
    }
    let mut extra = BTreeMap::new();
    let mut put = |key: &str, value: &Value| {
        if let Some(text) = value.as_str() {
            extra.insert(format!("authentication.kubernetes.io/{key}"), vec![text.to_owned()]);
        }
    };
    for (member, plural) in [("pod", "pods"), ("secret", "secrets")] {
        let reference = &bound[member];
        if !reference.is_null() && !is_alive(plural, namespace, reference) {
            return None;
        }
    }
    put("pod-name", &bound["pod"]["name"]);
    put("pod-uid", &bound["pod"]["uid"]);
    let node = &bound["node"];
    // A node named by a pod may be gone for a while; one that the token itself is bound to may not.
    if !node.is_null() && bound["pod"].is_null() && !is_alive("nodes", "", node) {
        return None;
    }
    put("node-name", &node["name"]);
    put("node-uid", &node["uid"]);
    if let Some(id) = claims["jti"].as_str() {
        extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={id}")]);
    }
    let user = UserInfo {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid: account["uid"].as_str().unwrap_or("").to_owned(),
        groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
        extra,
    };
    Some(authenticated(user))
}

/// `abcdef.0123456789abcdef` as `Secret` `kube-system/bootstrap-token-abcdef` keeps it.
pub(crate) fn bootstrap_user(registry: &Registry, token: &str) -> Option<UserInfo> {
    let (id, secret) = token.split_once('.')?;
    let is_plain = |text: &str| text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if id.len() != 6 || secret.len() != 16 || !is_plain(id) || !is_plain(secret) {
        return None;
    }
    let object = lookup(registry, "secrets", "kube-system", &format!("bootstrap-token-{id}"))?;
    let data = |key: &str| -> Option<String> {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::STANDARD.decode(object["data"][key].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let is_valid = object["type"] == "bootstrap.kubernetes.io/token"
        && meta::deletion_timestamp(&object).is_none()
        && data("token-id").as_deref() == Some(id)
        && is_same_secret(&data("token-secret")?, secret)
        && data("usage-bootstrap-authentication").as_deref() == Some("true")
        && data("expiration").is_none_or(|text| time::parse(&text).is_some_and(|at| at > registry.clock().now()));
    if !is_valid {
        return None;
    }
    let mut groups = vec!["system:bootstrappers".to_owned()];
    groups.extend(
        data("auth-extra-groups").unwrap_or_default().split(',').filter(|g| g.starts_with("system:bootstrappers:")).map(str::to_owned),
    );
    let user = UserInfo { name: format!("system:bootstrap:{id}"), groups, ..UserInfo::default() };
    Some(authenticated(user))
}

impl ApiServer {
    /// `POST serviceaccounts/<name>/token`.
    pub(crate) async fn create_token(&self, call: &mut Call, target: &Target) -> Result<Response<Body>, Status> {
        let options = write_options(call)?;
        let kind = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
        let decoded = self.read_typed(call, target, &kind, &options.field_validation).await?;
        let mut review = decoded.object;
        self.registry.track_answered(&request(call, target), &kind, &mut review, &options.field_manager);
        let name = call.info.name.clone();
        let stored = self.registry.get(&target.resource, &call.info.namespace, &name, "")?;
        let account = self.registry.decode(&target.resource, &stored)?;
        self.registry.admit_subresource(&request(call, target), &review)?;
        let asked = review["spec"]["expirationSeconds"].as_i64().unwrap_or(EXPIRATION_SECONDS_DEFAULT);
        check_expiration(asked)?;
        let bound = self.bound_claims(call, &account, &review["spec"]["boundObjectRef"])?;
        let now = self.registry.clock().now().as_second();
        let is_extended = asked == EXTENDED_ASKED_SECONDS && !bound["pod"].is_null();
        let ends = now + if is_extended { EXTENDED_SECONDS } else { asked };
        if review["spec"]["audiences"].as_array().is_none_or(Vec::is_empty) {
            review["spec"]["audiences"] = json!([self.tokens.issuer]);
        }
        let mut claims = json!({
            "aud": review["spec"]["audiences"], "exp": ends, "iat": now, "nbf": now, "iss": self.tokens.issuer,
            "jti": self.registry.entropy().uid(), "kubernetes.io": bound,
            "sub": format!("system:serviceaccount:{}:{name}", call.info.namespace),
        });
        if is_extended {
            claims["kubernetes.io"]["warnafter"] = json!(now + asked);
        }
        let token = self.tokens.key.sign(&claims.to_string()).map_err(|e| Status::internal(format!("failed to generate token: {e}")))?;
        let expires = jiff::Timestamp::from_second(now + asked).map_err(Status::internal)?;
        review["spec"]["expirationSeconds"] = json!(asked);
        review["status"] = json!({"token": token, "expirationTimestamp": time::seconds(expires)});
        let metadata = &mut review["metadata"];
        metadata["name"] = Value::from(name);
        metadata["namespace"] = Value::from(call.info.namespace.as_str());
        metadata["uid"] = Value::from(self.registry.entropy().uid());
        metadata["creationTimestamp"] = Value::from(time::seconds(self.registry.clock().now()));
        let mut response = answer::tree(201, &review, call.wanted(false)?.format);
        crate::resources::add_warnings(&mut response, &decoded.warnings);
        Ok(response)
    }

    fn bound_claims(&self, call: &Call, account: &Value, reference: &Value) -> Result<Value, Status> {
        let mut claims = json!({
            "namespace": call.info.namespace,
            "serviceaccount": {"name": meta::name(account), "uid": meta::uid(account)},
        });
        if reference.is_null() {
            return Ok(claims);
        }
        let (kind, name) = (reference["kind"].as_str().unwrap_or(""), reference["name"].as_str().unwrap_or(""));
        let (plural, namespace, member) = match (reference["apiVersion"].as_str(), kind) {
            (Some("v1"), "Pod") => ("pods", call.info.namespace.as_str(), "pod"),
            (Some("v1"), "Secret") => ("secrets", call.info.namespace.as_str(), "secret"),
            (Some("v1"), "Node") => ("nodes", "", "node"),
            (version, kind) => {
                let text = format!("cannot bind token to object of type /{}, Kind={kind}", version.unwrap_or(""));
                return Err(Status::bad_request(text));
            }
        };
        let resource = self.registry.builtin("", "v1", plural)?;
        let stored = self.registry.get(&resource, namespace, name, "")?;
        let object = self.registry.decode(&resource, &stored)?;
        let sent_uid = reference["uid"].as_str().unwrap_or("");
        if !sent_uid.is_empty() && sent_uid != meta::uid(&object) {
            let cause = format!(
                "the UID in the bound object reference ({sent_uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            return Err(Status::conflict(&resource.group_resource(), name, &cause));
        }
        claims[member] = json!({"name": name, "uid": meta::uid(&object)});
        if member == "pod" {
            self.check_pod_account(account, &object)?;
            if let Some(node) = object["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
                claims["node"] = json!({"name": node});
                if let Some(found) = lookup(&self.registry, "nodes", "", node) {
                    claims["node"]["uid"] = Value::from(meta::uid(&found));
                }
            }
        }
        Ok(claims)
    }

    fn check_pod_account(&self, account: &Value, pod: &Value) -> Result<(), Status> {
        if pod["spec"]["serviceAccountName"] == account["metadata"]["name"] {
            return Ok(());
        }
        let text =
            format!("cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.", meta::name(account));
        Err(Status::bad_request(text))
    }
}

fn check_expiration(asked: i64) -> Result<(), Status> {
    let path = Path::new("spec").child("expirationSeconds");
    let text = if asked < EXPIRATION_SECONDS_MIN {
        "may not specify a duration less than 10 minutes"
    } else if asked > EXPIRATION_SECONDS_MAX {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let kind = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    Err(Status::invalid(&kind, "", &[field::Error::invalid(&path, asked, text)]))
}
