//! autoscaling: HorizontalPodAutoscalers, in the form of v2.

use std::collections::BTreeMap;

use super::pods::{quantity, validate_container_name};
use crate::check::{At, Faults, NOT_NEGATIVE};

const WINDOW_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;

pub(crate) fn validate(autoscaler: &At<'_>, faults: &mut Faults) {
    let spec = autoscaler.get("spec");
    let (least, most) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    if least.int() < 0 {
        faults.twice(|faults| faults.invalid_int(&least, NOT_NEGATIVE));
    }
    if most.int() == 0 {
        faults.covered(|faults| faults.required(&most, "must be set and greater than 0"));
        faults.later(|faults| faults.required(&most, ""));
    } else if most.int() < 0 {
        faults.twice(|faults| faults.invalid_int(&most, "must be greater than or equal to 1"));
    }
    if least.is_set() && most.int() < least.int() {
        faults.invalid_int(&most, "must be greater than or equal to `minReplicas`");
    }
    validate_reference(&spec.get("scaleTargetRef"), "", faults);
    let metrics = spec.get("metrics");
    for metric in metrics.items() {
        validate_metric(&metric, faults);
    }
    let is_from_elsewhere = metrics.items().any(|metric| matches!(metric.get("type").text(), "Object" | "External"));
    if least.is_set() && least.int() == 0 && !is_from_elsewhere {
        faults.forbidden(&metrics, "must specify at least one Object or External metric to support scaling to zero replicas");
    }
    for rules in ["scaleUp", "scaleDown"] {
        validate_rules(&spec.get("behavior").get(rules), faults);
    }
}

pub(crate) fn validate_update(subresource: &str, _: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    if subresource != "status" {
        return validate(new, faults);
    }
    let status = new.get("status");
    for condition in status.get("conditions").items() {
        faults.not_negative(&condition.get("observedGeneration"));
    }
    faults.not_negative(&status.get("currentReplicas"));
    faults.not_negative(&status.get("desiredReplicas"));
}

/// `plain` is a version that may stand without a group.
fn validate_reference(at: &At<'_>, plain: &str, faults: &mut Faults) {
    faults.need_segment(&at.get("kind"));
    faults.need_segment(&at.get("name"));
    let version = at.get("apiVersion");
    // Upstream: of metrics, one that is wrong already lets all be so.
    let name = if plain.is_empty() { format!("target {} {}", version.value, at.get("kind").value) } else { "metrics".to_owned() };
    faults.tolerable(name, |faults| {
        if version.text().matches('/').count() > 1 {
            faults.invalid_text(&version, format!("unexpected GroupVersion string: {}", version.text()));
        } else if plain.is_empty() && !version.text().contains('/') && version != "v1" {
            faults.invalid_text(&version, "apiVersion must specify API group");
        }
    });
}

