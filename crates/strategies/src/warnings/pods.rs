//! Pods and pod templates.

use std::collections::{HashMap, HashSet};

use object::names;
use serde_json::Value;

use super::{address, claim_spec, deprecated_label, fraction};
use crate::check::At;

const APP_ARMOR: &str = crate::validation::pods::APP_ARMOR;

/// A new pod. Upstream says nothing of pods that are updated, for people seldom do.
pub(super) fn pod(old: Option<&Value>, new: &At<'_>, said: &mut Vec<String>) {
    if old.is_some() {
        return;
    }
    // This one comes while the annotation is copied to the field.
    app_armor(new, new, said);
    let found = names::label_faults(new.value["metadata"]["name"].as_str().unwrap_or(""));
    if !found.is_empty() {
        const TEXT: &str = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended";
        said.push(format!("metadata.name: {TEXT}: [{}]", found.join(" ")));
    }
    body(new, false, said);
}

pub(super) fn template(template: &At<'_>, said: &mut Vec<String>) {
    body(template, true, said);
}

fn body(pod: &At<'_>, is_template: bool, said: &mut Vec<String>) {
    let (spec, annotations) = (pod.get("spec"), pod.get("metadata").get("annotations"));
    placement(&spec, said);
    deprecated_annotations(&annotations, said);
    for volume in spec.get("volumes").items() {
        plugins(&volume, &["photonPersistentDisk", "gitRepo", "scaleIO", "flocker", "storageos", "quobyte", "glusterfs"], said);
        claim_spec(&volume.get("ephemeral").get("volumeClaimTemplate").get("spec"), said);
        plugins(&volume, &["cephfs", "rbd"], said);
    }
    repeated(&spec.get("hostAliases"), "ip", said);
    repeated(&spec.get("imagePullSecrets"), "name", said);
    for name in spec.get("imagePullSecrets").items().map(|secret| secret.get("name")).filter(|name| !name.has_text()) {
        said.push(format!("{}: invalid empty name \"\"", name.path()));
    }
    for name in ["memory", "ephemeral-storage"] {
        fraction(&spec.get("overhead").key(name), said);
    }
    let seccomp = annotations.key("seccomp.security.alpha.kubernetes.io/pod");
    if seccomp.is_set() && !spec.get("securityContext").get("seccompProfile").is_set() {
        said.push(format!("{}: non-functional in v1.27+; use the \"seccompProfile\" field instead", seccomp.path()));
    }
    each_container(&spec, |container| self::container(pod, &container, is_template, said));
    ports(&spec, said);
    if spec.get("terminationGracePeriodSeconds").int() < 0 {
        let path = spec.get("terminationGracePeriodSeconds").path();
        said.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    affinity_selectors(&spec, said);
    spec.get("dnsConfig").get("nameservers").items().for_each(|ip| address(&ip, said));
    spec.get("hostAliases").items().for_each(|alias| address(&alias.get("ip"), said));
}

/// Upstream visits all containers in this order.
fn each_container<'a>(spec: &At<'a>, mut visit: impl FnMut(At<'a>)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        spec.get(list).items().for_each(&mut visit);
    }
}

pub(super) fn label_key(key: &At<'_>, said: &mut Vec<String>) {
    said.extend(deprecated_label(key.text()).map(|text| format!("{}: {} is {text}", key.path(), key.text())));
}

pub(super) fn node_term(term: &At<'_>, checks_values: bool, said: &mut Vec<String>) {
    for expression in term.get("matchExpressions").items() {
        label_key(&expression.get("key"), said);
        for value in expression.get("values").items().filter(|_| checks_values) {
            let found = names::label_value_faults(value.text());
            said.extend(found.into_iter().map(|fault| format!("{}: {} is invalid, {fault}", value.path(), value.text())));
        }
    }
}

fn placement(spec: &At<'_>, said: &mut Vec<String>) {
    let selector = spec.get("nodeSelector");
    for (key, at) in selector.entries() {
        said.extend(deprecated_label(key).map(|text| format!("{}: {text}", at.path())));
    }
    let affinity = spec.get("affinity").get("nodeAffinity");
    for term in affinity.get("requiredDuringSchedulingIgnoredDuringExecution").get("nodeSelectorTerms").items() {
        node_term(&term, false, said);
    }
    for term in affinity.get("preferredDuringSchedulingIgnoredDuringExecution").items() {
        node_term(&term.get("preference"), true, said);
    }
    for constraint in spec.get("topologySpreadConstraints").items() {
        label_key(&constraint.get("topologyKey"), said);
        null_selector(&constraint, said);
    }
}

fn null_selector(term: &At<'_>, said: &mut Vec<String>) {
    let selector = term.get("labelSelector");
    if !selector.is_set() {
        said.push(format!("{}: a null labelSelector results in matching no pod", selector.path()));
    }
}

fn affinity_selectors(spec: &At<'_>, said: &mut Vec<String>) {
    for affinity in ["podAffinity", "podAntiAffinity"].map(|field| spec.get("affinity").get(field)) {
        affinity.get("requiredDuringSchedulingIgnoredDuringExecution").items().for_each(|term| null_selector(&term, said));
        let weighted = affinity.get("preferredDuringSchedulingIgnoredDuringExecution");
        weighted.items().for_each(|term| null_selector(&term.get("podAffinityTerm"), said));
    }
}

