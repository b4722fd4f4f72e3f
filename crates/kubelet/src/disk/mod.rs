//! Pods' directories and volumes on this host.
//!
//! ```text
//! pods/<uid>/volumes/kubernetes.io~<kind>/<name>/   one folder a volume; memory ones are a tmpfs
//!           /containers/<name>/<attempt>            termination messages
//!           /etc-hosts
//! ```
//! Invariant: nothing of the host is ever mounted below a pod's folder, so that removing the folder removes only what is the pod's.
//! Start with `HostDisk`; `content` makes files of objects, `atomic` writes them, `mounts` tells a container what to mount.

mod atomic;
mod certificates;
mod claims;
mod content;
mod host_path;
mod mounts;
mod ownership;
mod place;
mod tmpfs;
mod tokens;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use client::Client;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Volume;
use object::quantity::Quantity;
use object::time::Clock;
use oci_runtime::runtime::BoxFuture;
use oci_runtime::spec::Mount;
use pod_plan::effect::Failure;
use pod_plan::field_value::Surroundings;
use pod_plan::pod::BoundPod;
use pod_plan::volume_files::Identity;
use pod_plan::{references, resources};

use crate::config::Config;
use crate::lock::locked;
use crate::objects::{Interest, ObjectSource};
use crate::seams::Waker;
use crate::seams::{Disk, MountRequest, PodNetwork};

use certificates::Certificates;
use place::{PodFolder, VolumeKind};
use tokens::Tokens;

/// A termination message is cut here. Upstream: `maxTerminationMessageLength` of one container.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Unmounts the volumes of all pods, which must have ended: for a host that is to be a node no more.
pub fn unmount_all(root_dir: &Path) -> Result<(), String> {
    tmpfs::unmount_below(&root_dir.join("pods"))
}

#[derive(Clone)]
pub struct HostDisk(Arc<Shared>);

struct Shared {
    config: Config,
    clock: Clock,
    objects: Arc<ObjectSource>,
    network: Arc<dyn PodNetwork>,
    tokens: Tokens,
    client: Client,
    /// Where claimed volumes lie on this host, by pod and volume.
    claimed: Mutex<HashMap<(String, String), PathBuf>>,
    certificates: Certificates,
    /// Watches of the objects that mounted volumes show, by pod.
    interests: Mutex<HashMap<String, Interest>>,
}

impl HostDisk {
    pub fn new(config: Config, client: &Client, clock: Clock, objects: Arc<ObjectSource>, network: Arc<dyn PodNetwork>) -> Self {
        let tokens = Tokens::new(client, clock.clone());
        let certificates = Certificates::new(client, clock.clone(), &config.node_name);
        let (client, claimed) = (client.clone(), Mutex::default());
        HostDisk(Arc::new(Shared { config, clock, objects, network, tokens, client, claimed, certificates, interests: Mutex::default() }))
    }
}

/// Where an emptyDir volume lies that fills the disk.
pub(crate) fn empty_dir(root_dir: &std::path::Path, pod_uid: &str, volume: &Volume) -> Option<PathBuf> {
    let kind = VolumeKind::of(volume).filter(|kind| *kind == VolumeKind::EmptyDir)?;
    Some(PodFolder::new(root_dir, pod_uid).volume(kind, &volume.name))
}

impl Shared {
    fn folder(&self, pod_uid: &str) -> PodFolder {
        PodFolder::new(&self.config.root_dir, pod_uid)
    }

    fn surroundings(&self, pod: &BoundPod) -> Surroundings {
        let ips = if pod.is_host_network() { self.config.host_ips.clone() } else { self.network.addresses(&pod.uid) };
        Surroundings {
            host_ips: self.config.host_ip_texts(),
            pod_ips: ips.iter().map(IpAddr::to_string).collect(),
            allocatable: self.config.allocatable(),
        }
    }

    async fn mount(&self, pod: &Arc<BoundPod>, waker: Waker) -> Result<Option<Timestamp>, String> {
        let names = references::of_volumes(pod);
        // Asked before it is watched: what is answered in between shows when the watch begins.
        self.certificates.look(pod, &self.objects).await?;
        let has_certificates = certificates::sources(pod).next().is_some();
        let interest = self.objects.watch(&pod.namespace, &names, has_certificates, waker);
        let objects = self.objects.fetch(&pod.namespace, &names).await.map_err(|e| e.to_string())?;
        locked(&self.interests).insert(pod.uid.clone(), interest);
        let mut renew_at: Option<Timestamp> = None;
        let mut prepared = Vec::new();
        let around = self.surroundings(pod);
        for volume in pod.spec.volumes.iter().flatten() {
            let failed = |text: String| format!("MountVolume.SetUp failed for volume {:?} : {text}", volume.name);
            let kind = VolumeKind::of(volume).ok_or_else(|| failed("this kind of volume is not supported by this node".to_owned()))?;
            let (tokens, renew) = self.tokens.of_volume(pod, volume).await.map_err(failed)?;
            let (certificates, renew_certificates) = self.certificates.of_volume(pod, &volume.name);
            renew_at = [renew_at, renew, renew_certificates].into_iter().flatten().min();
            if let Some(claim) = claims::of_volume(pod, volume) {
                let path = claims::path(&self.client, pod, &claim).await.map_err(failed)?;
                locked(&self.claimed).insert((pod.uid.clone(), volume.name.clone()), path);
            }
            let identity = Identity { tokens, certificates };
            let files = pod_plan::volume_files::files(pod, volume, &objects, &identity, &around).transpose().map_err(failed)?;
            prepared.push((volume.clone(), kind, files));
        }
        let (folder, pod) = (self.folder(&pod.uid), Arc::clone(pod));
        let (allocatable, stamp) = (self.config.allocatable(), self.clock.now());
        let work = move || {
            folder.make().map_err(|e| format!("error making pod data directories: {e}"))?;
            for (volume, kind, files) in prepared {
                let memory_max = memory_max(&pod, &volume, &allocatable);
                let made = content::set_up(&folder, &pod, &volume, kind, files.as_ref(), memory_max, stamp);
                made.map_err(|text| format!("MountVolume.SetUp failed for volume {:?} : {text}", volume.name))?;
            }
            Ok::<(), String>(())
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())??;
        Ok(renew_at)
    }
}

