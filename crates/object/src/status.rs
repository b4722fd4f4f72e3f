//! `Status`: the one error every API answer carries. Reasons, codes and texts are upstream's (`apimachinery/pkg/api/errors`).

use serde_json::{Value, json};

use crate::field;
use crate::key::{GroupResource, GroupVersionKind};

#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    /// `StatusDetails`, or null.
    pub details: Value,
    /// `metadata.continue`: how to go on with a list whose token expired. Nearly always empty.
    pub continue_token: String,
}

impl Status {
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Status { code, reason, message: message.into(), details: Value::Null, continue_token: String::new() }
    }

    fn about(code: u16, reason: &'static str, resource: &GroupResource, name: &str, message: String) -> Self {
        Status { details: details(&resource.group, &resource.resource, name), ..Self::new(code, reason, message) }
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::about(404, "NotFound", resource, name, format!("{resource} \"{name}\" not found"))
    }
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::about(409, "AlreadyExists", resource, name, format!("{resource} \"{name}\" already exists"))
    }
    pub fn conflict(resource: &GroupResource, name: &str, cause: &str) -> Self {
        Self::about(409, "Conflict", resource, name, format!("Operation cannot be fulfilled on {resource} \"{name}\": {cause}"))
    }
    /// The text of a lost race on `resourceVersion`.
    pub fn conflict_modified(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(resource, name, "the object has been modified; please apply your changes to the latest version and try again")
    }
    pub fn forbidden(resource: &GroupResource, name: &str, cause: &str) -> Self {
        let message = match (resource.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {cause}"),
            (false, true) => format!("{resource} is forbidden: {cause}"),
            (false, false) => format!("{resource} \"{name}\" is forbidden: {cause}"),
        };
        Self::about(403, "Forbidden", resource, name, message)
    }
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }
    pub fn method_not_allowed(resource: &GroupResource, verb: &str) -> Self {
        Self::about(405, "MethodNotAllowed", resource, "", format!("{verb} is not supported on resources of kind \"{resource}\""))
    }
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(406, "NotAcceptable", message)
    }
    pub fn request_too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }
    /// 410 with reason `Expired`: a continue token or a watch revision that was compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Status {
            details: json!({"causes": [{"message": message.to_string()}]}),
            ..Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
        }
    }
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", message)
    }
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Status { details: json!({"retryAfterSeconds": retry_after_seconds}), ..Self::new(429, "TooManyRequests", message) }
    }
    /// 404 for a path or a type nobody serves.
    pub fn no_such_path() -> Self {
        Status { details: json!({}), ..Self::new(404, "NotFound", "the server could not find the requested resource") }
    }

    /// 422 with one cause a fault; `errors` must not be empty.
    pub fn invalid(kind: &GroupVersionKind, name: &str, errors: &[field::Error]) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for text in errors.iter().map(ToString::to_string) {
            // Upstream says a thing once in the message, but keeps every cause.
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = if let [only] = texts.as_slice() { only.clone() } else { format!("[{}]", texts.join(", ")) };
        let causes: Vec<Value> = errors.iter().map(|e| json!({"reason": e.reason(), "message": e.body(), "field": e.path})).collect();
        let mut details = details(&kind.group, &kind.kind, name);
        details["causes"] = Value::Array(causes);
        let shown = if kind.group.is_empty() { kind.kind.clone() } else { format!("{}.{}", kind.kind, kind.group) };
        Status { details, ..Self::new(422, "Invalid", format!("{shown} \"{name}\" is invalid: {list}")) }
    }

    /// The tree that goes over the wire.
    pub fn to_value(&self) -> Value {
        let mut value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        // Upstream: an error that its handler does not know has no reason.
        if !self.reason.is_empty() {
            value["reason"] = Value::from(self.reason);
        }
        if !self.details.is_null() {
            value["details"] = self.details.clone();
        }
        if !self.continue_token.is_empty() {
            value["metadata"]["continue"] = Value::from(self.continue_token.clone());
        }
        value
    }

    /// Reads a failure that another server sent. An unknown reason reads as empty: callers branch only on known ones.
    pub fn from_value(value: &Value) -> Option<Self> {
        if value["kind"] != "Status" || value["status"] == "Success" {
            return None;
        }
        let reason = value["reason"].as_str().unwrap_or("");
        Some(Status {
            code: value["code"].as_u64().and_then(|c| u16::try_from(c).ok()).unwrap_or(500),
            reason: REASONS.iter().find(|r| **r == reason).copied().unwrap_or(""),
            message: value["message"].as_str().unwrap_or("").to_owned(),
            details: value["details"].clone(),
            continue_token: value["metadata"]["continue"].as_str().unwrap_or("").to_owned(),
        })
    }

    pub fn is_not_found(&self) -> bool {
        self.reason == "NotFound"
    }
    pub fn is_conflict(&self) -> bool {
        self.reason == "Conflict"
    }
    pub fn is_already_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }
}

const REASONS: &[&str] = &[
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "AlreadyExists",
    "Conflict",
    "Gone",
    "Invalid",
    "ServerTimeout",
    "StoreReadError",
    "Timeout",
    "TooManyRequests",
    "BadRequest",
    "MethodNotAllowed",
    "NotAcceptable",
    "RequestEntityTooLarge",
    "UnsupportedMediaType",
    "InternalError",
    "Expired",
    "ServiceUnavailable",
];

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({});
    for (field, text) in [("name", name), ("group", group), ("kind", kind)] {
        if !text.is_empty() {
            details[field] = Value::from(text);
        }
    }
    details
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}
