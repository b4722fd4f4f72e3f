//! The rules of the standards, one row each: since which version, at which level, and what it replaces.

use std::collections::BTreeSet;

use object::{meta, sysctl};
use serde_json::Value;

use super::{Level, Standard, Version};

/// A broken rule: its short name, and which containers or values broke it.
pub(super) struct Fault {
    reason: String,
    detail: String,
}

type Check = fn(&Pod<'_>) -> Option<Fault>;

struct Row {
    id: &'static str,
    level: Level,
    /// Rule by the version that brought it, oldest first.
    versions: &'static [(u32, Check)],
    /// The baseline rule that this one makes needless.
    overrides: &'static str,
}

const fn baseline(id: &'static str, versions: &'static [(u32, Check)]) -> Row {
    Row { id, level: Level::Baseline, versions, overrides: "" }
}

const fn restricted(id: &'static str, versions: &'static [(u32, Check)], overrides: &'static str) -> Row {
    Row { id, level: Level::Restricted, versions, overrides }
}

/// By level, then by name, which is upstream's order of faults.
const ROWS: &[Row] = &[
    baseline("appArmorProfile", &[(0, app_armor)]),
    baseline("capabilities_baseline", &[(0, added_capabilities)]),
    baseline("hostNamespaces", &[(0, host_namespaces)]),
    baseline("hostPathVolumes", &[(0, host_paths)]),
    baseline("hostPorts", &[(0, host_ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, probe_hosts)]),
    baseline("privileged", &[(0, privileged)]),
    baseline("procMount", &[(0, proc_mount), (35, |pod| pod.unless_own_users(proc_mount))]),
    baseline("seLinuxOptions", &[(0, |pod| se_linux(pod, &[])), (31, |pod| se_linux(pod, &["container_engine_t"]))]),
    baseline("seccompProfile_baseline", &[(0, seccomp_annotations), (19, |pod| seccomp(pod, false))]),
    baseline(
        "sysctls",
        &[
            (0, |pod| sysctls(pod, 5)),
            (27, |pod| sysctls(pod, 6)),
            (29, |pod| sysctls(pod, 10)),
            (32, |pod| sysctls(pod, 12)),
            (37, |pod| sysctls(pod, 14)),
        ],
    ),
    baseline("windowsHostProcess", &[(0, host_process)]),
    restricted("allowPrivilegeEscalation", &[(8, escalation), (25, |pod| pod.unless_windows(escalation))], ""),
    restricted(
        "capabilities_restricted",
        &[(22, dropped_capabilities), (25, |pod| pod.unless_windows(dropped_capabilities))],
        "capabilities_baseline",
    ),
    restricted("procMount_restricted", &[(35, proc_mount)], "procMount"),
    restricted("restrictedVolumes", &[(0, volume_types)], "hostPathVolumes"),
    restricted("runAsNonRoot", &[(0, run_as_non_root), (35, |pod| pod.unless_own_users(run_as_non_root))], ""),
    restricted("runAsUser", &[(23, run_as_user), (35, |pod| pod.unless_own_users(run_as_user))], ""),
    restricted(
        "seccompProfile_restricted",
        &[(19, |pod| seccomp(pod, true)), (25, |pod| pod.unless_windows(|pod| seccomp(pod, true)))],
        "seccompProfile_baseline",
    ),
];

/// Every rule of a standard that a pod or pod template breaks.
pub(super) fn faults(standard: Standard, pod: &Value) -> Vec<Fault> {
    let rule_of = |row: &Row| {
        let is_due = |since: u32| standard.version >= Version::Minor(since);
        (row.level <= standard.level).then(|| row.versions.iter().rev().find(|(since, _)| is_due(*since))).flatten()
    };
    let active: Vec<(&Row, Check)> = ROWS.iter().filter_map(|row| rule_of(row).map(|(_, check)| (row, *check))).collect();
    let overridden: BTreeSet<&str> = active.iter().map(|(row, _)| row.overrides).collect();
    let pod = Pod::new(pod);
    active.iter().filter(|(row, _)| !overridden.contains(row.id)).filter_map(|(_, check)| check(&pod)).collect()
}

pub(super) fn reasons(faults: &[Fault]) -> String {
    faults.iter().map(|fault| fault.reason.as_str()).collect::<Vec<_>>().join(", ")
}

pub(super) fn detailed(faults: &[Fault]) -> String {
    let texts: Vec<String> = faults
        .iter()
        .map(|fault| if fault.detail.is_empty() { fault.reason.clone() } else { format!("{} ({})", fault.reason, fault.detail) })
        .collect();
    texts.join(", ")
}

struct Pod<'a> {
    whole: &'a Value,
    spec: &'a Value,
    /// Init containers first, as upstream visits them.
    containers: Vec<&'a Value>,
}

