//! PodResizeValidator: a pod that has a node may not ask for more than the node can give.

use object::meta;
use object::quantity::Quantity;
use object::status::Status;
use serde_json::{Value, json};

use super::limit_ranger;
use crate::{Operation, Request, Scene};

pub(crate) fn validate(
    scene: &Scene<'_>,
    request: &Request<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let (Some(old), Some(pod)) = (old, new) else { return Ok(()) };
    let node_name = pod["spec"]["nodeName"].as_str().unwrap_or("");
    let is_resize = request.operation == Operation::Update && request.is("", "pods") && request.subresource == "resize";
    if !is_resize || node_name.is_empty() || old["metadata"]["generation"] == pod["metadata"]["generation"] {
        return Ok(());
    }
    let Some(node) = scene.get("", "nodes", "", node_name) else {
        return Err(request.forbidden(new, format!("node {node_name:?} not found")));
    };
    let refused = |reason: &str, cause: String| {
        let mut status = request.forbidden(new, cause);
        status.details["causes"] = json!([{"reason": reason}]);
        Err(status)
    };
    match meta::label(&node, "kubernetes.io/os") {
        None | Some("linux") => {}
        Some(os) => {
            let text = format!("pod resize is only supported on linux nodes, node {:?} is {os:?}", meta::name(&node));
            return refused("UnsupportedPlatform", text);
        }
    }
    let missing = missing(pod, &node["status"]["allocatable"]);
    if missing.is_empty() {
        return Ok(());
    }
    refused("NodeCapacity", format!("node didn't have enough allocatable resources: {}", missing.join("; ")))
}

/// Of what the node has not enough, and how much is asked for and there.
fn missing(pod: &Value, allocatable: &Value) -> Vec<String> {
    let requests = limit_ranger::of_pod(&pod["spec"], "requests");
    let amount = |list: &Value, name: &str| list[name].as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO);
    let shown: [(&str, fn(Quantity) -> i64); 2] = [("cpu", Quantity::milli_value), ("memory", Quantity::value)];
    let mut missing = Vec::new();
    for (name, show) in shown {
        let containers = requests.get(name).copied().unwrap_or(Quantity::ZERO);
        let (asked, there) = (containers.plus(amount(&pod["spec"]["overhead"], name)), amount(allocatable, name));
        if asked > there {
            missing.push(format!("{name}, requested: {}, allocatable: {}", show(asked), show(there)));
        }
    }
    missing
}
