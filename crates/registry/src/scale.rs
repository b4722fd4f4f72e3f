//! The `scale` subresource: `autoscaling/v1 Scale` as a view of `spec.replicas`, for every kind that has the row.

use object::field::{self, Path};
use object::key::GroupVersionKind;
use object::selector::LabelSelector;
use object::status::Status;
use object::{Value, meta};
use serde_json::json;

use crate::options::WriteOptions;
use crate::patch::{Patch, PatchKind};
use crate::request::{Answer, Request, Written};
use crate::write::{Plan, Way};
use crate::{Registry, metadata};

const CONFLICTS_MAX: usize = 5;

impl Registry {
    pub fn get_scale(&self, request: &Request) -> Result<Value, Status> {
        Ok(scale_of(&self.current(request)?.tree))
    }

    pub async fn update_scale(&self, request: &Request, scale: Value, options: &WriteOptions) -> Result<Written, Status> {
        options.check("UpdateOptions", false)?;
        let mut scale = scale;
        metadata::check_named(request, &scale)?;
        metadata::place(request, &mut scale)?;
        let is_conditional = !matches!(meta::resource_version(&scale), "" | "0");
        let conflicts_max = if is_conditional { 0 } else { CONFLICTS_MAX };
        self.scale_with(request, options, conflicts_max, &mut |_| Ok(scale.clone())).await
    }

    pub async fn patch_scale(&self, request: &Request, patch: &Patch, options: &WriteOptions) -> Result<Written, Status> {
        options.check("PatchOptions", patch.kind == PatchKind::Apply)?;
        let type_id = self
            .catalog()
            .type_of(&GroupVersionKind::new("autoscaling", "v1", "Scale"))
            .ok_or_else(|| Status::internal("the catalog has no Scale"))?;
        self.scale_with(request, options, CONFLICTS_MAX, &mut |current| {
            self.patched(type_id, patch, current, &options.field_validation).map(|patched| patched.tree)
        })
        .await
    }

    async fn scale_with(
        &self,
        request: &Request,
        options: &WriteOptions,
        conflicts_max: usize,
        make: &mut (dyn FnMut(&Value) -> Result<Value, Status> + Send + '_),
    ) -> Result<Written, Status> {
        let plan = Plan { options, manager: Some(&options.field_manager), conflicts_max, way: Way::Patch };
        let written = self
            .update_with(request, &plan, &mut |current| {
                let scale = make(&scale_of(current))?;
                check_scale(request, &scale)?;
                let mut new = current.clone();
                if !meta::resource_version(&scale).is_empty() {
                    meta::set(&mut new, "resourceVersion", meta::resource_version(&scale));
                }
                new["spec"]["replicas"] = Value::from(scale["spec"]["replicas"].as_i64().unwrap_or(0));
                Ok(new)
            })
            .await?;
        let tree = match &written.answer {
            Answer::Tree(tree) => scale_of(tree),
            Answer::Stored(stored) => scale_of(&self.decode(&request.resource, stored)?),
        };
        Ok(Written { answer: Answer::Tree(tree), ..written })
    }
}

fn check_scale(request: &Request, scale: &Value) -> Result<(), Status> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas >= 0 {
        return Ok(());
    }
    let path = Path::new("spec").child("replicas");
    let fault = field::Error::invalid(&path, replicas, "must be greater than or equal to 0");
    Err(Status::invalid(&GroupVersionKind::new("autoscaling", "", "Scale"), &request.name, &[fault]))
}

/// Upstream: everything else in the object's metadata stays out.
fn scale_of(object: &Value) -> Value {
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": {}, "status": {}});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let value = &object["metadata"][field];
        if !value.is_null() {
            scale["metadata"][field] = value.clone();
        }
    }
    if let Some(wanted) = object["spec"]["replicas"].as_i64().filter(|n| *n != 0) {
        scale["spec"]["replicas"] = Value::from(wanted);
    }
    scale["status"]["replicas"] = Value::from(object["status"]["replicas"].as_i64().unwrap_or(0));
    let selector = selector_text(&object["spec"]["selector"]);
    if !selector.is_empty() {
        scale["status"]["selector"] = Value::from(selector);
    }
    scale
}

/// A replication controller's selector is a plain map, all others' a `LabelSelector`.
fn selector_text(selector: &Value) -> String {
    let is_plain = selector.as_object().is_some_and(|s| s.values().all(Value::is_string));
    let parsed = match (selector, is_plain) {
        (Value::Null, _) => return String::new(),
        (Value::Object(pairs), true) => LabelSelector::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or("")))),
        _ => LabelSelector::from_object(selector).unwrap_or_default(),
    };
    parsed.to_string()
}