fn items<'a>(parent: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    parent[list].as_array().into_iter().flatten()
}

fn name_of(value: &Value) -> &str {
    value["name"].as_str().unwrap_or("")
}

impl<'a> Pod<'a> {
    fn new(whole: &'a Value) -> Self {
        let spec = &whole["spec"];
        let containers = ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|list| items(spec, list)).collect();
        Pod { whole, spec, containers }
    }

    fn unless_windows(&self, check: Check) -> Option<Fault> {
        if self.spec["os"]["name"] == "windows" { None } else { check(self) }
    }

    fn unless_own_users(&self, check: Check) -> Option<Fault> {
        if self.spec["hostUsers"] == false { None } else { check(self) }
    }

    fn names(&self, is_bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers.iter().filter(|c| is_bad(c)).map(|c| name_of(c)).collect()
    }

    /// Values at a field of the security contexts of pod and containers: who set a bad one, and which ones.
    fn bad_settings(&self, field: &str, bad: impl Fn(&Value) -> Option<String>) -> (Vec<String>, BTreeSet<String>) {
        let mut values = BTreeSet::new();
        let mut setters = Vec::new();
        if let Some(value) = self.spec["securityContext"].get(field).and_then(&bad) {
            setters.push("pod".to_owned());
            values.insert(value);
        }
        let mut names = Vec::new();
        for container in &self.containers {
            if let Some(value) = container["securityContext"].get(field).and_then(&bad) {
                names.push(name_of(container));
                values.insert(value);
            }
        }
        if !names.is_empty() {
            setters.push(containers(&names));
        }
        (setters, values)
    }
}

fn fault(reason: impl Into<String>, detail: impl Into<String>) -> Option<Fault> {
    Some(Fault { reason: reason.into(), detail: detail.into() })
}

fn quoted<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    items.into_iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
}

fn plural<'a>(one: &'a str, many: &'a str, n: usize) -> &'a str {
    if n == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
fn containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names.iter().copied()))
}

fn texts(set: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    set.iter().map(String::as_str)
}

fn app_armor(pod: &Pod<'_>) -> Option<Fault> {
    let bad = |profile: &Value| {
        let kind = profile["type"].as_str().unwrap_or("");
        (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| kind.to_owned())
    };
    let (mut setters, values) = pod.bad_settings("appArmorProfile", bad);
    let annotations = pod.whole["metadata"]["annotations"].as_object().into_iter().flatten();
    let forbidden: Vec<String> = annotations
        .filter(|(key, value)| {
            let value = value.as_str().unwrap_or("");
            let is_fine = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
            key.starts_with("container.apparmor.security.beta.kubernetes.io/") && !is_fine
        })
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut shown: Vec<String> = values.into_iter().collect();
    if !forbidden.is_empty() {
        setters.push(plural("annotation", "annotations", forbidden.len()).to_owned());
        shown.extend(forbidden);
    }
    if setters.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", shown.len());
    fault(reason, format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(shown.iter().map(String::as_str))))
}

const DEFAULT_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Containers that add a capability beyond the allowed ones, and those capabilities.
fn adding<'a>(pod: &Pod<'a>, allowed: &[&str]) -> (Vec<&'a str>, BTreeSet<String>) {
    let mut names = Vec::new();
    let mut found = BTreeSet::new();
    for container in &pod.containers {
        let added = items(&container["securityContext"]["capabilities"], "add").filter_map(Value::as_str);
        let bad: Vec<&str> = added.filter(|c| !allowed.contains(c)).collect();
        if !bad.is_empty() {
            names.push(name_of(container));
            found.extend(bad.into_iter().map(str::to_owned));
        }
    }
    (names, found)
}

fn added_capabilities(pod: &Pod<'_>) -> Option<Fault> {
    let (names, found) = adding(pod, DEFAULT_CAPABILITIES);
    if names.is_empty() {
        return None;
    }
    fault(
        "non-default capabilities",
        format!("{} must not include {} in securityContext.capabilities.add", containers(&names), quoted(texts(&found))),
    )
}

fn dropped_capabilities(pod: &Pod<'_>) -> Option<Fault> {
    let keeping = pod.names(|c| items(&c["securityContext"]["capabilities"], "drop").all(|dropped| dropped != "ALL"));
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeping)));
    }
    let (names, found) = adding(pod, &["NET_BIND_SERVICE"]);
    if !names.is_empty() {
        details.push(format!("{} must not include {} in securityContext.capabilities.add", containers(&names), quoted(texts(&found))));
    }
    if details.is_empty() { None } else { fault("unrestricted capabilities", details.join("; ")) }
}

