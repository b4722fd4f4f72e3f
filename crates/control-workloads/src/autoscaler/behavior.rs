//! How fast and how nervously replicas may change: stabilization over recent recommendations, and limits of rate.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// Upstream: `--horizontal-pod-autoscaler-downscale-stabilization`.
const DOWN_STABILIZATION: SignedDuration = SignedDuration::from_mins(5);
/// Upstream: without rules, at most the double, or four.
const UP_FACTOR_MAX: i32 = 2;
const UP_ALWAYS: i32 = 4;

/// What is remembered of one autoscaler: no object tells it. Lost on a restart, as upstream's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    recommendations: Vec<(Timestamp, i32)>,
    ups: Vec<(Timestamp, i32)>,
    downs: Vec<(Timestamp, i32)>,
}

/// A number with the word and sentence of the condition that tells why it is that.
pub(super) struct Limited {
    pub(super) replicas: i32,
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
}

pub(super) struct Range {
    pub(super) current: i32,
    pub(super) min: i32,
    pub(super) max: i32,
}

const IN_RANGE: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FEW: (&str, &str) = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_MANY: (&str, &str) = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const UP_LIMIT: (&str, &str) = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: (&str, &str) = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");

fn limited(replicas: i32, (reason, message): (&'static str, &'static str)) -> Limited {
    Limited { replicas, reason, message }
}

impl Memory {
    /// A restarted controller takes the present number for a recommendation, so that it does not shrink at once.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    pub(super) fn note_scaled(&mut self, behavior: Option<&HorizontalPodAutoscalerBehavior>, from: i32, to: i32, now: Timestamp) {
        let Some(behavior) = behavior else { return };
        let (events, rules) = if to > from { (&mut self.ups, &behavior.scale_up) } else { (&mut self.downs, &behavior.scale_down) };
        let policies = rules.iter().flat_map(|r| r.policies.iter().flatten());
        let longest = policies.map(|policy| policy.period_seconds).max().unwrap_or(0);
        events.retain(|(at, _)| *at >= now - SignedDuration::from_secs(longest.into()));
        events.push((now, (to - from).abs()));
    }

    /// The recommendation that recent ones allow; keeps the new one.
    pub(super) fn stabilize(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        current: i32,
        desired: i32,
        now: Timestamp,
    ) -> Limited {
        let up = behavior.map_or(SignedDuration::ZERO, |b| window(b.scale_up.as_ref(), SignedDuration::ZERO));
        let down = behavior.map_or(DOWN_STABILIZATION, |b| window(b.scale_down.as_ref(), DOWN_STABILIZATION));
        let recent =
            |window: SignedDuration| self.recommendations.iter().filter(move |(at, _)| *at > now - window).map(|(_, replicas)| *replicas);
        let highest = recent(down).fold(desired, i32::max);
        let replicas = match behavior {
            // Upstream: without rules growth is never held back.
            None => highest,
            Some(_) => current.max(recent(up).fold(desired, i32::min)).min(highest),
        };
        self.recommendations.retain(|(at, _)| *at > now - up.max(down));
        self.recommendations.push((now, desired));
        if replicas == desired {
            return limited(replicas, ("ReadyForNewScale", "recommended size matches current size"));
        }
        let is_up = behavior.is_some() && desired >= current;
        limited(
            replicas,
            match is_up {
                true => {
                    ("ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation")
                }
                false => (
                    "ScaleDownStabilized",
                    "recent recommendations were higher than current one, applying the highest recent recommendation",
                ),
            },
        )
    }

    /// Keeps within the range and the rate.
    pub(super) fn limit(&self, behavior: Option<&HorizontalPodAutoscalerBehavior>, range: &Range, desired: i32, now: Timestamp) -> Limited {
        let Some(behavior) = behavior else { return limit_plainly(range, desired) };
        if desired > range.current {
            let rate = self.bound(behavior.scale_up.as_ref(), range.current, true, now).max(range.current);
            let (most, why) = if range.max > rate { (rate, UP_LIMIT) } else { (range.max, TOO_MANY) };
            if desired > most {
                return limited(most, why);
            }
        } else if desired < range.current {
            let rate = self.bound(behavior.scale_down.as_ref(), range.current, false, now).min(range.current);
            let (least, why) = if range.min < rate { (rate, DOWN_LIMIT) } else { (range.min, TOO_FEW) };
            if desired < least {
                return limited(least, why);
            }
        }
        limited(desired, IN_RANGE)
    }

    /// The farthest that the rules' policies let replicas go.
    fn bound(&self, rules: Option<&HPAScalingRules>, current: i32, is_up: bool, now: Timestamp) -> i32 {
        let select = rules.and_then(|r| r.select_policy.as_deref()).unwrap_or("Max");
        if select == "Disabled" {
            return current;
        }
        let policies = rules.into_iter().flat_map(|r| r.policies.iter().flatten());
        let bounds = policies.map(|policy| {
            let since = now - SignedDuration::from_secs(policy.period_seconds.into());
            let recent = |events: &[(Timestamp, i32)]| events.iter().filter(|(at, _)| *at > since).map(|(_, n)| n).sum::<i32>();
            let began_with = current - recent(&self.ups) + recent(&self.downs);
            match (policy.type_.as_str(), is_up) {
                ("Pods", true) => began_with.saturating_add(policy.value),
                ("Pods", false) => began_with.saturating_sub(policy.value),
                // Rounded up, or a small target would never grow.
                (_, true) => (f64::from(began_with) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
                (_, false) => (f64::from(began_with) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
            }
        });
        let farthest = (select != "Min") == is_up;
        if farthest { bounds.max().unwrap_or(i32::MIN) } else { bounds.min().unwrap_or(i32::MAX) }
    }
}

fn window(rules: Option<&HPAScalingRules>, otherwise: SignedDuration) -> SignedDuration {
    let seconds = rules.and_then(|r| r.stabilization_window_seconds);
    seconds.map_or(otherwise, |seconds| SignedDuration::from_secs(seconds.into()))
}

fn limit_plainly(range: &Range, desired: i32) -> Limited {
    let rate = (range.current.saturating_mul(UP_FACTOR_MAX)).max(UP_ALWAYS);
    let (most, why) = if range.max > rate { (rate, UP_LIMIT) } else { (range.max, TOO_MANY) };
    if desired < range.min {
        limited(range.min, TOO_FEW)
    } else if desired > most {
        limited(most, why)
    } else {
        limited(desired, IN_RANGE)
    }
}
