//! The `PodStatus` that tells how a pod stands. Upstream: `generateAPIPodStatus` and what the status manager adds to it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, PodCondition, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::condition;
use crate::container_status::{self, whole_second};
use crate::end;
use crate::memory::Cause;
use crate::phase::{self, Phase};
use crate::resize;
use crate::resources;
use crate::view::View;

/// The status as it stands now; `view.memory.reported` is the one before.
pub fn status(view: &View, now: Timestamp) -> PodStatus {
    let before = &view.memory.reported;
    let is_down = end::is_down(view);
    let mut statuses = container_status::all(view);
    let was = Phase::read(before.phase.as_deref());
    let shown = Phase::read(view.pod.status.phase.as_deref());
    let mut phase = phase::phase(view.pod, &statuses, is_down, view.has_active_regular());
    if !phase.is_terminal() {
        phase = if was.is_terminal() {
            was
        } else if shown.is_terminal() {
            shown
        } else {
            phase
        };
    }
    let (mut reason, mut message) = (None, None);
    if phase == was {
        reason = before.reason.clone().or_else(|| view.pod.status.reason.clone());
        message = before.message.clone().or_else(|| view.pod.status.message.clone());
    }
    let eviction = end::eviction(view, now);
    if let Some(eviction) = &eviction {
        phase = Phase::Failed;
        (reason, message) = (Some(eviction.reason.clone()), Some(eviction.message.clone()));
    }
    if shown.is_terminal() {
        phase = shown;
    }
    if is_down {
        container_status::close(view, &mut statuses);
        if !phase.is_terminal() {
            phase = Phase::Failed;
        }
    } else if phase.is_terminal() && !shown.is_terminal() && may_run(view) {
        // Whoever waits for the end must not see it before nothing runs.
        (phase, reason, message) = (was, before.reason.clone(), before.message.clone());
    }
    let is_disruption = is_down && eviction.as_ref().is_some_and(|e| e.cause == Cause::Disruption);
    let mut conditions = condition::conditions(view, &statuses, phase, is_disruption.then(|| eviction.as_ref().map_or("", |e| &e.message)));
    date(&mut conditions, before.conditions.as_deref().unwrap_or_default(), now);
    let start_time = before.start_time.clone().or_else(|| view.pod.status.start_time.clone());
    let mut status = PodStatus {
        phase: Some(phase.as_str().to_owned()),
        reason,
        message,
        conditions: Some(conditions),
        start_time: start_time.or(Some(Time(whole_second(now)))),
        qos_class: Some(resources::qos_class(view.pod).to_owned()),
        observed_generation: view.pod.meta.generation,
        init_container_statuses: some_if_any(statuses.init),
        container_statuses: some_if_any(statuses.regular),
        ephemeral_container_statuses: some_if_any(statuses.ephemeral),
        resources: Some(resize::pod_resources(view, phase.as_str() == "Running")),
        allocated_resources: Some(resources::pod_requests(view.pod)),
        resource_claim_statuses: view.pod.status.resource_claim_statuses.clone(),
        ..PodStatus::default()
    };
    add_addresses(view, before, &mut status);
    if eviction.is_some_and(|e| e.cause == Cause::Refusal) && view.instances.is_empty() {
        return refused(view, status);
    }
    status
}

/// Upstream says no more of a pod it does not take than that and why.
fn refused(view: &View, status: PodStatus) -> PodStatus {
    PodStatus {
        phase: status.phase,
        reason: status.reason,
        message: status.message,
        start_time: status.start_time,
        qos_class: status.qos_class,
        observed_generation: status.observed_generation,
        conditions: view.pod.status.conditions.clone(),
        ..PodStatus::default()
    }
}

fn may_run(view: &View) -> bool {
    view.running().next().is_some() || view.memory.containers.values().any(|m| m.is_starting)
}

fn some_if_any<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn date(conditions: &mut [PodCondition], before: &[PodCondition], now: Timestamp) {
    for condition in conditions.iter_mut().filter(|c| c.last_transition_time.is_none()) {
        let same = before.iter().find(|b| b.type_ == condition.type_ && b.status == condition.status);
        let since = same.and_then(|b| b.last_transition_time.clone());
        condition.last_transition_time = Some(since.unwrap_or(Time(whole_second(now))));
    }
}

fn add_addresses(view: &View, before: &PodStatus, status: &mut PodStatus) {
    status.host_ip = view.host_ips.first().cloned();
    status.host_ips = some_if_any(view.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let ips: Vec<String> = if view.pod.is_host_network() {
        view.host_ips.to_vec()
    } else if let Some(sandbox) = view.sandboxes.first().filter(|s| !s.ips.is_empty()) {
        sandbox.ips.clone()
    } else {
        before.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect()
    };
    status.pod_ip = ips.first().cloned();
    status.pod_ips = some_if_any(ips.into_iter().map(|ip| PodIP { ip }).collect());
}
