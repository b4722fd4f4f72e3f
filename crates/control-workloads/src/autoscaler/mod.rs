//! HorizontalPodAutoscaler: as many replicas as the metrics of a target ask for, within its range and not too nervously.
//!
//! ```text
//!   scale of the target --> each metric proposes, the largest wins --> stabilized over recent recommendations --> limited in rate
//!                                                                                               --> scale written, status told
//! ```
//! What was recommended and scaled lately is no object's state: `Memory` goes in and comes out with each plan.

mod behavior;
mod metrics;
mod replicas;
mod samples;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use object::Value;
use object::key::{GroupVersionResource, ObjectKey};
use object::plan::{Change, Note, Plan, Reference, Verb, Write};

pub use self::behavior::Memory;
use self::behavior::{Limited, Range};
use crate::pods::whole_seconds;

/// Upstream: `--horizontal-pod-autoscaler-sync-period`.
const PERIOD: SignedDuration = SignedDuration::from_secs(15);

pub struct View<'a> {
    pub autoscaler: &'a HorizontalPodAutoscaler,
    /// The target's scale, and where it was; or why it could not be had.
    pub target: Result<Target<'a>, String>,
    pub memory: Memory,
    /// Why the last rescale was refused.
    pub refusal: Option<&'a str>,
}

pub struct Target<'a> {
    pub resource: GroupVersionResource,
    pub scale: &'a Scale,
    /// The pods that its selector finds; or the reason and message of why they cannot be told.
    pub pods: Result<Vec<Arc<Pod>>, (&'static str, String)>,
    /// What the metrics APIs answered for each metric of the autoscaler, in their order.
    pub answers: &'a [Result<Value, String>],
}

/// The plan, and what to remember for the next.
pub fn plan(view: &View<'_>, now: Timestamp) -> (Plan, Memory) {
    let status = view.autoscaler.status.clone().unwrap_or_default();
    let mut work = Work { view, status, memory: view.memory.clone(), plan: Plan::nothing(), now };
    work.plan.wake_by(now + PERIOD);
    match &view.target {
        Ok(target) => work.scale(target),
        Err(fault) => {
            work.warn("FailedGetScale", fault.clone());
            let text = format!("the HPA controller was unable to get the target's current scale: {fault}");
            work.set("AbleToScale", "False", "FailedGetScale", text);
        }
    }
    work.tell();
    (work.plan, work.memory)
}

struct Work<'a> {
    view: &'a View<'a>,
    status: HorizontalPodAutoscalerStatus,
    memory: Memory,
    plan: Plan,
    now: Timestamp,
}

/// Where to go, and why.
struct Decision {
    desired: i32,
    reason: String,
    metrics: Option<Vec<MetricStatus>>,
}