/// How large a memory volume may grow: its own limit, the pod's, or what the node has.
fn memory_max(pod: &BoundPod, volume: &Volume, allocatable: &std::collections::BTreeMap<String, Quantity>) -> i64 {
    let node = allocatable.get("memory").map_or(i64::MAX, |q| q.value());
    let pod_limit = resources::pod_cgroup(pod).memory_limit.and_then(|m| i64::try_from(m).ok());
    let own = volume.empty_dir.as_ref().and_then(|e| e.size_limit.as_ref()).and_then(|q| Quantity::parse(&q.0).ok());
    [Some(node), pod_limit, own.map(|q| q.value())].into_iter().flatten().filter(|bytes| *bytes > 0).min().unwrap_or(node)
}

impl Disk for HostDisk {
    fn mount(&self, pod: Arc<BoundPod>, waker: Waker) -> BoxFuture<'static, Result<Option<Timestamp>, String>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.mount(&pod, waker).await })
    }

    fn unmount(&self, pod: Arc<BoundPod>) -> BoxFuture<'static, Result<(), String>> {
        locked(&self.0.interests).remove(&pod.uid);
        locked(&self.0.claimed).retain(|(uid, _), _| *uid != pod.uid);
        self.0.tokens.forget(&pod.uid);
        self.0.certificates.forget(&pod.uid);
        let folder = self.0.folder(&pod.uid);
        Box::pin(async move { tokio::task::spawn_blocking(move || folder.remove()).await.map_err(|e| e.to_string())? })
    }

    fn mounts(&self, request: MountRequest) -> BoxFuture<'static, Result<Vec<Mount>, Failure>> {
        let shared = Arc::clone(&self.0);
        let work = move || {
            let claimed = |volume: &str| locked(&shared.claimed).get(&(request.pod.uid.clone(), volume.to_owned())).cloned();
            let place =
                mounts::Place { folder: shared.folder(&request.pod.uid), cluster_domain: &shared.config.cluster_domain, claimed: &claimed };
            mounts::of_container(&place, &request)
        };
        Box::pin(async move {
            let made = tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string()).and_then(|made| made);
            made.map_err(|text| Failure::new("CreateContainerConfigError", text))
        })
    }

    fn termination_message(&self, pod_uid: &str, container: &str, attempt: u32) -> String {
        let path: PathBuf = self.0.folder(pod_uid).termination_message(container, attempt);
        let mut bytes = std::fs::read(path).unwrap_or_default();
        bytes.truncate(MESSAGE_BYTES_MAX);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn sweep(&self, kept: HashSet<String>) {
        // Chosen before any new pod can begin, removed at leisure.
        let config = &self.0.config;
        let is_gone = |uid: &str| !kept.contains(uid);
        let folders: Vec<PodFolder> =
            place::names(&config.root_dir.join("pods")).filter(|uid| is_gone(uid)).map(|uid| self.0.folder(&uid)).collect();
        // `<namespace>_<name>_<uid>`
        let of_nobody = |name: &String| name.rsplit_once('_').is_some_and(|(_, uid)| is_gone(uid));
        let logs: Vec<PathBuf> = place::names(&config.log_dir).filter(of_nobody).map(|name| config.log_dir.join(name)).collect();
        tokio::task::spawn_blocking(move || {
            for folder in folders {
                if let Err(error) = folder.remove() {
                    tracing::warn!(error, "cannot remove what a pod left");
                }
            }
            for folder in logs {
                if let Err(error) = std::fs::remove_dir_all(&folder) {
                    tracing::warn!(path = %folder.display(), %error, "cannot remove logs");
                }
            }
        });
    }

    fn remove_logs(&self, pod: &BoundPod) {
        let folder = self.0.config.log_dir.join(crate::recipe::log_folder(pod));
        if let Err(e) = std::fs::remove_dir_all(&folder)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(namespace = pod.namespace, name = pod.name, error = %e, "cannot remove logs");
        }
    }
}
