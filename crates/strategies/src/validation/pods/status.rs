//! What may be written into the status of a pod.

use std::collections::HashSet;

use object::field::Error;
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
    validate_extended_claim(&status.get("extendedResourceClaimStatus"), &new.value["spec"], faults);
    validate_addresses(&status, "podIP", "podIPs", faults);
    validate_addresses(&status, "hostIP", "hostIPs", faults);
    for (statuses, containers) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        for one in status.get(statuses).items() {
            let container = container_named(&new.value["spec"], containers, one.get("name").text());
            validate_health(&one.get("allocatedResourcesStatus"), container, &status, faults);
        }
    }
}

fn container_named<'a>(spec: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    spec[list].as_array().into_iter().flatten().find(|container| container["name"] == name)
}

/// The claim that was made for resources that a container asks for by name.
fn validate_extended_claim(status: &At<'_>, spec: &Value, faults: &mut Faults) {
    const NO_CONTAINER: &str = "must match the name of an entry in spec.initContainers.name or spec.containers.name";
    const NO_RESOURCE: &str =
        "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests";
    if !status.is_set() {
        return;
    }
    let (mappings, claim) = (status.get("requestMappings"), status.get("resourceClaimName"));
    if mappings.is_empty() {
        faults.required(&mappings, "at least one request mapping is required");
    }
    let mut seen = HashSet::new();
    for mapping in mappings.items() {
        let [name, resource, request] = ["containerName", "resourceName", "requestName"].map(|field| mapping.get(field));
        let found = ["containers", "initContainers"].iter().find_map(|list| container_named(spec, list, name.text()));
        match found {
            None => faults.invalid_text(&name, NO_CONTAINER),
            Some(container) if container["resources"]["requests"].get(resource.text()).is_none() => {
                faults.invalid_text(&resource, NO_RESOURCE)
            }
            Some(_) => {}
        }
        faults.each_as(&status.get("requestName"), request.text(), object::names::label_faults(request.text()));
        if !seen.insert([name.text(), resource.text(), request.text()]) {
            [name, resource, request].iter().for_each(|at| faults.duplicate_as(at, at.text()));
        }
    }
    if faults.need_text(&claim) {
        faults.subdomain(&claim);
    }
}

/// What is said of the health of devices that a container has.
fn validate_health(list: &At<'_>, container: Option<&Value>, status: &At<'_>, faults: &mut Faults) {
    const MESSAGE_MAX: usize = 1024;
    const NO_CLAIM: &str = "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty";
    for resource in list.items() {
        let name = resource.get("name");
        let claim = name.text().strip_prefix("claim:");
        let is_known = container.is_none_or(|container| match claim {
            Some(claim) => claims_of(container, status).any(|known| known == claim),
            None => container["resources"]["requests"].get(name.text()).is_some(),
        });
        if !is_known {
            let text = if claim.is_some() { NO_CLAIM } else { "must match one of the container's resource requests" };
            faults.invalid_text(&name, text);
        }
        let mut seen = HashSet::new();
        for device in resource.get("resources").items() {
            let (id, message) = (device.get("resourceID"), device.get("message"));
            if !matches!(device.get("health").text(), "Healthy" | "Unhealthy" | "Unknown") {
                faults.not_supported(&device.get("health"), &["Healthy", "Unhealthy", "Unknown"]);
            }
            if message.is_set() && message.text().is_empty() {
                faults.required(&message, "must be non-empty if specified");
            } else if message.text().len() > MESSAGE_MAX {
                faults.too_long(&message, MESSAGE_MAX);
            }
            if !seen.insert(id.text()) {
                faults.duplicate_as(&id, id.text());
            }
        }
    }
}

/// `CLAIM` or `CLAIM/REQUEST` of all that a container uses.
fn claims_of(container: &Value, status: &At<'_>) -> impl Iterator<Item = String> {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or("").to_owned();
    let joined = |claim: String, request: String| if request.is_empty() { claim } else { format!("{claim}/{request}") };
    let own = container["resources"]["claims"].as_array().into_iter().flatten();
    let own: Vec<String> = own.map(|claim| joined(text(claim, "name"), text(claim, "request"))).collect();
    let extended = status.get("extendedResourceClaimStatus");
    let made_for = |mapping: &&Value| mapping["containerName"] == container["name"];
    let mappings = extended.value["requestMappings"].as_array().into_iter().flatten().filter(made_for);
    let name = text(extended.value, "resourceClaimName");
    let extended: Vec<String> = mappings.map(|mapping| joined(name.clone(), text(mapping, "requestName"))).collect();
    own.into_iter().chain(extended)
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
        faults.tolerable(format!("{many} {}", text.text()), |faults| shapes::ip(&address.with(text.value), faults));
    }
    let families: HashSet<bool> = list.items().map(|address| shapes::is_ipv6(address.get("ip").text())).collect();
    let go_type = if is_host { "HostIP" } else { "PodIP" };
    if list.len() > 1 {
        if let Some((i, bad)) = list.items().map(|address| address.get("ip")).enumerate().find(|(_, ip)| !shapes::is_ip(ip.text())) {
            let text = format!("failed to check for dual stack with error:invalid IP[{i}]: {}", bad.text());
            faults.0.push(Error::internal(&list.path(), text));
        }
        if families.len() != list.len() {
            faults.invalid_go_list(&list, go_type, "may specify no more than one IP for each IP family");
        }
    }
    if is_host {
        return;
    }
    if single.has_text() == list.is_empty() {
        faults.invalid_go_list(&list, go_type, "podIP and podIPs must either both be set or both be unset");
    } else if !list.is_empty() && first.text() != single.text() {
        faults.invalid_text(&first, "must be equal to `podIP`");
    }
}
