//! The runtime's statuses as the plan sees them.

use jiff::Timestamp;
use oci_runtime::runtime::Runtime;
use oci_runtime::spec::{ContainerId, SandboxId};
use oci_runtime::status::{ContainerState, ContainerStatus, SandboxState, SandboxStatus};
use pod_plan::view::{Exit, Instance, Sandbox, State, User};

pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// `image` of the container as the spec had it.
pub(crate) const SPEC_IMAGE: &str = "coracle.io/spec-image";
/// The signal that asks it to stop, by number.
pub(crate) const STOP_SIGNAL: &str = "coracle.io/stop-signal";
/// Ids of the images it mounts, comma between: they are in use too.
pub(crate) const IMAGE_VOLUMES: &str = "coracle.io/image-volumes";
/// Requests and limits it was made with, as JSON.
pub(crate) const RESOURCES: &str = "coracle.io/resources";
/// The whole pod, so that one whose object is gone can still be ended properly.
pub(crate) const POD: &str = "coracle.io/pod";
pub(crate) const HOST_NETWORK: &str = "coracle.io/host-network";

/// What the runtime holds of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) sandboxes: Vec<SandboxId>,
    pub(crate) containers: Vec<ContainerId>,
}

pub(crate) struct Observed {
    pub(crate) sandboxes: Vec<Sandbox>,
    pub(crate) instances: Vec<Instance>,
}

/// Looks at each of them and forgets those the runtime has forgotten. `message` finds what an instance left as its last words.
pub(crate) fn observe(
    runtime: &dyn Runtime,
    known: &mut Known,
    ips: &[String],
    message: &mut dyn FnMut(&ContainerStatus) -> String,
) -> Observed {
    let mut sandboxes = Vec::new();
    known.sandboxes.retain(|id| match runtime.pod_sandbox_status(id) {
        Ok(status) => {
            sandboxes.push(sandbox(&status, ips));
            true
        }
        Err(_) => false,
    });
    let mut instances = Vec::new();
    known.containers.retain(|id| match runtime.container_status(id) {
        Ok(status) => {
            instances.push(instance(&status, message));
            true
        }
        Err(_) => false,
    });
    sandboxes.sort_by_key(|s| std::cmp::Reverse(s.attempt));
    instances.sort_by_key(|i| std::cmp::Reverse((i.created_at, i.attempt)));
    Observed { sandboxes, instances }
}

fn sandbox(status: &SandboxStatus, ips: &[String]) -> Sandbox {
    let is_ready = matches!(status.state, SandboxState::Ready { .. });
    let has_host_network = status.annotations.contains_key(HOST_NETWORK);
    let ips = if has_host_network { Vec::new() } else { ips.to_vec() };
    Sandbox { id: status.id.0.clone(), attempt: status.metadata.attempt, is_ready, has_host_network, ips }
}

fn instance(status: &ContainerStatus, message: &mut dyn FnMut(&ContainerStatus) -> String) -> Instance {
    Instance {
        id: status.id.0.clone(),
        sandbox_id: status.sandbox.0.clone(),
        name: status.metadata.name.clone(),
        attempt: status.metadata.attempt,
        spec_image: status.annotations.get(SPEC_IMAGE).unwrap_or(&status.image).clone(),
        image: status.image.clone(),
        image_id: status.image_id.clone(),
        created_at: at(status.created_at_ns),
        state: match &status.state {
            ContainerState::Created => State::Created,
            ContainerState::Running { started_at_ns, .. } => State::Running { started_at: at(*started_at_ns) },
            ContainerState::Exited { started_at_ns, exit } => State::Exited(Exit {
                started_at: started_at_ns.map(at),
                finished_at: at(exit.finished_at_ns),
                code: exit.code,
                // Upstream: the signal of a killed container is in its exit code only.
                signal: None,
                reason: exit.reason.as_str().to_owned(),
                message: if exit.message.is_empty() { message(status) } else { exit.message.clone() },
            }),
        },
        resources: status.annotations.get(RESOURCES).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        user: status.user.as_ref().map(|user| User {
            uid: user.uid.into(),
            gid: user.gid.into(),
            supplemental_groups: user.groups.iter().map(|g| (*g).into()).collect(),
        }),
    }
}

fn at(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}
