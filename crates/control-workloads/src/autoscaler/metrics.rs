//! One metric of an autoscaler: what it proposes, what status shows of it, and upstream's words where it cannot be had.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricStatus, HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget,
    MetricValueStatus, ObjectMetricStatus, PodsMetricStatus, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as TextQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use object::Value;
use object::quantity::{Format, Quantity};

use super::replicas::{self, Goal, Proposal, Tolerances};
use super::{Target, samples};

/// Upstream: `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;

pub(super) struct Asked<'a> {
    pub(super) autoscaler: &'a HorizontalPodAutoscaler,
    pub(super) target: &'a Target<'a>,
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) current: i32,
    pub(super) now: Timestamp,
}

pub(super) struct Found {
    pub(super) replicas: i32,
    /// As events and conditions call it.
    pub(super) name: String,
    pub(super) status: MetricStatus,
}

#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: &'static str,
    /// In the event and the condition.
    pub(super) said: String,
    /// In the event that sums up.
    pub(super) returned: String,
}

type Answer = Result<Value, String>;

pub(super) fn propose(asked: &Asked<'_>, spec: &MetricSpec, answer: &Answer) -> Result<Found, Fault> {
    match spec.type_.as_str() {
        "Resource" | "ContainerResource" => resource(asked, spec, answer),
        "Pods" => of_pods(asked, spec, answer),
        "Object" => object(asked, spec, answer),
        "External" => external(asked, spec, answer),
        other => {
            let said = format!("unknown metric source type {other:?}");
            Err(Fault { reason: "InvalidMetricSourceType", returned: said.clone(), said })
        }
    }
}

impl Asked<'_> {
    fn tolerances(&self) -> Tolerances {
        let behavior = self.autoscaler.spec.behavior.as_ref();
        let stated = |rules: Option<&k8s_openapi::api::autoscaling::v2::HPAScalingRules>| {
            let tolerance = Quantity::parse(&rules?.tolerance.as_ref()?.0).ok()?;
            Some(tolerance.milli_value() as f64 / 1000.0)
        };
        Tolerances {
            down: stated(behavior.and_then(|b| b.scale_down.as_ref())).unwrap_or(TOLERANCE),
            up: stated(behavior.and_then(|b| b.scale_up.as_ref())).unwrap_or(TOLERANCE),
        }
    }

    fn target(&self) -> replicas::Target<'_> {
        replicas::Target { current: self.current, tolerances: self.tolerances(), pods: self.pods, now: self.now }
    }

    fn n_replicas(&self) -> i32 {
        self.target.scale.status.as_ref().map_or(0, |s| s.replicas)
    }

    fn namespace(&self) -> &str {
        self.autoscaler.metadata.namespace.as_deref().unwrap_or("")
    }
}

fn resource(asked: &Asked<'_>, spec: &MetricSpec, answer: &Answer) -> Result<Found, Fault> {
    let (name, container, target) = match (&spec.resource, &spec.container_resource) {
        (Some(source), _) => (source.name.as_str(), None, &source.target),
        (None, Some(source)) => (source.name.as_str(), Some(source.container.as_str()), &source.target),
        (None, None) => ("", None, &MetricTarget::default()),
    };
    let (reason, label) = match container {
        None => ("FailedGetResourceMetric", format!("{name} resource")),
        Some(container) => ("FailedGetContainerResourceMetric", format!("{container} container")),
    };
    let is_average = target.average_value.is_some();
    let proposal = by_resource(asked, name, container, target, answer).map_err(|fault| {
        let said = format!("failed to get {name} {}: {fault}", if is_average { "usage" } else { "utilization" });
        Fault { reason, returned: format!("failed to get {label} metric value: {said}"), said }
    })?;
    let average_value = Some(quantity(name, proposal.average_milli));
    let current = MetricValueStatus { average_utilization: proposal.utilization, average_value, value: None };
    let shown = match (is_average, container) {
        (true, _) => format!("{name} resource"),
        (false, None) => format!("{name} resource utilization (percentage of request)"),
        (false, Some(_)) => format!("{name} container resource utilization (percentage of request)"),
    };
    let mut status = MetricStatus { type_: spec.type_.clone(), ..MetricStatus::default() };
    match container {
        None => status.resource = Some(ResourceMetricStatus { name: name.to_owned(), current }),
        Some(container) => {
            status.container_resource =
                Some(ContainerResourceMetricStatus { name: name.to_owned(), container: container.to_owned(), current });
        }
    }
    Ok(Found { replicas: proposal.replicas, name: shown, status })
}

