//! Flags resolved into what the parts need; nothing here opens a port or writes a file.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use object::cidr::Cidr;

use crate::cli::{ClusterFlags, NameFlags};
use crate::failure::Failure;

/// The tenth address of the service range, as everywhere.
pub(crate) const DNS_ADDRESS: u128 = 10;

/// Where one cluster's state lies on this host.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) data_dir: PathBuf,
}

impl Place {
    pub(crate) fn of(flags: &NameFlags) -> Result<Self, Failure> {
        if let Some(fault) = object::names::label_faults(&flags.name).into_iter().next() {
            return Err(Failure::usage(format!("--name `{}`: {fault}", flags.name)));
        }
        let data_dir = flags.data_dir.clone().unwrap_or_else(|| Path::new("/var/lib/coracle").join(&flags.name));
        let data_dir = std::path::absolute(&data_dir).map_err(|e| Failure::usage(format!("--data-dir `{}`: {e}", data_dir.display())))?;
        Ok(Place { name: flags.name.clone(), data_dir })
    }

    /// The kubeconfig context, cluster and user.
    pub(crate) fn context(&self) -> String {
        if self.name == "default" { "coracle".to_owned() } else { format!("coracle-{}", self.name) }
    }

    /// Distinguishes what this cluster makes on the host (links, tables, cgroups) from another's, also of the same name elsewhere.
    pub(crate) fn tag(&self) -> String {
        let mut hash: u32 = 0x811c_9dc5;
        for byte in self.data_dir.as_os_str().as_encoded_bytes() {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
        format!("{hash:08x}")[..6].to_owned()
    }

    pub(crate) fn pki_dir(&self) -> PathBuf {
        self.data_dir.join("pki")
    }
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.data_dir.join("store")
    }
    pub(crate) fn images_dir(&self) -> PathBuf {
        self.data_dir.join("images")
    }
    pub(crate) fn pods_dir(&self) -> PathBuf {
        self.data_dir.join("pods")
    }
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.data_dir.join("run")
    }
    /// The user's own, and so not there at first.
    pub(crate) fn registries_file(&self) -> PathBuf {
        self.data_dir.join("registries.yaml")
    }
    pub(crate) fn log_file(&self) -> PathBuf {
        self.data_dir.join("server.log")
    }
    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }
}

/// An IPv4 and an IPv6 range, either of which may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges(pub(crate) Vec<Cidr>);

impl Ranges {
    /// Reads `10.244.0.0/16,fd00::/56`: one or two ranges, of different families.
    pub(crate) fn parse(flag: &str, text: &str) -> Result<Self, Failure> {
        let bad = |why: &str| Failure::usage(format!("{flag} `{text}`: {why}")).hint(format!("{flag} 10.244.0.0/16,fd00:10:244::/56"));
        let mut ranges: Vec<Cidr> = Vec::new();
        for part in text.split(',') {
            let range: Cidr = part.parse().map_err(|_| bad("a range is ADDRESS/PREFIX"))?;
            if ranges.iter().any(|r| r.is_ipv4() == range.is_ipv4()) {
                return Err(bad("one range a family"));
            }
            ranges.push(range);
        }
        Ok(Ranges(ranges))
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// The nth address of each range: the first is the API's Service, the tenth DNS, as kubeadm has it.
    pub(crate) fn nth(&self, n: u128) -> Vec<IpAddr> {
        self.0.iter().filter_map(|range| range.nth(n)).collect()
    }
}

/// All a server needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    pub(crate) place: Place,
    pub(crate) api_port: u16,
    pub(crate) registry_port: u16,
    pub(crate) kubelet_port: u16,
    pub(crate) pod_ranges: Ranges,
    pub(crate) service_ranges: Ranges,
    pub(crate) node_name: String,
    pub(crate) node_ips: Vec<IpAddr>,
    pub(crate) controllers: String,
}

impl ServerOptions {
    pub(crate) fn resolve(flags: &ClusterFlags) -> Result<Self, Failure> {
        let node_name = node_name(flags.node_name.as_deref())?;
        let service_ranges = Ranges::parse("--service-cidr", &flags.service_cidr)?;
        if service_ranges.nth(DNS_ADDRESS).len() < service_ranges.0.len() {
            let why = format!("--service-cidr `{}`: no room for the API's address and that of DNS", flags.service_cidr);
            return Err(Failure::usage(why).hint("--service-cidr 10.96.0.0/16".to_owned()));
        }
        Ok(ServerOptions {
            place: Place::of(&flags.which)?,
            api_port: flags.api_port,
            registry_port: flags.registry_port,
            kubelet_port: flags.kubelet_port,
            pod_ranges: Ranges::parse("--pod-cidr", &flags.pod_cidr)?,
            service_ranges,
            node_name,
            node_ips: flags.node_ip.clone(),
            controllers: flags.controllers.clone(),
        })
    }
}

/// The flag, or the host's name made fit for a Node.
pub(crate) fn node_name(flag: Option<&str>) -> Result<String, Failure> {
    let name = match flag {
        Some(name) => name.to_owned(),
        None => rustix::system::uname().nodename().to_string_lossy().to_lowercase(),
    };
    match object::names::subdomain_faults(&name).into_iter().next() {
        None => Ok(name),
        Some(fault) => Err(Failure::usage(format!("node name `{name}`: {fault}")).hint("--node-name NAME".to_owned())),
    }
}

/// Where kubectl looks first.
pub(crate) fn kubeconfig_path(flag: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = flag {
        return Ok(path.to_owned());
    }
    let from_env = std::env::var_os("KUBECONFIG").and_then(|list| std::env::split_paths(&list).find(|p| !p.as_os_str().is_empty()));
    from_env
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config")))
        .ok_or_else(|| Failure::usage("no home directory to keep the kubeconfig in".to_owned()).hint("--kubeconfig FILE".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_one_a_family() {
        let both = Ranges::parse("--service-cidr", "10.96.0.0/16,fd00:10:96::/112").ok().unwrap();
        assert_eq!(both.nth(10), ["10.96.0.10".parse::<IpAddr>().unwrap(), "fd00:10:96::a".parse().unwrap()]);
        for bad in ["", "10.96.0.0", "10.96.0.0/33", "10.0.0.0/8,10.1.0.0/16", "x/8"] {
            assert!(Ranges::parse("--service-cidr", bad).is_err(), "{bad}");
        }
    }
}