fn deprecated_annotations(annotations: &At<'_>, said: &mut Vec<String>) {
    const DEPRECATED: [(&str, &str); 3] = [
        ("scheduler.alpha.kubernetes.io/critical-pod", "non-functional in v1.16+; use the \"priorityClassName\" field instead"),
        ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
        ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ];
    let found = DEPRECATED.iter().map(|(key, text)| (annotations.key(key), text)).filter(|(at, _)| at.is_set());
    said.extend(found.map(|(at, text)| format!("{}: {text}", at.path())));
}

/// Volume plugins that are gone or going.
pub(super) fn plugins(source: &At<'_>, fields: &[&'static str], said: &mut Vec<String>) {
    for at in fields.iter().map(|field| (field, source.get(field))).filter(|(_, at)| at.is_set()) {
        let (name, text) = match *at.0 {
            "photonPersistentDisk" => ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
            "gitRepo" => ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
            "scaleIO" => ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
            "storageos" => ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
            "glusterfs" => ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
            other @ ("cephfs" | "rbd") => (other, "deprecated in v1.28, non-functional in v1.31+"),
            other => (other, "deprecated in v1.22, non-functional in v1.25+"),
        };
        said.push(format!("{}: {text}", source.named(name).path()));
    }
}

fn repeated(list: &At<'_>, field: &'static str, said: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for at in list.items().map(|item| item.get(field)) {
        if !seen.insert(at.text()) {
            said.push(format!("{}: duplicate {field} {:?}", at.path(), at.text()));
        }
    }
}

fn container(pod: &At<'_>, container: &At<'_>, is_template: bool, said: &mut Vec<String>) {
    let (annotations, name) = (pod.get("metadata").get("annotations"), container.get("name").text());
    let key = format!("container.seccomp.security.alpha.kubernetes.io/{name}");
    if !annotations.value[&key].is_null() && !container.get("securityContext").get("seccompProfile").is_set() {
        said.push(format!("{}: non-functional in v1.27+; use the \"seccompProfile\" field instead", annotations.path().key(&key)));
    }
    if is_template {
        app_armor_of(pod, container, false, said);
    }
    for amount in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            fraction(&container.get("resources").get(list).key(amount), said);
        }
    }
    hidden_variables(&container.get("env"), said);
}

/// A variable that comes again without using what it was.
fn hidden_variables(list: &At<'_>, said: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for variable in list.items() {
        let (name, value) = (variable.get("name").text(), variable.get("value").text());
        let itself = format!("$({name})");
        let hides = variable.get("valueFrom").is_set() || value == itself || !value.contains(&itself);
        if !seen.insert(name) && hides {
            said.push(format!("{}: hides previous definition of {name:?}, which may be dropped when using apply", variable.path()));
        }
    }
}

fn app_armor(pod: &At<'_>, of: &At<'_>, said: &mut Vec<String>) {
    if pod.value["spec"]["os"]["name"] != "windows" {
        each_container(&of.get("spec"), |container| app_armor_of(pod, &container, true, said));
    }
}

/// An annotation without the field. `is_copied`: where it could be read and says something new, it has just become the field.
fn app_armor_of(pod: &At<'_>, container: &At<'_>, is_copied: bool, said: &mut Vec<String>) {
    let annotations = pod.get("metadata").get("annotations");
    let key = format!("{APP_ARMOR}{}", container.get("name").text());
    let Some(text) = annotations.value[&key].as_str() else { return };
    if container.get("securityContext").get("appArmorProfile").is_set() {
        return;
    }
    let of_pod = &pod.value["spec"]["securityContext"]["appArmorProfile"];
    let profile = crate::groups::app_armor_profile(text);
    let is_said = if is_copied { profile.as_ref() != Some(of_pod) } else { of_pod.is_null() || profile.as_ref() != Some(of_pod) };
    if is_said {
        said.push(format!("{}: deprecated since v1.30; use the \"appArmorProfile\" field instead", annotations.path().key(&key)));
    }
}

fn ports(spec: &At<'_>, said: &mut Vec<String>) {
    let mut seen: HashMap<(i64, &str), Vec<At<'_>>> = HashMap::new();
    let mut all = Vec::new();
    each_container(spec, |container| all.extend(container.get("ports").items()));
    let host = |port: &At<'_>| (port.get("hostIP").text().to_owned(), port.get("hostPort").int());
    for port in &all {
        let (ip, number) = host(port);
        if !ip.is_empty() && number == 0 {
            let shown = format!(
                "{{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{ip}}}",
                port.get("name").text(),
                port.get("containerPort").int(),
                port.get("protocol").text()
            );
            said.push(format!("{}: hostIP set without hostPort: {shown}", port.path()));
        }
        let others = seen.entry((port.get("containerPort").int(), port.get("protocol").text())).or_default();
        for other in others.iter() {
            let (other_ip, other_number) = host(other);
            let what = if (&ip, number) == (&other_ip, other_number) {
                "duplicate"
            } else if number == 0 || other_number == 0 {
                "overlapping"
            } else if number == other_number && ip.is_empty() != other_ip.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            said.push(format!("{}: {what} port definition with {}", port.path(), other.path()));
        }
        others.push(port.clone());
    }
    let mut named: HashMap<&str, &At<'_>> = HashMap::new();
    for port in all.iter().filter(|port| port.get("name").has_text()) {
        let name = port.get("name").text();
        match named.get(name) {
            Some(first) => {
                let first = first.path();
                let text = format!("services and probes that select ports by name will use {first}");
                said.push(format!("{}: duplicate port name {name:?} with {first}, {text}", port.path()));
            }
            None => _ = named.insert(name, port),
        }
    }
}
