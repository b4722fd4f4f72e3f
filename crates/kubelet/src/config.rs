//! What one node agent is told about its node, its cluster and its host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use object::quantity::{Format, Quantity};

#[derive(Clone, Debug)]
pub struct Config {
    pub node_name: String,
    /// Pods' directories live below it: `pods/<uid>/…`.
    pub root_dir: PathBuf,
    /// Container logs: `<namespace>_<pod>_<uid>/<container>/<n>.log`.
    pub log_dir: PathBuf,
    /// Pods' cgroups are made below it, absolute in each hierarchy: `/coracle/main/pods`.
    pub cgroup_root: String,
    /// The node's addresses, primary first; at most one a family.
    pub host_ips: Vec<IpAddr>,
    /// Where pods ask for names, and below which domain.
    pub cluster_dns: Vec<IpAddr>,
    pub cluster_domain: String,
    /// The host's own resolver settings, for `dnsPolicy: Default`.
    pub host_resolv_conf: PathBuf,
    pub max_pods: u32,
    /// Written on the Node beside the well-known ones.
    pub labels: BTreeMap<String, String>,
    /// Where the node agent's own server listens.
    pub port: u16,
    pub memory_capacity: i64,
    pub n_cpus: u32,
}

impl Config {
    /// What pods may ask for in all.
    pub fn allocatable(&self) -> BTreeMap<String, Quantity> {
        BTreeMap::from([
            ("cpu".to_owned(), Quantity::from_units(self.n_cpus.into(), Format::DecimalSi)),
            ("memory".to_owned(), Quantity::from_units(self.memory_capacity, Format::BinarySi)),
        ])
    }

    pub fn host_ip_texts(&self) -> Vec<String> {
        self.host_ips.iter().map(ToString::to_string).collect()
    }
}
