//! DefaultIngressClass.

use object::meta;
use object::status::Status;
use serde_json::Value;

use super::default_object;
use crate::{Operation, Request, Scene};

const GROUP: &str = "networking.k8s.io";

pub(crate) fn mutate(scene: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, ingress: &mut Value) -> Result<(), Status> {
    let is_new = request.operation == Operation::Create && request.is_whole(GROUP, "ingresses");
    let has_class = || !ingress["spec"]["ingressClassName"].is_null() || meta::annotation(ingress, "kubernetes.io/ingress.class").is_some();
    if !is_new || has_class() {
        return Ok(());
    }
    let is_default = |class: &Value| meta::annotation(class, "ingressclass.kubernetes.io/is-default-class") == Some("true");
    let marked = scene.list(GROUP, "ingressclasses", "").into_iter().filter(is_default).collect();
    if let Some(class) = default_object(marked) {
        ingress["spec"]["ingressClassName"] = Value::from(meta::name(&class));
    }
    Ok(())
}
