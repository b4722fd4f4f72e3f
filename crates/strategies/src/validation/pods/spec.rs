//! A pod as a whole, and its specification wherever it stands.

use std::collections::HashSet;

use serde_json::Value;

use super::containers::Surroundings;
use super::{annotations, containers, each_container, env_volumes, placement, projected, resources, security, volumes, windows};
use crate::check::{At, Faults};
use crate::shapes;

const DAY_LIMIT: i64 = i32::MAX as i64;

/// A new pod, after its metadata.
pub(crate) fn validate(pod: &At<'_>, faults: &mut Faults) {
    validate_body(pod, faults);
    let spec = pod.get("spec");
    if !spec.get("ephemeralContainers").is_empty() {
        faults.forbidden(&spec.get("ephemeralContainers"), "cannot be set on create");
    }
    if spec.get("nodeName").has_text() && !spec.get("schedulingGates").is_empty() {
        faults.forbidden(&spec.get("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    annotations::validate_seccomp_match(pod, faults);
    annotations::validate_app_armor_match(pod, faults);
}

/// What create and update check alike.
pub(super) fn validate_body(pod: &At<'_>, faults: &mut Faults) {
    let spec = pod.get("spec");
    annotations::validate(&pod.get("metadata").get("annotations"), &spec, faults);
    validate_spec(&spec, Some(&pod.value["metadata"]), faults);
    if !spec.get("serviceAccountName").has_text() {
        projected::forbid_tokens(&spec, faults);
    }
    faults.not_negative(&spec.get("terminationGracePeriodSeconds"));
    for list in ["containers", "initContainers"] {
        for container in spec.get(list).items() {
            containers::validate_image_edges(&container, faults);
        }
    }
}

/// `metadata` is the pod's own; a template has none that counts.
pub(crate) fn validate_spec(spec: &At<'_>, metadata: Option<&Value>, faults: &mut Faults) {
    let grace = spec.get("terminationGracePeriodSeconds");
    if !grace.is_set() {
        faults.required(&grace, "");
    }
    let pod_name = metadata.and_then(|metadata| metadata["name"].as_str()).unwrap_or("");
    let fine_volumes = volumes::validate(&spec.get("volumes"), pod_name, faults);
    let claims = spec.get("resourceClaims");
    let is_mirror = metadata.is_some_and(|metadata| !metadata["annotations"][annotations::MIRROR].is_null());
    validate_claims(&claims, is_mirror, faults);
    let surroundings = Surroundings {
        volumes: fine_volumes,
        claims: claims.items().map(|claim| claim.get("name").text()).filter(|name| !name.is_empty()).collect(),
        grace: grace.value.as_i64(),
        os: &spec.value["os"],
        never_restarts: spec.get("restartPolicy") == "Never",
        host_users: !spec.get("hostUsers").is_false(),
    };
    let regular = spec.get("containers");
    containers::validate_regular(&regular, &surroundings, faults);
    containers::validate_init(&spec.get("initContainers"), &regular, &surroundings, faults);
    containers::validate_ephemeral(spec, &surroundings, faults);
    resources::validate_pod(spec, &surroundings.claims, faults);
    validate_host_network(spec, metadata.is_some(), faults);
    faults.need_one_of(&spec.get("restartPolicy"), &["Always", "OnFailure", "Never"]);
    faults.need_one_of(&spec.get("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    faults.labels(&spec.get("nodeSelector"));
    security::validate_pod(spec, faults);
    let shared = spec.get("shareProcessNamespace");
    if shared.is_true() && spec.get("hostPID").is_true() {
        faults.invalid(&shared, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    placement::validate_affinity(&spec.get("affinity"), faults);
    validate_dns(spec, faults);
    validate_gates(spec, faults);
    placement::validate_spread(&spec.get("topologySpreadConstraints"), faults);
    windows::validate_host_process(spec, faults);
    validate_host_users(spec, faults);
    validate_host_name(spec, faults);
    validate_names(spec, faults);
    placement::validate_tolerations(&spec.get("tolerations"), placement::keep_comparison, faults);
    validate_host_aliases(&spec.get("hostAliases"), faults);
    validate_classes(spec, faults);
    windows::validate_os(spec, faults);
    env_volumes(spec, faults);
}

fn validate_claims(list: &At<'_>, is_mirror: bool, faults: &mut Faults) {
    let mut names = HashSet::new();
    for claim in list.items() {
        if is_mirror {
            faults.forbidden(&At::root(&Value::Null).named(""), "static pods do not support resource claims");
            continue;
        }
        let (name, own, template) = (claim.get("name"), claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName"));
        if !name.has_text() {
            faults.required(&name, "");
        } else if !names.insert(name.text()) {
            faults.duplicate(&name);
        } else {
            faults.label(&name);
        }
        match (own.is_set(), template.is_set()) {
            (true, true) => faults.invalid_go(
                &claim,
                "PodResourceClaim",
                claim.value,
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            ),
            (false, false) => faults.invalid_go(
                &claim,
                "PodResourceClaim",
                claim.value,
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ),
            _ => {}
        }
        for at in [own, template].into_iter().filter(At::is_set) {
            faults.subdomain(&at);
        }
    }
}

fn validate_host_network(spec: &At<'_>, is_pod: bool, faults: &mut Faults) {
    if !spec.get("hostNetwork").is_true() {
        return;
    }
    for container in spec.get("containers").items() {
        for port in container.get("ports").items() {
            let host = port.get("hostPort");
            if (is_pod || host.int() != 0) && host.int() != port.get("containerPort").int() {
                faults.invalid_int(&host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

fn validate_dns(spec: &At<'_>, faults: &mut Faults) {
    const SERVERS_MAX: usize = 3;
    const SEARCHES_MAX: usize = 32;
    const SEARCH_LEN_MAX: usize = 2048;
    let config = spec.get("dnsConfig");
    let (servers, searches) = (config.get("nameservers"), config.get("searches"));
    if spec.get("dnsPolicy") == "None" {
        if !config.is_set() {
            faults.required(&config, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            faults.required(&servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
            return;
        }
    }
    if servers.len() > SERVERS_MAX {
        faults.invalid(&servers, format!("must not have more than {SERVERS_MAX} nameservers"));
    }
    for server in servers.items() {
        shapes::ip(&server, faults);
    }
    if searches.len() > SEARCHES_MAX {
        faults.invalid(&searches, format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let joined: usize = searches.items().map(|search| search.text().len() + 1).sum();
    if joined.saturating_sub(1) > SEARCH_LEN_MAX {
        faults.invalid(&searches, format!("must not have more than {SEARCH_LEN_MAX} characters (including spaces) in the search list"));
    }
    for search in searches.items().filter(|search| search != ".") {
        let text = search.text().strip_suffix('.').unwrap_or(search.text());
        faults.each_as(&search, text, shapes::subdomain_with_underscore(text));
    }
    for option in config.get("options").items().filter(|option| !option.get("name").has_text()) {
        faults.required(&option, "must not be empty");
    }
}

fn validate_gates(spec: &At<'_>, faults: &mut Faults) {
    for gate in spec.get("readinessGates").items() {
        faults.qualified_name(&gate.get("conditionType"));
    }
    let mut seen = HashSet::new();
    for gate in spec.get("schedulingGates").items() {
        let name = gate.get("name").text();
        faults.each_as(&gate, name, object::names::qualified_name_faults(name));
        if !seen.insert(name) {
            faults.duplicate_as(&gate, name);
        }
    }
}

fn validate_host_users(spec: &At<'_>, faults: &mut Faults) {
    if !spec.get("hostUsers").is_false() {
        return;
    }
    // Upstream writes the last two with a capital letter.
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.get(field).is_true() {
            faults.forbidden(&spec.named(shown), "when `hostUsers` is false");
        }
    }
    each_container(spec, |container| {
        if !container.get("volumeDevices").is_empty() {
            faults.forbidden(&container.get("volumeDevices"), "when `hostUsers` is false");
        }
    });
}

fn validate_host_name(spec: &At<'_>, faults: &mut Faults) {
    const LEN_MAX: usize = 64;
    let name = spec.get("hostnameOverride");
    if !name.is_set() {
        return;
    }
    if spec.get("setHostnameAsFQDN").is_true() {
        faults.forbidden(&name, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.get("hostNetwork").is_true() {
        faults.forbidden(&name, "may not be specified when hostNetwork is true");
    }
    if name.text().len() > LEN_MAX {
        faults.too_long(&name, LEN_MAX);
    }
    faults.subdomain(&name);
}

fn validate_names(spec: &At<'_>, faults: &mut Faults) {
    for field in ["serviceAccountName", "nodeName"] {
        if spec.get(field).has_text() {
            faults.subdomain(&spec.get(field));
        }
    }
    let deadline = spec.get("activeDeadlineSeconds");
    if deadline.is_set() && !(1..=DAY_LIMIT).contains(&deadline.int()) {
        faults.invalid_int(&deadline, shapes::between(1, DAY_LIMIT));
    }
    for field in ["hostname", "subdomain"] {
        if spec.get(field).has_text() {
            faults.label(&spec.get(field));
        }
    }
}

fn validate_host_aliases(list: &At<'_>, faults: &mut Faults) {
    for alias in list.items() {
        shapes::ip(&alias.get("ip"), faults);
        for name in alias.get("hostnames").items() {
            faults.subdomain(&name);
        }
    }
}

fn validate_classes(spec: &At<'_>, faults: &mut Faults) {
    if spec.get("priorityClassName").has_text() {
        faults.subdomain(&spec.get("priorityClassName"));
    }
    if spec.get("runtimeClassName").is_set() {
        faults.subdomain(&spec.get("runtimeClassName"));
    }
    let preemption = spec.get("preemptionPolicy");
    if preemption.is_set() {
        faults.need_one_of(&preemption, &["PreemptLowerPriority", "Never"]);
    }
    resources::validate_overhead(&spec.get("overhead"), faults);
}
