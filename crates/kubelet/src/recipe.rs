//! From the pod's words to the runtime's: the configuration of sandboxes and containers. Plain functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, SecurityContext};
use oci_runtime::spec::{
    AppArmor, ContainerConfig, ContainerId, ContainerMetadata, Mount, NamespaceMode, Namespaces, PidMode, ProcMount, Resources, Rootfs,
    SandboxConfig, SandboxMetadata, Seccomp, Security, SupplementalGroupsPolicy, User,
};
use pod_plan::expand::expand;
use pod_plan::pod::BoundPod;
use pod_plan::resize::effective;
use pod_plan::resources::{self, Cgroup};
use pod_plan::{host_name, security, sysctl};

use crate::config::Config;
use crate::observe::{
    CONTAINER_NAME, HOST_NETWORK, IMAGE_VOLUMES, POD, POD_NAME, POD_NAMESPACE, POD_UID, RESOURCES, SPEC_IMAGE, STOP_SIGNAL,
};
use crate::seams::Image;
use crate::signals;

/// The folder of a pod's logs, below the node's.
pub(crate) fn log_folder(pod: &BoundPod) -> String {
    format!("{}_{}_{}", pod.namespace, pod.name, pod.uid)
}

pub(crate) fn sandbox(config: &Config, pod: &BoundPod, attempt: u32, resolv_conf: String) -> SandboxConfig {
    let is_true = |flag: Option<bool>| flag == Some(true);
    let mode = |is_host| if is_host { NamespaceMode::Host } else { NamespaceMode::Pod };
    let sysctls = pod.spec.security_context.iter().filter_map(|c| c.sysctls.as_ref()).flatten();
    let mut annotations = BTreeMap::from([(POD.to_owned(), serialized(pod))]);
    if pod.is_host_network() {
        annotations.insert(HOST_NETWORK.to_owned(), "true".to_owned());
    }
    SandboxConfig {
        metadata: SandboxMetadata { name: pod.name.clone(), namespace: pod.namespace.clone(), uid: pod.uid.clone(), attempt },
        hostname: host_name::kernel_host_name(pod, &config.cluster_domain),
        namespaces: Namespaces {
            network: mode(pod.is_host_network()),
            ipc: mode(is_true(pod.spec.host_ipc)),
            pid: if is_true(pod.spec.host_pid) {
                PidMode::Host
            } else if is_true(pod.spec.share_process_namespace) {
                PidMode::Pod
            } else {
                PidMode::Container
            },
            users: None,
        },
        sysctls: sysctls.map(|s| (sysctl::normal_name(&s.name), s.value.clone())).collect(),
        cgroup_parent: format!("{}/{}", config.cgroup_root, pod.uid),
        resources: cgroup(&resources::pod_cgroup(pod)),
        log_directory: config.log_dir.join(log_folder(pod)),
        resolv_conf: Some(resolv_conf),
        labels: labels(pod),
        annotations,
    }
}

/// The parts of a pod that its end needs, should the object itself be gone by then.
fn serialized(pod: &BoundPod) -> String {
    let meta = &pod.meta;
    let object = serde_json::json!({
        "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid, "annotations": meta.annotations},
        "spec": pod.spec,
    });
    object.to_string()
}

fn labels(pod: &BoundPod) -> BTreeMap<String, String> {
    let pairs = [(POD_UID, &pod.uid), (POD_NAME, &pod.name), (POD_NAMESPACE, &pod.namespace)];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect()
}

pub(crate) fn cgroup(values: &Cgroup) -> Resources {
    Resources {
        cpu_shares: values.cpu_shares,
        cpu_quota_us: values.cpu_quota,
        cpu_period_us: values.cpu_period,
        memory_limit_bytes: values.memory_limit,
        ..Resources::default()
    }
}

/// What is known about a container by the time it is made.
pub(crate) struct Ingredients<'a> {
    pub(crate) config: &'a Config,
    pub(crate) pod: &'a BoundPod,
    pub(crate) container: &'a Container,
    pub(crate) attempt: u32,
    pub(crate) image: &'a Image,
    /// The images it mounts, by volume.
    pub(crate) volumes: BTreeMap<String, Arc<Image>>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    /// The container whose processes a debugging container is to see.
    pub(crate) target: Option<ContainerId>,
    /// Texts of `Localhost` seccomp profiles are read beforehand.
    pub(crate) seccomp: Seccomp,
}

