//! A pod's `/etc/resolv.conf`, by its `dnsPolicy` and `dnsConfig`. Upstream: `pkg/kubelet/network/dns`.

use std::net::IpAddr;

use pod_plan::pod::BoundPod;

use crate::config::Config;

/// The C library reads no more.
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

#[derive(Default)]
struct Resolver {
    nameservers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

pub(crate) fn resolv_conf(config: &Config, pod: &BoundPod) -> String {
    let host = || read(&std::fs::read_to_string(&config.host_resolv_conf).unwrap_or_default());
    let policy = pod.spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let wants_cluster = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !pod.is_host_network(),
        _ => false,
    };
    let mut resolver = if wants_cluster && !config.cluster_dns.is_empty() {
        cluster(config, pod, host())
    } else if policy == "None" {
        Resolver::default()
    } else {
        host()
    };
    add_own(&mut resolver, pod);
    written(&resolver)
}

fn cluster(config: &Config, pod: &BoundPod, host: Resolver) -> Resolver {
    let domain = &config.cluster_domain;
    let mut searches = vec![format!("{}.svc.{domain}", pod.namespace), format!("svc.{domain}"), domain.clone()];
    searches.extend(host.searches);
    Resolver { nameservers: config.cluster_dns.iter().map(IpAddr::to_string).collect(), searches, options: vec!["ndots:5".to_owned()] }
}

fn read(text: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => resolver.nameservers.extend(words.next()),
            Some("search" | "domain") => resolver.searches = words.filter(|w| w != ".").collect(),
            Some("options") => resolver.options.extend(words),
            _ => {}
        }
    }
    resolver
}

/// `dnsConfig` adds servers and searches, and replaces options of the same name.
fn add_own(resolver: &mut Resolver, pod: &BoundPod) {
    let Some(own) = &pod.spec.dns_config else { return };
    resolver.nameservers.extend(own.nameservers.iter().flatten().cloned());
    resolver.searches.extend(own.searches.iter().flatten().cloned());
    let mut seen = Vec::new();
    resolver.searches.retain(|s| {
        !seen.contains(s) && {
            seen.push(s.clone());
            true
        }
    });
    let mut seen = Vec::new();
    resolver.nameservers.retain(|s| {
        !seen.contains(s) && {
            seen.push(s.clone());
            true
        }
    });
    for option in own.options.iter().flatten() {
        let name = option.name.clone().unwrap_or_default();
        let text = option.value.as_ref().filter(|v| !v.is_empty()).map_or_else(|| name.clone(), |value| format!("{name}:{value}"));
        match resolver.options.iter_mut().find(|o| o.split(':').next() == Some(&name)) {
            Some(old) => *old = text,
            None => resolver.options.push(text),
        }
    }
}

fn written(resolver: &Resolver) -> String {
    let mut text = String::new();
    if !resolver.searches.is_empty() {
        text.push_str(&format!("search {}\n", resolver.searches.iter().take(SEARCHES_MAX).cloned().collect::<Vec<_>>().join(" ")));
    }
    for server in resolver.nameservers.iter().take(NAMESERVERS_MAX) {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !resolver.options.is_empty() {
        text.push_str(&format!("options {}\n", resolver.options.join(" ")));
    }
    text
}
