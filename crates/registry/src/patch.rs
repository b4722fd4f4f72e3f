//! PATCH: each kind of patch is a way to make a new tree; everything else is the update path.

use object::field::{self, Path};
use object::key::GroupVersionKind;
use object::status::Status;
use object::{Value, meta};

use crate::options::WriteOptions;
use crate::request::{Request, Written};
use crate::write::{Plan, Way};
use crate::{Registry, address, metadata, stages};

/// Upstream: `MaxRetryWhenPatchConflicts`.
const CONFLICTS_MAX: usize = 5;
/// A server-side apply that finds nothing creates; one that then finds something starts over.
const APPLY_TRIES_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json-patch+json" => Some(PatchKind::Json),
            "application/merge-patch+json" => Some(PatchKind::Merge),
            "application/strategic-merge-patch+json" => Some(PatchKind::Strategic),
            "application/apply-patch+yaml" => Some(PatchKind::Apply),
            _ => None,
        }
    }
}

/// A patch as it was sent: the tree, and the text that refusals show.
#[derive(Clone, Debug)]
pub struct Patch {
    pub kind: PatchKind,
    pub tree: Value,
    pub text: String,
    /// Why an apply configuration is refused once its kind turns out to be right.
    pub refusal: Option<String>,
}

impl Registry {
    pub async fn patch(&self, request: &Request, patch: &Patch, options: &WriteOptions) -> Result<Written, Status> {
        options.check("PatchOptions", patch.kind == PatchKind::Apply)?;
        if patch.kind == PatchKind::Apply {
            return self.apply(request, patch, options).await;
        }
        let plan = Plan { options, manager: Some(&options.field_manager), conflicts_max: CONFLICTS_MAX, way: Way::Patch };
        let mut warnings = Vec::new();
        let mut written = self
            .update_with(request, &plan, &mut |current| {
                let mut new = self.patched(request, patch, current)?;
                warnings = self.settle(request, patch, options, &mut new)?;
                Ok(new)
            })
            .await?;
        warnings.append(&mut written.warnings);
        Ok(Written { warnings, ..written })
    }

    pub(crate) fn patched(&self, request: &Request, patch: &Patch, current: &Value) -> Result<Value, Status> {
        match patch.kind {
            PatchKind::Json => patching::json_patch(current, &patch.tree),
            PatchKind::Merge => {
                let mut new = current.clone();
                patching::merge_patch(&mut new, &patch.tree).map(|()| new)
            }
            PatchKind::Strategic | PatchKind::Apply => {
                patching::strategic_merge(&self.catalog(), request.resource.type_id, current, &patch.tree)
            }
        }
        .map_err(|e| e.to_status())
    }

    /// The patched tree has to be an object of its kind again.
    fn settle(&self, request: &Request, patch: &Patch, options: &WriteOptions, new: &mut Value) -> Result<Vec<String>, Status> {
        self.check_kind(request, patch, new)?;
        metadata::check_named(request, new)?;
        let (catalog, type_id) = (self.catalog(), request.resource.type_id);
        let warnings =
            stages::unknown_fields(&catalog, type_id, new, &options.field_validation).map_err(|e| invalid_patch(patch, new, &e))?;
        let shown = new.clone();
        codec::normalise(&catalog, type_id, new).map_err(|e| invalid_patch(patch, &shown, &e))?;
        metadata::place(request, new)?;
        self.complete(request, new);
        Ok(warnings)
    }

    /// A patched object that names no kind, or one of a strategic patch, which is typed already, is of its resource's kind.
    fn check_kind(&self, request: &Request, patch: &Patch, new: &mut Value) -> Result<(), Status> {
        let wanted = request.resource.gvk();
        let or = |member: &str, unset: String| new[member].as_str().filter(|text| !text.is_empty()).map_or(unset, str::to_owned);
        let found = GroupVersionKind::from_api_version(&or("apiVersion", wanted.api_version()), &or("kind", wanted.kind.clone()));
        if found != wanted && patch.kind != PatchKind::Strategic {
            let cause = if self.catalog().type_of(&found).is_none() {
                format!(
                    "no kind {:?} is registered for version {:?} in scheme \"pkg/runtime/scheme.go:111\"",
                    found.kind,
                    found.api_version()
                )
            } else {
                "the kind of the patched object does not match its resource".to_owned()
            };
            return Err(invalid_patch(patch, new, &cause));
        }
        new["apiVersion"] = Value::from(wanted.api_version());
        new["kind"] = Value::from(wanted.kind);
        Ok(())
    }

    async fn apply(&self, request: &Request, patch: &Patch, options: &WriteOptions) -> Result<Written, Status> {
        let config = &patch.tree;
        check_config(request, config)?;
        if let Some(refusal) = &patch.refusal {
            return Err(Status::bad_request(refusal));
        }
        for _ in 0..APPLY_TRIES_MAX {
            let key = address::key(&request.resource, &request.namespace, &request.name);
            let written = match self.store.get(&key) {
                Some(_) => {
                    let plan = Plan { options, manager: None, conflicts_max: CONFLICTS_MAX, way: Way::Patch };
                    self.update_with(request, &plan, &mut |current| self.applied(request, Some(current), config, options)).await
                }
                None if !request.subresource.is_empty() => Err(request.not_found()),
                None => self.apply_new(request, config, options).await,
            };
            match written {
                Err(e) if e.is_already_exists() || e.is_not_found() && request.subresource.is_empty() => {}
                Err(e) => return Err(e),
                Ok(written) => return Ok(written),
            }
        }
        Err(Status::conflict_modified(&request.group_resource(), &request.name))
    }

    async fn apply_new(&self, request: &Request, config: &Value, options: &WriteOptions) -> Result<Written, Status> {
        if !meta::uid(config).is_empty() {
            let cause = format!("uid mismatch: the provided object specified uid {}, and no existing object was found", meta::uid(config));
            return Err(Status::conflict(&request.group_resource(), &request.name, &cause));
        }
        let new = self.applied(request, None, config, options)?;
        self.create_as(request, new, options, None).await
    }
}

/// Unknown fields need no look here: what is applied must be typed, whatever the field validation.
fn check_config(request: &Request, config: &Value) -> Result<(), Status> {
    let text = |member: &str| config[member].as_str().unwrap_or("");
    let sent = GroupVersionKind::from_api_version(text("apiVersion"), text("kind"));
    if sent != request.resource.gvk() {
        return Err(Status::bad_request(format!("invalid object type: {}/{}, Kind={}", sent.group, sent.version, sent.kind)));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    metadata::place(request, &mut config.clone())
}

/// Upstream shows what came of a JSON or merge patch, and a strategic one as it was sent.
fn invalid_patch(patch: &Patch, new: &Value, cause: &str) -> Status {
    let shown = if patch.kind == PatchKind::Strategic { patch.text.clone() } else { new.to_string() };
    let fault = field::Error::invalid(&Path::new("patch"), shown, cause);
    Status::invalid(&GroupVersionKind::default(), "", &[fault])
}
