//! PodTopologyLabels: a pod carries the zone and region of the node it is bound to.

use object::meta;
use object::status::Status;
use serde_json::Value;

use crate::{Operation, Request, Scene};

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(crate) fn mutate(scene: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, object: &mut Value) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.is("", "pods") {
        return Ok(());
    }
    let node_name = match request.subresource {
        "" => object["spec"]["nodeName"].as_str().unwrap_or(""),
        "binding" if matches!(object["target"]["kind"].as_str(), Some("Node")) => object["target"]["name"].as_str().unwrap_or(""),
        _ => return Ok(()),
    };
    if node_name.is_empty() {
        return Ok(());
    }
    let Some(node) = scene.get("", "nodes", "", node_name) else { return Ok(()) };
    for label in LABELS {
        if let Some(value) = meta::label(&node, label) {
            meta::metadata_mut(object).entry("labels").or_insert(Value::Null)[label] = Value::from(value);
        }
    }
    Ok(())
}
