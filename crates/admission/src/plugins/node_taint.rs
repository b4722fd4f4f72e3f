//! TaintNodesByCondition: a new node takes no pods until the node controller has seen it ready.

use object::status::Status;
use serde_json::{Value, json};

use super::{items, list_mut};
use crate::{Operation, Request, Scene};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(crate) fn mutate(_: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, node: &mut Value) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.is_whole("", "nodes") {
        return Ok(());
    }
    if items(&node["spec"], "taints").all(|t| t["key"] != NOT_READY || t["effect"] != "NoSchedule") {
        list_mut(&mut node["spec"], "taints").push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
    Ok(())
}
