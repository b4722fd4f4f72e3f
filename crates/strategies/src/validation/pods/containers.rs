//! Containers of all three sorts.

use std::collections::HashSet;

use serde_json::Value;

use super::mounts::{self, Volumes};
use super::{PodPlace, env, probes, resources, security};
use crate::check::{At, Faults};
use crate::shapes;

/// What the checks of one container ask of its pod.
pub(super) struct Surroundings<'a> {
    pub(super) volumes: Volumes<'a>,
    pub(super) claims: Vec<&'a str>,
    pub(super) grace: Option<i64>,
    pub(super) os: &'a Value,
    pub(super) never_restarts: bool,
    pub(super) host_users: bool,
}

fn name_of(container: &Value) -> &str {
    container["name"].as_str().unwrap_or("")
}

pub(super) fn validate_regular(list: &At<'_>, pod: &Surroundings<'_>, faults: &mut Faults) {
    if list.is_empty() {
        faults.required(list, "");
        return;
    }
    let mut names = HashSet::new();
    for container in list.items() {
        validate_common(&container, pod, faults);
        let name = container.get("name");
        if !names.insert(name.text()) {
            faults.duplicate_as(&name, name.text());
        }
        validate_hooks(&container, pod, faults);
        validate_restart_rules(&container, faults);
    }
    validate_host_ports(list.list(), list, faults);
}

pub(super) fn validate_init(list: &At<'_>, regular: &At<'_>, pod: &Surroundings<'_>, faults: &mut Faults) {
    let mut names: HashSet<&str> = regular.list().iter().map(name_of).collect();
    for (i, container) in list.items().enumerate() {
        validate_common(&container, pod, faults);
        let policy = container.get("restartPolicy");
        if policy.is_set() {
            validate_restart_rules(&container, faults);
        } else if !container.get("restartPolicyRules").is_empty() {
            faults.required(&policy, POLICY_NEEDED);
        }
        let name = container.get("name");
        if names.contains(name.text()) {
            faults.duplicate_as(&name, name.text());
        } else if name.has_text() {
            names.insert(name.text());
        }
        validate_host_ports(&list.list()[i..=i], list, faults);
        if policy == "Always" {
            validate_hooks(&container, pod, faults);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let at = container.get(field);
            if at.is_set() {
                faults.forbidden(&at, "may not be set for init containers without restartPolicy=Always");
            }
        }
        for rule in container.get("resizePolicy").items().filter(|rule| rule.get("restartPolicy") == "RestartContainer") {
            let text = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            faults.invalid_text(&rule.get("restartPolicy"), text);
        }
    }
}

fn validate_hooks(container: &At<'_>, pod: &Surroundings<'_>, faults: &mut Faults) {
    let lifecycle = container.get("lifecycle");
    if lifecycle.is_set() {
        probes::validate_lifecycle(&lifecycle, pod.grace, pod.os, faults);
    }
    probes::validate_all(container, pod.grace, faults);
}

/// What an ephemeral container may not have, in upstream's order.
const NOT_EPHEMERAL_FIELDS: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

pub(super) fn validate_ephemeral(spec: &At<'_>, pod: &Surroundings<'_>, faults: &mut Faults) {
    const NOT_SETTABLE: &str = "cannot be set for an Ephemeral Container";
    let (regular, init) = (spec.get("containers"), spec.get("initContainers"));
    let others: HashSet<&str> = regular.list().iter().chain(init.list()).map(name_of).collect();
    let mut names = others.clone();
    for container in spec.get("ephemeralContainers").items() {
        validate_common(&container, pod, faults);
        validate_image_edges(&container, faults);
        let name = container.get("name");
        if !names.insert(name.text()) {
            faults.duplicate_as(&name, name.text());
        }
        let target = container.get("targetContainerName");
        if target.has_text() && !others.contains(target.text()) {
            faults.not_found(&target);
        }
        for field in NOT_EPHEMERAL_FIELDS {
            let at = container.get(field);
            // Plain structs are always there.
            let is_empty = matches!(field, &"resources") && at.is_empty();
            if at.is_set() && !is_empty {
                faults.forbidden(&at, NOT_SETTABLE);
            }
        }
        for mount in container.get("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                if mount.get(field).has_text() {
                    faults.forbidden(&mount.get(field), NOT_SETTABLE);
                }
            }
        }
    }
}

