//! What a caller is told: how sandboxes and containers stand, and what they use.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::spec::{ContainerId, ContainerMetadata, SandboxId, SandboxMetadata};

#[derive(Clone, Debug, PartialEq)]
pub struct SandboxStatus {
    pub id: SandboxId,
    pub metadata: SandboxMetadata,
    pub state: SandboxState,
    pub created_at_ns: i64,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// The sandbox's own directory, gone when it is removed; callers may keep files in its `caller` folder.
    pub caller_dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxState {
    /// Its shim holds the namespaces. `netns` is the way to attach links, also before the first container starts.
    Ready { shim_pid: u32, netns: PathBuf },
    /// Stopped, or its shim died: nothing of it runs any more.
    NotReady,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ContainerStatus {
    pub id: ContainerId,
    pub sandbox: SandboxId,
    pub metadata: ContainerMetadata,
    pub image: String,
    pub image_id: String,
    pub state: ContainerState,
    pub created_at_ns: i64,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Absolute; empty when the output is thrown away.
    pub log_path: PathBuf,
    /// Who the command runs as, known from the start on.
    pub user: Option<ResolvedUser>,
    /// Where the container's own writes land, for ephemeral storage accounting; `None` for a directory rootfs.
    pub writable_layer: Option<PathBuf>,
    pub tty: bool,
    pub stdin: bool,
    pub stdin_once: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContainerState {
    Created,
    Running {
        pid: u32,
        started_at_ns: i64,
    },
    /// `started_at_ns` is missing when the command never ran.
    Exited {
        started_at_ns: Option<i64>,
        exit: Exit,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// 128 + signal for one that was killed, as shells count; 128 when the start failed; 255 when nobody saw it end.
    pub code: i32,
    pub signal: Option<i32>,
    pub finished_at_ns: i64,
    pub reason: ExitReason,
    /// A sentence for a failed start; otherwise empty.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitReason {
    Completed,
    Error,
    OomKilled,
    StartError,
    Unknown,
}

impl ExitReason {
    /// The word in a container status.
    pub fn as_str(self) -> &'static str {
        match self {
            ExitReason::Completed => "Completed",
            ExitReason::Error => "Error",
            ExitReason::OomKilled => "OOMKilled",
            ExitReason::StartError => "StartError",
            ExitReason::Unknown => "ContainerStatusUnknown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedUser {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// From the image's `/etc/passwd`; `/` when it has none.
    pub home: String,
}

/// What a container or a whole sandbox uses now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub cpu_usage_ns: u64,
    pub memory_usage_bytes: u64,
    /// Without page cache that can be dropped at once; what eviction looks at.
    pub memory_working_set_bytes: u64,
    pub memory_rss_bytes: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub pids: u64,
}

/// One thing the kernel does not offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub what: &'static str,
    /// Whether pods can run without it.
    pub severity: Severity,
    /// A sentence: what is missing and what it means.
    pub meaning: String,
    /// A sentence: what to do.
    pub way_out: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Fatal,
    Degraded,
}
