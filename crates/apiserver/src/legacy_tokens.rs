//! Service account tokens that a Secret keeps: good for as long as the Secret holds them and its account is there.

use authz::UserInfo;
use base64::Engine;
use object::{Value, meta};
use registry::Registry;

use crate::token_objects::{is_long_gone, is_same_secret, lookup};
use crate::users::authenticated;

/// `iss` of such a token.
pub(crate) const ISSUER: &str = "kubernetes/serviceaccount";

/// `claims` are those of `token`, whose signature is good.
pub(crate) fn user(registry: &Registry, claims: &Value, token: &str) -> Option<UserInfo> {
    let claim = |name: &str| claims[format!("kubernetes.io/serviceaccount/{name}").as_str()].as_str();
    let (namespace, name, uid) = (claim("namespace")?, claim("service-account.name")?, claim("service-account.uid")?);
    let secret = lookup(registry, "secrets", namespace, claim("secret.name")?)?;
    let held = base64::engine::general_purpose::STANDARD.decode(secret["data"]["token"].as_str()?).ok()?;
    if meta::deletion_timestamp(&secret).is_some() || !is_same_secret(std::str::from_utf8(&held).ok()?, token) {
        return None;
    }
    let account = lookup(registry, "serviceaccounts", namespace, name)?;
    if meta::uid(&account) != uid || is_long_gone(registry, &account) {
        return None;
    }
    let user = UserInfo {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid: uid.to_owned(),
        groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
        ..UserInfo::default()
    };
    Some(authenticated(user))
}
