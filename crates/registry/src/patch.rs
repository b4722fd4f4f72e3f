//! PATCH: each kind of patch is a way to make a new tree; everything else is the update path.

use kinds::TypeId;
use object::field::{self, Path};
use object::key::GroupVersionKind;
use object::status::Status;
use object::{Value, meta};

use crate::options::{FieldValidation, WriteOptions};
use crate::request::{Request, Written};
use crate::write::{Plan, Way};
use crate::{Registry, address, metadata, rows};

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

/// A patch as it was sent.
#[derive(Clone, Debug)]
pub struct Patch {
    pub kind: PatchKind,
    pub tree: Value,
    /// What stands twice in it.
    pub faults: Vec<String>,
    /// Why an apply configuration is refused once its kind turns out to be right.
    pub refusal: Option<String>,
}

/// What came of a patch.
struct Patched {
    tree: Value,
    /// As a refusal of the tree shows it; none: the tree itself. Upstream shows what a strategic patch has left, in Go's notation.
    shown: Option<Value>,
    /// What the patch has that its form does not know.
    faults: Vec<String>,
}

impl Patched {
    fn invalid(&self, cause: &str) -> Status {
        let shown = self.shown.as_ref().map_or_else(|| self.tree.to_string(), patching::go_text::of);
        let fault = field::Error::invalid(&Path::new("patch"), shown, cause);
        Status::invalid(&GroupVersionKind::default(), "", &[fault])
    }
}

impl Registry {
    /// `warnings` are told whatever comes of the patch.
    pub async fn patch(
        &self,
        request: &Request,
        patch: &Patch,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Written, Status> {
        options.check("PatchOptions", patch.kind == PatchKind::Apply)?;
        if patch.kind == PatchKind::Apply {
            return self.apply(request, patch, options, warnings).await;
        }
        let plan = Plan { options, manager: Some(&options.field_manager), conflicts_max: CONFLICTS_MAX, way: Way::Patch };
        self.update_with(request, &plan, &mut |current| {
            let (new, found) = self.remade(request, patch, current, options)?;
            *warnings = found;
            Ok(new)
        })
        .await
    }

    fn patched(&self, type_id: TypeId, patch: &Patch, current: &Value, validation: &FieldValidation) -> Result<Patched, Status> {
        let is_checked = *validation != FieldValidation::Ignore;
        let made = match patch.kind {
            PatchKind::Json => {
                let unknown = if is_checked { patching::check_json_patch(&patch.tree) } else { Ok(Vec::new()) };
                unknown.and_then(|unknown| {
                    let told = patch.faults.iter().map(|fault| format!("json patch {fault}"));
                    let faults = told.chain(unknown).collect();
                    patching::json_patch(current, &patch.tree).map(|tree| Patched { tree, shown: None, faults })
                })
            }
            PatchKind::Merge => {
                let checked = if is_checked { patching::check_merge_patch(&patch.tree) } else { Ok(()) };
                let mut tree = current.clone();
                checked.and_then(|()| patching::merge_patch(&mut tree, &patch.tree)).map(|()| {
                    let faults = patch.faults.clone();
                    Patched { tree, shown: None, faults }
                })
            }
            PatchKind::Strategic | PatchKind::Apply => patching::strategic_merge(&self.catalog(), type_id, current, &patch.tree)
                .map(|(tree, left)| Patched { tree, shown: Some(left), faults: patch.faults.clone() }),
        };
        made.map_err(|e| e.to_status())
    }

    /// The patched tree has to be an object of its kind again. Returned are the object and warnings.
    fn settle(&self, request: &Request, patch: &Patch, current: &Value, options: &WriteOptions) -> Result<(Value, Vec<String>), Status> {
        let (catalog, type_id, validation) = (self.catalog(), request.resource.type_id, &options.field_validation);
        let typed = || {
            let mut patched = self.patched(type_id, patch, current, validation)?;
            self.check_kind(request, patch, &mut patched)?;
            Ok(patched)
        };
        // A refusal shows the tree as it was before it was read: it is made once more.
        let refused = |cause: String| typed().map_or_else(|status| status, |patched| patched.invalid(&cause));
        let mut patched = typed()?;
        if patch.kind == PatchKind::Strategic {
            codec::convert(&catalog, type_id, &mut patched.tree).map_err(refused)?;
        }
        let mut faults = Vec::new();
        if *validation != FieldValidation::Ignore {
            let mut unknown = codec::strict::check(&catalog, type_id, &patched.tree);
            if patch.kind == PatchKind::Strategic {
                unknown.sort_unstable();
            }
            faults.append(&mut patched.faults);
            faults.append(&mut unknown);
        }
        let mut new = patched.tree;
        codec::normalise(&catalog, type_id, &mut new).map_err(refused)?;
        if *validation == FieldValidation::Strict && !faults.is_empty() {
            return Err(refused(format!("strict decoding error: {}", faults.join(", "))));
        }
        metadata::check_named(request, &new)?;
        metadata::place(request, &mut new)?;
        self.complete(request, &mut new);
        Ok((new, faults))
    }

    /// A patched object that names no kind, or one of a strategic patch, which is typed already, is of its resource's kind.
    fn check_kind(&self, request: &Request, patch: &Patch, patched: &mut Patched) -> Result<(), Status> {
        let wanted = request.resource.gvk();
        if let Some(fault) = codec::json::type_meta_fault(&patched.tree)
            && patch.kind != PatchKind::Strategic
        {
            return Err(patched.invalid(&format!("couldn't get version/kind; json parse error: {fault}")));
        }
        let new = &mut patched.tree;
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
            return Err(patched.invalid(&cause));
        }
        new["apiVersion"] = Value::from(wanted.api_version());
        new["kind"] = Value::from(wanted.kind);
        Ok(())
    }

