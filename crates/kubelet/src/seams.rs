//! The parts of a host that a simulation replaces, beside the runtime itself: images, the pod network, the disk.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use oci_image::Credentials;
use oci_runtime::runtime::BoxFuture;
use oci_runtime::spec::{ContainerId, Mount};
use pod_plan::effect::Failure;
use pod_plan::pod::BoundPod;

/// Called when a watched object changed; it must be quick.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What starting a container needs to know of its image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// The digest of its configuration, `sha256:…`.
    pub id: String,
    /// What a status shows as `imageID`: a name with a digest where there is one.
    pub shown: String,
    pub names: Vec<String>,
    pub size: u64,
    /// Unpacked, lowest first.
    pub layers: Vec<PathBuf>,
    pub env: Vec<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub working_dir: String,
    pub user: String,
    pub stop_signal: String,
    /// This node agent pulled it, and may do so again: only such images are removed to make room.
    pub was_pulled: bool,
}

pub trait Images: Send + Sync + 'static {
    fn find(&self, reference: &str) -> Option<Arc<Image>>;
    /// The text of a failure is shown to users.
    fn pull<'a>(&'a self, reference: &'a str, credentials: &'a [Credentials]) -> BoxFuture<'a, Result<Arc<Image>, Failure>>;
    fn list(&self) -> Vec<Arc<Image>>;
    /// Takes all names off it.
    fn forget(&self, image: &Image) -> Result<(), String>;
    /// Frees what no name leads to and no layer in use needs. Answers how many bytes.
    fn collect(&self, layers_in_use: HashSet<PathBuf>) -> BoxFuture<'static, Result<u64, String>>;
}

pub trait PodNetwork: Send + Sync + 'static {
    /// Gives the namespace its links and addresses; harmless when it has them.
    fn attach(&self, pod_uid: &str, netns: PathBuf) -> BoxFuture<'static, Result<Vec<IpAddr>, String>>;
    fn detach(&self, pod_uid: &str) -> BoxFuture<'static, Result<(), String>>;
    /// The addresses of a pod that is attached, also from before this process started.
    fn addresses(&self, pod_uid: &str) -> Vec<IpAddr>;
}

/// A pod's directories and volumes.
pub trait Disk: Send + Sync + 'static {
    /// Makes the pod's directories and mounts all its volumes; brings their content up to date when they are mounted.
    /// Answers when content has to be renewed (tokens); calls `waker` when objects that volumes show have changed.
    fn mount(&self, pod: Arc<BoundPod>, waker: Waker) -> BoxFuture<'static, Result<Option<Timestamp>, String>>;
    /// Unmounts and removes everything the pod has on disk, but for its logs.
    fn unmount(&self, pod: Arc<BoundPod>) -> BoxFuture<'static, Result<(), String>>;
    /// The mounts of one container, its files for `/etc/hosts` and the termination message among them.
    fn mounts(&self, request: MountRequest) -> BoxFuture<'static, Result<Vec<Mount>, Failure>>;
    /// The termination message an instance left, if any.
    fn termination_message(&self, pod_uid: &str, container: &str, attempt: u32) -> String;
    /// Removes what pods left that went while no node agent ran; `kept` are the uids of those that are known.
    fn sweep(&self, kept: HashSet<String>);
    /// Removes the logs of a pod that is gone.
    fn remove_logs(&self, pod: &BoundPod);
}

/// Carries out one probe, or a hook that speaks over the network.
pub trait Prober: Send + Sync + 'static {
    fn probe(&self, request: ProbeRequest) -> BoxFuture<'static, ProbeAnswer>;
}

#[derive(Clone, Debug)]
pub struct ProbeRequest {
    pub container_id: ContainerId,
    pub container: Container,
    pub probe: Probe,
    /// The address probes go to when they name no host.
    pub pod_ip: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ProbeAnswer {
    Success,
    /// It answered, but one should know: a redirect to another host.
    Warning(String),
    Failure(String),
    /// The probe itself could not be carried out.
    Error(String),
}

#[derive(Clone, Debug)]
pub struct MountRequest {
    pub pod: Arc<BoundPod>,
    pub container: String,
    pub attempt: u32,
    pub pod_ips: Vec<IpAddr>,
    /// For `subPathExpr`.
    pub env: Vec<(String, String)>,
    /// The layers of each image volume it mounts.
    pub images: BTreeMap<String, Vec<PathBuf>>,
}