type Source = fn(&At<'_>, &mut Faults);

/// The types of metrics in upstream's order: the word, its field, the rule.
const SOURCES: &[(&str, &str, Source)] = &[
    ("Object", "object", validate_object),
    ("External", "external", validate_external),
    ("Pods", "pods", validate_pods),
    ("Resource", "resource", validate_resource),
    ("ContainerResource", "containerResource", validate_container),
];
const WORDS: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

fn validate_metric(metric: &At<'_>, faults: &mut Faults) {
    let kind = metric.get("type");
    if !kind.has_text() {
        faults.required(&kind, "must specify a metric source type");
    }
    let wanted = SOURCES.iter().find(|(word, ..)| kind == *word).map(|(_, field, _)| *field);
    if wanted.is_none() {
        faults.not_supported(&kind, WORDS);
    }
    let present: Vec<_> = SOURCES.iter().filter(|(_, field, _)| metric.get(field).is_set()).collect();
    if let Some((_, field, validate)) = present.first() {
        validate(&metric.get(field), faults);
    }
    if let Some(field) = wanted.filter(|field| !metric.get(field).is_set()) {
        faults.required(&metric.get(field), "must populate information for the given metric source");
    }
    if present.len() != 1 {
        for (_, field, _) in present.iter().filter(|(_, field, _)| Some(*field) != wanted) {
            faults.forbidden(&metric.get(field), "must populate the given metric source only");
        }
    }
}

fn validate_object(at: &At<'_>, faults: &mut Faults) {
    validate_reference(&at.get("describedObject"), "v1", faults);
    validate_name(&at.get("metric"), faults);
    let target = validated_target(at, faults);
    if !target["value"].is_set() && !target["averageValue"].is_set() {
        faults.required(&target["averageValue"], "must set either a target value or averageValue");
    }
}

fn validate_external(at: &At<'_>, faults: &mut Faults) {
    validate_name(&at.get("metric"), faults);
    let target = validated_target(at, faults);
    match (target["value"].is_set(), target["averageValue"].is_set()) {
        (false, false) => faults.required(&target["averageValue"], "must set either a target value for metric or a per-pod target"),
        (true, true) => faults.forbidden(&target["value"], "may not set both a target value for metric and a per-pod target"),
        _ => {}
    }
}

fn validate_pods(at: &At<'_>, faults: &mut Faults) {
    validate_name(&at.get("metric"), faults);
    let target = validated_target(at, faults);
    if !target["averageValue"].is_set() {
        faults.required(&target["averageValue"], "must specify a positive target averageValue");
    }
}

fn validate_resource(at: &At<'_>, faults: &mut Faults) {
    if !at.get("name").has_text() {
        faults.required(&at.get("name"), "must specify a resource name");
    }
    validate_utilization(at, faults);
}

fn validate_container(at: &At<'_>, faults: &mut Faults) {
    let (name, container) = (at.get("name"), at.get("container"));
    if name.has_text() {
        validate_container_name(&name, name.text(), faults);
    } else {
        faults.required(&name, "must specify a resource name");
    }
    if container.has_text() {
        faults.label(&container);
    } else {
        faults.required(&container, "must specify a container");
    }
    validate_utilization(at, faults);
}

fn validate_utilization(at: &At<'_>, faults: &mut Faults) {
    let target = validated_target(at, faults);
    match (target["averageUtilization"].is_set(), target["averageValue"].is_set()) {
        (false, false) => {
            faults.required(&target["averageUtilization"], "must set either a target raw value or a target utilization");
        }
        (true, true) => faults.forbidden(&target["averageValue"], "may not set both a target raw value and a target utilization"),
        _ => {}
    }
}

fn validate_name(metric: &At<'_>, faults: &mut Faults) {
    let name = metric.get("name");
    if name.has_text() {
        faults.segment(&name);
    } else {
        faults.required(&name, "must specify a metric name");
    }
}

/// The parts of a target, looked at each for itself.
fn validated_target<'a>(source: &At<'a>, faults: &mut Faults) -> BTreeMap<&'static str, At<'a>> {
    let target = source.get("target");
    let kind = target.get("type");
    if !kind.has_text() {
        faults.required(&kind, "must specify a metric target type");
    }
    if !matches!(kind.text(), "Utilization" | "Value" | "AverageValue") {
        faults.invalid_text(&kind, "must be either Utilization, Value, or AverageValue");
    }
    for amount in ["value", "averageValue"].map(|field| target.get(field)).into_iter().filter(At::is_set) {
        if quantity(&amount).is_negative() || quantity(&amount).is_zero() {
            faults.invalid(&amount, "must be positive");
        }
    }
    let share = target.get("averageUtilization");
    if share.is_set() && share.int() < 1 {
        faults.invalid_int(&share, "must be greater than 0");
    }
    ["value", "averageValue", "averageUtilization"].into_iter().map(|field| (field, target.get(field))).collect()
}

fn validate_rules(rules: &At<'_>, faults: &mut Faults) {
    if !rules.is_set() {
        return;
    }
    let (window, select, policies) = (rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy"), rules.get("policies"));
    if window.int() < 0 {
        faults.invalid_int(&window, "must be greater than or equal to zero");
    }
    if window.int() > WINDOW_SECONDS_MAX {
        faults.invalid_int(&window, format!("must be less than or equal to {WINDOW_SECONDS_MAX}"));
    }
    faults.one_of(&select, &["Disabled", "Max", "Min"]);
    if policies.is_empty() {
        faults.required(&policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let (kind, value, period) = (policy.get("type"), policy.get("value"), policy.get("periodSeconds"));
        if !matches!(kind.text(), "Pods" | "Percent") {
            faults.not_supported(&kind, &["Percent", "Pods"]);
        }
        for amount in [&value, &period].into_iter().filter(|amount| amount.int() <= 0) {
            faults.invalid_int(amount, "must be greater than zero");
        }
        if period.int() > PERIOD_SECONDS_MAX {
            faults.invalid_int(&period, format!("must be less than or equal to {PERIOD_SECONDS_MAX}"));
        }
    }
    let tolerance = rules.get("tolerance");
    if quantity(&tolerance).is_negative() {
        faults.invalid(&tolerance, NOT_NEGATIVE);
    }
}