    async fn apply(&self, request: &Request, patch: &Patch, options: &WriteOptions, warnings: &mut Vec<String>) -> Result<Written, Status> {
        let config = &patch.tree;
        check_config(request, patch)?;
        for _ in 0..APPLY_TRIES_MAX {
            let key = address::key(&request.resource, &request.namespace, &request.name);
            let written = match self.store.get(&key) {
                Some(_) => {
                    let plan = Plan { options, manager: None, conflicts_max: CONFLICTS_MAX, way: Way::Patch };
                    let mut make = |current: &Value| {
                        let new = self.applied(request, Some(current), config, options)?;
                        warnings.clone_from(&patch.faults);
                        Ok(new)
                    };
                    self.update_with(request, &plan, &mut make).await
                }
                None if !rows::creates_on_apply(&request.resource, &request.subresource) => Err(request.not_found()),
                None => self.apply_new(request, patch, options, warnings).await,
            };
            match written {
                Err(e) if e.is_already_exists() || e.is_not_found() && request.subresource.is_empty() => {}
                Err(e) => return Err(e),
                Ok(written) => return Ok(written),
            }
        }
        Err(Status::conflict_modified(&request.group_resource(), &request.name))
    }

    /// What a patch makes of what is there, with the warnings that go with it.
    pub(crate) fn remade(
        &self,
        request: &Request,
        patch: &Patch,
        current: &Value,
        options: &WriteOptions,
    ) -> Result<(Value, Vec<String>), Status> {
        if patch.kind == PatchKind::Apply {
            check_config(request, patch)?;
            return Ok((self.applied(request, Some(current), &patch.tree, options)?, patch.faults.clone()));
        }
        self.settle(request, patch, current, options)
    }

    async fn apply_new(
        &self,
        request: &Request,
        patch: &Patch,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Written, Status> {
        let config = &patch.tree;
        self.check_may_create(request)?;
        if !meta::uid(config).is_empty() {
            let cause = format!("uid mismatch: the provided object specified uid {}, and no existing object was found", meta::uid(config));
            return Err(Status::conflict(&request.group_resource(), &request.name, &cause));
        }
        let new = self.applied(request, None, config, options)?;
        warnings.clone_from(&patch.faults);
        self.create_as(request, new, options, None).await
    }
}

/// Unknown fields need no look here: what is applied must be typed, whatever the field validation.
fn check_config(request: &Request, patch: &Patch) -> Result<(), Status> {
    let config = &patch.tree;
    let text = |member: &str| config[member].as_str().unwrap_or("");
    let sent = GroupVersionKind::from_api_version(text("apiVersion"), text("kind"));
    if sent != request.resource.gvk() {
        return Err(Status::bad_request(format!("invalid object type: {}/{}, Kind={}", sent.group, sent.version, sent.kind)));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    metadata::check_place(request, config)?;
    match &patch.refusal {
        Some(refusal) => Err(Status::bad_request(refusal)),
        None => Ok(()),
    }
}