fn host_namespaces(pod: &Pod<'_>) -> Option<Fault> {
    let set: Vec<String> =
        ["hostNetwork", "hostPID", "hostIPC"].iter().filter(|f| pod.spec[**f] == true).map(|f| format!("{f}=true")).collect();
    if set.is_empty() { None } else { fault("host namespaces", set.join(", ")) }
}

fn host_paths(pod: &Pod<'_>) -> Option<Fault> {
    let names: Vec<&str> = items(pod.spec, "volumes").filter(|v| v.get("hostPath").is_some()).map(name_of).collect();
    if names.is_empty() {
        return None;
    }
    fault("hostPath volumes", format!("{} {}", plural("volume", "volumes", names.len()), quoted(names)))
}

fn host_ports(pod: &Pod<'_>) -> Option<Fault> {
    let ports_of = |c: &Value| -> Vec<i64> { items(c, "ports").filter_map(|p| p["hostPort"].as_i64()).filter(|p| *p != 0).collect() };
    let names = pod.names(|c| !ports_of(c).is_empty());
    if names.is_empty() {
        return None;
    }
    let ports: BTreeSet<String> = pod.containers.iter().flat_map(|c| ports_of(c)).map(|p| p.to_string()).collect();
    let list: Vec<&str> = texts(&ports).collect();
    let words = (plural("uses", "use", names.len()), plural("hostPort", "hostPorts", ports.len()));
    fault("hostPort", format!("{} {} {} {}", containers(&names), words.0, words.1, list.join(", ")))
}

fn probe_hosts(pod: &Pod<'_>) -> Option<Fault> {
    let hosts_of = |container: &Value| -> Vec<String> {
        let handlers = ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];
        let found = handlers.iter().filter_map(|pointer| container.pointer(pointer));
        let hosts = found.flat_map(|handler| ["httpGet", "tcpSocket"].map(|kind| handler[kind]["host"].as_str().unwrap_or("").to_owned()));
        hosts.filter(|host| !host.is_empty()).collect()
    };
    let names: BTreeSet<&str> = pod.containers.iter().filter(|c| !hosts_of(c).is_empty()).map(|c| name_of(c)).collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.into_iter().collect();
    let hosts: BTreeSet<String> = pod.containers.iter().flat_map(|c| hosts_of(c)).collect();
    let words = (plural("uses", "use", names.len()), plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()));
    fault("probe or lifecycle host", format!("{} {} {} {}", containers(&names), words.0, words.1, quoted(texts(&hosts))))
}

fn privileged(pod: &Pod<'_>) -> Option<Fault> {
    let names = pod.names(|c| c["securityContext"]["privileged"] == true);
    if names.is_empty() {
        return None;
    }
    fault("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
}

fn proc_mount(pod: &Pod<'_>) -> Option<Fault> {
    let bad = |c: &Value| c["securityContext"]["procMount"].as_str().filter(|kind| *kind != "Default").map(str::to_owned);
    let names = pod.names(|c| bad(c).is_some());
    if names.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = pod.containers.iter().filter_map(|c| bad(c)).collect();
    fault("procMount", format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(texts(&kinds))))
}

fn se_linux(pod: &Pod<'_>, also_allowed: &[&str]) -> Option<Fault> {
    let kind_of = |options: &Value| options["type"].as_str().unwrap_or("").to_owned();
    let is_allowed =
        |kind: &str| matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t") || also_allowed.contains(&kind);
    let is_set = |options: &Value, field: &str| !options[field].as_str().unwrap_or("").is_empty();
    let is_bad = |options: &Value| !is_allowed(&kind_of(options)) || is_set(options, "user") || is_set(options, "role");
    let (setters, _) = pod.bad_settings("seLinuxOptions", |options| is_bad(options).then(String::new));
    if setters.is_empty() {
        return None;
    }
    let contexts = || std::iter::once(pod.spec).chain(pod.containers.iter().copied());
    let options: Vec<&Value> = contexts().filter_map(|c| c["securityContext"].get("seLinuxOptions")).collect();
    let kinds: BTreeSet<String> = options.iter().map(|o| kind_of(o)).filter(|kind| !is_allowed(kind)).collect();
    let mut data = Vec::new();
    if !kinds.is_empty() {
        data.push(format!("{} {}", plural("type", "types", kinds.len()), quoted(texts(&kinds))));
    }
    for field in ["user", "role"] {
        if options.iter().any(|o| is_set(o, field)) {
            data.push(format!("{field} may not be set"));
        }
    }
    fault("seLinuxOptions", format!("{} set forbidden securityContext.seLinuxOptions: {}", setters.join(" and "), data.join("; ")))
}

