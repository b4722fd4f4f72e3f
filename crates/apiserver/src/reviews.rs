//! The review APIs: who am I, may I, what may I, whose token is this. They are answered and never stored.

use std::collections::BTreeMap;

use authz::{Attributes, Decision, UserInfo, Verdict};
use object::key::GroupVersionKind;
use object::status::Status;
use object::{Value, time};
use serde_json::json;

use crate::ApiServer;
use crate::call::Call;

/// Fills `status` of a review that was decoded already.
pub(crate) fn answer(server: &ApiServer, call: &Call, plural: &str, mut review: Value) -> Result<Value, Status> {
    let status = match plural {
        "tokenreviews" => token(server, &review)?,
        "selfsubjectreviews" => {
            review["metadata"] = json!({"creationTimestamp": time::seconds(server.registry.clock().now())});
            json!({"userInfo": user_value(&call.user)})
        }
        "selfsubjectaccessreviews" => {
            check(plural, &review)?;
            access(server, &call.user, &review["spec"])
        }
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            check(plural, &review)?;
            access(server, &user_of_spec(&review["spec"]), &review["spec"])
        }
        "selfsubjectrulesreviews" => {
            let namespace = review["spec"]["namespace"].as_str().unwrap_or("");
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            let status = rules(server, &call.user, namespace);
            review["spec"] = json!({});
            review["metadata"] = json!({});
            status
        }
        _ => return Err(Status::no_such_path()),
    };
    review["status"] = status;
    Ok(review)
}

fn token(server: &ApiServer, review: &Value) -> Result<Value, Status> {
    let token = review["spec"]["token"].as_str().unwrap_or("");
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences: Vec<String> =
        review["spec"]["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let own = [server.tokens.issuer().to_owned()];
    let wanted = if audiences.is_empty() { &own[..] } else { &audiences[..] };
    Ok(match server.user_of_token(token, wanted) {
        Some((user, audiences)) => json!({"authenticated": true, "user": user_value(&user), "audiences": audiences}),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    })
}

pub(crate) fn user_value(user: &UserInfo) -> Value {
    let mut value = json!({"username": user.name});
    if !user.uid.is_empty() {
        value["uid"] = Value::from(user.uid.clone());
    }
    if !user.groups.is_empty() {
        value["groups"] = Value::from(user.groups.clone());
    }
    if !user.extra.is_empty() {
        value["extra"] = json!(user.extra);
    }
    value
}

fn user_of_spec(spec: &Value) -> UserInfo {
    let list =
        |value: &Value| -> Vec<String> { value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect() };
    let extra: BTreeMap<String, Vec<String>> = spec["extra"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), list(v))).collect();
    UserInfo {
        name: spec["user"].as_str().unwrap_or("").to_owned(),
        uid: spec["uid"].as_str().unwrap_or("").to_owned(),
        groups: list(&spec["groups"]),
        extra,
    }
}

/// Upstream names no kind when it refuses a review.
fn check(plural: &str, review: &Value) -> Result<(), Status> {
    let faults = strategies::validate_access_review(plural, review);
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid(&GroupVersionKind::new("authorization.k8s.io", "", ""), "", &faults)) }
}

fn access(server: &ApiServer, user: &UserInfo, spec: &Value) -> Value {
    let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let text = |value: &'_ Value, member: &str| value[member].as_str().unwrap_or("").to_owned();
    let verdict = if resource.is_null() {
        let (verb, path) = (text(other, "verb"), text(other, "path"));
        server.policy.authorize(&Attributes::path(user, &verb, &path))
    } else {
        let fields = ["verb", "group", "version", "resource", "subresource", "namespace", "name"].map(|m| text(resource, m));
        let [verb, group, version, plural, subresource, namespace, name] = &fields;
        let attributes =
            Attributes::resource(user, verb, group, version, plural).in_namespace(namespace).named(name).with_subresource(subresource);
        server.policy.authorize(&attributes)
    };
    verdict_value(&verdict)
}

fn verdict_value(verdict: &Verdict) -> Value {
    let mut value = json!({"allowed": verdict.is_allowed()});
    if verdict.decision == Decision::Deny {
        value["denied"] = Value::Bool(true);
    }
    if !verdict.reason.is_empty() {
        value["reason"] = Value::from(verdict.reason.clone());
    }
    value
}

fn rules(server: &ApiServer, user: &UserInfo, namespace: &str) -> Value {
    // Upstream: what the privileged group may do does not show here, only what rules grant.
    server.policy.with(|rbac, _| rbac.rules_review(user, namespace))
}
