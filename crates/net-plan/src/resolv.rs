//! A pod's `/etc/resolv.conf`.
//!
//! Upstream: `pkg/kubelet/network/dns/dns.go`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

/// Upstream: `validation.MaxDNSNameservers` and its neighbours.
const NAME_SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2048;

/// What the cluster and the node bring to it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub dns_addresses: Vec<IpAddr>,
    pub cluster_domain: String,
    /// The node's own file.
    pub host_resolv_conf: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ResolvConf {
    name_servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// The text of the file for this pod.
pub fn resolv_conf(pod: &Pod, surroundings: &Surroundings) -> String {
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|spec| spec.host_network) == Some(true);
    let host = ResolvConf::parse(&surroundings.host_resolv_conf);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let cluster = || ResolvConf::of_cluster(namespace, surroundings, &host);
    let policy = spec.and_then(|spec| spec.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let mut conf = match policy {
        "None" => ResolvConf::default(),
        "ClusterFirstWithHostNet" => cluster(),
        "ClusterFirst" if !host_network => cluster(),
        // Upstream: `ClusterFirst` in the host's network falls back to `Default`.
        _ => host.clone(),
    };
    if conf.name_servers.is_empty() && policy != "None" {
        // Without a cluster DNS, or a resolver of the host, at least localhost is asked, as the C library would.
        conf.name_servers = if host.name_servers.is_empty() { vec!["127.0.0.1".to_owned()] } else { host.name_servers };
    }
    if let Some(config) = spec.and_then(|spec| spec.dns_config.as_ref()) {
        append_new(&mut conf.name_servers, config.nameservers.iter().flatten());
        append_new(&mut conf.searches, config.searches.iter().flatten());
        for option in config.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            conf.options.retain(|found| found.split(':').next() != Some(name));
            conf.options.push(
                option.value.as_ref().filter(|value| !value.is_empty()).map_or_else(|| name.clone(), |value| format!("{name}:{value}")),
            );
        }
    }
    conf.limited().to_string()
}

impl ResolvConf {
    fn parse(text: &str) -> Self {
        let mut conf = ResolvConf::default();
        for line in text.lines().map(|line| line.split(['#', ';']).next().unwrap_or("")) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.name_servers.extend(words.next().map(str::to_owned)),
                // The last line of its kind wins.
                Some("search" | "domain") => conf.searches = words.map(without_dot).collect(),
                Some("options") => conf.options = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        conf
    }

    fn of_cluster(namespace: &str, surroundings: &Surroundings, host: &ResolvConf) -> Self {
        let domain = surroundings.cluster_domain.as_str();
        let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
        append_new(&mut searches, host.searches.iter());
        let name_servers = surroundings.dns_addresses.iter().map(IpAddr::to_string).collect();
        ResolvConf { name_servers, searches, options: vec!["ndots:5".to_owned()] }
    }

    fn limited(mut self) -> Self {
        self.name_servers.truncate(NAME_SERVERS_MAX);
        self.searches.truncate(SEARCHES_MAX);
        while self.searches.join(" ").len() > SEARCH_CHARACTERS_MAX {
            self.searches.pop();
        }
        self
    }
}

impl std::fmt::Display for ResolvConf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.searches.is_empty() {
            writeln!(f, "search {}", self.searches.join(" "))?;
        }
        for server in &self.name_servers {
            writeln!(f, "nameserver {server}")?;
        }
        if !self.options.is_empty() {
            writeln!(f, "options {}", self.options.join(" "))?;
        }
        Ok(())
    }
}

fn without_dot(name: &str) -> String {
    // The root alone keeps its dot.
    if name == "." { name.to_owned() } else { name.trim_end_matches('.').to_owned() }
}

fn append_new<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for entry in more {
        if !list.contains(entry) {
            list.push(entry.clone());
        }
    }
}
