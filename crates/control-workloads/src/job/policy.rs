//! What a job's rules say of a failed pod (`podFailurePolicy`) and of succeeded indexes (`successPolicy`).

use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicyOnExitCodesRequirement as ExitCodes, PodFailurePolicyOnPodConditionsPattern as Pattern, SuccessPolicyRule,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use super::indexes::Runs;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Count,
    Ignore,
    FailIndex,
    /// With the message of the condition.
    FailJob(String),
}

impl Verdict {
    /// Whether the failure counts towards the backoff limit.
    pub(super) fn is_counted(&self) -> bool {
        *self != Verdict::Ignore
    }
}

/// The first rule that matches decides; without one the failure counts.
pub(super) fn verdict(spec: &JobSpec, pod: &Pod) -> Verdict {
    let rules = spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
    for (i, rule) in rules.enumerate() {
        let matched = match (&rule.on_exit_codes, &rule.on_pod_conditions) {
            (Some(codes), _) => exited(pod, codes).map(|(container, code)| {
                let name = object::plan::key_of(&pod.metadata);
                format!("Container {container} for pod {name} failed with exit code {code} matching {} rule at index {i}", rule.action)
            }),
            (None, Some(patterns)) => condition(pod, patterns).map(|condition| {
                let name = object::plan::key_of(&pod.metadata);
                format!("Pod {name} has condition {} matching {} rule at index {i}", condition.type_, rule.action)
            }),
            (None, None) => None,
        };
        match (matched, rule.action.as_str()) {
            (Some(message), "FailJob") => return Verdict::FailJob(message),
            (Some(_), "Ignore") => return Verdict::Ignore,
            (Some(_), "FailIndex") => return Verdict::FailIndex,
            (Some(_), "Count") => return Verdict::Count,
            _ => {}
        }
    }
    Verdict::Count
}

/// The container that ended with one of the codes, and the code. Codes of containers that still run are not there yet.
fn exited<'a>(pod: &'a Pod, wanted: &ExitCodes) -> Option<(&'a str, i32)> {
    let status = pod.status.as_ref()?;
    let code = |container: &ContainerStatus| container.state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code);
    let is_meant = |container: &ContainerStatus| wanted.container_name.as_ref().is_none_or(|name| *name == container.name);
    let is_matching = |code: i32| match wanted.operator.as_str() {
        "In" => wanted.values.contains(&code),
        "NotIn" => !wanted.values.contains(&code),
        _ => false,
    };
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let mut ended = containers.filter(|c| is_meant(c)).filter_map(|c| Some((c.name.as_str(), code(c)?)));
    ended.find(|(_, code)| *code != 0 && is_matching(*code))
}

fn condition<'a>(pod: &'a Pod, patterns: &[Pattern]) -> Option<&'a PodCondition> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|c| patterns.iter().any(|p| p.type_ == c.type_ && p.status.as_deref().unwrap_or("True") == c.status))
}

/// Which rule the succeeded indexes fulfil, as the condition says it.
pub(super) fn success(spec: &JobSpec, succeeded: &Runs) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let completions = spec.completions.unwrap_or(0);
    let rules = &spec.success_policy.as_ref()?.rules;
    let met = rules.iter().position(|rule| is_met(rule, succeeded, completions))?;
    Some(format!("Matched rules at index {met}"))
}

fn is_met(rule: &SuccessPolicyRule, succeeded: &Runs, completions: i32) -> bool {
    let is_enough = |n: i32| rule.succeeded_count.is_some_and(|wanted| n >= wanted);
    let Some(text) = &rule.succeeded_indexes else { return is_enough(succeeded.len()) };
    let wanted = Runs::parse(text, completions);
    if wanted.is_empty() {
        return false;
    }
    let n = wanted.n_common(succeeded);
    n == wanted.len() || is_enough(n)
}
