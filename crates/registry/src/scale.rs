//! The `scale` subresource: `autoscaling/v1 Scale` as a view of `spec.replicas`, for every kind that has the row.

use std::sync::Arc;

use kinds::Resource;
use object::field::{self, Path};
use object::key::{GroupResource, GroupVersionKind};
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

/// Makes the new scale from the present one.
type Make<'a> = dyn FnMut(&Value) -> Result<Value, Status> + Send + 'a;

impl Registry {
    pub fn get_scale(&self, request: &Request) -> Result<Value, Status> {
        Ok(scale_of(&self.current(request)?.tree))
    }

    pub async fn update_scale(&self, request: &Request, scale: Value, options: &WriteOptions) -> Result<Written, Status> {
        options.check("UpdateOptions", false)?;
        let mut scale = scale;
        metadata::check_named(request, &scale)?;
        metadata::place(request, &mut scale)?;
        let view = self.scale_view(request)?;
        let is_conditional = !matches!(meta::resource_version(&scale), "" | "0");
        let conflicts_max = if is_conditional { 0 } else { CONFLICTS_MAX };
        self.scale_with(request, options, conflicts_max, &mut |current| {
            let mut new = scale.clone();
            self.track(&view, Some(current), &mut new, &options.field_manager, self.clock.now());
            Ok(new)
        })
        .await
    }

    /// `warnings` are told whatever comes of the patch.
    pub async fn patch_scale(
        &self,
        request: &Request,
        patch: &Patch,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Written, Status> {
        options.check("PatchOptions", patch.kind == PatchKind::Apply)?;
        let view = self.scale_view(request)?;
        self.scale_with(request, options, CONFLICTS_MAX, &mut |current| {
            let (mut new, found) = self.remade(&view, patch, current, options)?;
            *warnings = found;
            if patch.kind != PatchKind::Apply {
                self.track(&view, Some(current), &mut new, &options.field_manager, self.clock.now());
            }
            Ok(new)
        })
        .await
    }

    /// The request as one for the scale itself, as if it were kept.
    fn scale_view(&self, request: &Request) -> Result<Request, Status> {
        let kind = scale_kind();
        let type_id = self.catalog().type_of(&kind).ok_or_else(|| Status::internal("the catalog has no Scale"))?;
        let resource = Resource {
            group: kind.group.clone(),
            version: kind.version.clone(),
            kind: kind.kind,
            list_kind: String::new(),
            plural: request.resource.plural.clone(),
            singular: String::new(),
            namespaced: request.resource.namespaced,
            verbs: Vec::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            subresources: Vec::new(),
            returns_deleted: false,
            type_id,
            storage_group: kind.group,
            storage_version: kind.version,
        };
        Ok(Request { resource: Arc::new(resource), ..request.clone() })
    }

    async fn scale_with(
        &self,
        request: &Request,
        options: &WriteOptions,
        conflicts_max: usize,
        make: &mut Make<'_>,
    ) -> Result<Written, Status> {
        let api_version = request.resource.gvk().api_version();
        let plan = Plan { options, manager: None, conflicts_max, way: Way::Patch };
        let written = self
            .update_with(request, &plan, &mut |current| {
                let managers = &current["metadata"]["managedFields"];
                let mut scale = scale_of(current);
                set_managers(&mut scale, patching::scale_managers(managers, &api_version))?;
                let scale = make(&scale)?;
                check_scale(request, current, &scale)?;
                let mut new = current.clone();
                if !meta::resource_version(&scale).is_empty() {
                    meta::set(&mut new, "resourceVersion", meta::resource_version(&scale));
                }
                new["spec"]["replicas"] = Value::from(scale["spec"]["replicas"].as_i64().unwrap_or(0));
                set_managers(&mut new, patching::parent_managers(managers, &scale["metadata"]["managedFields"], &api_version))?;
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

fn scale_kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

fn set_managers(object: &mut Value, entries: Result<Vec<Value>, String>) -> Result<(), Status> {
    match entries.map_err(Status::internal)? {
        entries if entries.is_empty() => meta::unset(object, "managedFields"),
        entries => meta::set(object, "managedFields", entries),
    }
    Ok(())
}

fn check_scale(request: &Request, current: &Value, scale: &Value) -> Result<(), Status> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let fault = field::Error::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid(&GroupVersionKind { version: String::new(), ..scale_kind() }, &request.name, &[fault]));
    }
    let (sent, uid) = (meta::uid(scale), meta::uid(current));
    if sent.is_empty() || sent == uid {
        return Ok(());
    }
    let cause = format!("Precondition failed: UID in precondition: {sent}, UID in object meta: {uid}");
    let GroupResource { group, resource } = request.group_resource();
    Err(Status::conflict(&GroupResource { group, resource: format!("{resource}/scale") }, &request.name, &cause))
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
