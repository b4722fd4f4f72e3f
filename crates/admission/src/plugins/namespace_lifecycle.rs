//! NamespaceLifecycle: nothing new in a namespace that is not there or is going, and three namespaces that never go.

use object::key::GroupResource;
use object::status::Status;
use serde_json::{Value, json};

use crate::{Operation, Request, Scene};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(crate) fn mutate(scene: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, object: &mut Value) -> Result<(), Status> {
    // Upstream: answering a review about a namespace would tell whether it exists.
    let is_review = request.is("authorization.k8s.io", "localsubjectaccessreviews");
    if request.namespace.is_empty() || request.is("", "namespaces") || is_review || request.operation != Operation::Create {
        return Ok(());
    }
    let Some(namespace) = scene.get("", "namespaces", "", request.namespace) else {
        return Err(Status::not_found(&GroupResource::new("", "namespaces"), request.namespace));
    };
    if namespace["status"]["phase"] != "Terminating" {
        return Ok(());
    }
    let name = request.namespace;
    let mut refusal =
        request.forbidden(Some(object), format!("unable to create new content in namespace {name} because it is being terminated"));
    refusal.details["causes"] = json!([{
        "reason": "NamespaceTerminating", "message": format!("namespace {name} is being terminated"), "field": "metadata.namespace",
    }]);
    Err(refusal)
}

pub(crate) fn validate(
    _: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    _: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    if request.operation == Operation::Delete && request.is("", "namespaces") && IMMORTAL.contains(&request.name) {
        return Err(request.forbidden(old, "this namespace may not be deleted"));
    }
    Ok(())
}
