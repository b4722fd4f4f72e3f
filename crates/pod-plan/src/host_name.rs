//! A pod's host name, domain and `/etc/hosts`.

use std::fmt::Write;

use crate::pod::BoundPod;

/// A host name longer than the kernel's 64 bytes is cut, without a dash or dot at its end.
const HOST_NAME_LEN_MAX: usize = 63;

/// Host name, and domain where the pod has a subdomain.
pub fn host_name(pod: &BoundPod, cluster_domain: &str) -> (String, String) {
    let some = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    if let Some(name) = some(&pod.spec.hostname_override) {
        return (cut(&name), String::new());
    }
    let name = some(&pod.spec.hostname).unwrap_or_else(|| pod.name.clone());
    let domain = some(&pod.spec.subdomain).map(|sub| format!("{sub}.{}.svc.{cluster_domain}", pod.namespace));
    (cut(&name), domain.unwrap_or_default())
}

/// What the UTS namespace is given.
pub fn kernel_host_name(pod: &BoundPod, cluster_domain: &str) -> String {
    let (name, domain) = host_name(pod, cluster_domain);
    if pod.spec.set_hostname_as_fqdn == Some(true) && !domain.is_empty() { format!("{name}.{domain}") } else { name }
}

fn cut(name: &str) -> String {
    if name.len() <= HOST_NAME_LEN_MAX { name.to_owned() } else { name[..HOST_NAME_LEN_MAX].trim_end_matches(['-', '.']).to_owned() }
}

/// `host_file`: the node's own `/etc/hosts`, which pods on its network see.
pub fn hosts_file(pod: &BoundPod, pod_ips: &[String], cluster_domain: &str, host_file: &str) -> String {
    let mut text = String::new();
    if pod.is_host_network() {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(host_file);
    } else {
        text.push_str(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
             fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        let (name, domain) = host_name(pod, cluster_domain);
        for ip in pod_ips {
            let _ = if domain.is_empty() { writeln!(text, "{ip}\t{name}") } else { writeln!(text, "{ip}\t{name}.{domain}\t{name}") };
        }
    }
    let aliases = pod.spec.host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let _ = writeln!(text, "{}\t{}", alias.ip, alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t"));
    }
    text
}
