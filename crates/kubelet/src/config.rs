//! What one node agent is told about its node, its cluster and its host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Taint;
use object::quantity::{Format, Quantity};

use crate::machine::Machine;

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
    pub taints: Vec<Taint>,
    /// `spec.podCIDRs` where no controller hands them out.
    pub pod_cidrs: Vec<String>,
    /// Where the node agent's own server listens.
    pub port: u16,
    /// As `kubectl get nodes` shows it: `v1.37.1`.
    pub kubernetes_version: String,
    /// `coracle://0.1.0`.
    pub runtime_version: String,
    pub machine: Machine,
}

impl Config {
    pub fn capacity(&self) -> BTreeMap<String, Quantity> {
        let machine = &self.machine;
        BTreeMap::from([
            ("cpu".to_owned(), Quantity::from_units(machine.n_cpus.into(), Format::DecimalSi)),
            ("memory".to_owned(), Quantity::from_units(machine.memory_bytes, Format::BinarySi)),
            ("ephemeral-storage".to_owned(), Quantity::from_units(machine.storage_bytes, Format::BinarySi)),
            ("pods".to_owned(), Quantity::from_units(self.max_pods.into(), Format::DecimalSi)),
            ("hugepages-1Gi".to_owned(), Quantity::ZERO),
            ("hugepages-2Mi".to_owned(), Quantity::ZERO),
        ])
    }

    /// What pods may ask for in all. Upstream keeps back what eviction would fight for.
    pub fn allocatable(&self) -> BTreeMap<String, Quantity> {
        const MEMORY_KEPT_BYTES: i64 = 100 << 20;
        let mut amounts = self.capacity();
        let memory = (self.machine.memory_bytes - MEMORY_KEPT_BYTES).max(0);
        let storage = self.machine.storage_bytes / 10 * 9;
        amounts.insert("memory".to_owned(), Quantity::from_units(memory, Format::BinarySi));
        amounts.insert("ephemeral-storage".to_owned(), Quantity::from_units(storage, Format::DecimalSi));
        amounts
    }

    pub fn host_ip_texts(&self) -> Vec<String> {
        self.host_ips.iter().map(ToString::to_string).collect()
    }
}
