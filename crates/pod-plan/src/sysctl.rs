//! Kernel settings of pods: which a node takes. Upstream: `pkg/kubelet/sysctl`.

use object::sysctl::SAFE;

use crate::admission::Refusal;
use crate::pod::BoundPod;

/// `net/ipv4/conf/eth0.1/x` and `net.ipv4.conf.eth0/1.x` are the same: what separates is what comes first.
pub fn normal_name(name: &str) -> String {
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    match name.chars().find(|c| matches!(c, '.' | '/')) {
        Some('/') => name.chars().map(swapped).collect(),
        _ => name.to_owned(),
    }
}

pub fn refusal(pod: &BoundPod) -> Option<Refusal> {
    let asked = pod.spec.security_context.iter().filter_map(|c| c.sysctls.as_ref()).flatten();
    let why = asked.into_iter().find_map(|sysctl| {
        let name = normal_name(&sysctl.name);
        if !SAFE.contains(&name.as_str()) {
            return Some(format!("{name:?} not allowlisted"));
        }
        let (namespace, is_host) =
            if name.starts_with("net.") { ("net", pod.is_host_network()) } else { ("ipc", pod.spec.host_ipc == Some(true)) };
        is_host.then(|| format!("{name:?} not allowed with host {namespace} enabled"))
    })?;
    Some(Refusal { reason: "SysctlForbidden", message: format!("forbidden sysctl: {why}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_safe_ones_are_taken() {
        for (name, host, expected) in [
            ("net.ipv4.tcp_syncookies", false, None),
            ("net/ipv4/tcp_syncookies", false, None),
            ("kernel.shm_rmid_forced", false, None),
            ("kernel.msgmax", false, Some("forbidden sysctl: \"kernel.msgmax\" not allowlisted")),
            ("kernel/msgmax", false, Some("forbidden sysctl: \"kernel.msgmax\" not allowlisted")),
            ("net.ipv4.tcp_syncookies", true, Some("forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled")),
            ("kernel.shm_rmid_forced", true, Some("forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host ipc enabled")),
        ] {
            let context = json!({"sysctls": [{"name": name, "value": "1"}]});
            let spec = json!({"securityContext": context, "hostNetwork": host, "hostIPC": host, "containers": []});
            let pod = BoundPod::read(&json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
            assert_eq!(refusal(&pod).map(|r| r.message).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn what_separates_comes_first() {
        for (name, normal) in [("net/ipv4/conf/eth0.1/x", "net.ipv4.conf.eth0/1.x"), ("a.b/c.d", "a.b/c.d"), ("plain", "plain")] {
            assert_eq!(normal_name(name), normal);
        }
    }
}