fn by_resource(asked: &Asked<'_>, name: &str, container: Option<&str>, target: &MetricTarget, answer: &Answer) -> Result<Proposal, String> {
    let samples = match answer {
        Ok(list) => samples::of_resource(list, name, container),
        Err(fault) => Err(format!("unable to fetch metrics from resource metrics API: {fault}")),
    };
    let samples = samples.map_err(|fault| format!("unable to get metrics for resource {name}: {fault}"))?;
    let goal = match (&target.average_value, target.average_utilization) {
        (Some(average), _) => Goal::Average(milli(Some(average))),
        (None, Some(percent)) => {
            if asked.pods.is_empty() {
                return Err("no pods returned by selector while calculating replica count".to_owned());
            }
            let requests = samples::requests(asked.pods.iter().map(|pod| &**pod), name, container)?;
            Goal::Utilization { percent, requests }
        }
        (None, None) => {
            return Err(
                "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set"
                    .to_owned(),
            );
        }
    };
    replicas::by_pods(&asked.target(), samples, &goal, name == "cpu")
}

fn of_pods(asked: &Asked<'_>, spec: &MetricSpec, answer: &Answer) -> Result<Found, Fault> {
    let source = spec.pods.clone().unwrap_or_default();
    let name = &source.metric.name;
    let samples = match answer {
        Ok(list) => samples::of_pods(list),
        Err(fault) => Err(format!("unable to fetch metrics from custom metrics API: {fault}")),
    };
    let goal = Goal::Average(milli(source.target.average_value.as_ref()));
    let proposal = samples
        .map_err(|fault| format!("unable to get metric {name}: {fault}"))
        .and_then(|samples| replicas::by_pods(&asked.target(), samples, &goal, false));
    let proposal = proposal.map_err(|said| Fault {
        reason: "FailedGetPodsMetric",
        returned: format!("failed to get pods metric value: {said}"),
        said,
    })?;
    let current = MetricValueStatus { average_value: Some(quantity("", proposal.average_milli)), ..MetricValueStatus::default() };
    let name = format!("pods metric {name}");
    let status = PodsMetricStatus { metric: source.metric, current };
    Ok(Found {
        replicas: proposal.replicas,
        name,
        status: MetricStatus { type_: spec.type_.clone(), pods: Some(status), ..MetricStatus::default() },
    })
}

/// What one value for the whole target proposes, and how status shows it; the error says that there is nothing to compare with.
fn by_value(asked: &Asked<'_>, usage: i64, target: &MetricTarget) -> Option<Result<(i32, MetricValueStatus), String>> {
    if let Some(wanted) = target.average_value.as_ref() {
        let (replicas, of_each) = replicas::by_value_per_pod(asked.n_replicas(), asked.tolerances(), usage, milli(Some(wanted)));
        return Some(Ok((replicas, MetricValueStatus { average_value: Some(quantity("", of_each)), ..MetricValueStatus::default() })));
    }
    let wanted = target.value.as_ref()?;
    let proposed = replicas::by_value(&asked.target(), usage, milli(Some(wanted)));
    Some(proposed.map(|replicas| (replicas, MetricValueStatus { value: Some(quantity("", usage)), ..MetricValueStatus::default() })))
}

