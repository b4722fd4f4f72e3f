//! Claims and volumes: DefaultStorageClass, StorageObjectInUseProtection, PersistentVolumeClaimResize.

use object::meta;
use object::quantity::Quantity;
use object::status::Status;
use serde_json::{Map, Value};

use super::{default_object, list_mut};
use crate::{Operation, Request, Scene};

const GROUP: &str = "storage.k8s.io";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

pub(crate) fn default_class(scene: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, claim: &mut Value) -> Result<(), Status> {
    let is_new = request.operation == Operation::Create && request.is_whole("", "persistentvolumeclaims");
    if !is_new || meta::annotation(claim, CLASS_ANNOTATION).is_some() || !claim["spec"]["storageClassName"].is_null() {
        return Ok(());
    }
    let is_default = |class: &Value| {
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|annotation| meta::annotation(class, annotation) == Some("true"))
    };
    let marked = scene.list(GROUP, "storageclasses", "").into_iter().filter(is_default).collect();
    if let Some(class) = default_object(marked) {
        claim["spec"]["storageClassName"] = Value::from(meta::name(&class));
    }
    Ok(())
}

pub(crate) fn protect(_: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, object: &mut Value) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.subresource.is_empty() {
        return Ok(());
    }
    let finalizer = match (request.resource.group.as_str(), request.resource.plural.as_str()) {
        ("", "persistentvolumes") => "kubernetes.io/pv-protection",
        ("", "persistentvolumeclaims") => "kubernetes.io/pvc-protection",
        (GROUP, "volumeattributesclasses") => "kubernetes.io/vac-protection",
        _ => return Ok(()),
    };
    if meta::finalizers(object).all(|f| f != finalizer) {
        if !object["metadata"].is_object() {
            object["metadata"] = Value::Object(Map::new());
        }
        list_mut(&mut object["metadata"], "finalizers").push(Value::from(finalizer));
    }
    Ok(())
}

/// Only a bound claim of a class that allows it may grow.
pub(crate) fn validate_resize(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let (Some(old), Some(claim)) = (old, new) else { return Ok(()) };
    if request.operation != Operation::Update || !request.is_whole("", "persistentvolumeclaims") {
        return Ok(());
    }
    let size = |claim: &Value| {
        let text = claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or("0");
        Quantity::parse(text).unwrap_or(Quantity::ZERO)
    };
    if size(claim) <= size(old) {
        return Ok(());
    }
    if old["status"]["phase"] != "Bound" {
        return Err(request.forbidden(new, "Only bound persistent volume claims can be expanded"));
    }
    let class_of = |claim: &Value| {
        let by_annotation = meta::annotation(claim, CLASS_ANNOTATION).map(str::to_owned);
        by_annotation.or_else(|| claim["spec"]["storageClassName"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    let class = class_of(claim);
    let may_grow = !class.is_empty()
        && class == class_of(old)
        && scene.get(GROUP, "storageclasses", "", &class).is_some_and(|class| class["allowVolumeExpansion"] == true);
    if may_grow {
        return Ok(());
    }
    let cause = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(request.forbidden(new, cause))
}
