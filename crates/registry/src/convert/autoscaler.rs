//! `HorizontalPodAutoscaler`: v1 knows one metric, CPU; the rest travels in annotations, as upstream has it.

use object::{Map, Value};
use serde_json::json;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// A metric that v1 has a field for.
fn is_cpu(metric: &Value, value: &str) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu" && metric["resource"][value]["averageUtilization"].is_i64()
}

pub(super) fn to_v1(object: &mut Value) {
    let metrics = take(&mut object["spec"], "metrics");
    if let Some(cpu) = split(object, metrics, "target", METRICS) {
        object["spec"]["targetCPUUtilizationPercentage"] = cpu;
    }
    let current = take(&mut object["status"], "currentMetrics");
    if let Some(cpu) = split(object, current, "current", CURRENT_METRICS) {
        object["status"]["currentCPUUtilizationPercentage"] = cpu;
    }
    for (part, member, annotation) in [("status", "conditions", CONDITIONS), ("spec", "behavior", BEHAVIOR)] {
        let value = take(&mut object[part], member);
        if !value.is_null() {
            annotate(object, annotation, &value);
        }
    }
}

/// Upstream: who asks for no metric at all gets this much CPU.
pub(super) fn default_target(object: &mut Value) {
    const PERCENT: i64 = 80;
    let others = object::meta::annotation(object, METRICS).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let has_others = others.is_some_and(|others| others.as_array().is_some_and(|others| !others.is_empty()));
    if object["spec"]["targetCPUUtilizationPercentage"].is_null() && !has_others {
        object["spec"]["targetCPUUtilizationPercentage"] = Value::from(PERCENT);
    }
}

/// The first CPU metric's number; the others go into an annotation.
fn split(object: &mut Value, metrics: Value, value: &str, annotation: &str) -> Option<Value> {
    let mut rest = metrics.as_array().cloned().unwrap_or_default();
    let cpu = rest.iter().position(|m| is_cpu(m, value)).map(|at| rest.remove(at)["resource"][value]["averageUtilization"].clone());
    if !rest.is_empty() {
        annotate(object, annotation, &Value::from(rest));
    }
    cpu
}

pub(super) fn to_v2(object: &mut Value) {
    let target = take(&mut object["spec"], "targetCPUUtilizationPercentage");
    let metrics = joined(object, target, "target", METRICS);
    put(&mut object["spec"], "metrics", metrics);
    let current = take(&mut object["status"], "currentCPUUtilizationPercentage");
    let metrics = joined(object, current, "current", CURRENT_METRICS);
    put(&mut object["status"], "currentMetrics", metrics);
    for (part, member, annotation) in [("status", "conditions", CONDITIONS), ("spec", "behavior", BEHAVIOR)] {
        let value = take_annotation(object, annotation);
        put(&mut object[part], member, value);
    }
}

fn joined(object: &mut Value, cpu: Value, value: &str, annotation: &str) -> Value {
    let mut metrics = Vec::new();
    if !cpu.is_null() {
        let mut measured = json!({"averageUtilization": cpu});
        if value == "target" {
            measured["type"] = Value::from("Utilization");
        }
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", value: measured}}));
    }
    if let Value::Array(rest) = take_annotation(object, annotation) {
        metrics.extend(rest);
    }
    if metrics.is_empty() { Value::Null } else { Value::from(metrics) }
}

fn take(part: &mut Value, member: &str) -> Value {
    part.as_object_mut().and_then(|map| map.remove(member)).unwrap_or_default()
}

fn put(part: &mut Value, member: &str, value: Value) {
    if !value.is_null() {
        part[member] = value;
    }
}

fn annotate(object: &mut Value, annotation: &str, value: &Value) {
    let annotations = object::meta::metadata_mut(object).entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    annotations[annotation] = Value::from(value.to_string());
}

/// An annotation that is no JSON stays where it is: it is not ours.
fn take_annotation(object: &mut Value, annotation: &str) -> Value {
    let Some(value) = object::meta::annotation(object, annotation).and_then(|text| serde_json::from_str(text).ok()) else {
        return Value::Null;
    };
    let metadata = object::meta::metadata_mut(object);
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(annotation);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    value
}