fn seccomp_annotations(pod: &Pod<'_>) -> Option<Fault> {
    let keys = std::iter::once("seccomp.security.alpha.kubernetes.io/pod".to_owned())
        .chain(pod.containers.iter().map(|c| format!("container.seccomp.security.alpha.kubernetes.io/{}", name_of(c))));
    let forbidden: BTreeSet<String> = keys
        .filter_map(|key| {
            let value = meta::annotation(pod.whole, &key)?;
            let is_fine = matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
            (!is_fine).then(|| format!("{key}={value:?}"))
        })
        .collect();
    if forbidden.is_empty() {
        return None;
    }
    let list: Vec<&str> = texts(&forbidden).collect();
    fault("seccompProfile", format!("forbidden {} {}", plural("annotation", "annotations", forbidden.len()), list.join(", ")))
}

fn seccomp(pod: &Pod<'_>, must_set: bool) -> Option<Fault> {
    let is_fine = |profile: &Value| matches!(profile["type"].as_str(), Some("RuntimeDefault" | "Localhost"));
    let bad = |profile: &Value| (!is_fine(profile)).then(|| profile["type"].as_str().unwrap_or("").to_owned());
    let (setters, values) = pod.bad_settings("seccompProfile", bad);
    if !setters.is_empty() {
        let detail = format!("{} must not set securityContext.seccompProfile.type to {}", setters.join(" and "), quoted(texts(&values)));
        return fault("seccompProfile", detail);
    }
    let is_set_for_all = pod.spec["securityContext"].get("seccompProfile").is_some_and(is_fine);
    if !must_set || is_set_for_all {
        return None;
    }
    let names = pod.names(|c| c["securityContext"].get("seccompProfile").is_none());
    if names.is_empty() {
        return None;
    }
    let wanted = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    fault("seccompProfile", format!("pod or {} {wanted}", containers(&names)))
}

fn sysctls(pod: &Pod<'_>, n_allowed: usize) -> Option<Fault> {
    let names = items(&pod.spec["securityContext"], "sysctls").map(name_of);
    let forbidden: Vec<&str> = names.filter(|name| !sysctl::SAFE[..n_allowed].contains(name)).collect();
    if forbidden.is_empty() { None } else { fault("forbidden sysctls", forbidden.join(", ")) }
}

fn host_process(pod: &Pod<'_>) -> Option<Fault> {
    let (setters, _) = pod.bad_settings("windowsOptions", |options| (options["hostProcess"] == true).then(String::new));
    if setters.is_empty() {
        return None;
    }
    fault("hostProcess", format!("{} must not set securityContext.windowsOptions.hostProcess=true", setters.join(" and ")))
}

fn escalation(pod: &Pod<'_>) -> Option<Fault> {
    let names = pod.names(|c| c["securityContext"]["allowPrivilegeEscalation"] != false);
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    fault("allowPrivilegeEscalation != false", detail)
}

const SAFE_VOLUMES: &[&str] =
    &["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"];

fn volume_types(pod: &Pod<'_>) -> Option<Fault> {
    let kind_of = |volume: &Value| {
        let mut kinds = volume.as_object().into_iter().flat_map(|v| v.keys()).filter(|key| *key != "name");
        kinds.next().cloned().unwrap_or_else(|| "unknown".to_owned())
    };
    let bad: Vec<(&str, String)> =
        items(pod.spec, "volumes").map(|v| (name_of(v), kind_of(v))).filter(|(_, kind)| !SAFE_VOLUMES.contains(&kind.as_str())).collect();
    if bad.is_empty() {
        return None;
    }
    let kinds: BTreeSet<String> = bad.iter().map(|(_, kind)| kind.clone()).collect();
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", bad.len()),
        quoted(bad.iter().map(|(name, _)| *name)),
        plural("uses", "use", bad.len()),
        plural("restricted volume type", "restricted volume types", kinds.len()),
        quoted(texts(&kinds))
    );
    fault("restricted volume types", detail)
}

fn run_as_non_root(pod: &Pod<'_>) -> Option<Fault> {
    let (setters, _) = pod.bad_settings("runAsNonRoot", |value| (*value == false).then(String::new));
    if !setters.is_empty() {
        let detail = format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and "));
        return fault("runAsNonRoot != true", detail);
    }
    if pod.spec["securityContext"]["runAsNonRoot"] == true {
        return None;
    }
    let names = pod.names(|c| c["securityContext"].get("runAsNonRoot").is_none());
    if names.is_empty() {
        return None;
    }
    fault("runAsNonRoot != true", format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&names)))
}

fn run_as_user(pod: &Pod<'_>) -> Option<Fault> {
    let (setters, _) = pod.bad_settings("runAsUser", |value| (value.as_i64() == Some(0)).then(String::new));
    if setters.is_empty() { None } else { fault("runAsUser=0", format!("{} must not set runAsUser=0", setters.join(" and "))) }
}
