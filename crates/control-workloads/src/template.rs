//! Pods from pod templates, and whether two templates are the same.

use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::claims::owner_reference;

/// A pod of its owner, without a name yet.
pub(crate) fn pod<O: Metadata<Ty = ObjectMeta>>(owner: &O, template: &PodTemplateSpec) -> Pod {
    let wanted = template.metadata.as_ref();
    let metadata = ObjectMeta {
        generate_name: Some(generate_name(owner.metadata().name.as_deref().unwrap_or(""))),
        namespace: owner.metadata().namespace.clone(),
        labels: wanted.and_then(|m| m.labels.clone()),
        annotations: wanted.and_then(|m| m.annotations.clone()),
        finalizers: wanted.and_then(|m| m.finalizers.clone()),
        owner_references: Some(vec![owner_reference(owner)]),
        ..ObjectMeta::default()
    };
    Pod { metadata, spec: template.spec.clone(), status: None }
}

pub(crate) fn generate_name(owner_name: &str) -> String {
    format!("{owner_name}-")
}

/// Equal but for what the codec may leave out: nulls, empty lists, empty maps.
pub(crate) fn is_same(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// One tree for all templates that mean the same.
pub(crate) fn canonical(template: &PodTemplateSpec) -> Value {
    let mut tree = serde_json::to_value(template).expect("a pod template is plain data");
    // Upstream: templates carry a null creationTimestamp, and older objects a real one.
    object::meta::unset(&mut tree, "creationTimestamp");
    prune(&mut tree);
    tree
}

pub(crate) fn prune(tree: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match tree {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|name, value| !is_empty(value) || (value.is_object() && is_choice(name)));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Fields whose mere presence means something.
fn is_choice(name: &str) -> bool {
    matches!(name, "emptyDir" | "podAffinity" | "podAntiAffinity" | "nodeAffinity" | "namespaceSelector" | "labelSelector")
}
