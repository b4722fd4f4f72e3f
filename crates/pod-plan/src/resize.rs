//! Bringing running containers to the amounts their pod was granted: which cgroups to write, in which order, and who has to restart.
//!
//! Upstream: `computePodResizeAction` and `doPodResizeAction`. Memory goes before CPU; a limit of the whole pod grows before its
//! containers' and shrinks after them.

use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use object::quantity::{Format, Quantity};

use crate::effect::{Effect, Lowered, Plan, Resize, Step};
use crate::pod::{BoundPod, Role};
use crate::probing;
use crate::resources::{self, Cgroup, List};
use crate::view::{Instance, View};

/// What an instance was given, limits of the pod as a whole included: by the last resize; else, after a restart of the node agent, as
/// the API was told; else when it was made.
pub(crate) fn actuated(view: &View, instance: &Instance) -> ResourceRequirements {
    if let Some(resized) = view.memory.instances.get(&instance.id).and_then(|m| m.resources.as_ref()) {
        return resized.clone();
    }
    let shown = probing::shown_status(view, instance).filter(|s| s.state.as_ref().is_some_and(|s| s.running.is_some()));
    match shown.and_then(|s| s.resources.as_ref()) {
        Some(shown) => effective(view.pod, Some(shown)),
        None => instance.resources.clone(),
    }
}

/// Limits a container does not state are the pod's.
pub fn effective(pod: &BoundPod, own: Option<&ResourceRequirements>) -> ResourceRequirements {
    let mut resources = own.cloned().unwrap_or_default();
    for (name, amount) in pod.spec.resources.iter().filter_map(|whole| whole.limits.as_ref()).flatten() {
        if matches!(name.as_str(), "cpu" | "memory") {
            resources.limits.get_or_insert_default().entry(name.clone()).or_insert_with(|| amount.clone());
        }
    }
    resources
}

/// Does anything of the pod still have other amounts than it was granted?
pub(crate) fn is_in_progress(view: &View) -> bool {
    changed(view).next().is_some() || is_pod_changed(view)
}

fn is_pod_changed(view: &View) -> bool {
    let has_sandbox = view.sandbox().is_ok();
    has_sandbox && view.memory.pod_cgroup.as_ref().is_some_and(|set| *set != resources::pod_cgroup(view.pod))
}

/// What the pod as a whole has: as its own group is limited, once it runs. Upstream: `convertToAPIPodLevelResourcesStatus`.
pub(crate) fn pod_resources(view: &View, is_running: bool) -> ResourceRequirements {
    let pod = view.pod;
    let mut shown = pod.spec.resources.clone().unwrap_or_default();
    let (requests, limits) = (resources::pod_requests(pod), resources::pod_limits(pod));
    if !is_running {
        (shown.requests, shown.limits) = (Some(requests), Some(limits));
        return shown;
    }
    let granted = resources::pod_cgroup(pod);
    let set = view.memory.pod_cgroup.as_ref().unwrap_or(&granted);
    let text = |quantity: Quantity| k8s_openapi::apimachinery::pkg::api::resource::Quantity(quantity.to_string());
    let shown_requests = shown.requests.get_or_insert_default();
    if let Some(memory) = requests.get("memory") {
        shown_requests.entry("memory".to_owned()).or_insert_with(|| memory.clone());
    }
    let cpu = if set.cpu_shares == granted.cpu_shares { requests.get("cpu").cloned() } else { set.cpu_shares.map(|s| text(milli_of(s))) };
    if let Some(cpu) = cpu {
        shown_requests.insert("cpu".to_owned(), cpu);
    }
    let shown_limits = shown.limits.get_or_insert_default();
    if let Some(quota) = set.cpu_quota.filter(|quota| *quota > 0) {
        let period = set.cpu_period.and_then(|p| i64::try_from(p).ok()).unwrap_or(100_000).max(1);
        shown_limits.insert("cpu".to_owned(), text(Quantity::from_millis(quota * 1000 / period)));
    }
    if let Some(limit) = set.memory_limit.and_then(|l| i64::try_from(l).ok()) {
        shown_limits.insert("memory".to_owned(), text(Quantity::from_units(limit, Format::BinarySi)));
    }
    shown
}

fn milli_of(shares: u64) -> Quantity {
    Quantity::from_millis(i64::try_from((shares * 1000).div_ceil(1024)).unwrap_or(0))
}

struct Change<'a> {
    instance: &'a Instance,
    container: &'a Container,
    before: Amounts,
    after: Amounts,
}

/// Running containers whose amounts differ.
fn changed<'a>(view: &View<'a>) -> impl Iterator<Item = Change<'a>> {
    let view = *view;
    let running = view.pod.containers().filter(|(role, _)| *role != Role::Ephemeral);
    running.filter_map(move |(_, container)| {
        let instance = view.latest(&container.name).filter(|i| i.is_running())?;
        let before = Amounts::of(&actuated(&view, instance));
        let after = Amounts::of(&effective(view.pod, container.resources.as_ref()));
        (before != after).then_some(Change { instance, container, before, after })
    })
}

/// The message when a running container has to be made anew for its new amounts.
pub(crate) fn restart_message(view: &View, container: &Container) -> Option<String> {
    let change = changed(view).find(|c| c.container.name == container.name)?;
    needs_restart(&change).then(|| format!("Container {} resize requires restart", container.name))
}

