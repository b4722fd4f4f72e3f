//! What holds for Windows pods, and what may not be said in a pod of the other system.

use super::each_container;
use crate::check::{At, Faults};

const SPEC_MAX_KIB: usize = 64;
const DOMAIN_MAX: usize = 256;
const USER_MAX: usize = 104;

pub(super) fn validate_options(at: &At<'_>, faults: &mut Faults) {
    let name = at.get("gmsaCredentialSpecName");
    if name.is_set() {
        faults.subdomain(&name);
    }
    let spec = at.get("gmsaCredentialSpec");
    if spec.is_set() && !spec.has_text() {
        faults.invalid(&spec, "gmsaCredentialSpec cannot be an empty string");
    } else if spec.text().len() > SPEC_MAX_KIB * 1024 {
        faults.invalid(&spec, format!("gmsaCredentialSpec size must be under {SPEC_MAX_KIB} KiB"));
    }
    let user = at.get("runAsUserName");
    if user.is_set() {
        for fault in user_faults(user.text()) {
            faults.invalid(&user, fault);
        }
    }
}

/// `[domain\]user`.
fn user_faults(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["runAsUserName cannot be an empty string".to_owned()];
    }
    if text.bytes().any(|c| c.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters".to_owned()];
    }
    let (domain, user) = match text.split('\\').collect::<Vec<_>>().as_slice() {
        [user] => (None, *user),
        [domain, user] => (Some(*domain), *user),
        _ => return vec!["runAsUserName cannot contain more than one backslash".to_owned()],
    };
    let mut faults = Vec::new();
    let mut add = |is_wrong: bool, text: String| faults.extend(is_wrong.then_some(text));
    if let Some(domain) = domain {
        add(domain.len() >= DOMAIN_MAX, format!("runAsUserName's Domain length must be under {DOMAIN_MAX} characters"));
        let is_fine = is_net_bios(domain) || is_dns(domain);
        add(!is_fine, "runAsUserName's Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    add(user.is_empty(), "runAsUserName's User cannot be empty".to_owned());
    add(user.len() > USER_MAX, format!("runAsUserName's User length must not be longer than {USER_MAX} characters"));
    let is_blank = !user.is_empty() && user.chars().all(|c| ". ".contains(c));
    add(is_blank, "runAsUserName's User cannot contain only periods or spaces".to_owned());
    let is_odd = user.chars().any(|c| r#""/\:;|=,+*?<>@[]"#.contains(c));
    add(is_odd, r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#.to_owned());
    faults
}

fn is_net_bios(domain: &str) -> bool {
    let len = domain.chars().count();
    (1..=15).contains(&len) && !domain.starts_with('.') && !domain.chars().any(|c| r#"\/:*?"<>|"#.contains(c))
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes[0].is_ascii_alphanumeric()
            && bytes[bytes.len() - 1].is_ascii_alphanumeric()
            && bytes.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'-')
    })
}

/// Containers in the host's own processes: all of a pod or none, and then its network too.
pub(super) fn validate_host_process(spec: &At<'_>, faults: &mut Faults) {
    let of_pod = spec.get("securityContext").get("windowsOptions").get("hostProcess");
    let (mut all, mut on_host) = (0, 0);
    each_container(spec, |container| {
        all += 1;
        let own = container.get("securityContext").get("windowsOptions").get("hostProcess");
        if of_pod.is_set() && own.is_set() && of_pod.value != own.value {
            let text = format!("pod hostProcess value must be identical if both are specified, was {}", of_pod.value);
            faults.invalid(&own, text);
        }
        on_host += i32::from(own.is_true() || (!own.is_set() && of_pod.is_true()));
    });
    if on_host == 0 {
        return;
    }
    if on_host != all {
        let text = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        faults.invalid_as(spec, "", text);
    }
    if !spec.get("hostNetwork").is_true() {
        let text = "hostNetwork must be true if pod contains any hostProcess containers";
        faults.invalid_as(&spec.get("hostNetwork"), false, text);
    }
}

pub(super) fn validate_os(spec: &At<'_>, faults: &mut Faults) {
    let os = spec.get("os");
    if !os.is_set() {
        return;
    }
    let name = os.get("name");
    match name.text() {
        "" => faults.required(&name, ""),
        "linux" => forbid_windows_options(spec, faults),
        "windows" => forbid_unix_options(spec, faults),
        other => faults.0.push(object::field::Error::not_supported(&os.path(), other, &["linux", "windows"])),
    }
}

fn forbid_windows_options(spec: &At<'_>, faults: &mut Faults) {
    let mut forbid = |at: At<'_>| {
        if at.is_set() {
            faults.forbidden(&at, "windows options cannot be set for a linux pod");
        }
    };
    forbid(spec.get("securityContext").get("windowsOptions"));
    each_container(spec, |container| forbid(container.get("securityContext").get("windowsOptions")));
}

const POD_UNIX: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const CONTAINER_UNIX: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

fn forbid_unix_options(spec: &At<'_>, faults: &mut Faults) {
    let mut forbid = |at: At<'_>, is_said: bool| {
        if is_said {
            faults.forbidden(&at, "cannot be set for a windows pod");
        }
    };
    let context = spec.get("securityContext");
    for field in POD_UNIX {
        let at = context.get(field);
        let is_said = at.is_set() && !(*field == "sysctls" && at.is_empty());
        forbid(at, is_said);
    }
    for (field, matters_when_false) in [("hostUsers", true), ("hostPID", false), ("hostIPC", false), ("shareProcessNamespace", true)] {
        let at = spec.get(field);
        let is_said = at.is_true() || (matters_when_false && at.is_set());
        forbid(at, is_said);
    }
    each_container(spec, |container| {
        let context = container.get("securityContext");
        for field in CONTAINER_UNIX {
            let at = context.get(field);
            let is_said = at.is_set();
            forbid(at, is_said);
        }
    });
}
