//! Security contexts of pods and containers, and the sandbox profiles in them.

use std::collections::HashSet;

use super::windows;
use crate::check::{At, Faults};
use crate::shapes;

pub(super) fn validate_container(at: &At<'_>, host_users: bool, faults: &mut Faults) {
    if !at.is_set() {
        return;
    }
    shapes::id(&at.get("runAsUser"), faults);
    shapes::id(&at.get("runAsGroup"), faults);
    let mount = at.get("procMount");
    if mount.is_set() {
        if !matches!(mount.text(), "Default" | "Unmasked") {
            faults.not_supported(&mount, &["Default", "Unmasked"]);
        }
        if host_users && mount == "Unmasked" {
            faults.invalid_text(&mount, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    validate_seccomp(&at.get("seccompProfile"), faults);
    if at.get("allowPrivilegeEscalation").is_false() {
        if at.get("privileged").is_true() {
            faults.invalid_go(at, "SecurityContext", at.value, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        for _ in at.get("capabilities").get("add").list().iter().filter(|capability| *capability == "CAP_SYS_ADMIN") {
            faults.invalid_go(
                at,
                "SecurityContext",
                at.value,
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
    windows::validate_options(&at.get("windowsOptions"), faults);
    validate_app_armor(&at.get("appArmorProfile"), faults);
}

pub(super) fn validate_pod(spec: &At<'_>, faults: &mut Faults) {
    let at = spec.get("securityContext");
    if !at.is_set() {
        return;
    }
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        shapes::id(&at.get(field), faults);
    }
    for group in at.get("supplementalGroups").items() {
        shapes::id(&group, faults);
    }
    validate_sysctls(&at.get("sysctls"), spec, faults);
    faults.one_of(&at.get("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    validate_seccomp(&at.get("seccompProfile"), faults);
    windows::validate_options(&at.get("windowsOptions"), faults);
    validate_app_armor(&at.get("appArmorProfile"), faults);
    faults.one_of(&at.get("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    faults.one_of(&at.get("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
}

fn validate_seccomp(at: &At<'_>, faults: &mut Faults) {
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.get("type"), at.get("localhostProfile"));
    if !kind.has_text() {
        faults.required(&kind, "type is required when seccompProfile is set");
    } else {
        faults.one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
    }
    if kind == "Localhost" {
        if profile.is_set() {
            shapes::relative_path(&profile, faults);
        } else {
            faults.required(&profile, "must be set when seccomp type is Localhost");
        }
    } else if profile.is_set() {
        faults.invalid_go(&profile, "SeccompProfile", at.value, "can only be set when seccomp type is Localhost");
    }
}

/// The longest path there is, without the final zero.
pub(crate) const APP_ARMOR_PROFILE_MAX: usize = 4095;

fn validate_app_armor(at: &At<'_>, faults: &mut Faults) {
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.get("type"), at.get("localhostProfile"));
    match kind.text() {
        "Localhost" if !profile.is_set() => faults.required(&profile, "must be set when AppArmor type is Localhost"),
        "Localhost" => {
            if profile.text().trim() != profile.text() {
                faults.invalid_text(&profile, "must not be padded with whitespace");
            } else if !profile.has_text() {
                faults.required(&profile, "must be set when AppArmor type is Localhost");
            }
            if profile.text().len() > APP_ARMOR_PROFILE_MAX {
                faults.too_long(&profile, APP_ARMOR_PROFILE_MAX);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if profile.is_set() {
                faults.invalid(&profile, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => faults.required(&kind, "type is required when appArmorProfile is set"),
        _ => faults.not_supported(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}

const SYSCTL_MAX: usize = 253;

fn is_sysctl_name(name: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_segment = |segment: &str| {
        let bytes = segment.as_bytes();
        bytes.first().copied().is_some_and(edge)
            && bytes.last().copied().is_some_and(edge)
            && bytes.iter().all(|c| edge(*c) || b"-_".contains(c))
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(is_segment)
}

/// Whether a sysctl belongs to the network or the IPC namespace.
fn is_of_network(name: &str) -> bool {
    name.starts_with("net.") || name.starts_with("net/")
}
fn is_of_ipc(name: &str) -> bool {
    let dotted = name.replace('/', ".");
    dotted == "kernel.sem" || dotted.starts_with("kernel.shm") || dotted.starts_with("kernel.msg") || dotted.starts_with("fs.mqueue.")
}

fn validate_sysctls(list: &At<'_>, spec: &At<'_>, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for sysctl in list.items() {
        let name = sysctl.get("name");
        if !name.has_text() {
            faults.required(&name, "");
        } else if !is_sysctl_name(name.text()) {
            const SHAPE: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            faults.invalid_text(&name, format!("must have at most {SYSCTL_MAX} characters and match regex {SHAPE}"));
        } else if seen.contains(name.text()) {
            faults.duplicate(&name);
        }
        if spec.get("hostNetwork").is_true() && is_of_network(name.text()) {
            faults.invalid_text(&name, "may not be specified when 'hostNetwork' is true");
        } else if spec.get("hostIPC").is_true() && is_of_ipc(name.text()) {
            faults.invalid_text(&name, "may not be specified when 'hostIPC' is true");
        }
        seen.insert(name.text());
    }
}
