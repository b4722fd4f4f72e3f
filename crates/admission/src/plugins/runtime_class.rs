//! RuntimeClass: overhead, node selector and tolerations of the class a pod names.

use object::quantity::Quantity;
use object::status::Status;
use serde_json::{Map, Value};

use crate::{Operation, Request, Scene};

pub(crate) fn mutate(scene: &Scene<'_>, request: &Request<'_>, _: Option<&Value>, pod: &mut Value) -> Result<(), Status> {
    if request.operation != Operation::Create || !request.is_whole("", "pods") {
        return Ok(());
    }
    let Some(class) = class_of(scene, request, pod)? else { return Ok(()) };
    if !class["overhead"].is_null() {
        let fixed = &class["overhead"]["podFixed"];
        let sent = &pod["spec"]["overhead"];
        if sent.as_object().is_some_and(|s| !s.is_empty()) && !is_same(sent, fixed) {
            return Err(request.forbidden(Some(pod), "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
        }
        pod["spec"]["overhead"] = fixed.clone();
    }
    if !class["scheduling"].is_null() {
        select_nodes(request, pod, &class["scheduling"])?;
    }
    Ok(())
}

fn class_of(scene: &Scene<'_>, request: &Request<'_>, pod: &Value) -> Result<Option<Value>, Status> {
    let Some(name) = pod["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    match scene.get("node.k8s.io", "runtimeclasses", "", name) {
        Some(class) => Ok(Some(class)),
        None => Err(request.forbidden(Some(pod), format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}

/// Equal amounts, however they are written.
fn is_same(a: &Value, b: &Value) -> bool {
    let amounts = |list: &Value| -> Vec<(String, Option<Quantity>)> {
        let parsed = |(name, value): (&String, &Value)| (name.clone(), value.as_str().and_then(|text| Quantity::parse(text).ok()));
        list.as_object().into_iter().flatten().map(parsed).collect()
    };
    amounts(a) == amounts(b)
}

fn select_nodes(request: &Request<'_>, pod: &mut Value, scheduling: &Value) -> Result<(), Status> {
    let mut selector: Map<String, Value> = pod["spec"]["nodeSelector"].as_object().cloned().unwrap_or_default();
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        if let Some(sent) = selector.get(key).filter(|sent| *sent != value) {
            let (wanted, sent) = (value.as_str().unwrap_or(""), sent.as_str().unwrap_or(""));
            let cause = format!("conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {sent}");
            return Err(request.forbidden(Some(pod), cause));
        }
        selector.insert(key.clone(), value.clone());
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let tolerations = merge_tolerations(list(&pod["spec"]["tolerations"]), list(&scheduling["tolerations"]));
    if !selector.is_empty() {
        pod["spec"]["nodeSelector"] = Value::Object(selector);
    }
    if !tolerations.is_empty() {
        pod["spec"]["tolerations"] = Value::Array(tolerations);
    }
    Ok(())
}

/// Both lists without those that another one includes.
fn merge_tolerations(first: Vec<Value>, second: Vec<Value>) -> Vec<Value> {
    let all: Vec<Value> = first.into_iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (i, toleration) in all.iter().enumerate() {
        let is_merged = merged.iter().any(|m| includes(m, toleration));
        let comes_wider = all[i + 1..].iter().any(|later| later != toleration && includes(later, toleration));
        if !is_merged && !comes_wider {
            merged.push(toleration.clone());
        }
    }
    merged
}

/// Whether all that `part` tolerates is tolerated by `whole`.
fn includes(whole: &Value, part: &Value) -> bool {
    fn text<'a>(toleration: &'a Value, field: &str) -> &'a str {
        toleration[field].as_str().unwrap_or("")
    }
    if whole == part {
        return true;
    }
    if text(part, "key") != text(whole, "key") && !(text(whole, "key").is_empty() && text(whole, "operator") == "Exists") {
        return false;
    }
    if text(part, "effect") != text(whole, "effect") && !text(whole, "effect").is_empty() {
        return false;
    }
    if text(whole, "effect") == "NoExecute"
        && let Some(limit) = whole["tolerationSeconds"].as_i64()
        && part["tolerationSeconds"].as_i64().is_none_or(|seconds| seconds > limit)
    {
        return false;
    }
    match text(whole, "operator") {
        "" | "Equal" => text(part, "operator") == "Equal" && text(part, "value") == text(whole, "value"),
        operator => operator == "Exists",
    }
}

pub(crate) fn validate(
    scene: &Scene<'_>,
    request: &Request<'_>,
    _: Option<&Value>,
    new: Option<&Value>,
    _: &mut Vec<String>,
) -> Result<(), Status> {
    let Some(pod) = new.filter(|_| request.operation == Operation::Create && request.is_whole("", "pods")) else { return Ok(()) };
    let class = class_of(scene, request, pod)?;
    let overhead = &pod["spec"]["overhead"];
    match class.map(|class| class["overhead"].clone()).filter(|o| !o.is_null()) {
        Some(wanted) if !is_same(&wanted["podFixed"], overhead) => {
            Err(request.forbidden(new, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"))
        }
        None if !overhead.is_null() => {
            Err(request.forbidden(new, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
        }
        _ => Ok(()),
    }
}