pub(crate) fn container(from: Ingredients) -> ContainerConfig {
    let (pod, container, image) = (from.pod, from.container, from.image);
    let context = security::effective(pod, container);
    let value_of = |name: &str| from.env.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let mut labels = labels(pod);
    labels.insert(CONTAINER_NAME.to_owned(), container.name.clone());
    let spec_image = container.image.clone().unwrap_or_default();
    let signal = signals::number(container.lifecycle.as_ref().and_then(|l| l.stop_signal.as_deref()).unwrap_or(&image.stop_signal));
    ContainerConfig {
        metadata: ContainerMetadata { name: container.name.clone(), attempt: from.attempt },
        image: shown_image(image, &spec_image),
        image_id: image.shown.clone(),
        rootfs: Rootfs::Overlay { layers: image.layers.clone() },
        read_only_rootfs: context.read_only_root_filesystem == Some(true),
        args: command_line(container, image).iter().map(|word| expand(word, &value_of)).collect(),
        env: whole_environment(from.config, pod, container, image, &from.env),
        working_dir: container.working_dir.clone().filter(|d| !d.is_empty()).unwrap_or_else(|| image.working_dir.clone()),
        user: user(pod, &context, image),
        mounts: from.mounts,
        devices: Vec::new(),
        security: security_of(&context, from.seccomp),
        rlimits: Vec::new(),
        oom_score_adj: resources::oom_score_adj(pod, container, from.config.machine.memory_bytes),
        tty: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        process_namespace_of: from.target,
        resources: cgroup(&resources::container_cgroup(pod, container)),
        log_path: format!("{}/{}.log", container.name, from.attempt).into(),
        labels,
        annotations: BTreeMap::from([
            (SPEC_IMAGE.to_owned(), spec_image),
            (STOP_SIGNAL.to_owned(), signal.to_string()),
            (IMAGE_VOLUMES.to_owned(), from.volumes.values().map(|image| image.id.as_str()).collect::<Vec<_>>().join(",")),
            (RESOURCES.to_owned(), serde_json::json!(effective(pod, container.resources.as_ref())).to_string()),
        ]),
    }
}

/// The full name, as runtimes report it.
fn shown_image(image: &Image, spec_image: &str) -> String {
    let has_own_name = image.names.iter().any(|name| name.ends_with(spec_image));
    let own = image.names.iter().find(|name| !has_own_name || name.ends_with(spec_image));
    own.cloned().unwrap_or_else(|| spec_image.to_owned())
}

/// The pod's command replaces the image's entrypoint and its arguments; the pod's arguments alone replace only those.
fn command_line(container: &Container, image: &Image) -> Vec<String> {
    let command = container.command.as_deref().unwrap_or_default();
    let args = container.args.as_deref().unwrap_or_default();
    match (command.is_empty(), args.is_empty()) {
        (false, _) => [command, args].concat(),
        (true, false) => [image.entrypoint.as_slice(), args].concat(),
        (true, true) => [image.entrypoint.as_slice(), &image.cmd].concat(),
    }
}

fn whole_environment(
    config: &Config,
    pod: &BoundPod,
    container: &Container,
    image: &Image,
    own: &[(String, String)],
) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match env.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) => value.clone_into(old),
        None => env.push((name.to_owned(), value.to_owned())),
    };
    set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    set("HOSTNAME", &host_name::kernel_host_name(pod, &config.cluster_domain));
    if container.tty == Some(true) {
        set("TERM", "xterm");
    }
    for line in &image.env {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        set(name, value);
    }
    own.iter().for_each(|(name, value)| set(name, value));
    env
}

fn user(pod: &BoundPod, context: &SecurityContext, image: &Image) -> User {
    let whole = pod.spec.security_context.as_ref();
    let group = |id: i64| u32::try_from(id).ok();
    let groups = whole.iter().flat_map(|c| c.fs_group.into_iter().chain(c.supplemental_groups.iter().flatten().copied()));
    let is_strict = whole.and_then(|c| c.supplemental_groups_policy.as_deref()) == Some("Strict");
    User {
        user: context.run_as_user.map_or_else(|| image.user.clone(), |uid| uid.to_string()),
        gid: context.run_as_group.and_then(group),
        supplemental_groups: groups.filter_map(group).collect(),
        supplemental_groups_policy: if is_strict { SupplementalGroupsPolicy::Strict } else { SupplementalGroupsPolicy::Merge },
    }
}

fn security_of(context: &SecurityContext, seccomp: Seccomp) -> Security {
    let capabilities = context.capabilities.as_ref();
    let apparmor = context.app_armor_profile.as_ref().and_then(|p| p.localhost_profile.clone());
    Security {
        privileged: context.privileged == Some(true),
        capabilities_add: capabilities.and_then(|c| c.add.clone()).unwrap_or_default(),
        capabilities_drop: capabilities.and_then(|c| c.drop.clone()).unwrap_or_default(),
        seccomp,
        no_new_privileges: security::no_new_privileges(context),
        proc_mount: if context.proc_mount.as_deref() == Some("Unmasked") { ProcMount::Unmasked } else { ProcMount::Default },
        apparmor: apparmor.map_or(AppArmor::Unconfined, AppArmor::Localhost),
    }
}
