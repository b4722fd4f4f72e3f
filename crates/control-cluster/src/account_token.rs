//! Tokens of service accounts that people keep in Secrets: filled in here, and gone with their account (upstream: `tokens_controller.go`).
//!
//! They hold until the Secret goes. Pods have had better ones for long; some programs still want these.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use object::plan::{Change, Plan};
use serde_json::json;

pub const SECRET_TYPE: &str = "kubernetes.io/service-account-token";
/// `iss` of these tokens.
pub const ISSUER: &str = "kubernetes/serviceaccount";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

pub struct View<'a> {
    pub secret: &'a Secret,
    /// The account it names, if there is one.
    pub account: Option<&'a ServiceAccount>,
    /// PEM.
    pub root_ca: &'a str,
    /// Makes a token of claims.
    pub sign: &'a dyn Fn(&str) -> Option<String>,
}

/// The account that a Secret is a token of.
pub fn account_name(secret: &Secret) -> Option<&str> {
    secret.metadata.annotations.as_ref()?.get(ACCOUNT_NAME).map(String::as_str).filter(|name| !name.is_empty())
}

pub fn plan(view: &View<'_>) -> Plan {
    let secret = view.secret;
    let mut plan = Plan::nothing();
    if secret.metadata.deletion_timestamp.is_some() || account_name(secret).is_none() {
        return plan;
    }
    let named_uid = secret.metadata.annotations.as_ref().and_then(|a| a.get(ACCOUNT_UID)).filter(|uid| !uid.is_empty());
    let is_meant = |account: &&ServiceAccount| named_uid.is_none_or(|uid| account.metadata.uid.as_ref() == Some(uid));
    match view.account.filter(is_meant) {
        None => plan.changes.push(Change::delete(secret)),
        Some(account) => plan.changes.extend(filled(view, account).map(|secret| Change::update(&secret))),
    }
    plan
}

/// With all that it needs, unless it has that.
fn filled(view: &View<'_>, account: &ServiceAccount) -> Option<Secret> {
    let mut secret = view.secret.clone();
    let namespace = secret.metadata.namespace.clone().unwrap_or_default();
    let data: &mut BTreeMap<String, ByteString> = secret.data.get_or_insert_default();
    let is_missing = |data: &BTreeMap<String, ByteString>, key: &str| data.get(key).is_none_or(|bytes| bytes.0.is_empty());
    let ca = view.root_ca.as_bytes();
    let needs_ca = !ca.is_empty() && data.get("ca.crt").is_none_or(|bytes| bytes.0 != ca);
    if !needs_ca && !is_missing(data, "namespace") && !is_missing(data, "token") {
        return None;
    }
    if needs_ca {
        data.insert("ca.crt".to_owned(), ByteString(ca.to_vec()));
    }
    if is_missing(data, "namespace") {
        data.insert("namespace".to_owned(), ByteString(namespace.clone().into_bytes()));
    }
    let (account_name, uid) = (account.metadata.name.clone().unwrap_or_default(), account.metadata.uid.clone().unwrap_or_default());
    if is_missing(data, "token") {
        let claims = json!({
            "iss": ISSUER, "sub": format!("system:serviceaccount:{namespace}:{account_name}"),
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": secret.metadata.name,
            "kubernetes.io/serviceaccount/service-account.name": account_name,
            "kubernetes.io/serviceaccount/service-account.uid": uid,
        });
        data.insert("token".to_owned(), ByteString((view.sign)(&claims.to_string())?.into_bytes()));
    }
    let annotations = secret.metadata.annotations.get_or_insert_default();
    annotations.insert(ACCOUNT_NAME.to_owned(), account_name);
    annotations.insert(ACCOUNT_UID.to_owned(), uid);
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::plan::Write;

    #[test]
    fn a_token_is_filled_in_and_goes_with_its_account() {
        let secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": "t", "namespace": "default", "annotations": {ACCOUNT_NAME: "bot"}}}))
                .unwrap();
        let account = |uid: &str| -> ServiceAccount { serde_json::from_value(json!({"metadata": {"name": "bot", "uid": uid}})).unwrap() };
        let ask = |secret: &Secret, account: Option<&ServiceAccount>| {
            let plan = plan(&View { secret, account, root_ca: "PEM", sign: &|claims| Some(format!("signed {claims}")) });
            plan.changes.into_iter().next().map(|change| change.write)
        };
        let Some(Write::Update { object, .. }) = ask(&secret, Some(&account("u1"))) else { panic!("it was to be filled") };
        let full: Secret = serde_json::from_value(object).unwrap();
        let text = |key: &str| String::from_utf8(full.data.as_ref().unwrap()[key].0.clone()).unwrap();
        assert_eq!((text("ca.crt"), text("namespace")), ("PEM".to_owned(), "default".to_owned()));
        assert!(text("token").contains("system:serviceaccount:default:bot"));
        assert_eq!(ask(&full, Some(&account("u1"))), None);
        assert!(matches!(ask(&full, Some(&account("u2"))), Some(Write::Delete { .. })), "another of that name");
        assert!(matches!(ask(&full, None), Some(Write::Delete { .. })));
    }
}