fn needs_restart(change: &Change) -> bool {
    let restarts = |name: &str| {
        let policy = change.container.resize_policy.iter().flatten().find(|p| p.resource_name == name);
        policy.is_some_and(|p| p.restart_policy == "RestartContainer")
    };
    let (before, after) = (&change.before, &change.after);
    let is_cpu = (before.cpu_request, before.cpu_limit) != (after.cpu_request, after.cpu_limit);
    let is_memory = (before.memory_request, before.memory_limit) != (after.memory_request, after.memory_limit);
    (is_cpu && restarts("cpu")) || (is_memory && restarts("memory"))
}

/// Adds the resize that is due. Those that have to restart come first: the pod's group follows them.
pub(crate) fn plan_resize(view: &View, plan: &mut Plan) {
    if !is_in_progress(view) {
        return;
    }
    plan.resizing = Some(view.pod.granted_generation.unwrap_or_else(|| view.pod.generation()));
    let changes: Vec<Change> = changed(view).collect();
    if changes.iter().any(needs_restart) {
        return;
    }
    let Ok(sandbox) = view.sandbox() else { return };
    plan.effects.push(Effect::Resize(Box::new(resize(view, &sandbox.id, &changes))));
}

fn resize(view: &View, sandbox_id: &str, changes: &[Change]) -> Resize {
    let pod = resources::pod_cgroup(view.pod);
    let set = view.memory.pod_cgroup.clone().unwrap_or_default();
    let of = |change: &Change| resources::container_cgroup(view.pod, change.container);
    let mut steps = Vec::new();
    let memory = |cgroup: &Cgroup| Cgroup { memory_limit: cgroup.memory_limit, ..Cgroup::default() };
    let cpu = |cgroup: &Cgroup| Cgroup { memory_limit: None, ..cgroup.clone() };
    let quota = |cgroup: &Cgroup| Cgroup { cpu_quota: cgroup.cpu_quota, cpu_period: cgroup.cpu_period, ..Cgroup::default() };
    let shares = |cgroup: &Cgroup| Cgroup { cpu_shares: cgroup.cpu_shares, ..Cgroup::default() };
    let limit = |value: Option<u64>| value.unwrap_or(u64::MAX);
    let quota_of = |value: Option<i64>| value.unwrap_or(i64::MAX);

    let mut by_memory: Vec<&Change> = changes.iter().filter(|c| c.before.memory_limit != c.after.memory_limit).collect();
    by_memory.sort_by_key(|c| limit(c.after.memory_limit) > limit(c.before.memory_limit));
    let mut by_cpu: Vec<&Change> = changes.iter().filter(|c| c.before.cpu() != c.after.cpu()).collect();
    by_cpu.sort_by_key(|c| c.after.cpu() > c.before.cpu());

    let of_pod = |is_due: bool, cgroup: Cgroup, steps: &mut Vec<Step>| {
        if is_due && cgroup != Cgroup::default() {
            steps.push(Step { id: None, cgroup });
        }
    };
    of_pod(limit(pod.memory_limit) > limit(set.memory_limit), memory(&pod), &mut steps);
    steps.extend(by_memory.iter().map(|c| Step { id: Some(c.instance.id.clone()), cgroup: memory(&of(c)) }));
    of_pod(limit(pod.memory_limit) < limit(set.memory_limit), memory(&pod), &mut steps);

    of_pod(quota_of(pod.cpu_quota) > quota_of(set.cpu_quota), quota(&pod), &mut steps);
    of_pod(pod.cpu_shares > set.cpu_shares, shares(&pod), &mut steps);
    steps.extend(by_cpu.iter().map(|c| Step { id: Some(c.instance.id.clone()), cgroup: cpu(&of(c)) }));
    of_pod(pod.cpu_shares < set.cpu_shares, shares(&pod), &mut steps);
    of_pod(quota_of(pod.cpu_quota) < quota_of(set.cpu_quota), quota(&pod), &mut steps);

    Resize {
        sandbox_id: sandbox_id.to_owned(),
        steps,
        lowered: lowered(changes, &pod, &set),
        instances: changes.iter().map(|c| (c.instance.id.clone(), effective(view.pod, c.container.resources.as_ref()))).collect(),
        pod,
    }
}

fn lowered(changes: &[Change], pod: &Cgroup, set: &Cgroup) -> Vec<Lowered> {
    let is_lower = |after: Option<u64>, before: Option<u64>| after.filter(|after| before.is_none_or(|before| *after < before));
    let of_pod = is_lower(pod.memory_limit, set.memory_limit).map(|limit| Lowered { container: None, limit });
    let of_containers = changes.iter().filter_map(|change| {
        let limit = is_lower(change.after.memory_limit, change.before.memory_limit)?;
        Some(Lowered { container: Some((change.instance.id.clone(), change.container.name.clone())), limit })
    });
    of_pod.into_iter().chain(of_containers).collect()
}

/// What can be resized, as plain numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Amounts {
    cpu_request: i64,
    cpu_limit: Option<i64>,
    memory_request: i64,
    memory_limit: Option<u64>,
}

impl Amounts {
    fn of(resources: &ResourceRequirements) -> Self {
        let amount = |list: &Option<List>, name| Quantity::parse(&list.as_ref()?.get(name)?.0).ok().filter(|q: &Quantity| !q.is_zero());
        let limit = |name| amount(&resources.limits, name);
        let request = |name| amount(&resources.requests, name).unwrap_or(Quantity::ZERO);
        Amounts {
            cpu_request: request("cpu").milli_value(),
            cpu_limit: limit("cpu").map(Quantity::milli_value),
            memory_request: request("memory").value(),
            memory_limit: limit("memory").and_then(|q| u64::try_from(q.value()).ok()),
        }
    }

    /// No limit is the highest.
    fn cpu(&self) -> (i64, i64) {
        (self.cpu_limit.unwrap_or(i64::MAX), self.cpu_request)
    }
}
