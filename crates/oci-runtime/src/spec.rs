//! What a caller asks for: sandboxes, containers, and the parts of both. Plain data, written to the state directory as JSON.
//!
//! Invariant: nothing here is a default that the kubelet might want to differ from; what upstream's runtimes add on their own
//! (default devices, masked paths, the capability set) is added while starting, not here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Identifies one pod sandbox; made by the runtime, unique for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SandboxId(pub String);

/// Identifies one container; made by the runtime, unique for ever. A restarted container is a new one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerId(pub String);

/// One pod as the runtime sees it: namespaces, names and a cgroup that its containers share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxConfig {
    pub metadata: SandboxMetadata,
    /// Set in the pod's UTS namespace; ignored with the host's network, as upstream does.
    pub hostname: String,
    pub namespaces: Namespaces,
    /// Namespaced sysctls by dotted name (`net.ipv4.ip_unprivileged_port_start`).
    pub sysctls: BTreeMap<String, String>,
    /// The pod's cgroup, absolute in each hierarchy (`/coracle/main/pods/<uid>`): made, limited and removed by the runtime.
    pub cgroup_parent: String,
    /// Limits of the whole pod.
    pub resources: Resources,
    /// Container log paths are relative to this.
    pub log_directory: PathBuf,
    /// Content of `/etc/resolv.conf` in every container that brings no mount of its own for it.
    pub resolv_conf: Option<String>,
    /// Carried through to the status, for the caller's own bookkeeping.
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxMetadata {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub attempt: u32,
}

/// Which namespaces the pod has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    pub network: NamespaceMode,
    pub ipc: NamespaceMode,
    pub pid: PidMode,
    /// `hostUsers: false`: ids in the pod are these ids on the host. `None` is the host's user namespace.
    pub users: Option<IdMapping>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMode {
    #[default]
    Pod,
    Host,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    /// Each container has its own, and its command is pid 1.
    #[default]
    Container,
    /// `shareProcessNamespace: true`.
    Pod,
    /// `hostPID: true`.
    Host,
}

/// Ids 0.. in the pod are `host_first`.. on the host, users and groups alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    pub host_first: u32,
    pub length: u32,
}

/// One run of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    pub metadata: ContainerMetadata,
    /// Carried through to the status.
    pub image: String,
    pub image_id: String,
    pub rootfs: Rootfs,
    pub read_only_rootfs: bool,
    /// The whole command line, entrypoint first; never empty. Without a slash it is looked up in the `PATH` of `env`.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Empty is `/`; made when missing.
    pub working_dir: String,
    pub user: User,
    pub mounts: Vec<Mount>,
    pub devices: Vec<Device>,
    pub security: Security,
    /// Clamped to what this process may give.
    pub rlimits: Vec<Rlimit>,
    /// Clamped to what this process may give.
    pub oom_score_adj: i32,
    /// `targetContainerName` of an ephemeral container: sees the processes of that running container instead of only its own.
    pub process_namespace_of: Option<ContainerId>,
    pub tty: bool,
    pub stdin: bool,
    /// Standard input ends when the first attached client leaves.
    pub stdin_once: bool,
    pub resources: Resources,
    /// Relative to the sandbox's log directory; empty throws the output away.
    pub log_path: PathBuf,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerMetadata {
    pub name: String,
    pub attempt: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// Image layers, lowest first; the runtime adds a writable layer and throws it away with the container.
    Overlay { layers: Vec<PathBuf> },
    /// A directory used as it is; changes stay in it.
    Directory(PathBuf),
}

impl Default for Rootfs {
    fn default() -> Self {
        Rootfs::Overlay { layers: Vec::new() }
    }
}

/// Who the command runs as. Names and missing groups are looked up in the container's own `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// `runAsUser`, or the image's `USER` as written: `1000`, `www-data`, `1000:1000`, `www-data:www-data`; empty is root.
    pub user: String,
    /// `runAsGroup`; wins over the group in `user`.
    pub gid: Option<u32>,
    /// `fsGroup` and `supplementalGroups`.
    pub supplemental_groups: Vec<u32>,
    pub supplemental_groups_policy: SupplementalGroupsPolicy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SupplementalGroupsPolicy {
    /// The image's `/etc/group` adds groups.
    #[default]
    Merge,
    Strict,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the container; resolved inside its root, missing parts are made.
    pub destination: PathBuf,
    pub source: MountSource,
    pub access: MountAccess,
    pub propagation: Propagation,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind(PathBuf),
    /// `sub_path` below `volume`, resolved so that no symlink leads out of the volume.
    /// Missing directories are made (mode 0750 as upstream).
    SubPath {
        volume: PathBuf,
        sub_path: PathBuf,
    },
    Tmpfs {
        size_bytes: Option<u64>,
        mode: u32,
    },
    /// The content of an image, lowest layer first; never writable, and nothing in it can be executed.
    /// An empty `sub_path` is all of it.
    Image {
        layers: Vec<PathBuf>,
        sub_path: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountAccess {
    #[default]
    ReadWrite,
    /// The mount itself; mounts below it keep their own flags.
    ReadOnly,
    /// Every mount below it too.
    RecursiveReadOnly,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// `None` in the pod's spec.
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

/// A host device, made inside the container under `container_path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// All capabilities and devices, no seccomp, writable `/sys`; the lists below are then ignored.
    pub privileged: bool,
    /// `NET_ADMIN` or `CAP_NET_ADMIN`, in any case; `ALL`.
    pub capabilities_add: Vec<String>,
    pub capabilities_drop: Vec<String>,
    pub seccomp: Seccomp,
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    pub proc_mount: ProcMount,
    pub apparmor: AppArmor,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    #[default]
    Unconfined,
    RuntimeDefault,
    /// The profile's JSON text.
    Localhost(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcMount {
    /// Sensitive parts of `/proc` and `/sys` are hidden or read-only.
    #[default]
    Default,
    Unmasked,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppArmor {
    #[default]
    Unconfined,
    /// A profile loaded on the host. Left out where the kernel has no AppArmor.
    Localhost(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE`, or `nofile`.
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// Limits of a cgroup; `None` leaves the kernel's default, or on update what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// cgroup v1 shares, 2..=262144; turned into a weight on v2.
    pub cpu_shares: Option<u64>,
    /// Microseconds a period; -1 is no limit.
    pub cpu_quota_us: Option<i64>,
    pub cpu_period_us: Option<u64>,
    /// Swap is not allowed beyond it.
    pub memory_limit_bytes: Option<u64>,
    /// cgroup v2 only: memory that is not reclaimed.
    pub memory_min_bytes: Option<u64>,
    /// cgroup v2 only: above it the kernel reclaims and slows.
    pub memory_high_bytes: Option<u64>,
    pub pids_limit: Option<u64>,
    /// `0-3,7`; empty is all.
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
}