/// Only pods are told of blanks around an image; templates never were.
pub(super) fn validate_image_edges(container: &At<'_>, faults: &mut Faults) {
    let image = container.get("image");
    if image.text().trim() != image.text() {
        faults.invalid_text(&image, "must not have leading or trailing whitespace");
    }
}

fn validate_common(container: &At<'_>, pod: &Surroundings<'_>, faults: &mut Faults) {
    let name = container.get("name");
    if faults.need_text(&name) {
        faults.label(&name);
    }
    faults.need_text(&container.get("image"));
    faults.need_one_of(&container.get("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
    validate_ports(&container.get("ports"), faults);
    env::validate(&container.get("env"), faults);
    env::validate_from(&container.get("envFrom"), faults);
    mounts::validate_mounts(container, &pod.volumes, faults);
    mounts::validate_devices(container, &pod.volumes, faults);
    faults.need_one_of(&container.get("imagePullPolicy"), &["Always", "IfNotPresent", "Never"]);
    resources::validate(&container.get("resources"), PodPlace::Container, &pod.claims, faults);
    validate_resize(&container.get("resizePolicy"), pod.never_restarts, faults);
    security::validate_container(&container.get("securityContext"), pod.host_users, faults);
}

fn validate_ports(list: &At<'_>, faults: &mut Faults) {
    let mut names = HashSet::new();
    for port in list.items() {
        let name = port.get("name");
        if name.has_text() {
            let found = shapes::port_name(name.text());
            if !found.is_empty() {
                faults.each(&name, found);
            } else if !names.insert(name.text()) {
                faults.duplicate(&name);
            }
        }
        let (number, host) = (port.get("containerPort"), port.get("hostPort"));
        if number.int() == 0 {
            faults.required(&number, "");
        } else {
            shapes::port(&number, faults);
        }
        if host.int() != 0 {
            shapes::port(&host, faults);
        }
        faults.need_one_of(&port.get("protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

fn validate_resize(list: &At<'_>, never_restarts: bool, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for rule in list.items() {
        let (resource, policy) = (rule.get("resourceName"), rule.get("restartPolicy"));
        if !seen.insert(resource.text()) {
            faults.duplicate_as(&rule, resource.text());
        }
        for (at, supported) in [(&resource, ["cpu", "memory"]), (&policy, ["NotRequired", "RestartContainer"])] {
            if !at.has_text() {
                faults.required(list, "");
            } else if !supported.contains(&at.text()) {
                faults.0.push(object::field::Error::not_supported(&list.path(), at.text(), &supported));
            }
        }
        if never_restarts && policy != "NotRequired" {
            faults.invalid_as(list, policy.text(), "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

const POLICY_NEEDED: &str = "must specify restartPolicy when restart rules are used";
const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;

fn validate_restart_rules(container: &At<'_>, faults: &mut Faults) {
    let (policy, rules) = (container.get("restartPolicy"), container.get("restartPolicyRules"));
    if !policy.is_set() && !rules.is_empty() {
        faults.required(&policy, POLICY_NEEDED);
    }
    faults.one_of(&policy, &["Always", "Never", "OnFailure"]);
    if rules.len() > RULES_MAX {
        faults.too_many(&rules, RULES_MAX);
    }
    for rule in rules.items() {
        let (action, codes) = (rule.get("action"), rule.get("exitCodes"));
        if !matches!(action.text(), "Restart" | "RestartAllContainers") {
            faults.not_supported(&action, &["Restart", "RestartAllContainers"]);
        }
        if !codes.is_set() {
            faults.required(&codes, "must be specified");
            continue;
        }
        let operator = codes.get("operator");
        if !matches!(operator.text(), "In" | "NotIn") {
            faults.not_supported(&operator, &["In", "NotIn"]);
        }
        if codes.get("values").len() > EXIT_CODES_MAX {
            faults.too_many(&codes.get("values"), EXIT_CODES_MAX);
        }
    }
}

/// Ports of the host that two containers ask for. `at` is the list the indices count in, also when only one is looked at.
fn validate_host_ports(containers: &[Value], at: &At<'_>, faults: &mut Faults) {
    let mut taken = HashSet::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
            let number = port["hostPort"].as_i64().unwrap_or(0);
            if number == 0 {
                continue;
            }
            let text = |field: &str| port[field].as_str().unwrap_or("");
            let shown = format!("{}/{}/{number}", text("protocol"), text("hostIP"));
            if !taken.insert(shown.clone()) {
                faults.duplicate_as(&at.at(i).get("ports").at(j).get("hostPort"), shown);
            }
        }
    }
}