fn object(asked: &Asked<'_>, spec: &MetricSpec, answer: &Answer) -> Result<Found, Fault> {
    let source = spec.object.clone().unwrap_or_default();
    let (metric, described) = (&source.metric.name, &source.described_object);
    let usage = match answer {
        Ok(list) => samples::of_object(list),
        Err(fault) => Err(format!("unable to fetch metrics from custom metrics API: {fault}")),
    };
    let usage = usage
        .map_err(|fault| format!("unable to get metric {metric} on {} {}/{}: {fault}", described.kind, asked.namespace(), described.name));
    let proposed = usage.and_then(|usage| {
        by_value(asked, usage, &source.target)
            .unwrap_or_else(|| Err("invalid object metric source: neither a value target nor an average value target was set".to_owned()))
    });
    let is_average = source.target.average_value.is_some();
    let (replicas, current) = proposed.map_err(|said| {
        let step = if is_average { format!("failed to get {metric} object metric: {said}") } else { said.clone() };
        Fault { reason: "FailedGetObjectMetric", returned: format!("failed to get object metric value: {step}"), said }
    })?;
    let name = match is_average {
        true => external_name(metric, source.metric.selector.as_ref()),
        false => format!("{} metric {metric}", described.kind),
    };
    let status = ObjectMetricStatus { metric: source.metric.clone(), described_object: described.clone(), current };
    Ok(Found { replicas, name, status: MetricStatus { type_: spec.type_.clone(), object: Some(status), ..MetricStatus::default() } })
}

fn external(asked: &Asked<'_>, spec: &MetricSpec, answer: &Answer) -> Result<Found, Fault> {
    let source = spec.external.clone().unwrap_or_default();
    let (metric, selector) = (&source.metric.name, source.metric.selector.as_ref());
    let usage = match answer {
        Ok(list) => samples::of_external(list),
        Err(fault) => Err(format!("unable to fetch metrics from external metrics API: {fault}")),
    };
    let usage = usage.map_err(|fault| format!("unable to get external metric {}/{metric}/{}: {fault}", asked.namespace(), shown(selector)));
    let proposed = usage.and_then(|usage| {
        by_value(asked, usage, &source.target)
            .unwrap_or_else(|| Err("invalid external metric source: neither a value target nor an average value target was set".to_owned()))
    });
    let (replicas, current) = proposed.map_err(|said| {
        let step = match source.target.average_value {
            Some(_) => format!("failed to get {metric} external metric: {said}"),
            None => format!("failed to get external metric {metric}: {said}"),
        };
        Fault { reason: "FailedGetExternalMetric", returned: format!("failed to get {metric} external metric value: {step}"), said }
    })?;
    let name = external_name(metric, selector);
    let status = ExternalMetricStatus { metric: source.metric.clone(), current };
    Ok(Found { replicas, name, status: MetricStatus { type_: spec.type_.clone(), external: Some(status), ..MetricStatus::default() } })
}

fn external_name(metric: &str, selector: Option<&LabelSelector>) -> String {
    format!("external metric {metric}({})", shown(selector))
}

/// Upstream: Go's own form of the selector.
fn shown(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let pairs = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}: {value},")).collect::<String>();
    let terms = selector.match_expressions.iter().flatten().map(|term| {
        let values = term.values.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        format!("LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},", term.key, term.operator)
    });
    let terms = terms.collect::<String>();
    format!("&LabelSelector{{MatchLabels:map[string]string{{{pairs}}},MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}")
}

fn milli(quantity: Option<&TextQuantity>) -> i64 {
    quantity.and_then(|q| Quantity::parse(&q.0).ok()).map_or(0, Quantity::milli_value)
}

/// Memory is shown in powers of two, as the metrics API shows it.
fn quantity(resource: &str, milli: i64) -> TextQuantity {
    let quantity = match resource {
        "memory" if milli % 1000 == 0 => Quantity::from_units(milli / 1000, Format::BinarySi),
        _ => Quantity::from_millis(milli),
    };
    TextQuantity(quantity.to_string())
}
