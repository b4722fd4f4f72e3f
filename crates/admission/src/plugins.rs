//! One file a plugin, or a family of small ones.

pub(crate) mod certificates;
pub(crate) mod default_tolerations;
pub(crate) mod ingress_class;
pub(crate) mod limit_ranger;
pub(crate) mod namespace_lifecycle;
pub(crate) mod node_restriction;
pub(crate) mod node_taint;
pub(crate) mod pod_resize;
pub(crate) mod priority;
pub(crate) mod runtime_class;
pub(crate) mod service_account;
pub(crate) mod storage;
pub(crate) mod topology_labels;

use object::meta;
use serde_json::Value;

/// Marks a pod that a kubelet runs from a file and only shows here.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

fn items<'a>(parent: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    parent.get(list).and_then(Value::as_array).into_iter().flatten()
}

/// The list at a field, made when there is none.
fn list_mut<'a>(parent: &'a mut Value, list: &str) -> &'a mut Vec<Value> {
    let value = &mut parent[list];
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().expect("made a list above")
}

fn is_mirror(pod: &Value) -> bool {
    meta::annotation(pod, MIRROR_ANNOTATION).is_some()
}

/// The newest of the objects that an annotation marks as default; of equals the first by name.
fn default_object(mut marked: Vec<Value>) -> Option<Value> {
    marked.sort_by(|a, b| {
        let newest_first = meta::text(b, "creationTimestamp").cmp(meta::text(a, "creationTimestamp"));
        newest_first.then_with(|| meta::name(a).cmp(meta::name(b)))
    });
    marked.into_iter().next()
}
