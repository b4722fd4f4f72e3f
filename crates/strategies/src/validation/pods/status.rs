//! What may be written into the status of a pod.

use std::collections::HashSet;

use serde_json::Value;

use super::annotations;
use crate::check::{At, Faults};
use crate::shapes;

pub(super) fn validate(old: &At<'_>, new: &At<'_>, faults: &mut Faults) {
    let before = At::root(&old.value["metadata"]["annotations"]);
    annotations::validate_update(&before, &new.get("metadata").get("annotations"), &new.get("spec"), faults);
    let (before, status) = (old.get("status"), new.get("status"));
    validate_conditions(&status.get("conditions"), faults);
    validate_nomination(old, &status, faults);
    let observed = status.get("observedGeneration");
    if observed.int() < 0 {
        faults.invalid_int(&observed, "must be a non-negative integer");
    }
    faults.immutable(&before.get("qosClass"), &status.get("qosClass"));
    for (statuses, containers) in
        [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers"), ("ephemeralContainerStatuses", "")]
    {
        validate_transitions(&before.get(statuses), &status.get(statuses), containers, &old.value["spec"], faults);
    }
    validate_claims(&status.get("resourceClaimStatuses"), &new.value["spec"]["resourceClaims"], faults);
    validate_addresses(&status, "podIP", "podIPs", faults);
    validate_addresses(&status, "hostIP", "hostIPs", faults);
}

fn validate_conditions(list: &At<'_>, faults: &mut Faults) {
    for condition in list.items() {
        let (observed, kind) = (condition.get("observedGeneration"), condition.get("type").text());
        if observed.int() < 0 {
            faults.invalid_int(&observed, "must be a non-negative integer");
        }
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            // Upstream writes the field with a capital letter.
            faults.each_as(&condition.named("Type"), kind, object::names::qualified_name_faults(kind));
        }
    }
}

fn validate_nomination(old: &At<'_>, status: &At<'_>, faults: &mut Faults) {
    let nominated = status.get("nominatedNodeName");
    if !nominated.has_text() || &old.value["status"]["nominatedNodeName"] == nominated.value {
        return;
    }
    faults.subdomain(&nominated);
    if old.get("spec").get("nodeName").has_text() {
        faults.forbidden(&nominated, "may not be set on pods that are already bound to a node");
    }
}

/// A container that has ended stays so, unless it is one that is started again.
fn validate_transitions(old: &At<'_>, new: &At<'_>, containers: &str, spec: &Value, faults: &mut Faults) {
    let is_ephemeral = containers.is_empty();
    if !is_ephemeral && may_all_restart(spec) {
        return;
    }
    for (i, before) in old.list().iter().enumerate() {
        let ended = &before["state"]["terminated"];
        if ended.is_null() {
            continue;
        }
        let runs_again = |status: &&Value| status["name"] == before["name"] && status["state"]["terminated"].is_null();
        let container = spec[containers].as_array().into_iter().flatten().find(|container| container["name"] == before["name"]);
        let may_restart =
            !is_ephemeral && container.is_some_and(|container| restarts(container, spec, ended["exitCode"].as_i64().unwrap_or(0)));
        if new.list().iter().any(|status| runs_again(&status)) && !may_restart {
            faults.forbidden(&new.at(i).get("state"), "may not be transitioned to non-terminated state");
        }
    }
}

/// A rule by which the end of one container starts all anew.
fn may_all_restart(spec: &Value) -> bool {
    ["containers", "initContainers"].iter().flat_map(|list| spec[list].as_array().into_iter().flatten()).any(|container| {
        container["restartPolicyRules"].as_array().into_iter().flatten().any(|rule| rule["action"] == "RestartAllContainers")
    })
}

fn restarts(container: &Value, spec: &Value, exit_code: i64) -> bool {
    let matches = |rule: &&Value| {
        let codes = &rule["exitCodes"];
        let is_in = codes["values"].as_array().into_iter().flatten().any(|value| value.as_i64() == Some(exit_code));
        codes["operator"].as_str().is_some_and(|operator| (operator == "In") == is_in)
    };
    if container["restartPolicyRules"].as_array().into_iter().flatten().any(|rule| matches(&rule)) {
        return true;
    }
    let policy = container["restartPolicy"].as_str().or(spec["restartPolicy"].as_str()).unwrap_or("Always");
    policy == "Always" || (policy == "OnFailure" && exit_code != 0)
}

fn validate_claims(list: &At<'_>, claims: &Value, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for status in list.items() {
        let (name, claim) = (status.get("name"), status.get("resourceClaimName"));
        if !claims.as_array().into_iter().flatten().any(|claim| claim["name"] == *name.value) {
            faults.invalid_text(&name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.text()) {
            faults.duplicate_as(&name, name.text());
        }
        if claim.is_set() {
            faults.subdomain(&claim);
        }
    }
}

fn validate_addresses(status: &At<'_>, one: &'static str, many: &'static str, faults: &mut Faults) {
    let (single, list) = (status.get(one), status.get(many));
    let first = list.at(0).get("ip");
    let is_host = one == "hostIP";
    if is_host {
        if list.is_empty() {
            return;
        }
        if first.text() != single.text() {
            faults.invalid_text(&first, "must be equal to `hostIP`");
        }
    }
    for address in list.items() {
        let text = address.get("ip");
        shapes::ip(&address.with(text.value), faults);
    }
    let families: HashSet<bool> = list.items().map(|address| shapes::is_ipv6(address.get("ip").text())).collect();
    if list.len() > 1 && families.len() != list.len() {
        faults.invalid(&list, "may specify no more than one IP for each IP family");
    }
    if is_host {
        return;
    }
    if single.has_text() == list.is_empty() {
        faults.invalid(&list, "podIP and podIPs must either both be set or both be unset");
    } else if !list.is_empty() && first.text() != single.text() {
        faults.invalid_text(&first, "must be equal to `podIP`");
    }
}