impl Work<'_> {
    fn scale(&mut self, target: &Target<'_>) {
        let current = target.scale.spec.as_ref().and_then(|s| s.replicas).unwrap_or(0);
        self.set("AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale");
        self.memory.begin(current, self.now);
        let decision = match self.decide(target, current) {
            Ok(decision) => decision,
            Err(metrics) => return self.put_status(current, self.status.desired_replicas, metrics),
        };
        let desired = decision.desired;
        if desired != current {
            self.rescale(target, current, &decision);
        }
        self.put_status(current, desired, decision.metrics);
        if desired != current && self.view.refusal.is_none() {
            self.status.last_scale_time = Some(whole_seconds(self.now));
        }
    }

    fn range(&self) -> (i32, i32) {
        let spec = &self.view.autoscaler.spec;
        (spec.min_replicas.unwrap_or(1), spec.max_replicas)
    }

    /// An error leaves the target as it is, with what is known of the metrics.
    fn decide(&mut self, target: &Target<'_>, current: i32) -> Result<Decision, Option<Vec<MetricStatus>>> {
        let (min, max) = self.range();
        let fixed = |desired, reason: &str| Ok(Decision { desired, reason: reason.to_owned(), metrics: None });
        let was_scaled_to_zero = self.status.conditions.iter().flatten().any(|c| c.type_ == "ScaledToZero" && c.status == "True");
        if current == 0 && !(was_scaled_to_zero && (min != 0 || self.has_target_metrics())) {
            self.set("ScalingActive", "False", "ScalingDisabled", "scaling is disabled since the replica count of the target is zero");
            return fixed(0, "");
        }
        if current > max {
            return fixed(max, "Current number of replicas above Spec.MaxReplicas");
        }
        if current > 0 && current < min {
            return fixed(min, "Current number of replicas below Spec.MinReplicas");
        }
        let (proposed, metric, statuses) = self.propose(target, current)?;
        let mut reason = match proposed.cmp(&current) {
            std::cmp::Ordering::Greater => format!("{metric} above target"),
            std::cmp::Ordering::Less => "All metrics below target".to_owned(),
            std::cmp::Ordering::Equal => String::new(),
        };
        let mut desired = self.normalize(current, proposed);
        if current == 0 && desired < min {
            desired = min;
            if reason.is_empty() {
                reason = "Current number of replicas below Spec.MinReplicas".to_owned();
            }
        }
        Ok(Decision { desired, reason, metrics: Some(statuses) })
    }

    /// Metrics that tell of load also when there are no pods.
    fn has_target_metrics(&self) -> bool {
        let mut metrics = self.view.autoscaler.spec.metrics.iter().flatten();
        metrics.any(|metric| matches!(metric.type_.as_str(), "Object" | "External"))
    }

    /// The largest number that a metric asks for. Where some cannot be had, the target may grow and not shrink.
    fn propose(&mut self, target: &Target<'_>, current: i32) -> Result<(i32, String, Vec<MetricStatus>), Option<Vec<MetricStatus>>> {
        let pods = match &target.pods {
            Ok(pods) => pods,
            Err((reason, text)) => {
                self.warn(reason, text.clone());
                let is_missing = *reason == "SelectorRequired";
                let told = if is_missing { "the HPA target's scale is missing a selector" } else { text.as_str() };
                self.set("ScalingActive", "False", if is_missing { "InvalidSelector" } else { reason }, told);
                self.warn("FailedComputeMetricsReplicas", text.clone());
                return Err(None);
            }
        };
        let specs = self.view.autoscaler.spec.metrics.clone().unwrap_or_default();
        let asked = metrics::Asked { autoscaler: self.view.autoscaler, target, pods, current, now: self.now };
        let (mut best, mut statuses, mut faults) = (None, Vec::new(), Vec::new());
        for (spec, answer) in specs.iter().zip(target.answers) {
            match metrics::propose(&asked, spec, answer) {
                Ok(found) => {
                    statuses.push(found.status);
                    if best.as_ref().is_none_or(|(replicas, _)| found.replicas > *replicas) {
                        best = Some((found.replicas, found.name));
                    }
                }
                Err(fault) => {
                    // Upstream: an empty one keeps its place.
                    statuses.push(MetricStatus::default());
                    self.warn(fault.reason, fault.said.clone());
                    faults.push(fault);
                }
            }
        }
        let Some((replicas, name)) = best.filter(|(replicas, _)| faults.is_empty() || *replicas >= current) else {
            if let Some(first) = faults.first() {
                let text = format!("the HPA was unable to compute the replica count: {}", first.said);
                self.set("ScalingActive", "False", first.reason, text);
                let text = format!("invalid metrics ({} invalid out of {}), first error is: {}", faults.len(), specs.len(), first.returned);
                self.warn("FailedComputeMetricsReplicas", text);
            }
            return Err(Some(statuses));
        };
        let text = format!("the HPA was able to successfully calculate a replica count from {name}");
        self.set("ScalingActive", "True", "ValidMetricFound", text);
        Ok((replicas, name, statuses))
    }

    fn normalize(&mut self, current: i32, proposed: i32) -> i32 {
        let (min, max) = self.range();
        let behavior = self.view.autoscaler.spec.behavior.as_ref();
        let stable = self.memory.stabilize(behavior, current, proposed, self.now);
        self.set("AbleToScale", "True", stable.reason, stable.message);
        let Limited { replicas, reason, message } = self.memory.limit(behavior, &Range { current, min, max }, stable.replicas, self.now);
        self.set("ScalingLimited", if replicas == stable.replicas { "False" } else { "True" }, reason, message);
        replicas
    }

    fn rescale(&mut self, target: &Target<'_>, current: i32, decision: &Decision) {
        let desired = decision.desired;
        let (about, reason) = (Reference::of(self.view.autoscaler), &decision.reason);
        let mut scale = target.scale.clone();
        scale.spec.get_or_insert_default().replicas = Some(desired);
        let key = ObjectKey::new(about.namespace.as_str(), scale.metadata.name.as_deref().unwrap_or(""));
        let write = Write::Subresource {
            resource: target.resource.clone(),
            key,
            subresource: "scale",
            verb: Verb::Update,
            object: serde_json::to_value(&scale).expect("a scale is plain data"),
        };
        let done = Note::normal(about.clone(), "SuccessfulRescale", format!("New size: {desired}; reason: {reason}"));
        let failed = Note::warning(about, "FailedRescale", format!("New size: {desired}; reason: {reason}; error: "));
        self.plan.changes.push(Change::from(write).telling(done).telling_failure(failed));
        if let Some(refusal) = self.view.refusal {
            let text = format!("the HPA controller was unable to update the target scale: {refusal}");
            return self.set("AbleToScale", "False", "FailedUpdateScale", text);
        }
        let text = format!("the HPA controller was able to update the target scale to {desired}");
        self.set("AbleToScale", "True", "SucceededRescale", text);
        let behavior = self.view.autoscaler.spec.behavior.as_ref();
        self.memory.note_scaled(behavior, current, desired, self.now);
        if desired == 0 && self.has_target_metrics() {
            self.set("ScaledToZero", "True", "ScaledToZero", "the HPA controller scaled the workload to zero");
        } else {
            self.set("ScaledToZero", "False", "NotScaledToZero", "the HPA controller did not scale the workload to zero");
        }
    }

    fn put_status(&mut self, current: i32, desired: i32, metrics: Option<Vec<MetricStatus>>) {
        self.status.current_replicas = Some(current);
        self.status.desired_replicas = desired;
        self.status.current_metrics = metrics;
        self.status.observed_generation = self.view.autoscaler.metadata.generation;
    }

    fn tell(&mut self) {
        if self.view.autoscaler.status.as_ref() != Some(&self.status) {
            let told = HorizontalPodAutoscaler { status: Some(self.status.clone()), ..self.view.autoscaler.clone() };
            self.plan.changes.push(Change::update_status(&told));
        }
    }

    fn warn(&mut self, reason: &'static str, message: String) {
        self.plan.notes.push(Note::warning(Reference::of(self.view.autoscaler), reason, message));
    }

    fn set(&mut self, kind: &str, state: &str, reason: &str, message: impl Into<String>) {
        let conditions = self.status.conditions.get_or_insert_default();
        let at = conditions.iter().position(|c| c.type_ == kind).unwrap_or_else(|| {
            conditions.push(HorizontalPodAutoscalerCondition { type_: kind.to_owned(), ..HorizontalPodAutoscalerCondition::default() });
            conditions.len() - 1
        });
        let condition = &mut conditions[at];
        if condition.status != state {
            condition.last_transition_time = Some(whole_seconds(self.now));
        }
        condition.status = state.to_owned();
        condition.reason = Some(reason.to_owned());
        condition.message = Some(message.into());
    }
}
