//! The pod as the node sees it: parsed once, with its spec known to be there.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct BoundPod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub meta: ObjectMeta,
    pub spec: PodSpec,
    /// As the API server last showed it.
    pub status: PodStatus,
    /// `spec.ephemeralContainers` in the shape of the others.
    pub ephemeral: Vec<Container>,
    /// The spec holds what was granted; this is what was asked for beyond that.
    pub pending_resize: Option<Pending>,
    /// The generation whose wishes were granted last.
    pub granted_generation: Option<i64>,
}

/// A wish that was not granted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub message: String,
    pub generation: i64,
}

/// Which of the three lists of a pod a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: keeps running beside the others.
    Sidecar,
    Regular,
    Ephemeral,
}

impl BoundPod {
    /// Fails only on objects that are no pods, which an API server does not send.
    pub fn read(object: &Value) -> Result<Self, String> {
        serde::Deserialize::deserialize(object).map_err(|e| format!("not a pod: {e}")).and_then(Self::new)
    }

    pub fn new(pod: Pod) -> Result<Self, String> {
        let meta = pod.metadata;
        let spec = pod.spec.ok_or("pod without a spec")?;
        let ephemeral = spec.ephemeral_containers.iter().flatten().map(as_container).collect();
        Ok(BoundPod {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            meta,
            spec,
            status: pod.status.unwrap_or_default(),
            ephemeral,
            pending_resize: None,
            granted_generation: None,
        })
    }

    pub fn init_containers(&self) -> &[Container] {
        self.spec.init_containers.as_deref().unwrap_or_default()
    }

    /// All containers with their roles, in the order in which they start.
    pub fn containers(&self) -> impl Iterator<Item = (Role, &Container)> {
        let init = self.init_containers().iter().map(|c| (if is_sidecar(c) { Role::Sidecar } else { Role::Init }, c));
        let regular = self.spec.containers.iter().map(|c| (Role::Regular, c));
        let ephemeral = self.ephemeral.iter().map(|c| (Role::Ephemeral, c));
        init.chain(regular).chain(ephemeral)
    }

    pub fn container(&self, name: &str) -> Option<(Role, &Container)> {
        self.containers().find(|(_, c)| c.name == name)
    }

    pub fn generation(&self) -> i64 {
        self.meta.generation.unwrap_or(0)
    }
    pub fn is_deleted(&self) -> bool {
        self.meta.deletion_timestamp.is_some()
    }
    pub fn is_host_network(&self) -> bool {
        self.spec.host_network == Some(true)
    }
    pub fn restart_policy(&self) -> &str {
        self.spec.restart_policy.as_deref().unwrap_or("Always")
    }
    /// Upstream's `format.Pod`: what events and messages call a pod.
    pub fn described(&self) -> String {
        format!("{}_{}({})", self.name, self.namespace, self.uid)
    }
    pub fn grace_seconds(&self) -> i64 {
        const WITHOUT_A_WORD: i64 = 30;
        self.meta.deletion_grace_period_seconds.or(self.spec.termination_grace_period_seconds).unwrap_or(WITHOUT_A_WORD)
    }
}

pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The `fieldPath` of events about a container.
pub fn field_path(role: Role, name: &str) -> String {
    match role {
        Role::Init | Role::Sidecar => format!("spec.initContainers{{{name}}}"),
        Role::Regular => format!("spec.containers{{{name}}}"),
        Role::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
    }
}

fn as_container(from: &EphemeralContainer) -> Container {
    let from = from.clone();
    Container {
        args: from.args,
        command: from.command,
        env: from.env,
        env_from: from.env_from,
        image: from.image,
        image_pull_policy: from.image_pull_policy,
        lifecycle: from.lifecycle,
        liveness_probe: from.liveness_probe,
        name: from.name,
        ports: from.ports,
        readiness_probe: from.readiness_probe,
        resize_policy: from.resize_policy,
        resources: from.resources,
        restart_policy: from.restart_policy,
        restart_policy_rules: from.restart_policy_rules,
        security_context: from.security_context,
        startup_probe: from.startup_probe,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        termination_message_path: from.termination_message_path,
        termination_message_policy: from.termination_message_policy,
        tty: from.tty,
        volume_devices: from.volume_devices,
        volume_mounts: from.volume_mounts,
        working_dir: from.working_dir,
    }
}
